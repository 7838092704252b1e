//! Every wrong input is refused with what was found, what was wanted, and the exit code for it.

use crate::support::Sandbox;

const GOOD: &str = r#"
name = "a"
models = ["small"]
recipes = ["magnitude(ratio=0.5)"]
engines = ["candle"]
[evaluation]
throughput = { prompt_tokens = 4, generated_tokens = 2, batch = 1, repeats = 1, warmup = 1 }
"#;

/// Runs the good experiment with one change.
fn run_with(from: &str, to: &str) -> crate::support::Ran {
    let changed = GOOD.replacen(from, to, 1);
    assert_ne!(changed, GOOD);
    run(&changed)
}

/// Runs an experiment that is refused.
fn run(experiment: &str) -> crate::support::Ran {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", experiment);
    let ran = sandbox.run(&["run", "a.toml"]);
    assert!(
        !sandbox.path("results/runs/a/records").exists(),
        "something ran: {}",
        ran.err
    );
    ran
}

#[test]
fn an_unknown_key_of_an_experiment_is_named_with_its_near_miss() {
    run_with("recipes", "recipies").expect_error(2, &["a.toml", "recipies", "did you mean `recipes`"]);
    run_with("prompt_tokens", "promt_tokens").expect_error(2, &["promt_tokens", "did you mean `prompt_tokens`"]);
}

#[test]
fn an_unknown_method_or_key_of_a_method_is_named_with_its_near_miss() {
    run_with("magnitude(ratio=0.5)", "magnitud(ratio=0.5)").expect_error(2, &["did you mean `magnitude`"]);
    run_with("magnitude(ratio=0.5)", "magnitude(rato=0.5)").expect_error(2, &["rato", "did you mean `ratio`"]);
}

#[test]
fn a_ratio_that_removes_everything_is_refused() {
    run_with("ratio=0.5", "ratio=1.0").expect_error(2, &["ratio", "removes everything"]);
    run_with("ratio=0.5", "ratio=nan").expect_error(2, &["ratio"]);
    let sandbox = Sandbox::new();
    let arguments = [
        "compress",
        "--model",
        "small",
        "--recipe",
        "magnitude(ratio=1)",
        "--out",
        "out",
    ];
    sandbox.run(&arguments).expect_error(2, &["removes everything"]);
    assert!(!sandbox.path("out").exists());
}

#[test]
fn unknown_names_are_refused() {
    run_with("candle", "cnadle").expect_error(2, &["cnadle", "candle"]);
    run_with("engines", "devices = [\"gpu\"]\nengines").expect_error(2, &["gpu", "cpu"]);
    run_with("engines", "dtypes = [\"f31\"]\nengines").expect_error(2, &["f31", "f32"]);
    run_with("name = \"a\"", "name = \"../a\"").expect_error(2, &["../a"]);
    let perplexity = "[evaluation]\nperplexity = [{ protocol = \"wikitext2/stream-521@1\" }]";
    run_with("[evaluation]", perplexity).expect_error(2, &["did you mean \"wikitext2/stream-512@1\""]);
}

#[test]
fn every_problem_of_an_experiment_is_reported_at_once_with_file_and_line() {
    let sandbox = Sandbox::new();
    let text = r#"include = ["base.toml"]
name = "a"
models = ["smal"]
recipes = [
    "wanda(ratio=0.5)",
    "magnitud(ratio=0.5)",
    "random(ratio={ratio}, unit=blocks)",
]
engines = ["cnadle", "candle"]
seeds = []
sedes = [1]

[axes]
ratoi = [0.1]

[evaluation]
perplexity = [
    { protocol = "wikitext2/stream-512@1" },
    { protocol = "wikitext2/stream-521@1" },
]
tasks = ["wrold"]
"#;
    sandbox.write("sweeps/a.toml", text);
    sandbox.write("sweeps/base.toml", "dtypes = [\n  \"f31\",\n]\ndevices = [\"gpu\"]");
    let ran = sandbox.run(&["run", "sweeps/a.toml"]);
    let wanted = [
        "13 problems",
        "sweeps/a.toml:3: model source `smal`",
        "did you mean `small`",
        "sweeps/a.toml:5: wanda(ratio=0.5) needs calibration text",
        "sweeps/a.toml:6: there is no method `magnitud`; did you mean `magnitude`?",
        "sweeps/a.toml:7: recipe `random(ratio={ratio}, unit=blocks)`: `{ratio}` names no axis; did you mean `ratoi`?",
        "sweeps/a.toml:9: engines: `cnadle` is not an engine",
        "sweeps/a.toml:10: `seeds` is empty",
        "sweeps/a.toml:11: unknown key `sedes`; did you mean `seeds`?",
        "sweeps/a.toml:14: axis `ratoi` is in no recipe; did you mean `ratio`?",
        // Neither on this machine nor, without network, elsewhere.
        "sweeps/a.toml:18: ",
        "HF_HUB_OFFLINE",
        "sweeps/a.toml:19: ",
        "did you mean \"wikitext2/stream-512@1\"",
        "sweeps/a.toml:21: ",
        "did you mean \"world\"",
        "sweeps/base.toml:2: dtypes: `f31` is not a dtype",
        "sweeps/base.toml:4: devices: `gpu` is not a device",
    ];
    ran.expect_error(2, &wanted);
    assert!(!sandbox.path("results").exists());
}

