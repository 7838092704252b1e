//! The gate as a nightly CI meets it: green on the same results, red on worse ones, and an exit code for each verdict.

use std::fs;

use serde_json::Value;

use crate::support::Sandbox;

/// A pruned model beside the dense one.
fn experiment(windows: usize) -> String {
    format!(
        r#"
        name = "night"
        models = ["tiny"]
        engines = ["candle"]
        threads = 1
        recipes = ["magnitude(ratio=0.3)"]
        [evaluation]
        perplexity = [{{ protocol = "world/stream-128@1", windows = {windows} }}]
        tasks = ["world_facts"]
        limit = 60
        "#
    )
}

const RULES: &str = r#"
    [family.quality]
    alpha = 0.05
    [[rule]]
    metric = "achieved ratio"
    margin = 0.0
    direction = "unchanged"
    family = "quality"
    [[rule]]
    metric = "perplexity *"
    margin = 0.02
    direction = "lower-is-better"
    family = "quality"
    [[rule]]
    metric = "acc world_facts@1"
    margin = 0.25
    direction = "higher-is-better"
    family = "quality"
"#;

const STORE: &str = "results/runs/night";

fn measured(windows: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("night.toml", &experiment(windows));
    sandbox.write("rules.toml", RULES);
    sandbox
        .run(&["run", "night.toml"])
        .expect(0, &["2 of 2 cells measured; 2 of them now"]);
    sandbox
}

fn gate(sandbox: &Sandbox, rest: &[&str]) -> crate::support::Ran {
    let arguments = ["gate", STORE, "--baseline", "base.jsonl.gz", "--rules", "rules.toml"];
    sandbox.run(&[&arguments, rest].concat())
}

/// Puts other samples in place of those of the compressed cell, as a worse program would have measured them.
fn plant(sandbox: &Sandbox, worse: impl Fn(&mut Value)) {
    let folder = sandbox.path(STORE).join("records");
    let records = sandbox.records("night");
    let mut record = records
        .into_iter()
        .find(|record| record["cell"]["recipe"][0] != "dense")
        .unwrap();
    worse(&mut record);
    // Samples may stand in the record itself.
    record["samples"].take();
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let path = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .find(|path| path.to_string_lossy().contains("magnitude"))
        .unwrap();
    fs::write(path, record.to_string()).unwrap();
}

#[test]
fn the_gate_is_green_on_the_same_results_and_red_on_a_planted_loss() {
    let sandbox = measured(32);
    gate(&sandbox, &[]).expect(11, &["there is no baseline", "--accept"]);
    sandbox
        .run(&["gate", STORE, "--baseline", "base.jsonl.gz", "--accept"])
        .expect(0, &["2 cells are the baseline from now on"]);
    gate(&sandbox, &[]).expect_shown(0, &["gate: ok"]);
    // The records of another folder are as good a baseline.
    let folder = ["gate", STORE, "--baseline", STORE, "--rules", "rules.toml"];
    sandbox.run(&folder).expect_shown(0, &["gate: ok"]);
    // Measured anew on the same machine, nothing changes to the last digit.
    fs::remove_dir_all(sandbox.path(STORE)).unwrap();
    sandbox
        .run(&["run", "night.toml"])
        .expect(0, &["2 of 2 cells measured; 2 of them now"]);
    let again: Value = serde_json::from_str(&gate(&sandbox, &["--json"]).out).unwrap();
    assert_eq!(again["verdict"], "ok");
    for finding in again["findings"].as_array().unwrap() {
        assert_eq!(finding["change"]["unchanged"], true, "{finding}");
    }

    plant(&sandbox, |record| {
        let losses = record["metrics"]["perplexity"][0]["window_nll"].as_array_mut().unwrap();
        for (window, nll) in losses.iter_mut().enumerate() {
            // 127 scored tokens, each worse by about 0.05 nats.
            *nll = (nll.as_f64().unwrap() + 127.0 * (0.05 + 0.01 * (window as f64).sin())).into();
        }
    });
    let red = gate(&sandbox, &["--junit", "gate.xml", "--summary", "summary.md"]);
    red.expect_shown(10, &["gate: regression", "1 worse", "beyond the margin of 2.00 %"]);
    let junit = fs::read_to_string(sandbox.path("gate.xml")).unwrap();
    assert!(
        junit.contains("failures=\"1\"") && junit.contains("perplexity world/stream-128@1"),
        "{junit}"
    );
    let summary = fs::read_to_string(sandbox.path("summary.md")).unwrap();
    assert!(
        summary.contains("## gate: regression") && summary.contains("Baseline: measured"),
        "{summary}"
    );
}

