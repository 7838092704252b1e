//! Pretraining: a folder that is whole or not there, and that everything else can use.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{Ran, Sandbox, engines};

/// A model of a few thousand parameters, trained for so many steps.
fn config(steps: u64) -> String {
    format!(
        r#"
        name = "a"
        tokenizer = {{ bpe = 300 }}
        initialisation = "normal"
        trajectory = ["linear"]
        checkpoint_every = 5
        [model]
        architecture = "llama"
        layers = 2
        hidden = 16
        heads = 2
        kv_heads = 1
        width = 32
        context = 128
        tied = true
        [[domain]]
        text = "world/facts-validation"
        [[domain]]
        text = "world/lists-validation"
        share = 0.5
        [[validation]]
        text = "world/stories-validation"
        windows = 2
        [training]
        steps = {steps}
        batch = 2
        length = 32
        learning_rate = 1e-2
        validate_every = 10
        "#
    )
}

fn pretrain(sandbox: &Sandbox, out: &str, rest: &[&str]) -> Ran {
    sandbox.run(&[&["pretrain", "a.toml", "--out", out], rest].concat())
}

/// The files of a model, and its averages.
fn model(sandbox: &Sandbox, folder: &str) -> [Vec<u8>; 2] {
    ["model.safetensors", "trajectory.safetensors"].map(|file| fs::read(sandbox.path(folder).join(file)).unwrap())
}

fn lines(sandbox: &Sandbox, file: &str) -> usize {
    fs::read_to_string(sandbox.path(file)).unwrap().lines().count()
}

#[test]
fn a_pretrained_model_is_evaluated_pruned_and_trained_on() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &config(20));
    let ran = pretrain(&sandbox, "new", &["--json"]);
    ran.expect(0, &["20/20", "world/stories-validation"]);
    let provenance: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(provenance["tokens"], 20 * 2 * 32);
    assert_eq!(lines(&sandbox, "new/training_log.csv"), 21);
    assert!(!sandbox.path("new.training").exists());

    sandbox.write(
        "b.toml",
        &format!(
            r#"
            name = "b"
            models = ["new"]
            engines = [{}]
            recipes = [
                "snapshot(of={{average,best}})",
                ["weight-evolution(ratio=0.5)", "finetune(steps=3, batch=2, length=32)"],
                "lora(tokens=128, batch=2, length=32, targets=['q_proj'])",
            ]
            [recovery]
            texts = ["world/train-sample"]
            [evaluation]
            perplexity = [{{ protocol = "world/facts-128@1", windows = 2 }}]
            "#,
            engines()
        ),
    );
    sandbox.run(&["run", "b.toml"]).expect(0, &[]);
    let records = sandbox.records("b");
    for record in &records {
        assert_eq!(record["status"], "ok", "{record}");
        let recipe = record["cell"]["recipe"].to_string();
        let trained = match () {
            () if recipe.contains("finetune") => 3 * 2 * 32,
            () if recipe.contains("lora") => 128,
            () => 0,
        };
        // Absent where nothing was spent.
        let counted = record["metrics"]["budget"]["training_tokens"].as_u64().unwrap_or(0);
        assert_eq!(counted, trained, "{recipe}");
        let inputs = record["inputs"].as_object().unwrap();
        let has = |name: &str| inputs.keys().any(|key| key.contains(name));
        assert_eq!(has("data:world/train-sample"), trained > 0, "{recipe}: {inputs:?}");
    }

    // Without what the training left nothing begins.
    for file in ["trajectory.safetensors", "best.safetensors"] {
        fs::remove_file(sandbox.path("new").join(file)).unwrap();
    }
    sandbox.run(&["run", "b.toml"]).expect_error(
        2,
        &[
            "b.toml:6: snapshot",
            "b.toml:7: weight-evolution",
            "prunebench pretrain",
        ],
    );
}

#[test]
fn a_killed_run_goes_on_to_the_same_weights() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &config(300));
    pretrain(&sandbox, "whole", &[]).expect(0, &[]);

    let mut run = sandbox
        .command(&["pretrain", "a.toml", "--out", "cut"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let checkpoints = sandbox.path("cut.training/checkpoints");
    while !fs::read_dir(&checkpoints)
        .is_ok_and(|mut all| all.any(|one| one.unwrap().file_name().to_string_lossy().starts_with("step-")))
    {
        assert!(begun.elapsed() < Duration::from_secs(100), "no checkpoint");
        assert!(run.try_wait().unwrap().is_none(), "over before it was killed");
        sleep(Duration::from_millis(1));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(!sandbox.path("cut").exists());

    pretrain(&sandbox, "cut", &[]).expect_error(1, &["cut.training", "--resume"]);
    pretrain(&sandbox, "cut", &["--resume"]).expect(0, &[]);
    assert_eq!(model(&sandbox, "cut"), model(&sandbox, "whole"));
    assert_eq!(lines(&sandbox, "cut/training_log.csv"), 301);

    pretrain(&sandbox, "cut", &["--resume"]).expect_error(1, &["something already"]);
}

/// A disk that is full looks to a program like a file that may not grow further.
#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &config(20));
    pretrain(&sandbox, "whole", &[]).expect(0, &[]);

    let program = env!("CARGO_BIN_EXE_prunebench");
    // Blocks of 512 bytes: enough for a log, not for a checkpoint.
    let limited = format!("trap '' XFSZ; ulimit -f 40; exec {program} pretrain a.toml --out full");
    let mut command = Command::new("sh");
    let from = sandbox.command(&[]);
    command
        .args(["-c", &limited])
        .current_dir(from.get_current_dir().unwrap());
    command.envs(from.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran: Ran = command.output().unwrap().into();
    ran.expect_error(1, &["full.training", "checkpoint of step 5", "too large"]);
    assert!(!sandbox.path("full").exists());

    pretrain(&sandbox, "full", &["--resume"]).expect(0, &[]);
    assert_eq!(model(&sandbox, "full"), model(&sandbox, "whole"));
}

#[test]
fn a_file_that_describes_no_run_is_refused_at_once() {
    let sandbox = Sandbox::new();
    for (from, to, words) in [
        ("steps = 20", "stepz = 20", ["a.toml", "stepz"]),
        ("length = 32", "length = 500", ["500", "128"]),
        (
            "world/facts-validation",
            "world/fact-validation",
            ["fact-validation", "facts-validation"],
        ),
        ("share = 0.5", "share = -1.0", ["share", "-1"]),
    ] {
        sandbox.write("a.toml", &config(20).replace(from, to));
        let ran = pretrain(&sandbox, "new", &[]);
        assert!(ran.code == Some(1) || ran.code == Some(2), "{to}: {:?}", ran.code);
        for word in words {
            assert!(ran.err.contains(word), "{to}: {word}: {}", ran.err);
        }
        assert!(!sandbox.path("new").exists());
    }
}