#[test]
fn what_can_run_nowhere_is_refused_before_anything_runs() {
    let trajectory = "weight-evolution(ratio=0.5, scope=matrices)";
    run_with("magnitude(ratio=0.5)", trajectory).expect_error(
        2,
        &["a.toml:4: weight-evolution", "small has none", "prunebench pretrain"],
    );
    let ranks = GOOD
        .replace("warmup = 1 }", "warmup = 1, tensor_parallel = { ranks = 2 } }")
        .replace("[evaluation]", "threads = 2\n[evaluation]");
    run(&ranks).expect_error(2, &["a.toml:8: small: ", "1 key heads of block 0", "2 ranks"]);
    run_with("prompt_tokens = 4", "prompt_tokens = 4000").expect_error(2, &["a.toml:7: ", "1024 positions"]);
    let perplexity = "[evaluation]\nperplexity = [{ protocol = \"world/stream-128@1\" }]";
    let text = GOOD
        .replace("[evaluation]", perplexity)
        .replace("small", "shape:smollm2-135m");
    run(&text).expect_error(2, &["a.toml:3: shape:smollm2-135m has no tokenizer"]);
}

#[test]
fn a_model_source_that_does_not_exist_is_named_with_its_near_miss() {
    run_with("\"small\"", "\"smal\"").expect_error(1, &["smal", "does not exist", "did you mean `small`"]);
    let sandbox = Sandbox::new();
    sandbox
        .run(&["throughput", "--model", "no/where"])
        .expect_error(1, &["no/where", "does not exist"]);
    sandbox
        .run(&["fetch", "smollm2-135"])
        .expect_error(1, &["did you mean `smollm2-135m`"]);
}

#[test]
fn an_output_folder_that_cannot_be_written_is_refused_before_the_work() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", GOOD);
    sandbox.write("file", "");
    for results in ["file/results", "/proc/results"] {
        let ran = sandbox.run(&["run", "a.toml", "--results", results]);
        ran.expect_error(1, &[results, "results folder"]);
        assert!(!ran.err.contains("process"), "{}", ran.err);
    }
    let compress = [
        "compress",
        "--model",
        "small",
        "--recipe",
        "magnitude(ratio=0.5)",
        "--out",
        "file/out",
    ];
    sandbox.run(&compress).expect_error(1, &["file"]);
}

#[test]
fn a_text_that_is_not_the_pinned_one_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("data/text/wikitext2/wiki.test.hfjoined.txt", "Another text.");
    let evaluate = [
        "eval",
        "--model",
        "small",
        "--protocol",
        "wikitext2/stream-512@1",
        "--data",
        "data",
    ];
    sandbox
        .run(&evaluate)
        .expect_error(1, &["wiki.test.hfjoined.txt", "sha256", "wanted"]);
}

#[test]
fn a_text_that_is_nowhere_names_the_ways_to_get_it() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["eval", "--model", "small", "--protocol", "wikitext2/stream-512@1"]);
    ran.expect_error(1, &["HF_HUB_OFFLINE", "--data"]);
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&["rnu"]).code, Some(2));
    assert_eq!(sandbox.run(&["eval", "--model", "small"]).code, Some(2));
    sandbox.run(&["run", "none.toml"]).expect_error(2, &["none.toml"]);
    sandbox.write("a.toml", "name = ");
    sandbox.run(&["run", "a.toml"]).expect_error(2, &["a.toml:1: "]);
}

#[test]
fn a_folder_that_no_run_made_has_no_report() {
    let sandbox = Sandbox::new();
    sandbox
        .run(&["report", "small"])
        .expect_error(1, &["cells.json", "prunebench run"]);
}
