//! Sweeps on a disk that fills up.

use std::fs;

use prunebench_results::read_records;
use prunebench_testing::SmallDisk;

use crate::killed;
use crate::support::Sandbox;

#[test]
fn two_runs_on_a_disk_that_fills_up_say_so_and_lose_nothing_that_was_measured() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &killed::experiment());
    fs::create_dir(sandbox.path("results")).unwrap();
    let Some(disk) = SmallDisk::mount(&sandbox.path("results")) else {
        return;
    };
    let start = || sandbox.start("a.toml", &["--jobs", "1"]);
    let ran = [start(), start()].map(|started| started.end());
    let mut said = 0;
    for ran in &ran {
        ran.expect_error(1, &["results/runs/a/", "free some space"]);
        said += ran.measured();
    }
    let records = read_records(&sandbox.path("results/runs/a/records")).unwrap();
    assert_eq!(said, records.len());
    assert!((1..killed::cells()).contains(&records.len()), "{}", records.len());
    // A run that can't begin says the same.
    sandbox.run(&["run", "a.toml"]).expect_error(1, &["free some space"]);
    disk.grow();
    let left = killed::cells() - records.len();
    sandbox.run(&["run", "a.toml", "--jobs", "2"]).expect(
        0,
        &[&format!(
            "{0} of {0} cells measured; {left} of them now",
            killed::cells()
        )],
    );
    killed::check(&sandbox, &killed::undisturbed());
}
