//! Sweeps: what is done stays done, what fails is a row, and a baseline that is wrong stops everything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use prunebench_tensor::Engine;

use crate::support::{Ran, Sandbox, engines, signal};

/// An experiment of the small model with no text in it.
fn experiment(recipes: &str, rest: &str) -> String {
    format!(
        r#"
        name = "a"
        models = ["small"]
        recipes = [{recipes}]
        engines = [{}]
        {rest}
        [evaluation]
        throughput = {{ prompt_tokens = 8, generated_tokens = 4, batch = 1, repeats = 2, warmup = 1 }}
        "#,
        engines()
    )
}

/// Starts the run of `a.toml`, ends the process that `which` picks when a cell of `recipe` starts, and waits.
fn run_and_kill(sandbox: &Sandbox, recipe: &str, which: impl Fn(u32, u32) -> u32) -> (Ran, u32) {
    let started = sandbox.start("a.toml", &[]);
    let of_recipe = started.cells.iter().find(|(cell, _)| cell.contains(recipe));
    let (_, worker) = of_recipe.expect("the cell started");
    assert!(signal("KILL", which(started.run.id(), worker)));
    (started.end(), worker)
}

fn statuses(sandbox: &Sandbox) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let records = sandbox.records("a");
    records
        .iter()
        .map(|record| (text(&record["cell"]["recipe"][0]), text(&record["status"])))
        .collect()
}

