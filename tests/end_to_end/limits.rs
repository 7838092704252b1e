//! Cells that really take too much: each is a row with that status, and the sweep goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Ran, Sandbox, signal};

/// A cell beside the baseline, and one more after it.
fn experiment(recipe: &str, limits: &str) -> String {
    format!(
        r#"
        name = "a"
        models = ["tiny"]
        engines = ["candle"]
        threads = 1
        recipes = ["{recipe}", "magnitude(ratio=0.5)"]
        recovery.texts = ["world/train-sample"]
        evaluation.perplexity = [{{ protocol = "world/stream-128@1", windows = 4 }}]
        limits = {{ {limits} }}
        "#
    )
}

/// The record of the recipe that begins like this; all others are `ok`.
fn only_record_that_is_not_ok(sandbox: &Sandbox, recipe: &str) -> Value {
    let records = sandbox.records("a");
    assert_eq!(records.len(), 3);
    let (mut of_recipe, others): (Vec<Value>, Vec<Value>) = records
        .into_iter()
        .partition(|record| record["cell"]["recipe"][0].as_str().unwrap().starts_with(recipe));
    assert!(others.iter().all(|record| record["status"] == "ok"), "{others:#?}");
    of_recipe.remove(0)
}

#[test]
fn a_cell_that_allocates_past_its_limit_is_out_of_memory_before_it_takes_much_more() {
    let sandbox = Sandbox::new();
    // Its logits alone would take 7 GB.
    let greedy = "finetune(steps=1, batch=4096, length=256, learning_rate=1e-4)";
    sandbox.write("a.toml", &experiment(greedy, "memory_gb = 0.6"));
    sandbox
        .run(&["run", "a.toml"])
        .expect(1, &["  oom  ", " s  took ", "limits.memory_gb is 0.6"]);
    let record = only_record_that_is_not_ok(&sandbox, "finetune");
    assert_eq!(record["status"], "oom");
    let peak = record["memory"]["peak_resident_bytes"].as_u64().unwrap();
    assert!((600_000_000..2_000_000_000).contains(&peak), "{peak}");
    // It says what it was at.
    let log = record["log"].as_array().unwrap();
    assert!(
        log.last().unwrap().as_str().unwrap().starts_with("last progress: "),
        "{log:?}"
    );
}

/// A bound on the memory of some processes together, as a batch system or a container sets it.
struct Bound(PathBuf);

impl Bound {
    /// `None`, and the test skips, where this user or this machine can't.
    fn of(bytes: u64) -> Option<Self> {
        let name = format!("prunebench-test-{}", std::process::id());
        let set = |(folder, limit): (&str, &str)| {
            let folder = Path::new(folder).join(&name);
            fs::create_dir(&folder)?;
            let bound = Self(folder);
            // Where version 1 is mounted the first is a plain folder, in which any file can be written.
            fs::metadata(bound.0.join("cgroup.procs"))?;
            fs::write(bound.0.join(limit), bytes.to_string())?;
            Ok(bound)
        };
        let versions = [
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ];
        let tried: Vec<std::io::Result<Self>> = versions.into_iter().map(set).collect();
        let reasons: Vec<String> = tried
            .iter()
            .filter_map(|tried| Some(tried.as_ref().err()?.to_string()))
            .collect();
        let bound = tried.into_iter().find_map(Result::ok);
        if bound.is_none() {
            prunebench_testing::skip(&format!("memory can't be bounded: {}", reasons.join("; ")));
        }
        bound
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_cell_that_the_kernel_ends_for_want_of_memory_is_out_of_memory_and_the_run_goes_on() {
    let Some(bound) = Bound::of(900_000_000) else {
        return;
    };
    let sandbox = Sandbox::new();
    let greedy = "finetune(steps=1, batch=4096, length=256, learning_rate=1e-4)";
    sandbox.write("a.toml", &experiment(greedy, ""));
    let run = sandbox.command(&["run", "a.toml"]);
    let ran: Ran = Command::new("sh")
        .args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""])
        .arg(&bound.0)
        .arg(run.get_program())
        .args(run.get_args())
        .current_dir(run.get_current_dir().unwrap())
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap()
        .into();
    ran.expect(1, &["  oom  ", "  the kernel ended it"]);
    assert_eq!(only_record_that_is_not_ok(&sandbox, "finetune")["status"], "oom");
}

#[test]
fn a_cell_that_hangs_is_ended_at_its_time_limit() {
    let sandbox = Sandbox::new();
    // The others have as much time as they want.
    sandbox.write("a.toml", &experiment("dense", ""));
    sandbox.run(&["run", "a.toml"]).expect(0, &[]);
    sandbox.write("a.toml", &experiment("magnitude(ratio=0.2)", "timeout_s = 3"));
    let started = sandbox.start("a.toml", &[]);
    let (_, worker) = started.cells.iter().find(|(cell, _)| cell.contains("0.2")).unwrap();
    assert!(signal("STOP", worker));
    started
        .end()
        .expect(1, &["  timeout  ", "  ended after limits.timeout_s = 3 s"]);
    assert!(!signal("KILL", worker), "the worker is still there");
    let record = only_record_that_is_not_ok(&sandbox, "magnitude(ratio=0.2)");
    assert_eq!(record["status"], "timeout");
}
