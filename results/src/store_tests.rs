use std::{
    io::BufRead,
    process::{Command, Stdio},
};

use super::*;
use crate::*;

fn record(seed: u64) -> Record {
    let cell = Cell {
        model: "tiny".into(),
        recipe: vec!["wanda(sparsity=0.5)".into()],
        engine: "candle".into(),
        device: "cpu".into(),
        dtype: "f32".into(),
        seed,
        evaluation: Evaluation::default(),
    };
    let inputs = Inputs::from([(MODEL_INPUT.to_owned(), "abc".to_owned())]);
    Record {
        schema: SCHEMA,
        key: cell.key(&inputs),
        cell,
        inputs,
        experiment: "smol".into(),
        status: Status::Ok,
        error: None,
        metrics: Some(Metrics {
            perplexity: vec![PerplexityResult::from_windows("p@1".into(), vec![0.1 + 0.2, 1e-300], 3, 4, 5).unwrap()],
            throughput: Some(ThroughputResult {
                prompt_tokens: 128,
                generated_tokens: 32,
                batch: 1,
                threads: 2,
                prefill: Samples::new(128, vec![0.5, 0.7]).unwrap(),
                decode: Samples::new(31, vec![1.5, 1.7]).unwrap(),
                first_call_s: 0.9,
                tensor_parallel: None,
                all_reduces_per_token: None,
            }),
            training: None,
            tasks: Vec::new(),
            compression: Compression {
                nominal_ratio: Some(0.5),
                achieved_ratio: 0.4999,
                achieved_parameter_ratio: 0.0,
                mask_sparsity: 0.4,
                method_reports: vec![MethodReport {
                    method: "wanda".into(),
                    config: serde_json::json!({"sparsity": 0.5, "b": 1, "a": null}),
                    nominal: Some(0.5),
                    achieved: 0.4999,
                    basis: "prunable weights".into(),
                    stochastic: false,
                    details: serde_json::json!({}),
                }],
            },
            accounting: Accounting {
                stored_parameters: 10,
                executed_parameters: 12,
                nonzero_parameters: 6,
                stored_bytes: 40,
                flops_per_token: 24,
                kv_bytes_per_token: 8,
                effective_depth: 2,
            },
            budget: Budget {
                calibration_tokens: 1024,
                training_tokens: 0,
                forward_passes: 2,
                cpu_seconds: 1.25,
                wall_seconds: 0.75,
                update_seconds: 0.5,
            },
        }),
        memory: Some(Memory {
            peak_resident_bytes: 1 << 20,
            how: "VmHWM".into(),
        }),
        provenance: Provenance {
            git_revision: Some("0123abcd".into()),
            git_dirty: false,
            prunebench_version: "0.1.0".into(),
            rustc: "rustc 1.95.0".into(),
            engine_version: "candle 0.11.1".into(),
            cpu: "a CPU".into(),
            cores: 2,
            threads: 2,
            memory_bytes: 1 << 33,
            gpu: None,
            driver: None,
            os: "an OS".into(),
            started_at: "2025-01-01T00:00:00Z".into(),
            finished_at: "2025-01-01T00:00:09Z".into(),
        },
    }
}

