//! A paper's tables as a user meets them: before anything was measured, after, and as a plan.

use std::fs;

use prunebench_methods::Recipe;
use prunebench_reports::{Mapping, PaperTable};
use prunebench_results::Paper;
use prunebench_sweep::{Experiment, baseline};
use serde_json::Value;

use crate::support::{Sandbox, engines};

#[test]
fn papers_are_listed_and_a_wrong_name_is_wrong_usage() {
    let sandbox = Sandbox::new();
    let listed = sandbox.run(&["paper"]);
    listed.expect(0, &[]);
    assert!(
        listed.out.contains("flexigpt: FlexiGPT") && listed.out.contains("LP-T1"),
        "{}",
        listed.out
    );
    let as_json: Vec<Value> = serde_json::from_str(&sandbox.run(&["paper", "--json"]).out).unwrap();
    assert_eq!(as_json.len(), 5);
    sandbox
        .run(&["paper", "flexgpt"])
        .expect_error(2, &["no paper `flexgpt`", "flexigpt, layer_parallelism"]);
    sandbox
        .run(&["paper", "flexigpt", "--table", "9"])
        .expect_error(2, &["no table of flexigpt `9`"]);
    sandbox
        .run(&["paper", "flexigpt", "--results", "nowhere"])
        .expect_error(1, &["nowhere is no folder"]);
    sandbox.run(&["paper", "flexigpt", "--plan"]).expect(2, &["--table"]);
}

#[test]
fn a_measured_row_stands_below_its_published_one() {
    let sandbox = Sandbox::new();
    let table = |rest: &[&str]| sandbox.run(&[&["paper", "flexigpt", "--table", "6"], rest].concat());
    let before = table(&["--format", "markdown"]);
    before.expect_shown(
        0,
        &["| ShortGPT | published | 65.4 | 152.8 | not run: shortgpt(ratio=0.3) |"],
    );
    table(&[]).expect_shown(0, &["65.4 152.8 not run", "--notes"]);
    table(&["--notes"]).expect_shown(0, &["ShortGPT: not run: shortgpt(ratio=0.3)"]);

    let experiment = format!(
        r#"
        name = "speed"
        models = ["small"]
        engines = [{}]
        seeds = [0, 1]
        recipes = ["shortgpt(ratio=0.3)"]
        calibration = {{ text = "world", split = "train-sample", windows = 2, window = 32 }}
        evaluation = {{ throughput = {{ prompt_tokens = 128, generated_tokens = 32, batch = 1, repeats = 1, warmup = 1 }} }}
        "#,
        engines()
    );
    sandbox.write("speed.toml", &experiment);
    sandbox.run(&["run", "speed.toml"]).expect(0, &[]);
    let after: Value = serde_json::from_str(&table(&["--json"]).out).unwrap();
    let row = &after["tables"][0]["rows"][1];
    assert_eq!(row["missing"], Value::Null);
    let cell = &row["measured"][0]["cells"][1];
    let [value, difference] = ["value", "difference"].map(|name| cell[name].as_f64().unwrap());
    assert!(value > 0.0 && (value - 152.8 - difference).abs() < 1e-9, "{cell}");
    assert_eq!(
        (&cell["comparable"], &cell["seeds"]),
        (&Value::Bool(false), &Value::from(2))
    );
    assert_eq!(cell["reasons"][0], "another model: small, not Llama-2-7B");
    assert_eq!(row["published"][1]["text"], "152.8");
}

#[test]
fn records_of_an_earlier_wording_stand_in_no_table() {
    let sandbox = Sandbox::new();
    let shown = |windows: usize| {
        let experiment = format!(
            r#"
            name = "speed"
            models = ["small"]
            engines = [{}]
            recipes = ["shortgpt(ratio=0.3)"]
            calibration = {{ text = "world", split = "train-sample", windows = {windows}, window = 32 }}
            evaluation = {{ throughput = {{ prompt_tokens = 128, generated_tokens = 32, batch = 1, repeats = 1, warmup = 1 }} }}
            "#,
            engines().split(", ").next().unwrap_or_default()
        );
        sandbox.write("speed.toml", &experiment);
        sandbox.run(&["run", "speed.toml"]).expect(0, &[]);
        let table = sandbox.run(&["paper", "flexigpt", "--table", "6", "--json"]).out;
        let table: Value = serde_json::from_str(&table).unwrap();
        let records = &table["tables"][0]["rows"][1]["measured"][0]["cells"][1]["records"];
        assert_eq!(records.as_array().map(Vec::len), Some(1), "{table}");
        records.clone()
    };
    let (first, second) = (shown(2), shown(3));
    assert_ne!(first, second);
    assert_eq!(shown(2), first);
}

#[test]
fn every_plan_is_an_experiment_of_recipes_in_the_spelling_of_records() {
    let sandbox = Sandbox::new();
    let mut plans = 0;
    for paper in Paper::all().unwrap() {
        let mapping = Mapping::of(&paper).unwrap();
        for table in &paper.tables {
            let table = PaperTable::new(&paper, &table.id, &mapping, &[], &baseline()).unwrap();
            let Some(plan) = table.plan().unwrap() else { continue };
            plans += 1;
            Experiment::read(&sandbox.write("plan.toml", &plan)).unwrap();
            let plan: toml::Table = toml::from_str(&plan).unwrap();
            for recipe in plan["recipes"].as_array().unwrap() {
                let recipe: Vec<String> = recipe.clone().try_into().unwrap();
                assert_eq!(Recipe::parse(&recipe).unwrap().canonical(), recipe);
            }
        }
    }
    assert_eq!(plans, 14);
    let plan = sandbox.run(&["paper", "paser", "--table", "LP-T1", "--plan"]);
    plan.expect(0, &[]);
    let text = plan
        .out
        .replace("smollm2-135m", "tiny")
        .replace("wikitext2/stream-128@1", "world/stream-128@1");
    fs::write(sandbox.path("plan.toml"), text.replace("llm-pruner-7", "world")).unwrap();
    sandbox.run(&["run", "plan.toml", "--dry-run"]).expect(0, &[]);
    let nothing = sandbox.run(&["paper", "drpruning", "--table", "main", "--plan"]);
    nothing.expect(0, &["nothing of table main is left to be filled here"]);
}
