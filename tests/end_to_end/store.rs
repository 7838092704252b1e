//! The folder of records as a user meets it when something went wrong with it, and as a table.

use std::fs;
use std::path::PathBuf;

use crate::support::Sandbox;

const EXPERIMENT: &str = r#"
    name = "a"
    models = ["tiny"]
    engines = ["candle"]
    recipes = ["magnitude(ratio=0.5)"]
    [evaluation]
    perplexity = [{ protocol = "world/stream-128@1", windows = 4 }]
    tasks = ["world_facts"]
    limit = 5
"#;

/// The files of the records' folder with this ending.
fn files(sandbox: &Sandbox, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(sandbox.path("results/runs/a/records")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    paths.sort();
    paths
}

#[test]
fn a_damaged_record_is_named_mended_and_measured_anew() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", EXPERIMENT);
    let run = || sandbox.run(&["run", "a.toml"]);
    let check = |rest: &[&str]| sandbox.run(&[&["store", "check", "results/runs/a"], rest].concat());
    run().expect(0, &["2 of 2 cells measured; 2 of them now"]);
    check(&[]).expect(0, &["nothing is wrong"]);
    let before = sandbox.records("a");

    let record = files(&sandbox, ".json").remove(1);
    fs::write(&record, &fs::read(&record).unwrap()[..1000]).unwrap();
    fs::write(files(&sandbox, ".jsonl.gz").remove(0), "not these").unwrap();
    run().expect_error(1, &["ends after 1000 bytes", "store check --mend"]);
    let found = check(&[]);
    found.expect(1, &["4 findings", "--mend"]);
    for words in [
        "ends after 1000 bytes",
        "sha256",
        "no sound record names it",
        "measures its cell anew",
    ] {
        assert!(found.out.contains(words), "{words} in {}", found.out);
    }
    check(&["--mend"]).expect(0, &["4 findings, 4 mended"]);
    assert_eq!(fs::read_dir(sandbox.path("results/runs/a/damaged")).unwrap().count(), 4);
    check(&["--json"]).expect(0, &["nothing is wrong"]);

    run().expect(0, &["2 of 2 cells measured; 2 of them now"]);
    // The same numbers as before.
    let numbers = |records: &[serde_json::Value]| -> Vec<serde_json::Value> {
        let of = |record: &serde_json::Value| record["metrics"]["perplexity"].clone();
        records.iter().map(of).collect()
    };
    assert_eq!(numbers(&sandbox.records("a")), numbers(&before));
}

#[test]
fn all_records_are_exported_as_one_table() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", EXPERIMENT);
    sandbox.run(&["run", "a.toml"]).expect(0, &[]);
    for format in ["csv", "parquet", "jsonl"] {
        let out = format!("table.{format}");
        let arguments = ["store", "export", "results/runs/a", "--format", format, "--out", &out];
        sandbox.run(&arguments).expect(0, &["2 records"]);
    }
    let text = fs::read_to_string(sandbox.path("table.jsonl")).unwrap();
    // A perplexity and the three metrics of the task, of each record.
    assert_eq!(text.lines().count(), 8);
    assert_eq!(
        fs::read_to_string(sandbox.path("table.csv")).unwrap().lines().count(),
        9
    );
    assert!(fs::read(sandbox.path("table.parquet")).unwrap().starts_with(b"PAR1"));
    let nowhere = [
        "store",
        "export",
        "results/runs/a",
        "--format",
        "csv",
        "--out",
        "no/such/folder.csv",
    ];
    sandbox
        .run(&nowhere)
        .expect_error(1, &["no/such/folder.csv", "check the folder"]);
}