fn failed(seed: u64) -> Record {
    Record {
        status: Status::TimedOut,
        error: Some("took longer than 60 s".into()),
        metrics: None,
        ..record(seed)
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

/// Writes a record, then changes its text on disk.
fn store_with_edited_record(edit: impl Fn(&str) -> String) -> (tempfile::TempDir, Store, PathBuf) {
    let (folder, store) = store();
    let path = store.record(&record(1)).unwrap();
    fs::write(&path, edit(&fs::read_to_string(&path).unwrap())).unwrap();
    (folder, store, path)
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let (_folder, store) = store();
    store.record(&record(1)).unwrap();
    store.record(&failed(2)).unwrap();
    assert_eq!(store.find(&record(1).key).unwrap(), Some(record(1)));
    assert_eq!(store.find(&record(2).key).unwrap(), Some(failed(2)));
    assert_eq!(store.find(&record(3).key).unwrap(), None);
    let mut all = store.all().unwrap();
    all.sort_by_key(|record| record.cell.seed);
    assert_eq!(all, [record(1), failed(2)]);
}

#[test]
fn a_truncated_record_is_an_error_at_every_length() {
    for bytes in [0, 1, 100, 1000] {
        let (_folder, store, path) = store_with_edited_record(|text| text[..bytes].to_owned());
        for error in [store.all().unwrap_err(), store.find(&record(1).key).unwrap_err()] {
            assert!(matches!(error, StoreError::Truncated { .. }), "{bytes}: {error}");
            let message = error.to_string();
            assert!(message.contains(&path.display().to_string()), "{message}");
            assert!(message.contains("delete it"), "{message}");
        }
    }
}

#[test]
fn a_record_with_an_unknown_field_is_an_error_that_names_it() {
    let edit = |text: &str| text.replacen("\"experiment\"", "\"extra\": 1, \"experiment\"", 1);
    let (_folder, store, path) = store_with_edited_record(edit);
    let message = store.all().unwrap_err().to_string();
    assert!(message.contains("extra"), "{message}");
    assert!(message.contains(&path.display().to_string()), "{message}");
}

#[test]
fn a_record_without_tasks_is_as_it_was_before_there_were_any() {
    let json = serde_json::to_value(record(1)).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&json["cell"]["evaluation"]), ["perplexity", "throughput"]);
    let metrics = &json["metrics"];
    assert_eq!(
        keys(metrics),
        ["perplexity", "throughput", "compression", "accounting", "budget"]
    );
    let perplexity = [
        "protocol",
        "unit",
        "value",
        "stderr",
        "windows",
        "windows_available",
        "tokens_scored",
        "total_nll",
        "window_nll",
        "tail_tokens_dropped",
    ];
    assert_eq!(keys(&metrics["perplexity"][0]), perplexity);
    // Written when the format had no tasks.
    let old = read_records(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")).unwrap();
    let metrics = old[0].metrics.as_ref().unwrap();
    assert!(metrics.tasks.is_empty() && !metrics.perplexity.is_empty());
}

#[test]
fn a_record_of_another_format_is_called_that() {
    let edit = |text: &str| text.replacen("\"schema\": 1", "\"schema\": 2, \"new\": 0", 1);
    let (_folder, store, _) = store_with_edited_record(edit);
    let message = store.all().unwrap_err().to_string();
    assert!(message.contains("record format 2"), "{message}");
}

#[test]
fn a_record_whose_cell_was_edited_is_refused() {
    let edit = |text: &str| text.replacen("\"seed\": 1", "\"seed\": 2", 1);
    let (_folder, store, _) = store_with_edited_record(edit);
    let message = store.find(&record(1).key).unwrap_err().to_string();
    assert!(message.contains("its cell and inputs have the key"), "{message}");
}

#[test]
fn a_foreign_json_file_is_an_error_and_other_files_are_not() {
    let (folder, store) = store();
    fs::write(folder.path().join("table.md"), "a table").unwrap();
    assert_eq!(store.all().unwrap(), []);
    fs::write(folder.path().join("notes.json"), r#"{"a": 1}"#).unwrap();
    let error = store.all().unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("notes.json"), "{error}");
}

#[test]
fn two_files_of_one_cell_are_an_error_that_names_both() {
    let (folder, store) = store();
    let path = store.record(&record(1)).unwrap();
    fs::copy(&path, folder.path().join("copy.json")).unwrap();
    let message = store.all().unwrap_err().to_string();
    assert!(
        message.contains("copy.json") && message.contains("tiny-wanda"),
        "{message}"
    );

    let copy = folder.path().join(format!("copy-{}.json", record(1).key.short()));
    fs::copy(&path, copy).unwrap();
    assert!(matches!(store.find(&record(1).key), Err(StoreError::Duplicate { .. })));
}

#[test]
fn a_success_stays_and_a_failure_is_replaced() {
    let (_folder, store) = store();
    store.record(&failed(1)).unwrap();
    store.record(&record(1)).unwrap();
    assert_eq!(store.all().unwrap(), [record(1)]);
    let error = store.record(&failed(1)).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyMeasured { .. }), "{error}");
    assert_eq!(store.all().unwrap(), [record(1)]);
}

