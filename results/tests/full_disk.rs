//! A store on a disk that is full.

use std::fs;
use std::io::Write;
use std::path::Path;

use prunebench_results::{Record, Status, Store, StoreError, check_store, read_records, read_samples};
use prunebench_testing::SmallDisk;

/// A measured cell with enough samples to fill the disk soon.
fn record(seed: u64) -> Record {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1");
    let records = read_records(&fixtures).unwrap();
    let is_measured = |record: &Record| record.cell.model == "tiny" && record.status == Status::Ok;
    let mut record = records.into_iter().find(is_measured).unwrap();
    record.cell.seed = seed;
    record.key = record.cell.key(&record.inputs);
    let result = &mut record.metrics.as_mut().unwrap().perplexity[0];
    result.windows = 1000;
    result.window_nll = (0..1000).map(|window| (seed * 1000 + window) as f64 / 7.0).collect();
    record
}

#[test]
fn a_full_disk_keeps_what_was_written_and_holds_nothing_by_halves() {
    let disk = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(disk.path()) else {
        return;
    };
    let folder = disk.path().join("records");
    let store = Store::open(&folder).unwrap();
    let write = |seed| {
        let record = record(seed);
        let reservation = store.reserve(&record.cell, &record.key)?;
        reservation.unwrap().record(&record)
    };
    let is_sound = |count: u64| {
        let records = read_records(&folder).unwrap();
        assert_eq!(records.len() as u64, count);
        for mut found in records {
            read_samples(&folder, &mut found).unwrap();
            let samples = found.samples.take();
            assert!(samples.is_some());
            assert_eq!(found, record(found.cell.seed));
        }
    };
    let (full, error) = (0..100)
        .find_map(|seed| write(seed).err().map(|error| (seed, error)))
        .unwrap();
    assert!(full > 3, "{error}");
    let message = error.to_string();
    assert!(
        message.contains("free some space") && message.contains("records"),
        "{message}"
    );
    is_sound(full);
    // Also of a disk that has not even room for a lock.
    let filler = disk.path().join("filler");
    let mut rest = fs::File::create(&filler).unwrap();
    while rest.write_all(&[0; 512]).is_ok() {}
    drop(rest);
    let message = write(full).unwrap_err().to_string();
    assert!(message.contains("free some space"), "{message}");
    assert!(matches!(Store::open(&folder), Err(StoreError::Folder { .. })));
    is_sound(full);
    let findings = check_store(&folder, None).unwrap();
    let only_samples = |file: &Path| file.to_string_lossy().ends_with(".jsonl.gz");
    assert!(
        findings.iter().all(|finding| only_samples(&finding.file)),
        "{findings:#?}"
    );
    // With room again it goes on.
    fs::remove_file(filler).unwrap();
    for seed in 0..2 {
        let found = read_records(&folder)
            .unwrap()
            .into_iter()
            .find(|found| found.cell.seed == seed)
            .unwrap();
        fs::remove_file(folder.join(&found.samples.as_ref().unwrap().file)).unwrap();
        fs::remove_file(folder.join(found.file_name())).unwrap();
    }
    write(full).unwrap();
    is_sound(full - 1);
    assert_eq!(check_store(&folder, None).unwrap(), []);
}
