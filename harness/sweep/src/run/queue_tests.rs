use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::thread;

use super::*;
use crate::experiment::Limits;
use crate::machine::{Machine, now};
use crate::run::tests::{SPEED, planned};

#[test]
fn a_panic_at_one_cell_ends_the_run_and_keeps_nobody_waiting() {
    let plan = Plan {
        experiment: "e".into(),
        // The last one waits for both before it, to be alone.
        cells: vec![
            planned("cell-0", "cpu", None),
            planned("cell-1", "cpu", None),
            planned("cell-2", "cpu", Some(SPEED)),
        ],
        expect: Vec::new(),
        limits: Limits::default(),
        in_rounds: false,
    };
    let interrupted = AtomicBool::new(false);
    let queue = Queue::new(&plan, &[], &interrupted);
    let (machine, both_run) = (Machine::look(), Barrier::new(2));
    let carry_out = |start: &Start| {
        assert!(start.cell < 2, "begun after the panic");
        both_run.wait();
        assert!(start.cell == 1, "all is lost");
        let record = plan.cells[1].record(Status::Failed, "e", &machine, None, now());
        Ok(Ended::Recorded(Box::new(record), true))
    };
    let (sender, events) = channel();
    let ended: Vec<Result<(), Error>> = thread::scope(|scope| {
        let workers = [(); 3].map(|()| scope.spawn(|| queue.work(&sender, &carry_out)));
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let errors: Vec<String> = ended
        .into_iter()
        .filter_map(Result::err)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    for part in ["cell-0", "all is lost", "report", "start the same command again"] {
        assert!(errors[0].contains(part), "{part}: {}", errors[0]);
    }
    // What ran beside it is heard of.
    let finished = events
        .try_iter()
        .map(|(cell, event)| (cell, matches!(event, Event::Finished { .. })));
    assert_eq!(finished.collect::<Vec<_>>(), [(1, true)]);
}