fn record_files(sandbox: &Sandbox) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(sandbox.path("results/runs/a/records"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn the_table_has_every_engine_and_a_second_run_measures_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "a.toml",
        &experiment(
            r#""magnitude(ratio={0.25,0.5})", "random(ratio=0.25, unit=blocks)""#,
            "seeds = [1, 2]",
        ),
    );
    let engines = Engine::compiled().len();
    // The baseline, two magnitudes and one random, each timed in a round for each seed.
    let cells = engines * 8;
    let first = sandbox.run(&["run", "a.toml"]);
    first.expect(0, &[&format!("{cells} of {cells} cells measured; {cells} of them now")]);
    let markdown = fs::read_to_string(sandbox.path("results/runs/a/table.md")).unwrap();
    // Engines that agree share a row.
    let shown = |label: &str| {
        first
            .out
            .lines()
            .filter(|line| line.trim_start().starts_with(label))
            .count()
    };
    assert_eq!(
        ["magnitude 25 %", "magnitude 50 %", "random 25 %"].map(shown),
        [1, 1, 1],
        "{}",
        first.out
    );
    assert!(
        first.out.lines().all(|line| line.chars().count() <= 100),
        "{}",
        first.out
    );
    let csv = fs::read_to_string(sandbox.path("results/runs/a/table.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + cells);
    for engine in Engine::compiled() {
        for recipe in [
            "dense",
            "magnitude(ratio=0.25)",
            "magnitude(ratio=0.5)",
            "random(ratio=0.25, unit=blocks)",
        ] {
            let row = markdown
                .lines()
                .find(|line| line.contains(recipe) && line.contains(&format!("{engine} cpu f32")));
            assert!(
                row.is_some_and(|row| row.contains("| ok |")),
                "{recipe} on {engine}:\n{markdown}"
            );
        }
    }
    let row = markdown
        .lines()
        .find(|line| line.contains("magnitude(ratio=0.5)"))
        .unwrap();
    assert!(row.contains("| 50.0 % | 50.0 % | 50.0 % |"), "{row}");

    let files = record_files(&sandbox);
    assert_eq!(files.len(), cells);
    let second = sandbox.run(&["run", "a.toml"]);
    second.expect(
        0,
        &[
            &format!("{cells} of {cells} cells measured; 0 of them now"),
            "  done before  ",
        ],
    );
    assert_eq!((first.measured(), second.measured()), (cells, 0), "{}", second.err);
    assert_eq!(second.out, first.out);
    assert_eq!(record_files(&sandbox), files);

    let report = sandbox.run(&["report", "results/runs/a"]);
    report.expect(0, &["table.md"]);
    assert_eq!(report.out, first.out);
}

#[test]
fn speed_alone_is_timed_in_rounds_with_a_table_for_each_setting() {
    let sandbox = Sandbox::new();
    let setting =
        |batch| format!("{{ prompt_tokens = 4, generated_tokens = 2, batch = {batch}, repeats = 1, warmup = 1 }}");
    let text = format!(
        r#"
        name = "a"
        models = ["small"]
        engines = ["candle"]
        seeds = [3, 5]
        recipes = ["magnitude(ratio=0.5)"]
        [evaluation]
        throughput = [{}, {}]
        "#,
        setting(1),
        setting(2)
    );
    sandbox.write("a.toml", &text);
    let planned = sandbox.run(&["run", "a.toml", "--dry-run"]);
    let cells: Vec<(bool, bool)> = planned
        .out
        .lines()
        .filter(|line| line.contains("to do"))
        .map(|line| (line.contains("dense"), line.ends_with("seed 3")))
        .collect();
    let round = |first| [(true, first), (true, first), (false, first), (false, first)];
    assert_eq!(cells, [round(true), round(false)].concat(), "{}", planned.out);

    let ran = sandbox.run(&["run", "a.toml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for setting in ["batch 1", "batch 2"] {
        assert_eq!(ran.out.matches(setting).count(), 1, "{}", ran.out);
    }
    let all = fs::read_to_string(sandbox.path("results/runs/a/table.md")).unwrap();
    assert_eq!(all.matches("decode, ratio to dense").count(), 2, "{all}");
    assert!(all.contains("Seeds: 3, 5."), "{all}");
}

#[test]
fn a_dry_run_lists_the_cells_and_runs_none() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &experiment(r#""magnitude(ratio=0.5)""#, ""));
    let ran = sandbox.run(&["run", "a.toml", "--dry-run"]);
    ran.expect(0, &[]);
    assert_eq!(
        ran.out.lines().filter(|line| line.contains("to do")).count(),
        2 * Engine::compiled().len()
    );
    // Beside other numbers a seed is measured where it decides something.
    let text = r#"
        name = "a"
        models = ["tiny"]
        engines = ["candle"]
        seeds = [1, 2]
        recipes = ["magnitude(ratio=0.5)", "random(ratio=0.25, unit=blocks)"]
        evaluation.perplexity = [{ protocol = "world/stream-128@1" }]
    "#;
    sandbox.write("a.toml", text);
    let ran = sandbox.run(&["run", "a.toml", "--dry-run"]);
    ran.expect(0, &[]);
    let of = |recipe: &str| ran.out.lines().filter(|line| line.contains(recipe)).count();
    assert_eq!(["dense", "magnitude", "random"].map(of), [1, 1, 2], "{}", ran.out);
    assert!(!sandbox.path("results").exists());
}

#[test]
fn a_dry_run_estimates_what_is_left_by_what_is_done() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &experiment(r#""magnitude(ratio=0.5)""#, ""));
    let engines = Engine::compiled().len();
    let ran = sandbox.run(&["run", "a.toml", "--dry-run"]);
    let unknown = format!(
        "{} cells: 0 done, {} left, 0 skipped. What they take is unknown",
        2 * engines,
        2 * engines
    );
    assert!(ran.out.contains(&unknown), "{}", ran.out);
    sandbox.run(&["run", "a.toml"]).expect(0, &[]);
    // The same models and evaluation; of the records of another experiment.
    let other = experiment(r#""magnitude(ratio={0.5,0.25})""#, "").replace("\"a\"", "\"b\"");
    sandbox.write("b.toml", &other);
    let ran = sandbox.run(&["run", "b.toml", "--dry-run"]);
    ran.expect(0, &[]);
    let summary = ran.out.lines().last().unwrap();
    let left = format!("{} cells: 0 done, {} left", 3 * engines, 3 * engines);
    assert!(summary.starts_with(&left), "{summary}");
    assert!(summary.contains(&format!("by {} records.", 2 * engines)), "{summary}");

    let plan = sandbox.run(&["run", "b.toml", "--dry-run", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&plan.out).unwrap();
    let same = |recipe: &str| -> Vec<(String, u64)> {
        let cells = plan["cells"].as_array().unwrap().iter();
        let cells = cells.filter(|cell| cell["cell"]["recipe"][0].as_str().unwrap().contains(recipe));
        let estimates = cells.map(|cell| &cell["estimate"]);
        estimates
            .map(|estimate| {
                let records = estimate["records"].as_u64().unwrap();
                (estimate["same"].as_str().unwrap().to_owned(), records)
            })
            .collect()
    };
    assert_eq!(same("0.5"), vec![("cell".to_owned(), 1); engines]);
    assert_eq!(
        same("0.25"),
        vec![("evaluation".to_owned(), 2 * engines as u64); engines]
    );
    assert_eq!(plan["remaining"]["cells"], 3 * engines);
    assert!(plan["remaining"]["peak_resident_bytes"].as_u64().unwrap() > 1 << 20);
}

#[test]
fn a_cell_whose_parts_do_not_go_together_is_skipped_with_its_reason() {
    let sandbox = Sandbox::new();
    let recipe = "weight-evolution(ratio=0.5, scope=matrices)";
    let text = experiment(&format!("\"{recipe}\""), "").replace("[\"small\"]", "[\"small\", \"tiny\"]");
    sandbox.write("a.toml", &text);
    let ran = sandbox.run(&["run", "a.toml", "--dry-run"]);
    ran.expect(0, &[]);
    let engines = Engine::compiled().len();
    let of = |state: &str, cell: &str| {
        let lines = ran
            .out
            .lines()
            .filter(|line| line.contains(state) && line.contains(cell));
        lines.count()
    };
    assert_eq!(of("skipped  ", "small weight-evolution"), engines, "{}", ran.out);
    assert_eq!(of("small has none", "skipped  "), engines, "{}", ran.out);
    assert_eq!(of("to do", "tiny weight-evolution"), engines, "{}", ran.out);
    assert_eq!(of("to do", " dense "), 2 * engines, "{}", ran.out);
    let summary = ran.out.lines().last().unwrap();
    assert!(summary.contains(&format!("{engines} skipped")), "{summary}");
}

#[test]
fn the_record_of_a_cell_says_where_it_comes_from() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &experiment(r#""dense""#, "threads = 1"));
    sandbox.run(&["run", "a.toml"]).expect(0, &[]);
    let record = &sandbox.records("a")[0];
    assert_eq!(record["inputs"]["threads"], "1");
    assert_eq!(record["inputs"]["model"].as_str().unwrap().len(), 64);
    assert_eq!(record["inputs"]["method:dense"], "version 1");
    assert!(record["provenance"]["finished_at"].as_str().unwrap().ends_with('Z'));
    assert!(record["memory"]["peak_resident_bytes"].as_u64().unwrap() > 1 << 20);
    assert_eq!(
        record["metrics"]["throughput"]["prefill"]["seconds"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_killed_worker_is_a_failed_row_and_is_tried_again() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "a.toml",
        &experiment(r#""magnitude(ratio=0.5)", "magnitude(ratio=0.25)""#, ""),
    );
    let (ran, _) = run_and_kill(&sandbox, "magnitude(ratio=0.5)", |_, worker| worker);
    ran.expect(1, &["  failed   ", "  the process ended with signal: 9"]);
    let failed = statuses(&sandbox).into_iter().filter(|(_, status)| status == "failed");
    assert_eq!(failed.count(), 1);
    // The sweep went on after it.
    let expected = 3 * Engine::compiled().len();
    assert_eq!(
        statuses(&sandbox).iter().filter(|(_, status)| status == "ok").count(),
        expected - 1
    );

    sandbox
        .run(&["run", "a.toml"])
        .expect(0, &[&format!("{expected} of {expected} cells measured; 1 of them now")]);
    assert!(statuses(&sandbox).iter().all(|(_, status)| status == "ok"));
    // The first try is not forgotten.
    let attempts: Vec<_> = sandbox
        .records("a")
        .iter()
        .filter_map(|record| record.get("attempts").cloned())
        .collect();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0][0]["status"], "failed");
    assert!(attempts[0][0]["error"].as_str().unwrap().contains("signal: 9"));
}

#[test]
fn a_killed_run_takes_its_worker_along_and_leaves_the_folder_usable() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &experiment(r#""magnitude(ratio=0.5)""#, ""));
    let (ran, worker) = run_and_kill(&sandbox, "magnitude(ratio=0.5)", |run, _| run);
    assert_eq!(ran.code, None);
    // The worker hears of it through its standard input.
    let gone = (0..600).any(|_| {
        sleep(Duration::from_millis(50));
        !Path::new(&format!("/proc/{worker}")).exists()
    });
    assert!(gone, "process {worker} is still there");
    // What was measured before can be read.
    let report = sandbox.run(&["report", "results/runs/a"]);
    report.expect(0, &[]);
    assert!(
        report.out.contains("dense") && !report.out.contains("magnitude"),
        "{}",
        report.out
    );
    sandbox.run(&["run", "a.toml"]).expect(0, &["done before"]);
}

#[test]
fn a_cell_beyond_its_limits_is_a_row_with_that_status() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &experiment(r#""dense""#, ""));
    sandbox.run(&["run", "a.toml"]).expect(0, &[]);
    for (limit, status, row) in [
        ("timeout_s = 1e-3", "timeout", "timeout: ended after"),
        ("memory_gb = 1e-6", "oom", "oom: took"),
    ] {
        let limited = experiment(r#""magnitude(ratio=0.5)""#, &format!("limits = {{ {limit} }}"));
        sandbox.write("a.toml", &limited);
        let ran = sandbox.run(&["run", "a.toml"]);
        ran.expect(1, &[]);
        assert!(ran.out.contains(row), "{}", ran.out);
        let found: Vec<_> = statuses(&sandbox)
            .into_iter()
            .filter(|(recipe, _)| recipe.starts_with("magnitude"))
            .collect();
        assert!(found.iter().all(|(_, found)| found == status), "{found:?}");
    }
}

#[test]
fn a_method_that_cannot_be_applied_is_a_failed_row_and_the_table_is_printed() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "a.toml",
        &experiment(r#""random(ratio=0.01, unit=blocks)", "magnitude(ratio=0.5)""#, ""),
    );
    let ran = sandbox.run(&["run", "a.toml"]);
    ran.expect(1, &[]);
    assert!(
        ran.out.contains("failed: ") && ran.out.contains("4 blocks"),
        "{}",
        ran.out
    );
    let magnitude = statuses(&sandbox)
        .into_iter()
        .filter(|(recipe, _)| recipe.starts_with("magnitude"));
    assert!(magnitude.map(|(_, status)| status).all(|status| status == "ok"));
}

#[test]
fn a_baseline_that_fails_stops_the_sweep() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "a.toml",
        &experiment(r#""magnitude(ratio=0.5)""#, "limits = { timeout_s = 1e-3 }"),
    );
    let ran = sandbox.run(&["run", "a.toml"]);
    ran.expect_error(1, &["dense", "timeout", "sweep stops here"]);
    assert!(ran.out.contains("timeout: ended"), "{}", ran.out);
    assert_eq!(statuses(&sandbox).len(), 1);
}

#[test]
fn a_baseline_off_its_expected_value_stops_the_sweep() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let data = shared.join("data");
    let sandbox = Sandbox::new();
    let with = |value: &str| {
        format!(
            r#"
            name = "a"
            models = ["small"]
            recipes = ["magnitude(ratio=0.5)"]
            engines = [{}]
            [evaluation]
            perplexity = [{{ protocol = "wikitext2/stream-128@1", windows = 2 }}]
            [[expect]]
            model = "small"
            protocol = "wikitext2/stream-128@1"
            windows = 2
            value = {value}
            relative_tolerance = 1e-3
            "#,
            engines()
        )
    };
    let run = || sandbox.run(&["run", "a.toml", "--data", data.to_str().unwrap()]);
    sandbox.write("a.toml", &with("2.0"));
    run().expect_error(1, &["wanted 2 within 1e-3", "sweep stops here"]);
    assert_eq!(statuses(&sandbox).len(), 1);
    // Not by measuring again until it fits.
    run().expect_error(1, &["0 of them now", "sweep stops here"]);

    let found = sandbox.records("a")[0]["metrics"]["perplexity"][0]["value"].clone();
    sandbox.write("a.toml", &with(&found.to_string()));
    let ran = run();
    ran.expect(0, &["done before"]);
    assert!(ran.out.contains("2 windows of wikitext2/stream-128@1"), "{}", ran.out);
    assert_eq!(statuses(&sandbox).len(), 2 * Engine::compiled().len());
}

#[test]
fn two_runs_share_a_grid_and_measure_no_cell_twice() {
    let sandbox = Sandbox::new();
    let recipes = r#""magnitude(ratio={0.1,0.2,0.3,0.4,0.5})""#;
    sandbox.write("a.toml", &experiment(recipes, ""));
    let start = || {
        let mut command = sandbox.command(&["run", "a.toml"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let runs = [start(), start()].map(|run| Ran::from(run.wait_with_output().unwrap()));
    let cells = 6 * Engine::compiled().len();
    let measured = |ran: &Ran| {
        ran.expect(0, &[]);
        ran.measured()
    };
    let [one, two] = [&runs[0], &runs[1]].map(measured);
    assert_eq!(one + two, cells, "{}\n{}", runs[0].err, runs[1].err);
    assert_eq!(runs[0].out, runs[1].out);
    let records = sandbox.records("a");
    assert_eq!(records.len(), cells);
    assert!(
        records
            .iter()
            .all(|record| record["status"] == "ok" && record.get("attempts").is_none())
    );
    sandbox
        .run(&["store", "check", "results/runs/a"])
        .expect(0, &["nothing is wrong"]);
}

#[test]
fn a_combination_that_cannot_be_is_a_skipped_row_with_its_reason() {
    let sandbox = Sandbox::new();
    let text = r#"
        name = "a"
        models = ["tiny", "small"]
        engines = ["candle"]
        recipes = ["snapshot(of=average)"]
        evaluation.perplexity = [{ protocol = "world/stream-128@1", windows = 6 }]
    "#;
    sandbox.write("a.toml", text);
    let ran = sandbox.run(&["run", "a.toml"]);
    ran.expect(0, &["3 of 4 cells measured, 1 skipped; 3 of them now", "  skipped  "]);
    let records = sandbox.records("a");
    let skipped: Vec<_> = records.iter().filter(|record| record["status"] == "skipped").collect();
    assert_eq!(skipped.len(), 1, "{}", ran.err);
    assert_eq!(skipped[0]["cell"]["model"], "small");
    assert!(
        skipped[0]["error"].as_str().unwrap().contains("training"),
        "{}",
        skipped[0]["error"]
    );
    assert!(ran.out.contains("skipped"), "{}", ran.out);
    sandbox
        .run(&["run", "a.toml"])
        .expect(0, &["3 of 4 cells measured, 1 skipped; 0 of them now"]);
    assert_eq!(sandbox.records("a"), records);
}

#[test]
fn where_no_terminal_shows_it_each_cell_leaves_one_line_of_one_form_when_it_ends() {
    let sandbox = Sandbox::new();
    let text = r#"
        name = "a"
        models = ["tiny", "small"]
        engines = ["candle"]
        recipes = ["snapshot(of=average)", "random(ratio=0.01, unit=blocks)"]
        evaluation.perplexity = [{ protocol = "world/stream-128@1", windows = 2 }]
    "#;
    sandbox.write("a.toml", text);
    let ran = sandbox.run(&["run", "a.toml"]);
    let found = ran.lines();
    assert_eq!(found.len(), 6, "{}", ran.err);
    for (ended, fields) in (1..).zip(&found) {
        assert_eq!(fields.len(), 7, "{fields:?}");
        assert_eq!(fields[0], format!("[{ended}/6]"));
        assert_eq!(fields[3], "candle cpu f32 seed 0");
        match fields[1].as_str() {
            "ok" => assert!(fields[6].starts_with("perplexity "), "{fields:?}"),
            "failed" => assert!(fields[4].starts_with("random 1 %"), "{fields:?}"),
            _ => assert_eq!(
                [&fields[1], &fields[2], &fields[4], &fields[5]],
                ["skipped", "small", "snapshot of=average", "-"]
            ),
        }
        assert_eq!(fields[5].ends_with(" s"), fields[1] != "skipped", "{fields:?}");
    }
    let words: Vec<&str> = found.iter().map(|fields| fields[1].as_str()).collect();
    let count = |wanted: &str| words.iter().filter(|word| **word == wanted).count();
    assert_eq!(["ok", "failed", "skipped"].map(count), [3, 2, 1], "{}", ran.err);
    for fields in sandbox.run(&["run", "a.toml"]).lines() {
        assert_eq!(fields[5] == "done before", fields[1] == "ok", "{fields:?}");
    }
}
