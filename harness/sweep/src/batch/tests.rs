use std::cell::RefCell;
use std::fs;

use prunebench_results::{SharedWork, Status, Store, read_records};
use serde_json::json;

use super::*;
use crate::experiment::Limits;
use crate::plan::Planned;
use crate::run::tests::{SPEED, planned};

/// A batch system that only writes down what it is told.
struct Recorder {
    largest: usize,
    /// Names of tasks with what they wait for.
    told: RefCell<Vec<(usize, Shape, String)>>,
    active: RefCell<Vec<Active>>,
    ending: Ending,
}

impl Scheduler for Recorder {
    fn largest_array(&self) -> Result<usize, SchedulerError> {
        Ok(self.largest)
    }

    fn submit(&self, array: &JobArray) -> Result<String, SchedulerError> {
        let mut told = self.told.borrow_mut();
        let job = format!("j{}", told.len());
        told.push((
            array.tasks,
            array.shape,
            format!("{};{}", array.after_success.join(","), array.after.join(",")),
        ));
        let tasks = (0..array.tasks).map(|index| Active {
            task: TaskId {
                job: job.clone(),
                index,
            },
            state: "pending".to_owned(),
        });
        self.active.borrow_mut().extend(tasks);
        Ok(job)
    }

    fn active(&self) -> Result<Vec<Active>, SchedulerError> {
        Ok(self.active.borrow().clone())
    }

    fn ending(&self, _: &TaskId, _: Option<&str>) -> Result<Ending, SchedulerError> {
        Ok(self.ending.clone())
    }

    fn cancel(&self, jobs: &[String]) -> Result<(), SchedulerError> {
        self.active
            .borrow_mut()
            .retain(|active| !jobs.contains(&active.task.job));
        Ok(())
    }
}

fn recorder(ending: Ending) -> Recorder {
    Recorder {
        largest: 100,
        told: RefCell::default(),
        active: RefCell::default(),
        ending,
    }
}

/// An experiment's folder, and its batch.
fn batch<'a>(folder: &tempfile::TempDir, scheduler: &'a Recorder, interrupted: &'a AtomicBool) -> (Batch<'a>, Store) {
    let folder = folder.path().join("e");
    let store = Store::open(folder.join("records")).unwrap();
    let batch = Batch {
        scheduler,
        command: vec!["worker".into()],
        folder,
        options: Vec::new(),
        interrupted,
    };
    (batch, store)
}

fn plan(cells: Vec<Planned>) -> Plan {
    let in_rounds = cells.iter().all(Planned::measures_speed);
    Plan {
        experiment: "e".into(),
        cells,
        expect: Vec::new(),
        limits: Limits::default(),
        in_rounds,
    }
}

fn sharing(recipe: &str, work: &str) -> Planned {
    let mut planned = planned(recipe, "cpu", None);
    planned.request.shares.of_methods = vec![Some(SharedWork::new(work.to_owned(), json!(work)))];
    planned
}

#[test]
fn baselines_come_first_then_one_of_those_that_share_work_then_the_rest() {
    let (folder, running) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let mut scheduler = recorder(Ending::Cancelled);
    scheduler.largest = 2;
    let (batch, store) = batch(&folder, &scheduler, &running);
    let cells = vec![
        planned("dense", "cpu", None),
        sharing("a", "scores"),
        sharing("b", "scores"),
        sharing("c", "scores"),
        sharing("d", "other"),
        planned("e", "cuda", None),
    ];
    let plan = plan(cells);
    let submitted = batch.submit(&plan, &store).unwrap();
    let stages: Vec<(Stage, Vec<Vec<usize>>)> = submitted
        .jobs
        .into_iter()
        .map(|(_, array)| (array.stage, array.tasks))
        .collect();
    let rest = [
        (Stage::Baseline, vec![vec![0]]),
        (Stage::Shared, vec![vec![1]]),
        (Stage::Compressed, vec![vec![2], vec![3]]),
        (Stage::Compressed, vec![vec![4]]),
        (Stage::Compressed, vec![vec![5]]),
    ];
    assert_eq!(stages, rest);
    let told = scheduler.told.borrow();
    let after: Vec<&str> = told.iter().map(|(_, _, after)| after.as_str()).collect();
    assert_eq!(after, [";", "j0;", "j0;j1", "j0;j1", "j0;j1"]);
    let gpus: Vec<bool> = told.iter().map(|(_, shape, _)| shape.gpu).collect();
    assert_eq!(gpus, [false, false, false, false, true]);
    // Everything is in the queue now, and a baseline in it is waited for.
    drop(told);
    let again = batch.submit(&plan, &store).unwrap();
    assert_eq!((again.jobs.len(), again.queued), (0, 6));
    scheduler.active.borrow_mut().retain(|active| active.task.job == "j0");
    let again = batch.submit(&plan, &store).unwrap();
    assert_eq!((again.jobs.len(), again.queued), (4, 1));
    assert_eq!(scheduler.told.borrow()[5].2, "j0;");
}

#[test]
fn rounds_of_speed_are_one_task_on_a_machine_for_itself() {
    let (folder, running) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let scheduler = recorder(Ending::Cancelled);
    let (batch, store) = batch(&folder, &scheduler, &running);
    let cells = ["dense", "a", "b"].map(|recipe| planned(recipe, "cpu", Some(SPEED)));
    let submitted = batch.submit(&plan(cells.to_vec()), &store).unwrap();
    assert_eq!(submitted.jobs.len(), 1);
    let array = &submitted.jobs[0].1;
    assert_eq!((&array.tasks, array.shape.exclusive), (&vec![vec![0, 1, 2]], true));
}

#[test]
fn a_second_gpu_is_refused_before_anything_is_submitted() {
    let (folder, running) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let scheduler = recorder(Ending::Cancelled);
    let (batch, store) = batch(&folder, &scheduler, &running);
    let refused = batch
        .submit(&plan(vec![planned("a", "cuda:1", None)]), &store)
        .unwrap_err();
    assert!(refused.to_string().contains("cuda:1"), "{refused}");
    assert!(scheduler.told.borrow().is_empty());
}

#[test]
fn what_a_task_could_not_write_is_written_once_unless_it_was_cancelled() {
    for (ending, expected) in [
        (Ending::Cancelled, None),
        (
            Ending::Cut(Status::Timeout, "its time was over".to_owned()),
            Some(Status::Timeout),
        ),
    ] {
        let (folder, running) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
        let scheduler = recorder(ending);
        let (batch, store) = batch(&folder, &scheduler, &running);
        let plan = plan(vec![planned("dense", "cpu", None), planned("a", "cpu", None)]);
        batch.submit(&plan, &store).unwrap();
        // One ends, and the other is still there.
        let log = batch.folder.join("submissions");
        let submission = fs::read_dir(log).unwrap().next().unwrap().unwrap().path();
        fs::write(submission.join("logs/j0_0.log"), "first\nlast\n").unwrap();
        scheduler.active.borrow_mut().remove(0);
        for _ in 0..2 {
            assert_eq!(batch.queue().unwrap().len(), 1);
            let records = read_records(store.folder()).unwrap();
            assert_eq!(records.first().map(|record| record.status), expected);
            if let Some(record) = records.first() {
                assert_eq!(record.error.as_deref(), Some("its time was over"));
                assert_eq!((record.log.join(" "), record.tries()), ("first last".to_owned(), 1));
            }
        }
        assert_eq!(batch.cancel().unwrap(), 1);
        assert!(batch.queue().unwrap().is_empty());
    }
}
