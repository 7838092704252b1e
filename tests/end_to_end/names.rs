//! Experiments and their results by name, and where to begin.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use prunebench_tensor::Engine;
use serde_json::Value;

use crate::support::{Sandbox, engines};

fn experiment(name: &str) -> String {
    let engines = engines();
    format!(
        r#"
        name = "{name}"
        models = ["small"]
        engines = [{engines}]
        threads = 1
        recipes = ["magnitude(ratio={{0.2,0.5}})"]
        evaluation.perplexity = [{{ protocol = "world/stream-128@1", windows = 4 }}]
    "#
    )
}

const RULES: &str = r#"
    [family.quality]
    alpha = 0.05
    [[rule]]
    metric = "perplexity *"
    margin = 0.02
    direction = "lower-is-better"
    family = "quality"
"#;

/// A sandbox in which the experiment `first` was run.
fn run() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("first.toml", &experiment("first"));
    sandbox.run(&["run", "first.toml"]).expect(0, &[]);
    sandbox
}

#[test]
fn an_experiment_that_comes_along_is_run_by_its_name() {
    let sandbox = Sandbox::new();
    let listed: Value = serde_json::from_str(&sandbox.run(&["list", "experiments", "--json"]).out).unwrap();
    let listed = listed["experiments"].as_array().unwrap();
    let quick = listed.iter().find(|experiment| experiment["name"] == "quick").unwrap();
    assert_eq!(quick["models"], serde_json::json!(["tiny"]));
    let recipes = quick["recipes"].as_u64().unwrap() as usize;
    let plan = |name: &str| sandbox.run(&["run", name, "--dry-run", "--json"]);
    // A folder of the same name is none.
    fs::create_dir(sandbox.path("quick")).unwrap();
    let ran = plan("quick");
    if Engine::compiled().len() == 2 {
        ran.expect(0, &[]);
        let plan: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(plan["experiment"], "quick");
        // Beside its recipes the dense model; some have several seeds.
        let planned: BTreeSet<String> = plan["cells"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cell| cell["cell"]["recipe"].to_string())
            .collect();
        assert_eq!(planned.len(), recipes + 1);
    } else {
        ran.expect_error(1, &["harness/experiments/quick.toml:6: engines: "]);
    }
    // A file of this name comes first.
    fs::remove_dir(sandbox.path("quick")).unwrap();
    sandbox.write("quick", &experiment("mine"));
    let ran = plan("quick");
    ran.expect(0, &[]);
    let plan: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(plan["experiment"], "mine");
}