#[test]
fn a_record_that_json_or_the_rules_cannot_hold_is_refused() {
    let (_folder, store) = store();
    let mut infinite = record(1);
    infinite.metrics.as_mut().unwrap().budget.cpu_seconds = f64::INFINITY;
    let mut lost = record(1);
    lost.metrics.as_mut().unwrap().compression.nominal_ratio = Some(f64::NAN);
    let silent = Record {
        metrics: None,
        ..record(1)
    };
    let other_key = Record {
        key: record(2).key,
        ..record(1)
    };
    for bad in [infinite, lost, silent, other_key] {
        let error = store.record(&bad).unwrap_err();
        assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    }
    assert_eq!(store.all().unwrap(), []);
}

#[test]
fn what_a_killed_writer_leaves_is_never_read_and_is_cleared_away() {
    let (folder, store) = store();
    let (_, left) = write_partial(folder.path(), b"{\"schema\": 1, \"key\"")
        .unwrap()
        .keep()
        .unwrap();
    assert_eq!(store.all().unwrap(), []);
    assert_eq!(store.find(&record(1).key).unwrap(), None);
    drop(store);
    Store::open(folder.path()).unwrap();
    assert!(!left.exists());
}

#[test]
fn opening_leaves_nothing_but_the_lock() {
    let (folder, _store) = store();
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, [LOCK]);
}

#[test]
fn a_folder_in_use_is_refused_with_its_owner_and_free_afterwards() {
    let (folder, store) = store();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(store);
    Store::open(folder.path()).unwrap();
}

#[test]
fn the_lock_of_a_killed_process_is_taken_over() {
    // The test starts itself as the process to kill.
    const FOLDER: &str = "PRUNEBENCH_TEST_FOLDER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let _store = Store::open(folder).unwrap();
        println!("\nholding");
        std::thread::sleep(std::time::Duration::from_secs(60));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["the_lock_of_a_killed_process_is_taken_over", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = io::BufReader::new(child.stdout.take().unwrap());
    let held = output.lines().any(|line| line.unwrap() == "holding");
    let refused = Store::open(folder.path());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(held);
    match refused {
        Err(StoreError::Busy { owner, .. }) => assert_eq!(owner, child.id().to_string()),
        other => panic!("{other:?}"),
    }
    Store::open(folder.path()).unwrap();
}

#[test]
fn a_folder_that_cannot_be_is_an_error_with_path_and_cure() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let message = Store::open(file.path().join("runs")).unwrap_err().to_string();
    assert!(message.contains(&file.path().display().to_string()), "{message}");
    assert!(message.contains("a file stands in its way"), "{message}");
    let message = Store::open(file.path()).unwrap_err().to_string();
    assert!(message.contains("a file stands in its way"), "{message}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files_is_refused_before_anything_is_measured() {
    for folder in ["/proc/prunebench", "/proc/self"] {
        let error = Store::open(folder).unwrap_err();
        assert!(matches!(error, StoreError::Folder { .. }), "{error}");
        assert!(error.to_string().contains(folder), "{error}");
    }
}

#[test]
fn a_read_only_or_full_disk_names_its_own_cure() {
    for (kind, cure) in [
        (io::ErrorKind::ReadOnlyFilesystem, "read-only file system"),
        (io::ErrorKind::PermissionDenied, "write access"),
        (io::ErrorKind::StorageFull, "free some space"),
    ] {
        let message = StoreError::folder(Path::new("runs"), kind.into()).to_string();
        assert!(message.contains(cure) && message.contains("runs"), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn others_may_read_a_record_as_far_as_the_umask_allows() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, store) = store();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&store.record(&record(1)).unwrap()), mode(&plain));
}
