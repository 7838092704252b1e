use prunebench_results::Attempt;

use super::*;
use crate::run::tests::planned;

const MIB: u64 = 1 << 20;
const HOUR: f64 = 3600.0;

fn estimate(same: Likeness, peak_mib: u64, seconds: f64) -> Option<Estimate> {
    Some(Estimate {
        seconds,
        peak_resident_bytes: Some(peak_mib * MIB),
        records: 1,
        same,
    })
}

fn of(estimate: Option<Estimate>, found: Option<&Record>, limits: Limits) -> Shape {
    let planned = planned("cell-1", "cpu", None);
    let known = Known {
        planned: &planned,
        estimate,
        found,
    };
    shape(&[known], limits)
}

#[test]
fn without_records_and_limits_the_system_decides() {
    let shape = of(None, None, Limits::default());
    assert_eq!((shape.memory_mib, shape.minutes, shape.exclusive), (None, None, false));
}

#[test]
fn an_estimate_by_the_same_recipe_needs_less_room_than_one_by_the_model() {
    // 1.5 times 1000 and 512 more are 2012 MiB; 1.5 times 60 minutes and 5 more are 95.
    let same = of(estimate(Likeness::Recipe, 1000, HOUR), None, Limits::default());
    assert_eq!((same.memory_mib, same.minutes), (Some(2048), Some(128)));
    let like = of(estimate(Likeness::Model, 1000, HOUR), None, Limits::default());
    assert_eq!((like.memory_mib, like.minutes), (Some(8192), Some(256)));
}

#[test]
fn what_the_experiment_allows_is_enough() {
    let limits = Limits {
        timeout_s: Some(60.0),
        memory_gb: Some(0.1),
        retries: 2,
        checkpoint_s: None,
    };
    // 95 MiB and 512 more; three tries of a minute and five more.
    let limited = of(estimate(Likeness::Cell, 9000, HOUR), None, limits);
    assert_eq!((limited.memory_mib, limited.minutes), (Some(1024), Some(8)));
    assert_eq!(of(None, None, limits), limited);
    assert_eq!(
        of(estimate(Likeness::Cell, 1, 1.0), None, limits).memory_mib,
        Some(1024)
    );
}

#[test]
fn what_ran_out_gets_twice_as_much_for_each_try() {
    let machine = crate::machine::Machine::look();
    let attempt = Attempt {
        status: Status::Oom,
        error: String::new(),
        started_at: String::new(),
    };
    let found = |status| Record {
        attempts: vec![attempt.clone()],
        ..planned("cell-1", "cpu", None).record(status, "e", &machine, None, String::new())
    };
    let again = |status| {
        of(
            estimate(Likeness::Recipe, 1000, HOUR),
            Some(&found(status)),
            Limits::default(),
        )
    };
    assert_eq!(again(Status::Oom).memory_mib, Some(8192));
    assert_eq!(again(Status::Failed).memory_mib, Some(4096));
    assert_eq!(again(Status::Timeout).minutes, Some(256));
}

#[test]
fn one_task_of_several_cells_has_time_for_all_and_memory_for_the_largest() {
    let planned = planned("cell-1", "cuda", Some(crate::run::tests::SPEED));
    let known = [1000, 2000].map(|peak| Known {
        planned: &planned,
        estimate: estimate(Likeness::Recipe, peak, HOUR),
        found: None,
    });
    let shape = shape(&known, Limits::default());
    // 190 minutes; 3512 MiB.
    assert_eq!((shape.minutes, shape.memory_mib), (Some(256), Some(4096)));
    assert!(shape.gpu && shape.exclusive);
}
