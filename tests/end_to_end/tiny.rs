//! The embedded model: it knows its world, losing blocks hurts it, and the experiments made for it need nothing else.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Sandbox, engines};

fn experiments() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments")
}

#[test]
fn it_answers_its_questions_and_losing_a_quarter_of_its_blocks_hurts() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "a.toml",
        &format!(
            r#"
            name = "a"
            models = ["tiny"]
            engines = [{}]
            recipes = ["shortgpt(ratio=0.25)"]
            [calibration]
            text = "world"
            split = "train-sample"
            windows = 8
            window = 128
            [evaluation]
            perplexity = [{{ protocol = "world/stream-128@1", windows = 32 }}]
            tasks = ["world"]
            limit = 200
            "#,
            engines()
        ),
    );
    sandbox.run(&["run", "a.toml"]).expect(0, &[]);
    let records = sandbox.records("a");
    let perplexity = |record: &Value| record["metrics"]["perplexity"][0]["value"].as_f64().unwrap();
    let accuracies = |record: &Value| -> Vec<f64> {
        let tasks = record["metrics"]["tasks"].as_array().unwrap();
        tasks
            .iter()
            .map(|task| task["metrics"][0]["value"].as_f64().unwrap())
            .collect()
    };
    let (dense, pruned): (Vec<&Value>, Vec<&Value>) = records
        .iter()
        .partition(|record| record["cell"]["recipe"][0] == "dense");
    for dense in dense {
        // Chance is 0.25; the standard error at most 0.035.
        let found = accuracies(dense);
        assert!(found.iter().all(|accuracy| *accuracy > 0.4), "{found:?}");
        assert!(found.iter().sum::<f64>() / 5.0 > 0.7, "{found:?}");
        for pruned in &pruned {
            let (less, more) = (accuracies(pruned), perplexity(pruned) / perplexity(dense));
            assert!(found.iter().sum::<f64>() - less.iter().sum::<f64>() > 0.5, "{less:?}");
            assert!(more > 1.3, "{more}");
        }
    }
}

/// The demo shows every method that there is, and a nightly run measures it.
#[test]
fn demo_and_nightly_have_every_method_and_need_no_network() {
    let sandbox = Sandbox::new();
    let methods: Value = serde_json::from_str(&sandbox.run(&["list", "methods", "--json"]).out).unwrap();
    for name in ["quick.toml", "nightly.toml"] {
        let file = experiments().join(name);
        let ran = sandbox.run(&["run", file.to_str().unwrap(), "--dry-run"]);
        ran.expect(0, &[]);
        for method in methods["methods"].as_array().unwrap() {
            let id = method["id"].as_str().unwrap();
            let here = ["(", " on", " +"]
                .iter()
                .any(|after| ran.out.contains(&format!(" {id}{after}")));
            assert!(here, "{name} lacks {id}:\n{}", ran.out);
        }
    }
}
