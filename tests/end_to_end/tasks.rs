//! Accuracies on invented rows: numbers, items, tables, lm-eval's files, and what is refused.

use std::fs;
use std::path::PathBuf;

use prunebench_tensor::Engine;
use serde_json::{Value, json};

use crate::support::{Sandbox, engines};

/// Rows laid out as a mirror of two small tasks whose data the catalogue doesn't pin.
fn with_rows() -> Sandbox {
    let sandbox = Sandbox::new();
    let questions = [
        "Which is cold?",
        "Which is hot?",
        "Which is wet?",
        "Which is dry?",
        "Which is old?",
        "Which is über?",
    ];
    let row = |(index, question): (usize, &&str)| {
        json!({
            "support": format!("Some text about thing {index}."), "question": question, "distractor1": "fire",
            "distractor2": "the sun at noon", "distractor3": "ash", "correct_answer": "ice",
        })
    };
    sandbox.write(
        "data/tasks/sciq/test.jsonl",
        &lines(questions.iter().enumerate().map(row)),
    );
    let row = |(label, question): (usize, &str)| {
        json!({
            "premise": "The ground was wet.", "question": question, "choice1": "It rained.", "choice2": "It shone.",
            "label": label,
        })
    };
    sandbox.write(
        "data/tasks/copa/validation.jsonl",
        &lines([(0, "cause"), (1, "effect")].into_iter().map(row)),
    );
    sandbox
}

fn lines(rows: impl Iterator<Item = Value>) -> String {
    rows.map(|row| format!("{row}\n")).collect()
}

/// `eval` of the small model on the first engine.
fn eval<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let engine = match Engine::compiled()[0] {
        Engine::Candle => "candle",
        Engine::Torch => "torch",
    };
    let common = ["eval", "--model", "small", "--data", "data", "--engine", engine];
    [&common, arguments].concat()
}

fn records(out: &str) -> Vec<Value> {
    serde_json::from_str(out).unwrap()
}