#[test]
fn a_worse_recipe_a_failed_cell_and_a_missing_one_are_red_and_few_items_inconclusive() {
    let sandbox = measured(8);
    sandbox
        .run(&["gate", STORE, "--baseline", "base.jsonl.gz", "--accept"])
        .expect(0, &[]);

    // A method that removes more than it says is what a nightly run is to find.
    plant(&sandbox, |record| {
        record["metrics"]["compression"]["achieved_ratio"] = 0.6.into()
    });
    gate(&sandbox, &[]).expect_shown(10, &["gate: regression", "1 worse"]);

    // Other likelihoods with the same answers: sixty items prove little.
    plant(&sandbox, |record| {
        record["metrics"]["compression"]["achieved_ratio"] = 0.3.into();
        let items = record["metrics"]["tasks"][0]["items"].as_array_mut().unwrap();
        items[0]["log_likelihoods"][0] = (-1.5).into();
    });
    let strict = RULES
        .replace("0.25", "0.05")
        .replace("margin = 0.0\n", "margin = 1.0\n");
    sandbox.write("rules.toml", &strict);
    let inconclusive = gate(&sandbox, &[]);
    inconclusive.expect_shown(12, &["gate: inconclusive", "would have been seen"]);

    plant(&sandbox, |record| {
        record["status"] = "timeout".into();
        record["error"] = "took longer than 60 s".into();
        record["metrics"].take();
    });
    let failed = gate(&sandbox, &[]);
    failed.expect_shown(10, &["gate: regression", "timeout: took longer than 60 s"]);
    // A store of failures is no baseline.
    sandbox
        .run(&["gate", STORE, "--baseline", "base.jsonl.gz", "--accept"])
        .expect_error(1, &["a baseline holds cells that are ok"]);

    for entry in fs::read_dir(sandbox.path(STORE).join("records")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("magnitude") {
            fs::remove_file(path).unwrap();
        }
    }
    let missing = gate(&sandbox, &[]);
    missing.expect_shown(10, &["gate: regression", "missing: the baseline has it"]);

    // What the user has to mend.
    sandbox.write("rules.toml", &RULES.replace("acc world_facts@1", "acc wrld_facts@1"));
    gate(&sandbox, &[]).expect_error(
        2,
        &["rules.toml", "acc wrld_facts@1", "numbers there: acc world_facts@1"],
    );
    sandbox.write("rules.toml", &RULES.replace("margin = 0.02", "margn = 0.02"));
    gate(&sandbox, &[]).expect_error(2, &["rules.toml", "margn"]);
    sandbox.write("rules.toml", RULES);
    sandbox.write("base.jsonl.gz", "not a baseline");
    gate(&sandbox, &[]).expect_error(1, &["base.jsonl.gz", "no baseline of this program"]);
}

#[test]
fn a_night_in_which_nothing_is_judged_is_inconclusive_with_the_reason_first() {
    let sandbox = measured(1);
    sandbox
        .run(&["gate", STORE, "--baseline", "base.jsonl.gz", "--accept"])
        .expect(0, &[]);
    sandbox.write(
        "rules.toml",
        "[family.quality]\nalpha = 0.05\n[[rule]]\nmetric = \"perplexity *\"\ncells = \"*magnitude*\"\nmargin = 0.02\ndirection = \
         \"lower-is-better\"\nfamily = \"quality\"\n",
    );
    gate(&sandbox, &[]).expect_shown(0, &["gate: ok"]);
    // A single window has no error.
    plant(&sandbox, |record| {
        let nll = &mut record["metrics"]["perplexity"][0]["window_nll"][0];
        *nll = (nll.as_f64().unwrap() + 1.0).into();
    });
    let nothing = gate(&sandbox, &[]);
    nothing.expect_shown(
        12,
        &["gate: inconclusive nothing was judged: 1 number: two samples at least"],
    );
    let first = nothing.out.lines().next().unwrap();
    assert!(first.contains("nothing was judged"), "{}", nothing.out);
    let json = gate(&sandbox, &["--json"]);
    json.expect(
        12,
        &["gate: inconclusive, nothing was judged: 1 number: two samples at least"],
    );
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["verdict"], "inconclusive");
    assert!(
        json["nothing_judged"].as_str().unwrap().contains("two samples"),
        "{json}"
    );
}
