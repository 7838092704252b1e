//! The commands beside `run`.

use std::collections::HashMap;

use prunebench_tensor::Engine;
use prunebench_testing::server::{Answer, COMMIT, Fault, Server};
use serde_json::{Value, json};

use crate::support::{Ran, Sandbox};

#[test]
fn doctor_says_what_is_there_and_how_to_mend_the_rest() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["doctor"]);
    ran.expect(0, &[]);
    for word in [
        "candle on the CPU",
        "torch on the CPU",
        "text wikitext2/test",
        "results folder",
        "to mend: prunebench fetch",
    ] {
        assert!(ran.out.contains(word), "{word}:\n{}", ran.out);
    }
    let ran = sandbox.run(&["doctor", "--json"]);
    let checks: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    for engine in Engine::compiled() {
        let check = checks
            .iter()
            .find(|check| check["name"] == format!("{engine} on the CPU"))
            .unwrap();
        assert_eq!(check["state"], "ok");
    }
    assert!(
        checks
            .iter()
            .filter(|check| check["state"] != "ok")
            .all(|check| check["cure"].is_string())
    );
}

#[test]
fn doctor_fails_on_what_is_broken() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "");
    let ran = sandbox.run(&["doctor", "--results", "file/results"]);
    ran.expect(1, &[]);
    assert!(ran.out.starts_with("broken\n✗ results folder\n"), "{}", ran.out);
    assert!(ran.out.ends_with("1 thing to mend, see above.\n"), "{}", ran.out);
}

#[test]
fn list_names_everything_that_an_experiment_can() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["list"]);
    ran.expect(0, &[]);
    for word in ["dense", "magnitude", "smollm2-135m", "wikitext2/stream-512@1", "candle"] {
        assert!(ran.out.contains(word), "{word}:\n{}", ran.out);
    }
    let methods: Value = serde_json::from_str(&sandbox.run(&["list", "methods", "--json"]).out).unwrap();
    assert!(
        methods["methods"]
            .as_array()
            .unwrap()
            .iter()
            .any(|method| method["id"] == "wanda")
    );
}

#[test]
fn throughput_gives_raw_times_on_every_engine() {
    let sandbox = Sandbox::new();
    let arguments = [
        "throughput",
        "--model",
        "small",
        "--prompt-tokens",
        "8",
        "--generate",
        "4",
        "--repeats",
        "3",
        "--ceilings",
        "--json",
    ];
    let ran = sandbox.run(&arguments);
    ran.expect(0, &[]);
    let records: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(records.len(), Engine::compiled().len());
    for record in records {
        let throughput = &record["metrics"]["throughput"];
        assert_eq!(throughput["decode"]["seconds"].as_array().unwrap().len(), 3);
        assert_eq!(throughput["first_token"]["tokens"], 1);
        for ceiling in ["copy", "matmul"] {
            assert!(throughput["ceilings"][ceiling]["per_second"].as_f64() > Some(0.0));
        }
        assert_eq!(
            (&throughput["prefill"]["tokens"], &throughput["decode"]["tokens"]),
            (&8.into(), &3.into())
        );
    }
    assert!(!sandbox.path("results").exists());
}

#[test]
fn a_model_split_over_ranks_is_timed_and_its_all_reduces_are_counted() {
    let sandbox = Sandbox::new();
    let split = |more: &str| {
        let arguments = format!("throughput --model tiny --prompt-tokens 8 --generate 4 --repeats 2 {more}");
        sandbox.run(&arguments.split_whitespace().collect::<Vec<_>>())
    };
    let ran = split("--threads 2 --ranks 2 --all-reduce-latency-us 5 --json");
    ran.expect(0, &[]);
    let records: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(records.len(), Engine::compiled().len());
    for record in records {
        let throughput = &record["metrics"]["throughput"];
        assert_eq!(
            throughput["tensor_parallel"],
            json!({"ranks": 2, "all_reduce_latency_us": 5})
        );
        // Eight blocks, two each.
        assert_eq!(throughput["all_reduces_per_token"], 16);
    }
    split("--threads 4 --ranks 4").expect_error(2, &["tiny", "2 key heads of block 0"]);
    split("--all-reduce-latency-us 5").expect(2, &["--ranks"]);
}

