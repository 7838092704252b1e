//! The script that measures a GPU, on the CPU.

use std::fs;
use std::path::Path;
use std::process::Command;

use prunebench_results::read_records;
use prunebench_tensor::Engine;
use serde_json::Value;

use crate::support::{Ran, Sandbox};

fn measure(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gpu/measure");
    Command::new("python3")
        .arg(script)
        .args(["out", "--device", "cpu", "--small", "--windows", "4"])
        .args(["--program", env!("CARGO_BIN_EXE_prunebench")])
        .args(arguments)
        .current_dir(sandbox.path("."))
        .env_remove("PRUNEBENCH_DATA")
        .env_remove("PRUNEBENCH_MODEL")
        .env("HF_HUB_OFFLINE", "1")
        .env("XDG_CACHE_HOME", sandbox.path("cache"))
        .output()
        .unwrap()
        .into()
}

#[test]
fn the_gpu_script_leaves_records_and_a_table_of_both_engines_on_the_cpu() {
    if Engine::compiled().len() < 2 {
        prunebench_testing::skip("this build has one engine");
        return;
    }
    let sandbox = Sandbox::new();
    let ran = measure(&sandbox, &["--steps", "quality,layers,contexts"]);
    ran.expect(0, &[]);
    let out = sandbox.path("out");
    let table = fs::read_to_string(out.join("table.md")).unwrap();
    for part in [
        "| candle | cpu | bf16 |",
        "| torch | cpu | bf16 |",
        "time per token",
        "1.05x to 1.20x",
        "batch 4",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let machine: Value = serde_json::from_str(&fs::read_to_string(out.join("machine.json")).unwrap()).unwrap();
    assert!(machine["doctor"].is_array() || machine["doctor"].is_object());
    for (experiment, cells) in [
        ("layers-torch", 6),
        ("layers-candle", 6),
        ("contexts-torch", 2),
        ("contexts-candle", 2),
    ] {
        let records = read_records(&out.join(experiment).join("records")).unwrap();
        assert_eq!(records.len(), cells, "{experiment}");
        for record in records {
            let speed = record.metrics.unwrap().throughput.unwrap();
            assert!(speed.first_token.is_some() && speed.ceilings.is_some() && speed.stacked_projections);
            assert!(speed.gpu.is_none());
        }
    }
}

#[test]
fn a_step_that_fails_stops_no_other_and_is_named_at_the_end() {
    let sandbox = Sandbox::new();
    let ran = measure(
        &sandbox,
        &[
            "--steps",
            "conformance,quality",
            "--conformance",
            "false",
            "--model",
            "none",
        ],
    );
    ran.expect(1, &[]);
    assert!(ran.out.contains("quality: failed"), "{}", ran.out);
    assert!(
        ran.out.trim_end().ends_with("failed: conformance, quality"),
        "{}",
        ran.out
    );
    assert!(sandbox.path("out/table.md").exists());
    measure(&sandbox, &["--steps", "sped"]).expect(2, &["no step sped"]);
}

#[test]
fn a_step_that_cannot_run_says_why() {
    let sandbox = Sandbox::new();
    let ran = measure(&sandbox, &["--steps", "conformance"]);
    ran.expect(0, &[]);
    assert!(
        ran.out.contains("conformance: not run (no conformance program here"),
        "{}",
        ran.out
    );
}
