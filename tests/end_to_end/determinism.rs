//! The same cell twice gives the same numbers, bit for bit.

use std::collections::BTreeMap;

use prunebench_tensor::Engine;
use serde_json::Value;

use crate::support::{Sandbox, engines, numbers};

/// What draws, what calibrates, what decomposes and what trains.
const RECIPES: &str = r#"
    "random(ratio=0.3, unit=weights)",
    "slicegpt(ratio=0.25)",
    ["wanda(ratio=0.5)", "finetune(steps=3, batch=8, length=128, learning_rate=1e-3)"],
    ["shortgpt(ratio=0.25)", "lora(steps=3, batch=8, length=128, learning_rate=3e-3, dropout=0.1)"],
"#;

/// The numbers of every cell, in a store of their own.
fn measured(threads: usize) -> BTreeMap<String, Value> {
    let sandbox = Sandbox::new();
    let text = format!(
        r#"
        name = "a"
        models = ["tiny"]
        engines = [{}]
        threads = {threads}
        recipes = [{RECIPES}]
        calibration = {{ text = "world", split = "train-sample", windows = 4, window = 128 }}
        recovery.texts = ["world/train-sample"]
        [evaluation]
        perplexity = [{{ protocol = "world/stream-128@1", windows = 6 }}]
        tasks = ["world_facts"]
        limit = 10
        "#,
        engines()
    );
    sandbox.write("a.toml", &text);
    sandbox.run(&["run", "a.toml", "--jobs", "2"]).expect(0, &[]);
    numbers(sandbox.records("a"))
}

#[track_caller]
fn repeats(threads: usize) {
    let first = measured(threads);
    assert_eq!(first.len(), 5 * Engine::compiled().len());
    let text = |numbers: &BTreeMap<String, Value>| serde_json::to_string_pretty(numbers).unwrap();
    assert_eq!(text(&first), text(&measured(threads)));
}

#[test]
fn a_cell_has_the_same_numbers_every_time_on_one_thread() {
    repeats(1);
}

#[test]
fn a_cell_has_the_same_numbers_every_time_on_two_threads() {
    repeats(2);
}
