use std::{
    io::BufRead,
    process::{Command, Stdio},
};

use super::*;
use crate::*;

pub(crate) fn record(seed: u64) -> Record {
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
        log: Vec::new(),
        attempts: Vec::new(),
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
            tasks: vec![task()],
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
        samples: None,
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

/// Two documents, one of them with a likelihood that is no number.
fn task() -> TaskResult {
    let item = |document, log_likelihoods| ScoredItem {
        document,
        group: Some("a group".into()),
        log_likelihoods,
        greedy: vec![true, false],
        gold: Some(0),
        lengths: vec![ChoiceLength { chars: 1, bytes: 2 }; 2],
        divergence: Some((0.1 + 0.2, 3)),
    };
    let request = TaskRequest {
        task: "t@1".into(),
        shots: 0,
        shots_split: None,
        shots_seed: 1234,
        limit: None,
        divergence: true,
    };
    let counts = ScoringCounts {
        requests: 4,
        tokens_scored: 6,
        tokens_read: 9,
        bos_added: false,
        prefix_token: None,
        truncated_requests: 0,
        seconds: 0.25,
    };
    let items = vec![item(0, vec![-0.1, -1.0 / 3.0]), item(4, vec![f64::NEG_INFINITY, -1.0])];
    TaskResult::from_items(request, &[MetricName::Acc], items, 9, counts).unwrap()
}

pub(crate) fn failed(seed: u64) -> Record {
    Record {
        status: Status::Timeout,
        error: Some("took longer than 60 s".into()),
        log: vec!["last words".into()],
        metrics: None,
        ..record(seed)
    }
}

/// The record as a store lists it, and as a comparison reads it.
fn read(store: &Store, seed: u64) -> (Record, Record) {
    let listed = find(store, seed).unwrap().unwrap();
    let mut joined = listed.clone();
    read_samples(store.folder(), &mut joined).unwrap();
    (listed, joined)
}

fn find(store: &Store, seed: u64) -> Result<Option<Record>, StoreError> {
    let record = record(seed);
    store.find(&record.cell, &record.key)
}

fn claim(store: &Store, seed: u64) -> Option<Claim> {
    let record = record(seed);
    store.claim(&record.cell, &record.key).unwrap()
}

/// Claims a record's cell and writes it.
pub(crate) fn write(store: &Store, record: &Record) -> Result<PathBuf, StoreError> {
    let mut claim = store.claim(&record.cell, &record.key)?.unwrap();
    let stored = claim.record(record)?;
    Ok(store.folder().join(stored.file_name()))
}

pub(crate) fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

/// Writes a record, then changes its text on disk.
fn store_with_edited_record(edit: impl Fn(&str) -> String) -> (tempfile::TempDir, Store, PathBuf) {
    let (folder, store) = store();
    let path = write(&store, &record(1)).unwrap();
    fs::write(&path, edit(&fs::read_to_string(&path).unwrap())).unwrap();
    (folder, store, path)
}

/// Names of all files of a folder but its subfolders, and of the claims in it.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let list = |folder: &Path| -> Vec<fs::DirEntry> { fs::read_dir(folder).unwrap().map(Result::unwrap).collect() };
    let entries = list(folder).into_iter().chain(list(&folder.join(claim::CLAIMS)));
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut names: Vec<String> = files.map(|file| file.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let (_folder, store) = store();
    write(&store, &record(1)).unwrap();
    write(&store, &failed(2)).unwrap();
    let (listed, mut joined) = read(&store, 1);
    let metrics = listed.metrics.unwrap();
    assert!(metrics.perplexity[0].window_nll.is_empty() && metrics.tasks[0].items.is_empty());
    assert_eq!(metrics.tasks[0].documents, 2);
    let samples = joined.samples.take().unwrap();
    assert_eq!(joined, record(1));
    assert_eq!(read(&store, 2), (failed(2), failed(2)));
    assert_eq!(find(&store, 3).unwrap(), None);
    let mut all = read_records(store.folder()).unwrap();
    all.sort_by_key(|record| record.cell.seed);
    assert_eq!(all, [read(&store, 1).0, failed(2)]);
    // Nothing else is left.
    let mut wanted = vec![record(1).file_name(), failed(2).file_name(), samples.file];
    wanted.sort();
    assert_eq!(names(store.folder()), wanted);
}

#[test]
fn samples_are_lines_of_json_that_say_what_they_are_of() {
    let (folder, store) = store();
    write(&store, &record(1)).unwrap();
    let name = read(&store, 1).0.samples.unwrap().file;
    let content = fs::read(folder.path().join(name)).unwrap();
    let lines: Vec<serde_json::Value> = io::BufReader::new(flate2::read::GzDecoder::new(content.as_slice()))
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    assert_eq!(
        lines[0],
        serde_json::json!({ "kind": "window", "result": 0, "protocol": "p@1", "nll": 0.1 + 0.2 })
    );
    let item = lines.last().unwrap();
    assert_eq!((&item["task"], &item["document"]), (&"t@1".into(), &4.into()));
    assert_eq!(item["log_likelihoods"], serde_json::json!([null, -1.0]));
    assert_eq!(lines.len(), 4);
}

#[test]
fn samples_that_are_not_the_record_s_are_an_error_with_the_cure() {
    let other = |path: &Path| fs::write(path, "something else").unwrap();
    let gone = |path: &Path| fs::remove_file(path).unwrap();
    for (damage, words) in [(other as fn(&Path), "sha256"), (gone, "No such file")] {
        let (folder, store) = store();
        write(&store, &record(1)).unwrap();
        let mut listed = read(&store, 1).0;
        damage(&folder.path().join(&listed.samples.as_ref().unwrap().file));
        let error = read_samples(store.folder(), &mut listed).unwrap_err();
        assert!(matches!(error, StoreError::Samples { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(words) && message.contains("--mend"), "{message}");
    }
}

#[test]
fn records_of_version_1_are_read_with_every_value() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1");
    let mut found = Vec::new();
    for mut record in read_records(&fixtures).unwrap() {
        read_samples(&fixtures, &mut record).unwrap();
        let text = fs::read_to_string(fixtures.join(record.file_name())).unwrap();
        let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(old["schema"], 1);
        found.push(old["status"].as_str().unwrap().to_owned());
        // All that differs is what the migration says.
        old["schema"] = SCHEMA.into();
        old["status"] = record.status.to_string().into();
        if let Some(task) = old.pointer_mut("/metrics/tasks/0") {
            task["documents"] = 8.into();
        }
        assert_eq!(serde_json::to_value(&record).unwrap(), old);
    }
    assert_eq!(found, ["ok", "timed_out", "ok"]);
    for (old, new) in [
        ("crashed", Status::Failed),
        ("timed_out", Status::Timeout),
        ("out_of_memory", Status::Oom),
        ("failed", Status::Failed),
    ] {
        let mut value = serde_json::to_value(failed(1)).unwrap();
        value["status"] = old.into();
        migration::migrate(&mut value, 1);
        assert_eq!(serde_json::from_value::<Record>(value).unwrap().status, new);
    }
}

#[test]
fn a_retry_of_a_cell_of_version_1_keeps_its_first_try() {
    let (folder, store) = store();
    let name = "tiny-dense-ac3e46d4ace306b1.json";
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1").join(name);
    fs::copy(fixture, folder.path().join(name)).unwrap();
    let old = read_records(folder.path()).unwrap().remove(0);
    let again = Record {
        status: Status::Skipped,
        error: Some("no such thing here".into()),
        ..old.clone()
    };
    write(&store, &again).unwrap();
    let now = store.find(&old.cell, &old.key).unwrap().unwrap();
    assert_eq!(now.status, Status::Skipped);
    let attempt = Attempt {
        status: Status::Timeout,
        error: old.error.unwrap(),
        started_at: old.provenance.started_at,
    };
    assert_eq!(now.attempts, [attempt]);
}

#[test]
fn a_truncated_record_is_an_error_at_every_length() {
    for bytes in [0, 1, 100, 1000] {
        let (_folder, store, path) = store_with_edited_record(|text| text[..bytes].to_owned());
        for error in [read_records(store.folder()).unwrap_err(), find(&store, 1).unwrap_err()] {
            assert!(matches!(error, StoreError::Truncated { .. }), "{bytes}: {error}");
            let message = error.to_string();
            assert!(message.contains(&path.display().to_string()), "{message}");
            assert!(message.contains("store check --mend"), "{message}");
        }
    }
}

#[test]
fn a_record_with_an_unknown_field_is_an_error_that_names_it() {
    let edit = |text: &str| text.replacen("\"experiment\"", "\"extra\": 1, \"experiment\"", 1);
    let (_folder, store, path) = store_with_edited_record(edit);
    let message = read_records(store.folder()).unwrap_err().to_string();
    assert!(message.contains("extra"), "{message}");
    assert!(message.contains(&path.display().to_string()), "{message}");
}

#[test]
fn a_record_of_another_format_is_called_that() {
    let edit = |text: &str| text.replacen("\"schema\": 2", "\"schema\": 3, \"new\": 0", 1);
    let (_folder, store, _) = store_with_edited_record(edit);
    let message = read_records(store.folder()).unwrap_err().to_string();
    assert!(
        message.contains("record format 3") && message.contains("newer prunebench"),
        "{message}"
    );
}

#[test]
fn a_record_whose_cell_was_edited_is_refused() {
    let edit = |text: &str| text.replacen("\"seed\": 1", "\"seed\": 2", 1);
    let (_folder, store, _) = store_with_edited_record(edit);
    let message = find(&store, 1).unwrap_err().to_string();
    assert!(message.contains("its cell and inputs have the key"), "{message}");
}

#[test]
fn a_foreign_json_file_is_an_error_and_other_files_are_not() {
    let (folder, store) = store();
    fs::write(folder.path().join("table.md"), "a table").unwrap();
    assert_eq!(read_records(store.folder()).unwrap(), []);
    fs::write(folder.path().join("notes.json"), r#"{"a": 1}"#).unwrap();
    let error = read_records(store.folder()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("notes.json"), "{error}");
}

#[test]
fn two_files_of_one_cell_are_an_error_that_names_both() {
    let (folder, store) = store();
    let path = write(&store, &record(1)).unwrap();
    fs::copy(&path, folder.path().join("copy.json")).unwrap();
    let message = read_records(store.folder()).unwrap_err().to_string();
    assert!(
        message.contains("copy.json") && message.contains("tiny-wanda"),
        "{message}"
    );
    // Its own name is looked at alone.
    assert!(find(&store, 1).unwrap().is_some());
}

#[test]
fn a_success_stays_and_a_failure_becomes_an_attempt() {
    let (_folder, store) = store();
    write(&store, &failed(1)).unwrap();
    write(&store, &failed(1)).unwrap();
    write(&store, &record(1)).unwrap();
    let found = read(&store, 1).0;
    let attempt = Attempt {
        status: Status::Timeout,
        error: "took longer than 60 s".into(),
        started_at: "2025-01-01T00:00:00Z".into(),
    };
    assert_eq!(found.attempts, vec![attempt; 2]);
    let error = write(&store, &failed(1)).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyMeasured { .. }), "{error}");
    assert_eq!(read(&store, 1).0, found);
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
    let mut listed = record(1);
    listed.metrics.as_mut().unwrap().perplexity[0].window_nll.clear();
    for bad in [infinite, lost, silent, other_key, listed, record(2)] {
        let error = claim(&store, 1).unwrap().record(&bad).unwrap_err();
        assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    }
    assert_eq!(read_records(store.folder()).unwrap(), []);
}

#[test]
fn opening_leaves_nothing_behind_and_locks_nothing() {
    let (folder, _store) = store();
    assert!(names(folder.path()).is_empty());
    Store::open(folder.path()).unwrap();
}

#[test]
fn a_claimed_cell_is_nobody_else_s_until_it_is_dropped() {
    let (folder, store) = store();
    let other = Store::open(folder.path()).unwrap();
    let mut first = claim(&store, 1).unwrap();
    assert!(claim(&other, 1).is_none() && claim(&other, 2).is_some());
    // Also with the record written and the other store opened anew.
    first.record(&record(1)).unwrap();
    assert!(claim(&Store::open(folder.path()).unwrap(), 1).is_none());
    drop(first);
    let after = claim(&other, 1).unwrap();
    assert_eq!(after.found(), Some(&read(&store, 1).0));
}

#[test]
fn of_many_claimants_each_cell_has_one_at_a_time() {
    let (folder, _) = store();
    let measured = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = Store::open(folder.path()).unwrap();
                for seed in 0..20 {
                    let mut claim = loop {
                        match claim(&store, seed) {
                            Some(claim) => break claim,
                            None => std::thread::yield_now(),
                        }
                    };
                    if claim.found().is_none() {
                        claim.record(&record(seed)).unwrap();
                        measured.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(measured.into_inner(), 20);
    assert_eq!(read_records(folder.path()).unwrap().len(), 20);
    assert_eq!(check_store(folder.path(), None).unwrap(), []);
}

#[test]
fn the_claim_of_a_killed_process_is_taken_over_with_what_it_left() {
    // The test starts itself as the process to kill.
    const FOLDER: &str = "PRUNEBENCH_TEST_FOLDER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let store = Store::open(folder).unwrap();
        let _claim = claim(&store, 1).unwrap();
        println!("\nholding");
        std::thread::sleep(std::time::Duration::from_secs(60));
        return;
    }
    let (folder, store) = store();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "the_claim_of_a_killed_process_is_taken_over_with_what_it_left",
            "--nocapture",
        ])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = io::BufReader::new(child.stdout.take().unwrap());
    let held = output.lines().any(|line| line.unwrap() == "holding");
    let refused = claim(&store, 1).is_none();
    // Half a record, as if it was killed while it wrote.
    let stem = record(1).cell.stem(&record(1).key);
    let partial = folder.path().join(claim::CLAIMS).join(format!("{stem}.partial"));
    fs::write(&partial, "{\"schema\": 2, \"key\"").unwrap();
    Store::open(folder.path()).unwrap();
    let kept = partial.exists();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(held && refused && kept);
    assert_eq!(read_records(folder.path()).unwrap(), []);
    drop(claim(&store, 1).unwrap());
    assert!(names(folder.path()).is_empty());

    fs::write(partial.with_extension("lock"), "process 1").unwrap();
    fs::write(&partial, "{").unwrap();
    Store::open(folder.path()).unwrap();
    assert!(names(folder.path()).is_empty());
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
    assert_eq!(mode(&write(&store, &record(1)).unwrap()), mode(&plain));
}