#[test]
fn a_sweep_has_accuracies_with_every_answer_beside_dense() {
    let sandbox = with_rows();
    let experiment = format!(
        r#"
        name = "a"
        models = ["small"]
        recipes = ["magnitude(ratio=0.9)"]
        engines = [{}]
        [evaluation]
        tasks = ["sciq", "copa@1"]
        limit = 5
        divergence = true
        "#,
        engines()
    );
    sandbox.write("a.toml", &experiment);
    let run = || sandbox.run(&["run", "a.toml", "--data", "data"]);
    let first = run();
    first.expect(0, &["tasks.csv", "sciq@1 acc"]);
    let markdown = fs::read_to_string(sandbox.path("results/runs/a/table.md")).unwrap();
    assert!(first.out.contains("2 tasks, 7 questions"), "{}", first.out);
    for words in [
        "small, accuracy",
        "sciq acc\\_norm (± stderr)",
        "Δ to dense",
        "n = 5 of 6 documents, 20 requests",
    ] {
        assert!(markdown.contains(words), "{words}:\n{markdown}");
    }

    let records = sandbox.records("a");
    assert_eq!(records.len(), 2 * Engine::compiled().len());
    let mut answers: Vec<(&Value, Vec<&Value>)> = Vec::new();
    for record in &records {
        let recipe = &record["cell"]["recipe"];
        assert_eq!(record["inputs"]["task:sciq@1"].as_str().unwrap().len(), 64);
        let sciq = &record["metrics"]["tasks"][0];
        let items = sciq["items"].as_array().unwrap();
        assert_eq!((items.len(), &sciq["documents_available"]), (5, &json!(6)));
        for item in items {
            assert_eq!(item["log_likelihoods"].as_array().unwrap().len(), 4);
            assert!(item["log_likelihoods"][0].as_f64().unwrap() < 0.0);
            assert_eq!(
                (&item["gold"], item["chosen"].as_array().unwrap().len()),
                (&json!(3), 3)
            );
        }
        // Of dense itself it is float noise at most; 90 % of the weights away is another model.
        let divergence = sciq["divergence"]["mean"].as_f64().unwrap();
        assert_eq!(divergence.abs() > 1e-6, *recipe != json!(["dense"]), "{divergence}");
        answers.push((recipe, items.iter().map(|item| &item["chosen"]).collect()));
    }
    // Engines agree on every answer.
    for (recipe, chosen) in &answers {
        assert!(
            answers
                .iter()
                .all(|(other, others)| other != recipe || others == chosen)
        );
    }
    let csv = fs::read_to_string(sandbox.path("results/runs/a/tasks.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + records.len() * 2 * 3);

    let second = run();
    second.expect(0, &["0 of them now"]);
    assert_eq!(second.out, first.out);
}

#[test]
fn eval_says_the_metrics_and_writes_the_files_of_lm_eval() {
    let sandbox = with_rows();
    let ran = sandbox.run(&eval(&[
        "--tasks",
        "sciq,copa",
        "--shots",
        "1",
        "--shots-from",
        "test",
        "--limit",
        "4",
    ]));
    ran.expect(2, &["copa", "split"]);
    let ran = sandbox.run(&eval(&["--tasks", "sciq,copa"]));
    ran.expect(0, &[]);
    for words in ["sciq@1: acc ", ", acc_norm ", "(6 of 6 documents", "copa@1: acc "] {
        assert!(ran.out.contains(words), "{words}:\n{}", ran.out);
    }

    let shots = [
        "--tasks",
        "sciq",
        "--shots",
        "1",
        "--shots-from",
        "test",
        "--limit",
        "4",
    ];
    let ran = sandbox.run(&eval(&[&shots[..], &["--lm-eval-output", "out", "--json"]].concat()));
    ran.expect(0, &["results_"]);
    let record = &records(&ran.out)[0];
    let result = &record["metrics"]["tasks"][0];
    let files: Vec<PathBuf> = fs::read_dir(sandbox.path("out/small"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    let named = |start: &str| {
        let name = |path: &&PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(start);
        fs::read_to_string(files.iter().find(name).unwrap()).unwrap()
    };
    assert_eq!(files.len(), 2);
    let results: Value = serde_json::from_str(&named("results_")).unwrap();
    let sciq = &results["results"]["sciq"];
    assert_eq!(sciq["acc,none"], result["metrics"][0]["value"]);
    assert_eq!(sciq["acc_norm_stderr,none"], result["metrics"][1]["stderr"]);
    assert_eq!(
        (&results["n-shot"]["sciq"], &results["versions"]["sciq"]),
        (&json!(1), &json!(1.0))
    );
    assert_eq!(results["n-samples"]["sciq"], json!({ "original": 6, "effective": 4 }));
    let samples: Vec<Value> = named("samples_sciq_")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(samples.len(), 4);
    for (sample, item) in samples.iter().zip(result["items"].as_array().unwrap()) {
        assert_eq!((&sample["doc_id"], &sample["target"]), (&item["document"], &json!("3")));
        let said: f64 = sample["resps"][2][0][0].as_str().unwrap().parse().unwrap();
        assert_eq!(json!(said), item["log_likelihoods"][2]);
        assert_eq!(sample["arguments"]["gen_args_3"]["arg_1"], " ice");
        assert_eq!(sample["acc"] == 1.0, item["chosen"][0] == 3);
    }
}

#[test]
fn a_group_of_tasks_is_written_as_lm_eval_has_it() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let data = shared.join("data");
    let sandbox = Sandbox::new();
    let engine = Engine::compiled()[0].to_string();
    let ran = sandbox.run(&[
        "eval",
        "--model",
        "small",
        "--tasks",
        "mmlu",
        "--limit",
        "2",
        "--engine",
        &engine,
        "--json",
        "--lm-eval-output",
        "out",
        "--data",
        data.to_str().unwrap(),
    ]);
    ran.expect(0, &[]);
    let result = &records(&ran.out)[0]["metrics"]["tasks"][0];
    assert_eq!(
        (
            result["groups"].as_array().unwrap().len(),
            result["items"].as_array().unwrap().len()
        ),
        (57, 114)
    );
    let names = fs::read_dir(sandbox.path("out/small")).unwrap();
    let mut names: Vec<String> = names
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 58);
    assert!(names[1].starts_with("samples_mmlu_abstract_algebra_"), "{}", names[1]);
    let results = fs::read_to_string(sandbox.path("out/small").join(&names[0])).unwrap();
    let results: Value = serde_json::from_str(&results).unwrap();
    assert_eq!(results["groups"]["mmlu"]["acc,none"], result["metrics"][0]["value"]);
    assert_eq!(results["group_subtasks"]["mmlu"].as_array().unwrap().len(), 57);
    assert_eq!(results["n-samples"]["mmlu_anatomy"]["effective"], 2);
    assert!(results["n-samples"]["mmlu_anatomy"]["original"].as_u64().unwrap() > 2);
}

#[test]
fn an_unknown_task_is_refused_with_its_near_miss() {
    let sandbox = with_rows();
    let refused = |tasks: &str, words: &[&str]| sandbox.run(&eval(&["--tasks", tasks])).expect_error(2, words);
    refused("sicq", &["did you mean \"sciq\""]);
    refused("llm-prunr-7", &["did you mean \"llm-pruner-7\""]);
    refused("sciq@7", &["sciq@1"]);
    sandbox
        .run(&eval(&["--tasks", "sciq", "--limit", "0"]))
        .expect_error(2, &["limit = 0"]);
    assert_eq!(sandbox.run(&eval(&["--limit", "3"])).code, Some(2));
    sandbox.run(&["list", "task"]).expect(2, &["tasks"]);
}

#[test]
fn rows_that_do_not_fit_are_named_before_anything_runs() {
    let sandbox = with_rows();
    let good = fs::read_to_string(sandbox.path("data/tasks/copa/validation.jsonl")).unwrap();
    for (from, to, words) in [
        ("}\n{", "\n{", ["validation.jsonl", "line 1"]),
        ("\"premise\"", "\"premis\"", ["copa.toml, line ", "premise"]),
        ("\"label\":1", "\"label\":2", ["copa.toml, line ", "0 to 1"]),
        ("\"label\":1", "\"label\":null", ["copa.toml, line ", "index"]),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        sandbox.write("data/tasks/copa/validation.jsonl", &bad);
        let ran = sandbox.run(&eval(&["--tasks", "copa"]));
        ran.expect_error(1, &words);
        assert!(!ran.err.contains("process"), "{}", ran.err);
    }
}

#[test]
fn missing_examples_name_the_split_and_the_cure() {
    let sandbox = with_rows();
    let ran = sandbox.run(&eval(&["--tasks", "sciq", "--shots", "2"]));
    ran.expect_error(1, &["train", "--shots-from", "HF_HUB_OFFLINE"]);
    let too_many = sandbox.run(&eval(&["--tasks", "sciq", "--shots", "6", "--shots-from", "test"]));
    too_many.expect_error(2, &["sciq", "7 row(s)", "there are 6"]);
}

#[test]
fn a_model_that_answers_no_number_is_a_row_that_says_so() {
    let sandbox = with_rows();
    // Weights that are finite, as a checkpoint's must be, and whose products are not.
    sandbox.model("nan", 1e18);
    let engine = Engine::compiled()[0].to_string();
    let arguments = [
        "eval", "--model", "nan", "--data", "data", "--engine", &engine, "--tasks", "sciq",
    ];
    let ran = sandbox.run(&[&arguments[..], &["--lm-eval-output", "out"]].concat());
    ran.expect(1, &[]);
    assert!(ran.out.contains("nan: sciq@1: there is no score"), "{}", ran.out);
    assert_eq!(fs::read_dir(sandbox.path("out")).unwrap().count(), 0);
    let json = sandbox.run(&[&arguments[..], &["--json"]].concat());
    json.expect(1, &[]);
    let record = &records(&json.out)[0];
    assert_eq!((&record["status"], &record["metrics"]), (&json!("nan"), &Value::Null));
}

#[test]
fn an_output_folder_for_lm_eval_that_cannot_be_is_refused_before_the_work() {
    let sandbox = with_rows();
    sandbox.write("file", "");
    let ran = sandbox.run(&eval(&["--tasks", "sciq", "--lm-eval-output", "file/out"]));
    ran.expect_error(1, &["file/out", "--lm-eval-output"]);
    assert!(!ran.err.contains("process"), "{}", ran.err);
}

#[test]
fn tasks_and_suites_are_listed_and_fetched() {
    let sandbox = with_rows();
    let ran = sandbox.run(&["list", "tasks", "--json"]);
    ran.expect(0, &[]);
    let tasks: Value = serde_json::from_str(&ran.out).unwrap();
    let tasks = tasks["tasks"].as_array().unwrap();
    let copa = tasks.iter().find(|task| task["id"] == "copa@1").unwrap();
    assert_eq!(
        (&copa["few_shot_split"], &copa["lm_eval"]["version"]),
        (&json!("train"), &json!("0.4.13"))
    );
    assert!(copa["licence"].is_string() && copa["pinned"].is_boolean() && copa["differs"].is_array());
    let suites: Value = serde_json::from_str(&sandbox.run(&["list", "suites", "--json"]).out).unwrap();
    let suites = suites["suites"].as_array().unwrap();
    let suite = suites.iter().find(|suite| suite["name"] == "llm-pruner-7").unwrap();
    let members = suite["members"].as_array().unwrap();
    let member = members.iter().find(|member| member["task"] == "arc_challenge").unwrap();
    assert_eq!(member["metric"], "acc_norm", "{suite}");
    let shown = sandbox.run(&["list", "suites"]);
    shown.expect_shown(0, &["llm-pruner-7", "arc_challenge"]);

    let fetch = ["fetch", "copa", "--data", "data"];
    sandbox.run(&fetch).expect_error(1, &["train"]);
    let train = fs::read_to_string(sandbox.path("data/tasks/copa/validation.jsonl")).unwrap();
    sandbox.write("data/tasks/copa/train.jsonl", &train);
    let ran = sandbox.run(&fetch);
    ran.expect(0, &[]);
    assert!(
        ran.out.contains("copa@1/validation: ") && ran.out.contains("copa@1/train: "),
        "{}",
        ran.out
    );
}