#[test]
fn the_list_of_experiments_fits_the_terminal() {
    let sandbox = Sandbox::new();
    let ran = sandbox
        .command(&["list", "experiments"])
        .env("COLUMNS", "80")
        .output()
        .unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    for name in ["quick ", "smol ", "gpu/small/layers "] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_name_that_is_no_experiment_is_wrong_usage() {
    let sandbox = Sandbox::new();
    for command in [["run", "qiuck"], ["submit", "quick.toml"]] {
        sandbox.run(&command).expect_error(
            2,
            &[
                &format!("{}: there is no such file", command[1]),
                "did you mean `quick`?",
                "nightly-speed, ",
                "prunebench new experiment",
            ],
        );
    }
}

#[test]
fn results_are_found_by_the_name_of_their_experiment() {
    let sandbox = run();
    let by_path = sandbox.run(&["report", "results/runs/first"]);
    let by_name = sandbox.run(&["report", "first"]);
    by_name.expect(0, &["prunebench open first"]);
    assert_eq!(by_name.out, by_path.out);
    // A folder without results, such as a model's, is in nobody's way.
    fs::create_dir(sandbox.path("first")).unwrap();
    assert_eq!(sandbox.run(&["report", "first"]).out, by_path.out);
    // The file that was run is as good as its name.
    assert_eq!(sandbox.run(&["report", "first.toml"]).out, by_path.out);
    sandbox.run(&["status", "first"]).expect(0, &[]);
    sandbox
        .run(&["store", "check", "first"])
        .expect(0, &["nothing is wrong"]);
    let export = ["store", "export", "first", "--format", "csv", "--out", "a.csv"];
    sandbox.run(&export).expect(0, &["records: a.csv"]);
    let recipes = ["magnitude(ratio=0.2)", "magnitude(ratio=0.5)"];
    let compare = sandbox.run(&["compare", "first", "--recipe", recipes[0], recipes[1]]);
    compare.expect(0, &[]);
    let accept = ["gate", "first", "--baseline", "night.jsonl.gz", "--accept"];
    sandbox.run(&accept).expect(0, &["are the baseline from now on"]);
    sandbox.write("rules.toml", RULES);
    let gate = ["gate", "first", "--baseline", "first", "--rules", "rules.toml"];
    let gate = sandbox.run(&gate);
    gate.expect(0, &[]);
}

#[test]
fn results_that_are_not_there_are_told_with_those_that_are_and_what_would_make_them() {
    let sandbox = Sandbox::new();
    sandbox.run(&["report", "smol"]).expect_error(
        1,
        &[
            "no results of smol",
            "Nothing has been run here yet",
            "prunebench run smol",
        ],
    );
    let sandbox = run();
    for command in [["report", "frist"], ["status", "frist"], ["cancel", "frist"]] {
        sandbox.run(&command).expect_error(
            1,
            &[
                "neither frist nor results/runs/frist is a folder here",
                "did you mean `first`?",
                "Results that are here, in results/runs: first.",
            ],
        );
    }
    sandbox.run(&["compare", "first", "quick"]).expect_error(
        1,
        &["no results of quick", "results/runs: first.", "prunebench run quick"],
    );
    // A file that wasn't run, and an experiment by the name of its file.
    sandbox.write("second.toml", &experiment("second"));
    sandbox
        .run(&["report", "second.toml"])
        .expect_error(1, &["no results of second.toml", "prunebench run second.toml"]);
    sandbox
        .run(&["status", "results/runs/nightly_speed"])
        .expect_error(1, &["results/runs/nightly_speed", "prunebench run nightly_speed"]);
}

#[test]
fn the_program_alone_says_where_to_begin_on_one_screen() {
    let narrow = |sandbox: &Sandbox| {
        let ran = sandbox.command(&[]).env("COLUMNS", "80").output().unwrap();
        assert_eq!(ran.status.code(), Some(0));
        assert!(ran.stderr.is_empty());
        let text = String::from_utf8(ran.stdout).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.lines().count() <= 24, "{text}");
        text
    };
    let text = narrow(&Sandbox::new());
    for word in [
        "prunebench run quick",
        "prunebench eval ",
        "prunebench list",
        "prunebench --help",
    ] {
        assert!(text.contains(word), "{word}:\n{text}");
    }
    assert!(!text.contains("results/runs"), "{text}");
    let sandbox = run();
    for other in 0..9 {
        let folder = sandbox.path(&format!("results/runs/other-{other}"));
        fs::create_dir_all(folder.join("records")).unwrap();
        fs::write(folder.join("cells.json"), "[]").unwrap();
    }
    sandbox.run(&["run", "first.toml"]).expect(0, &[]);
    let cells = 3 * Engine::compiled().len();
    let text = narrow(&sandbox);
    assert!(text.contains(&format!("{cells} of {cells} cells")), "{text}");
    assert!(text.contains("and 4 more"), "{text}");
    assert!(text.contains("prunebench report first"), "{text}");
}

#[test]
fn the_page_is_made_and_shown_or_its_address_is_told() {
    let sandbox = run();
    let open = |rest: &[&str], browser: &str| {
        let mut command = sandbox.command(&[&["open", "first"], rest].concat());
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        command.env("BROWSER", browser);
        crate::support::Ran::from(command.output().unwrap())
    };
    let page = sandbox.path("results/runs/first/page.html");
    let only = open(&["--no-browser"], "/none/such");
    only.expect(0, &["page: results/runs/first/page.html"]);
    assert_eq!(only.out, "");
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("magnitude(ratio=0.5)") && html.contains("prunebench: first"));

    let address = format!("file://{}", page.canonicalize().unwrap().display());
    let browser = sandbox.write("browser", "#!/bin/sh\nprintf %s \"$1\" > shown\n");
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    open(&[], browser.to_str().unwrap()).expect(0, &[]);
    assert_eq!(fs::read_to_string(sandbox.path("shown")).unwrap(), address);

    if cfg!(not(target_os = "macos")) {
        let without = open(&[], "");
        without.expect(0, &["there is no browser"]);
        assert_eq!(without.out, format!("{address}\n"));
    }
    let broken = open(&[], "/none/such");
    broken.expect(0, &["the browser couldn't be started (/none/such: "]);
    assert_eq!(broken.out, format!("{address}\n"));
}
