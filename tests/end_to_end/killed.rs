//! Runs that are killed at any moment, and runs side by side, leave every cell with exactly one whole record, equal to that of
//! a run that nothing disturbed.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use prunebench_tensor::Engine;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::support::{Sandbox, Started, engines, numbers, signal};

const KILLS: usize = 50;

/// At least 40 cells of the small model, whose numbers depend on nothing but the cell.
pub fn experiment() -> String {
    let ratios: Vec<String> = (1..=40 / Engine::compiled().len())
        .map(|i| format!("{}", f64::from(i as u32) / 100.0))
        .collect();
    format!(
        r#"
        name = "a"
        models = ["small"]
        engines = [{}]
        threads = 1
        recipes = ["magnitude(ratio={{{}}})"]
        evaluation.perplexity = [{{ protocol = "world/stream-128@1", windows = 6 }}]
        "#,
        engines(),
        ratios.join(",")
    )
}

pub fn cells() -> usize {
    Engine::compiled().len() * (1 + 40 / Engine::compiled().len())
}

/// A run of `a.toml`, two cells at once.
fn start(sandbox: &Sandbox) -> Started {
    sandbox.start("a.toml", &["--jobs", "2"])
}

fn kill(process: u32) -> bool {
    signal("KILL", process)
}

pub fn undisturbed() -> BTreeMap<String, Value> {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &experiment());
    sandbox.run(&["run", "a.toml", "--jobs", "2"]).expect(0, &[]);
    numbers(sandbox.records("a"))
}

/// Every cell has one record, `ok` and equal to the undisturbed one, and nothing else lies in the store.
pub fn check(sandbox: &Sandbox, wanted: &BTreeMap<String, Value>) {
    let found = numbers(sandbox.records("a"));
    assert_eq!((found.len(), wanted.len()), (cells(), cells()));
    for (key, record) in wanted {
        assert_eq!(record["status"], "ok");
        assert_eq!(found.get(key), Some(record));
    }
    sandbox.run(&["store", "check", "results/runs/a"]).expect(0, &[]);
}

/// Starts the sweep again and again, and kills it or one of its workers at random moments, until it ends or `kills` are done.
fn kill_until_it_ends(sandbox: &Sandbox, rng: &mut ChaCha8Rng, kills: usize) -> usize {
    let mut done = 0;
    while done < kills {
        let mut started = start(sandbox);
        let has_ended = loop {
            sleep(Duration::from_millis(rng.random_range(20..400)));
            if let Some(ended) = started.run.try_wait().unwrap() {
                break ended.success();
            }
            let last = started.cells.try_iter().last();
            if let Some((_, worker)) = last.filter(|_| rng.random_bool(0.5)) {
                done += usize::from(kill(worker));
            } else {
                done += usize::from(kill(started.run.id()));
                break false;
            }
        };
        started.end();
        if has_ended {
            return done;
        }
    }
    done
}

#[test]
fn sweeps_killed_fifty_times_end_with_the_records_of_an_undisturbed_one() {
    let wanted = undisturbed();
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut kills = 0;
    // One sweep where cells take long enough, several on a fast machine.
    while kills < KILLS {
        let sandbox = Sandbox::new();
        sandbox.write("a.toml", &experiment());
        kills += kill_until_it_ends(&sandbox, &mut rng, KILLS - kills);
        sandbox.run(&["run", "a.toml", "--jobs", "2"]).expect(0, &[]);
        check(&sandbox, &wanted);
    }
}

#[test]
fn an_interrupt_ends_the_running_cells_and_keeps_the_rest() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &experiment());
    let started = start(&sandbox);
    // A few cells are done by then, and others are not.
    let (_, last) = started.cells.iter().nth(9).unwrap();
    assert!(signal("INT", started.run.id()));
    started.end().expect(1, &["interrupted with"]);
    let done = numbers(sandbox.records("a"));
    assert!((1..cells()).contains(&done.len()), "{}", done.len());
    assert!(done.values().all(|record| record["status"] == "ok"));
    assert!(sandbox.path("results/runs/a/table.md").exists());
    assert!(!kill(last), "a worker outlived its run");
    sandbox.run(&["run", "a.toml"]).expect(
        0,
        &[&format!(
            "{0} of {0} cells measured; {1} of them now",
            cells(),
            cells() - done.len()
        )],
    );
    check(&sandbox, &undisturbed());
}

#[test]
fn two_runs_at_once_share_the_cells() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &experiment());
    let counts = [start(&sandbox), start(&sandbox)].map(|started| {
        let ran = started.end();
        ran.expect(0, &[]);
        ran.measured()
    });
    // No cell was measured by both.
    assert_eq!(counts.iter().sum::<usize>(), cells(), "{counts:?}");
    check(&sandbox, &undisturbed());
}

/// Waits until a folder is there, and kills the run, which takes its worker along.
fn kill_once_there(sandbox: &Sandbox, phase: &str) {
    let started = sandbox.start("a.toml", &[]);
    let checkpoints = sandbox.path("results/runs/.checkpoints");
    let is_there = || {
        let cells = std::fs::read_dir(&checkpoints).into_iter().flatten().flatten();
        cells
            .flat_map(|cell| {
                std::fs::read_dir(cell.path().join(phase))
                    .into_iter()
                    .flatten()
                    .flatten()
            })
            .any(|checkpoint| checkpoint.file_name().to_string_lossy().starts_with("step-"))
    };
    let found = (0..2400).any(|_| {
        sleep(Duration::from_millis(25));
        is_there()
    });
    assert!(found, "no checkpoint of {phase}");
    assert!(kill(started.run.id()));
    started.end();
}

#[test]
fn a_cell_killed_in_either_of_its_trainings_goes_on_with_it_to_the_same_record() {
    let experiment = |checkpoints: &str| {
        format!(
            r#"
            name = "a"
            models = ["small"]
            engines = ["{}"]
            threads = 1
            recipes = [["finetune(steps=80, batch=4, length=64)", "lora(steps=80, batch=4, length=64)"]]
            recovery.texts = ["world/train-sample"]
            evaluation.perplexity = [{{ protocol = "world/stream-128@1", windows = 6 }}]
            {checkpoints}
            "#,
            Engine::compiled()[0]
        )
    };
    let [undisturbed, killed] = [Sandbox::new(), Sandbox::new()];
    undisturbed.write("a.toml", &experiment(""));
    undisturbed.run(&["run", "a.toml"]).expect(0, &[]);
    killed.write("a.toml", &experiment("limits.checkpoint_s = 0"));
    kill_once_there(&killed, "0-finetune");
    kill_once_there(&killed, "1-lora");
    killed.run(&["run", "a.toml"]).expect(0, &[]);
    assert_eq!(numbers(killed.records("a")), numbers(undisturbed.records("a")));
    let left = std::fs::read_dir(killed.path("results/runs/.checkpoints")).unwrap();
    assert_eq!(left.count(), 0, "a finished cell leaves no checkpoints");
}
