//! What people read, as text of 80 and of 120 columns. The records are committed ones, so that a screen changes with the program
//! alone.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Ran, Sandbox};

const STORE: &str = "results/runs/quick";

const RULES: &str = r#"
    [family.quality]
    alpha = 0.05
    [[rule]]
    metric = "perplexity *"
    margin = 0.05
    direction = "lower-is-better"
    family = "quality"
    [[rule]]
    metric = "acc world_facts@1"
    margin = 0.1
    direction = "higher-is-better"
    family = "quality"
    [[rule]]
    metric = "stored parameters"
    margin = 0.0
    direction = "unchanged"
    family = "quality"
"#;

/// A folder with the records of `quick`.
fn measured() -> Sandbox {
    let sandbox = Sandbox::new();
    copy(&sandbox, STORE);
    sandbox
}

fn copy(sandbox: &Sandbox, to: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results/readme/quick");
    let to = sandbox.path(to);
    fs::create_dir_all(to.join("records")).unwrap();
    fs::copy(from.join("cells.json"), to.join("cells.json")).unwrap();
    for entry in fs::read_dir(from.join("records")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join("records").join(path.file_name().unwrap())).unwrap();
    }
}

/// Changes the record of wanda at a half, by candle.
fn change(sandbox: &Sandbox, change: impl Fn(&mut Value)) {
    let of_wanda = |record: &Value| {
        let cell = &record["cell"];
        cell["engine"] == "candle"
            && cell["recipe"].as_array().unwrap().len() == 1
            && cell["recipe"][0].as_str().unwrap().starts_with("wanda(ratio=0.5")
    };
    let mut record = sandbox.records("quick").into_iter().find(of_wanda).unwrap();
    let key = record["key"].as_str().unwrap()[..16].to_owned();
    change(&mut record);
    // Samples may stand in the record itself.
    record["samples"].take();
    let entries = fs::read_dir(sandbox.path(STORE).join("records")).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let path = paths.find(|path| path.to_string_lossy().ends_with(&format!("{key}.json")));
    fs::write(path.unwrap(), record.to_string()).unwrap();
}

fn shown(sandbox: &Sandbox, columns: usize, arguments: &[&str]) -> Ran {
    let mut command = sandbox.command(arguments);
    command.env("COLUMNS", columns.to_string()).env_remove("NO_COLOR");
    command.output().unwrap().into()
}

/// What the program prints, which fits, and has neither Markdown's escapes nor colours.
fn screen(sandbox: &Sandbox, columns: usize, arguments: &[&str], code: i32) -> String {
    let ran = shown(sandbox, columns, arguments);
    ran.expect(code, &[]);
    for line in ran.out.lines() {
        assert!(console::measure_text_width(line) <= columns, "{arguments:?}: {line}");
        assert_eq!(line, line.trim_end(), "{arguments:?}");
    }
    for sign in ["\\_", "\\*", "**", "\u{1b}"] {
        assert!(!ran.out.contains(sign), "{arguments:?}: {sign:?} in:\n{}", ran.out);
    }
    ran.out
}

/// Compares a screen with the one that is committed.
fn assert_screen(sandbox: &Sandbox, name: &str, arguments: &[&str], code: i32) {
    for columns in [80, 120] {
        let text = screen(sandbox, columns, arguments, code);
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("{name}-{columns}"), text);
        });
    }
}

#[test]
fn lists_fit_and_say_how_to_go_on() {
    let sandbox = Sandbox::new();
    assert_screen(&sandbox, "list", &["list"], 0);
    assert_screen(&sandbox, "list-methods", &["list", "methods"], 0);
    assert_screen(&sandbox, "list-methods-wanda", &["list", "methods", "wanda"], 0);
    assert_screen(&sandbox, "list-protocols", &["list", "protocols"], 0);
    assert_screen(&sandbox, "list-tasks", &["list", "tasks"], 0);
    assert_screen(&sandbox, "list-suites", &["list", "suites"], 0);
    let lists: Value = serde_json::from_str(&sandbox.run(&["list", "--json"]).out).unwrap();
    for (kind, entries) in lists.as_object().unwrap() {
        for columns in [40, 80] {
            screen(&sandbox, columns, &["list", kind], 0);
        }
        // Each method has a README of its own; of the others one is like another.
        let checked = if kind == "methods" { usize::MAX } else { 1 };
        for entry in entries.as_array().unwrap().iter().take(checked) {
            let name = ["id", "name", "source", "engine"]
                .iter()
                .find_map(|key| entry[key].as_str());
            let one = screen(&sandbox, 80, &["list", kind, name.unwrap()], 0);
            assert!(one.starts_with(name.unwrap()), "{one}");
            let arguments = ["list", kind, name.unwrap(), "--json"];
            let json: Value = serde_json::from_str(&sandbox.run(&arguments).out).unwrap();
            assert_eq!(json[kind].as_array().unwrap().len(), 1);
        }
    }
    // A version may be left out.
    assert!(screen(&sandbox, 80, &["list", "tasks", "piqa"], 0).starts_with("piqa@1\n"));
    for (kind, name, meant) in [
        ("methods", "wnada", "wanda"),
        ("tasks", "piqaa", "piqa@1"),
        ("texts", "wikitext", "wikitext2"),
    ] {
        let ran = sandbox.run(&["list", kind, name]);
        ran.expect_error(2, &[&format!("`{name}`"), &format!("did you mean `{meant}`?")]);
    }
}

