//! Work that one cell did and others take: the same numbers at the same cost.

use std::fs;
use std::path::PathBuf;

use prunebench_tensor::Engine;
use serde_json::Value;

use crate::support::{Sandbox, engines};

const SCORES: &str = "shortgpt: block influence";
const STATES: &str = "task:world_facts@1: hidden states of the dense model @1";

fn experiment(ratios: &str) -> String {
    format!(
        r#"
        name = "a"
        models = ["tiny"]
        engines = [{}]
        threads = 1
        recipes = ["shortgpt(ratio={{{ratios}}})"]
        [calibration]
        text = "world"
        split = "train-sample"
        windows = 4
        window = 64
        [evaluation]
        perplexity = [{{ protocol = "world/stream-128@1", windows = 2 }}]
        tasks = ["world_facts"]
        limit = 10
        divergence = true
        "#,
        engines()
    )
}

/// Runs it, two cells at once, and gives the records.
fn run(sandbox: &Sandbox, ratios: &str, cache: &str) -> Vec<Value> {
    sandbox.write("a.toml", &experiment(ratios));
    sandbox
        .run(&["run", "a.toml", "--jobs", "2", "--cache-gb", cache])
        .expect(0, &[]);
    sandbox.records("a")
}

/// The numbers, those of the clock and what was shared left out.
fn numbers(records: &[Value]) -> Vec<Value> {
    let metrics = records.iter().map(|record| record["metrics"].clone());
    metrics
        .map(|mut metrics| {
            let budget = metrics["budget"].as_object_mut().unwrap();
            for of_clock in ["wall_seconds", "cpu_seconds", "update_seconds", "shared"] {
                budget.remove(of_clock);
            }
            metrics["tasks"][0]["scoring"]["seconds"].take();
            metrics
        })
        .collect()
}

/// Records that took this work.
fn takers(records: &[Value], work: &str) -> usize {
    let takes = |record: &&Value| {
        let shared = record["metrics"]["budget"]["shared"].as_array();
        shared.is_some_and(|shared| shared.iter().any(|name| name == work))
    };
    records.iter().filter(takes).count()
}

fn kept(sandbox: &Sandbox) -> Vec<PathBuf> {
    let entries = fs::read_dir(sandbox.path("results/runs/.products"))
        .into_iter()
        .flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).collect()
}

#[test]
fn two_ratios_share_scores_and_all_cells_the_dense_models_states_with_the_numbers_of_cells_alone() {
    let (sharing, alone) = (Sandbox::new(), Sandbox::new());
    let shared = run(&sharing, "0.125,0.25", "1");
    let made = run(&alone, "0.125,0.25", "0");
    let engines = Engine::compiled().len();
    assert_eq!((shared.len(), made.len()), (3 * engines, 3 * engines));
    assert_eq!(numbers(&shared), numbers(&made));
    // One of two ratios made the scores, one of three cells the states.
    assert_eq!(
        (takers(&shared, SCORES), takers(&shared, STATES)),
        (engines, 2 * engines)
    );
    assert_eq!((takers(&made, SCORES), takers(&made, STATES)), (0, 0));
    assert_eq!((kept(&sharing).len(), kept(&alone).len()), (2 * engines, 0));
    assert!(!alone.path("results/runs/.products").exists());
    sharing.run(&["store", "check", "results/runs/a"]).expect(0, &[]);
}

#[test]
fn damaged_work_is_done_anew_and_the_record_says_so() {
    let sandbox = Sandbox::new();
    run(&sandbox, "0.25", "1");
    for path in kept(&sandbox) {
        let mut content = fs::read(&path).unwrap();
        *content.last_mut().unwrap() ^= 1;
        fs::write(&path, content).unwrap();
    }
    let records = run(&sandbox, "0.25,0.5", "1");
    let alone = Sandbox::new();
    let faults = |record: &Value| match &record["metrics"]["budget"]["cache_faults"] {
        Value::Array(faults) => faults.len(),
        _ => 0,
    };
    // The cells of the other ratio found both files damaged.
    assert_eq!(records.iter().map(faults).sum::<usize>(), 2 * Engine::compiled().len());
    let mut found = numbers(&records);
    for metrics in &mut found {
        metrics["budget"].as_object_mut().unwrap().remove("cache_faults");
    }
    assert_eq!(found, numbers(&run(&alone, "0.25,0.5", "0")));
}