#[test]
fn training_steps_are_timed_on_every_engine() {
    let sandbox = Sandbox::new();
    let train = |what, more: &[&str]| {
        let fixed = [
            "throughput",
            "--model",
            "small",
            "--train",
            what,
            "--train-tokens",
            "8",
            "--repeats",
            "3",
        ];
        sandbox.run(&[&fixed[..], more].concat())
    };
    let ran = train("lora", &["--batch", "2", "--json"]);
    ran.expect(0, &[]);
    let records: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(records.len(), Engine::compiled().len());
    for record in records {
        let training = &record["metrics"]["training"];
        assert_eq!(training["steps"]["seconds"].as_array().unwrap().len(), 3);
        assert_eq!(
            (&training["steps"]["tokens"], &training["parameters"]),
            (&16.into(), &"lora".into())
        );
        assert!(record["memory"]["peak_resident_bytes"].as_u64() > Some(0));
        assert!(record["metrics"]["throughput"].is_null());
    }
    train("full", &[]).expect(0, &[]);
    train("full", &["--generate", "4"]).expect(2, &["--train"]);
}

#[test]
fn a_compressed_model_is_written_and_measures_like_the_recipe() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let data = shared.join("data");
    let data = data.to_str().unwrap();
    let sandbox = Sandbox::new();
    let recipe = "shortgpt(ratio=0.5)";
    let ran = sandbox.run(&[
        "compress", "--model", "small", "--recipe", recipe, "--out", "half", "--data", data,
    ]);
    ran.expect(0, &[]);
    assert!(ran.out.contains("parameters stored"), "{}", ran.out);
    let perplexity = |arguments: &[&str]| -> f64 {
        let common = [
            "eval",
            "--protocol",
            "wikitext2/stream-128@1",
            "--windows",
            "2",
            "--json",
            "--data",
            data,
        ];
        let ran = sandbox.run(&[&common, arguments].concat());
        ran.expect(0, &[]);
        let records: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
        records[0]["metrics"]["perplexity"][0]["value"].as_f64().unwrap()
    };
    let written = perplexity(&["--model", "half"]);
    let applied = perplexity(&["--model", "small", "--recipe", recipe]);
    assert!((written / applied - 1.0).abs() < 1e-6, "{written} {applied}");
    let again = sandbox.run(&[
        "compress", "--model", "small", "--recipe", recipe, "--out", "half", "--data", data,
    ]);
    again.expect_error(1, &["half"]);
}

#[test]
fn a_download_leaves_a_line_at_its_begin_and_one_at_its_end() {
    let sandbox = Sandbox::new();
    let weights = vec![7; 2_000_000];
    let listing = Answer::listing(["config.json", "model.safetensors"]);
    let at = |name: &str| format!("/org/model/resolve/{COMMIT}/{name}");
    let server = Server::of(HashMap::from([
        ("/api/models/org/model/revision/main".to_owned(), listing),
        (at("config.json"), Answer::File(b"{}".to_vec())),
        (
            at("model.safetensors"),
            Answer::Faulty(weights, vec![Fault::Cut(1_300_000)]),
        ),
    ]));
    let mut command = sandbox.command(&["fetch", "hf:org/model"]);
    command.env("HF_ENDPOINT", &server.endpoint).env("HF_HUB_OFFLINE", "0");
    let ran: Ran = command.output().unwrap().into();
    let said: Vec<&str> = ran
        .err
        .lines()
        .filter(|line| line.contains("org/model model."))
        .collect();
    assert_eq!(said.len(), 4, "{}", ran.err);
    let of = "org/model model.safetensors";
    assert_eq!(said[0], format!("fetching {of}, 2 MB"));
    assert!(said[1].starts_with(&format!("{of} was cut after ")), "{}", said[1]);
    assert_eq!(said[2], format!("fetching {of}, 2 MB; 1 MB of it are there"));
    assert!(said[3].starts_with(&format!("fetched {of} in ")), "{}", said[3]);
    assert!(!ran.err.contains("config.json"), "{}", ran.err);
}

#[test]
fn completions_and_help_are_there() {
    let sandbox = Sandbox::new();
    assert!(sandbox.run(&["completions", "bash"]).out.contains("_prunebench"));
    let help = sandbox.run(&["--help"]).out;
    assert!(
        help.contains("Exit codes: 0 ok, 1 something failed, 2 wrong usage"),
        "{help}"
    );
    assert!(!help.contains('\u{1b}'), "colours in a pipe");
}
