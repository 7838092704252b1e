use std::io::{self, BufRead, Read};

use super::*;
use crate::test_records::{failed, record};
use crate::{Attempt, FIRST_NUMERICS, SCHEMA, Status, migration, read_records, read_samples};

/// The record as a store lists it, and as a comparison reads it.
pub(crate) fn read(store: &Store, seed: u64) -> (Record, Record) {
    let listed = find(store, seed).unwrap().unwrap();
    let mut joined = listed.clone();
    read_samples(store.folder(), &mut joined).unwrap();
    (listed, joined)
}

fn find(store: &Store, seed: u64) -> Result<Option<Record>, StoreError> {
    let record = record(seed);
    store.find(&record.cell, &record.key)
}

pub(crate) fn reserve(store: &Store, seed: u64) -> Option<Reservation> {
    let record = record(seed);
    store.reserve(&record.cell, &record.key).unwrap()
}

/// Reserves a record's cell and writes it.
pub(crate) fn write(store: &Store, record: &Record) -> Result<PathBuf, StoreError> {
    let mut reservation = store.reserve(&record.cell, &record.key)?.unwrap();
    let stored = reservation.record(record)?;
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

/// Names of all files of a folder but its subfolders, and of the locks in it.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let list = |folder: &Path| -> Vec<fs::DirEntry> { fs::read_dir(folder).unwrap().map(Result::unwrap).collect() };
    let entries = list(folder).into_iter().chain(list(&folder.join(lock::LOCKS)));
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
fn samples_that_inflate_without_end_are_an_error_with_the_cure() {
    let (folder, store) = store();
    let path = write(&store, &record(1)).unwrap();
    let mut listed = read(&store, 1).0;
    let samples = listed.samples.clone().unwrap();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::copy(&mut io::repeat(b' ').take(1 << 28), &mut bomb).unwrap();
    let bomb = bomb.finish().unwrap();
    let sha256 = crate::samples::sha256(&bomb);
    fs::write(folder.path().join(&samples.file), &bomb).unwrap();
    let text = fs::read_to_string(&path).unwrap().replace(&samples.sha256, &sha256);
    fs::write(&path, text).unwrap();
    listed.samples.as_mut().unwrap().sha256 = sha256;
    let error = read_samples(folder.path(), &mut listed).unwrap_err().to_string();
    for part in [samples.file.as_str(), "line 1: it goes on after", "store check --mend"] {
        assert!(error.contains(part), "{part}: {error}");
    }
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
        // All that differs is what the migration says, and that the numerics are named.
        old["schema"] = SCHEMA.into();
        let numerics = format!("numerics:{}", record.cell.engine);
        old["inputs"][numerics] = FIRST_NUMERICS.into();
        old["status"] = record.status.to_string().into();
        if let Some(task) = old.pointer_mut("/metrics/tasks/0") {
            task["documents"] = 8.into();
        }
        let mut new = serde_json::to_value(&record).unwrap();
        new.sort_all_objects();
        old.sort_all_objects();
        assert_eq!(new, old);
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
        let error = reserve(&store, 1).unwrap().record(&bad).unwrap_err();
        assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    }
    assert_eq!(read_records(store.folder()).unwrap(), []);
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
