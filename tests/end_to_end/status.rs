//! How far a sweep is, as another shell sees it.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Sandbox, signal};

const EXPERIMENT: &str = r#"
    name = "a"
    models = ["tiny"]
    engines = ["candle"]
    threads = 1
    recipes = ["magnitude(ratio={0.1,0.2,0.3})"]
    evaluation.perplexity = [{ protocol = "world/stream-128@1", windows = 4 }]
"#;

#[test]
fn another_shell_sees_what_runs_what_waits_and_what_failed() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", EXPERIMENT);
    let status = |folder: &str| -> Value {
        let ran = sandbox.run(&["status", folder, "--json"]);
        ran.expect(0, &[]);
        serde_json::from_str(&ran.out).unwrap()
    };
    let plain = || sandbox.run(&["status", "results/runs/a"]).out;
    sandbox
        .run(&["status", "results/runs/a"])
        .expect_error(1, &["no results of results/runs/a", "Nothing has been run here yet"]);

    let started = sandbox.start("a.toml", &[]);
    let (_, worker) = started.cells.iter().find(|(cell, _)| cell.contains("0.2")).unwrap();
    assert!(signal("STOP", worker));
    let seen = status("results/runs/a");
    assert_eq!((&seen["cells"], &seen["ended"]), (&json!(4), &json!({ "ok": 2 })));
    assert_eq!((&seen["waiting"], &seen["unsuccessful"]), (&json!(1), &json!([])));
    let owner = &seen["running"][0]["owner"];
    assert_eq!(owner["cell"], "tiny magnitude(ratio=0.2) on candle cpu f32, seed 0");
    assert_eq!(owner["process"], started.run.id());
    assert_eq!(status("results/runs/a/records"), seen);
    let text = plain();
    assert!(text.contains("2 of 4 cells done · 1 running · 1 waiting"), "{text}");
    assert!(text.contains("running\ntiny magnitude(ratio=0.2)"), "{text}");

    assert!(signal("KILL", worker));
    started.end().expect(1, &[]);
    let text = plain();
    assert!(text.contains("failed\n✗ tiny magnitude(ratio=0.2) on candle"), "{text}");
    assert!(text.contains("    failed: the process ended with signal: 9"), "{text}");
    assert!(text.contains("3 of 4 cells done · 1 failed"), "{text}");
    assert!(
        text.contains("run the experiment again for the cells that failed"),
        "{text}"
    );

    sandbox
        .run(&["run", "a.toml"])
        .expect(0, &["4 of 4 cells measured; 1 of them now"]);
    assert!(plain().contains("4 of 4 cells done"), "{}", plain());
}

#[test]
fn a_running_cell_says_what_it_works_on() {
    let sandbox = Sandbox::new();
    let long = EXPERIMENT.replace(
        "magnitude(ratio={0.1,0.2,0.3})",
        "finetune(steps=100000, batch=4, length=128, learning_rate=1e-4)",
    );
    sandbox.write("a.toml", &(long + "recovery.texts = [\"world/train-sample\"]\n"));
    let started = sandbox.start("a.toml", &[]);
    started
        .cells
        .iter()
        .find(|(cell, _)| cell.contains("finetune"))
        .unwrap();
    let phase = (0..600).find_map(|_| {
        sleep(Duration::from_millis(50));
        let ran = sandbox.run(&["status", "results/runs/a"]);
        // Two columns, in which words may be on several lines.
        ran.out.contains("finetune: loss").then_some(ran.out)
    });
    assert!(signal("INT", started.run.id()));
    started.end().expect(1, &["interrupted with 1 cells left"]);
    let phase = phase.expect("the cell says how far it is");
    assert!(phase.contains("/100000") && phase.contains("process"), "{phase}");
    let after = sandbox.run(&["status", "results/runs/a"]).out;
    assert!(after.contains("1 of 2 cells done · 1 waiting"), "{after}");
}
