//! Runs that are killed at any moment, and runs side by side, leave every cell with exactly one whole record, equal to that of
//! a run that nothing disturbed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn};
use std::time::Duration;

use prunebench_tensor::Engine;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::support::{Sandbox, engines};

const KILLS: usize = 50;

/// At least 40 cells of the small model, whose numbers depend on nothing but the cell.
fn experiment() -> String {
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

fn cells() -> usize {
    Engine::compiled().len() * (1 + 40 / Engine::compiled().len())
}

/// What must be equal in any run of a cell: everything but times, memory, and earlier attempts.
pub fn numbers(sandbox: &Sandbox) -> BTreeMap<String, Value> {
    let records = sandbox.records("a").into_iter();
    records
        .map(|mut record| {
            let fields = record.as_object_mut().unwrap();
            for field in ["provenance", "memory", "attempts", "log", "samples"] {
                fields.remove(field);
            }
            if let Some(metrics) = fields.get_mut("metrics").and_then(Value::as_object_mut) {
                metrics.remove("budget");
            }
            (record["key"].as_str().unwrap().to_owned(), record)
        })
        .collect()
}

/// A run of `a.toml`, two cells at once, and the processes of its cells as it starts them.
fn start(sandbox: &Sandbox) -> (Child, Receiver<u32>) {
    let mut run = sandbox
        .command(&["run", "a.toml", "--jobs", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, workers) = channel();
    let err = BufReader::new(run.stderr.take().unwrap());
    spawn(move || {
        for line in err.lines().map_while(Result::ok) {
            if let Some(process) = line.rsplit_once(": process ").and_then(|(_, id)| id.parse().ok()) {
                // Nobody listens once the run was killed.
                let _ = sender.send(process);
            }
        }
    });
    (run, workers)
}

fn kill(process: u32) -> bool {
    let kill = Command::new("kill")
        .args(["-9", &process.to_string()])
        .stderr(Stdio::null())
        .status();
    kill.unwrap().success()
}

fn undisturbed() -> BTreeMap<String, Value> {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &experiment());
    sandbox.run(&["run", "a.toml", "--jobs", "2"]).expect(0, &[]);
    numbers(&sandbox)
}

/// Every cell has one record, `ok` and equal to the undisturbed one, and nothing else lies in the store.
fn check(sandbox: &Sandbox, wanted: &BTreeMap<String, Value>) {
    let found = numbers(sandbox);
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
        let (mut run, workers) = start(sandbox);
        loop {
            sleep(Duration::from_millis(rng.random_range(20..400)));
            if let Some(ended) = run.try_wait().unwrap() {
                if ended.success() {
                    return done;
                }
                break;
            }
            let last = workers.try_iter().last();
            if let Some(worker) = last.filter(|_| rng.random_bool(0.5)) {
                done += usize::from(kill(worker));
            } else {
                done += usize::from(kill(run.id()));
                run.wait().unwrap();
                break;
            }
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
    let (mut run, workers) = start(&sandbox);
    // A few cells are done by then, and others are not.
    let last = workers.iter().nth(9).unwrap();
    let interrupt = |process: u32| Command::new("kill").args(["-2", &process.to_string()]).status();
    assert!(interrupt(run.id()).unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(1));
    let done = numbers(&sandbox);
    assert!((1..cells()).contains(&done.len()), "{}", done.len());
    assert!(done.values().all(|record| record["status"] == "ok"));
    assert!(sandbox.path("results/runs/a/table.md").exists());
    assert!(!kill(last), "a worker outlived its run");
    sandbox
        .run(&["run", "a.toml"])
        .expect(0, &[&format!("measured {} of", cells() - done.len())]);
    check(&sandbox, &undisturbed());
}

#[test]
fn two_runs_at_once_share_the_cells() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &experiment());
    let mut runs = [start(&sandbox), start(&sandbox)];
    let counts: Vec<usize> = runs
        .iter_mut()
        .map(|(run, workers)| {
            assert!(run.wait().unwrap().success());
            workers.iter().count()
        })
        .collect();
    // No cell was measured by both.
    assert_eq!(counts.iter().sum::<usize>(), cells(), "{counts:?}");
    check(&sandbox, &undisturbed());
}