#[test]
fn the_first_table_fits_with_what_failed_and_so_does_all_that_is_behind_it() {
    let sandbox = measured();
    assert_screen(&sandbox, "report", &["report", "quick"], 0);
    assert_screen(&sandbox, "report-tasks", &["report", "quick", "--tasks"], 0);
    let sorted = ["report", "quick", "--sort", "accuracy", "--engine", "torch"];
    assert_screen(&sandbox, "report-sorted", &sorted, 0);
    for columns in [40, 60, 100, 200] {
        for behind in ["--wide", "--notes", "--tasks"] {
            screen(&sandbox, columns, &["report", "quick", behind], 0);
        }
    }
    // Engines that no longer agree have a row each, and what failed has its reason.
    change(&sandbox, |record| {
        record["status"] = "oom".into();
        record["error"] = "took 3.1 of 2.0 GB; raise memory_gb in [limits]".into();
        record["metrics"].take();
    });
    assert_screen(&sandbox, "report-failed", &["report", "quick"], 0);
    let ran = sandbox.run(&["report", "quick", "--engine", "trch"]);
    ran.expect_error(1, &["`trch`", "candle, torch"]);
    let coloured = sandbox.run(&["report", "quick", "--color", "always"]);
    assert!(coloured.out.contains('\u{1b}'), "{}", coloured.out);
}

#[test]
fn a_sweep_says_how_far_it_is_what_failed_and_what_to_do() {
    let sandbox = measured();
    assert_screen(&sandbox, "status", &["status", STORE], 0);
    change(&sandbox, |record| {
        record["status"] = "oom".into();
        record["error"] = "out of memory: wanted 3.1 of 2.0 GB; raise memory_gb in [limits]\nand a log".into();
        record["metrics"].take();
    });
    assert_screen(&sandbox, "status-failed", &["status", STORE], 0);
}

#[test]
fn a_comparison_shows_what_differs_and_counts_the_rest() {
    let sandbox = measured();
    let engines = ["compare", STORE, "--engine", "candle", "torch"];
    assert_screen(&sandbox, "compare-engines", &engines, 0);
    let recipes = [
        "compare",
        STORE,
        "--recipe",
        "weight-evolution(ratio=0.5, scope=matrices)",
        "wanda(ratio=0.5)",
    ];
    assert_screen(&sandbox, "compare-recipes", &recipes, 0);
    for options in [&["--wide"][..], &["--notes"], &["--wide", "--notes"]] {
        for columns in [80, 120] {
            screen(&sandbox, columns, &[&recipes, options].concat(), 0);
        }
    }
}

#[test]
fn a_gate_begins_with_its_verdict() {
    let sandbox = measured();
    copy(&sandbox, "results/runs/before");
    sandbox.write("rules.toml", RULES);
    let gate = [
        "gate",
        STORE,
        "--baseline",
        "results/runs/before",
        "--rules",
        "rules.toml",
    ];
    assert_screen(&sandbox, "gate-ok", &gate, 0);
    change(&sandbox, |record| {
        let losses = record["metrics"]["perplexity"][0]["window_nll"].as_array_mut().unwrap();
        for (window, nll) in losses.iter_mut().enumerate() {
            // 127 scored tokens, each worse by about 0.1 nats.
            *nll = (nll.as_f64().unwrap() + 127.0 * (0.1 + 0.01 * (window as f64).sin())).into();
        }
    });
    assert_screen(&sandbox, "gate-worse", &gate, 10);
    for options in [&["--wide"][..], &["--notes"], &["--wide", "--notes"]] {
        for columns in [80, 120] {
            screen(&sandbox, columns, &[&gate, options].concat(), 10);
        }
    }
}

#[test]
fn claims_stand_below_their_verdicts() {
    let sandbox = measured();
    assert_screen(&sandbox, "claims", &["claims", "layer_parallelism"], 0);
    for columns in [60, 80, 120] {
        screen(&sandbox, columns, &["claims"], 0);
        screen(&sandbox, columns, &["claims", "--wide"], 0);
    }
    let markdown = shown(&sandbox, 80, &["claims", "layer_parallelism", "--format", "md"]);
    assert!(
        markdown.out.starts_with("**layer\\_parallelism, claims**\n\n| claim |"),
        "{}",
        markdown.out
    );
}

#[test]
fn papers_and_their_tables_fit() {
    let sandbox = measured();
    assert_screen(&sandbox, "paper", &["paper"], 0);
    assert_screen(&sandbox, "paper-table", &["paper", "flexigpt", "--table", "1"], 0);
    for paper in [
        "drpruning",
        "flexigpt",
        "layer_parallelism",
        "paser",
        "weight_evolution",
    ] {
        for options in [&[][..], &["--wide"], &["--notes"], &["--wide", "--notes"]] {
            for columns in [80, 120] {
                screen(&sandbox, columns, &[&["paper", paper], options].concat(), 0);
            }
        }
    }
}

#[test]
fn doctor_fits_whatever_it_finds() {
    let sandbox = Sandbox::new();
    for columns in [60, 80, 120] {
        let text = screen(&sandbox, columns, &["doctor"], 0);
        assert!(text.lines().last().unwrap().starts_with("All is well"), "{text}");
    }
}

#[test]
fn colours_are_there_where_they_are_asked_for_and_nowhere_else() {
    let sandbox = measured();
    let screens: [&[&str]; 6] = [
        &["list", "methods"],
        &["doctor"],
        &["status", STORE],
        &["compare", STORE, "--engine", "candle", "torch"],
        &["claims", "flexigpt"],
        &["paper", "flexigpt"],
    ];
    for arguments in screens {
        let plain = screen(&sandbox, 80, arguments, 0);
        let coloured = shown(&sandbox, 80, &[arguments, &["--color", "always"]].concat());
        assert!(coloured.out.contains('\u{1b}'), "{arguments:?}");
        assert_eq!(console::strip_ansi_codes(&coloured.out), plain, "{arguments:?}");
    }
}
