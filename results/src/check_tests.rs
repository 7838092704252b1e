use std::fs::{read, write};

use super::*;
use crate::store::tests::{names, store, write as write_record};
use crate::test_records::{failed, record};
use crate::{Store, read_records};

/// The record of a seed, and the path of its samples.
fn samples_of(store: &Store, seed: u64) -> PathBuf {
    let record = record(seed);
    let found = store.find(&record.cell, &record.key).unwrap().unwrap();
    store.folder().join(found.samples.unwrap().file)
}

/// Checks that each finding is about one of these files and has these words, that mending does away with all of them, and
/// that the cells that are left are those of these seeds.
fn check_and_mend(folder: &Path, wanted: &[(&str, &str)], seeds: &[u64]) {
    let findings = check_store(folder, None).unwrap();
    assert_eq!(findings.len(), wanted.len(), "{findings:#?}");
    for (file, words) in wanted {
        let found = findings
            .iter()
            .any(|finding| finding.file.to_string_lossy().contains(file) && finding.problem.contains(words));
        assert!(found, "{file} {words} in {findings:#?}");
    }
    assert!(
        findings
            .iter()
            .all(|finding| !finding.mended && !finding.cure.is_empty())
    );
    let damaged = folder.join("damaged");
    let mended = check_store(folder, Some(&damaged)).unwrap();
    assert!(mended.iter().all(|finding| finding.mended), "{mended:#?}");
    assert_eq!(check_store(folder, Some(&damaged)).unwrap(), []);
    let mut left: Vec<u64> = read_records(folder)
        .unwrap()
        .iter()
        .map(|record| record.cell.seed)
        .collect();
    left.sort();
    assert_eq!(left, seeds);
}

#[test]
fn a_sound_folder_has_no_findings() {
    let (folder, store) = store();
    write_record(&store, &record(1)).unwrap();
    write_record(&store, &failed(2)).unwrap();
    write(folder.path().join("table.md"), "a table").unwrap();
    check_and_mend(folder.path(), &[], &[1, 2]);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1");
    assert_eq!(check_store(&fixtures, None).unwrap(), []);
}

#[test]
fn damaged_records_are_moved_aside_with_their_samples_and_lost_nowhere() {
    let (folder, store) = store();
    let paths = [1, 2, 3, 4].map(|seed| write_record(&store, &record(seed)).unwrap());
    let edit = |path: &Path, edit: &dyn Fn(String) -> String| {
        write(path, edit(String::from_utf8(read(path).unwrap()).unwrap())).unwrap();
    };
    edit(&paths[0], &|text| text[..100].to_owned());
    edit(&paths[1], &|text| text.replacen("\"seed\": 2", "\"seed\": 5", 1));
    write(folder.path().join("notes.json"), "{}").unwrap();
    let other = samples_of(&store, 3);
    write(&other, "other").unwrap();
    let file = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let [truncated, edited, unmatched, _] = paths.each_ref().map(|path| file(path));
    let wanted = [
        (truncated.as_str(), "ends after 100 bytes"),
        (&edited, "its cell and inputs have the key"),
        (&unmatched, "sha256"),
        ("notes.json", "no record"),
        (&truncated.replace(".json", ".jsonl.gz"), "no sound record names it"),
        (&edited.replace(".json", ".jsonl.gz"), "no sound record names it"),
        (&file(&other), "no sound record names it"),
    ];
    check_and_mend(folder.path(), &wanted, &[4]);
    let aside = fs::read_dir(folder.path().join("damaged")).unwrap().count();
    assert_eq!(aside, wanted.len());
    // The cell is measured anew, and may be damaged again.
    write_record(&store, &record(1)).unwrap();
    edit(&paths[0], &|text| text[..100].to_owned());
    let wanted = [wanted[0], wanted[4]];
    check_and_mend(folder.path(), &wanted, &[4]);
    assert_eq!(fs::read_dir(folder.path().join("damaged")).unwrap().count(), aside + 2);
}

#[test]
fn a_record_under_another_name_is_renamed_and_a_second_one_moved_aside() {
    let (folder, store) = store();
    let path = write_record(&store, &record(1)).unwrap();
    fs::rename(&path, folder.path().join("a.json")).unwrap();
    check_and_mend(folder.path(), &[("a.json", "looked for as tiny-wanda")], &[1]);
    assert!(path.exists());
    fs::copy(&path, folder.path().join("a.json")).unwrap();
    check_and_mend(folder.path(), &[("a.json", "the same cell as")], &[1]);
    assert!(path.exists() && samples_of(&store, 1).exists());
}

#[test]
fn what_killed_processes_left_is_found_and_removed_and_what_others_hold_is_neither() {
    let (folder, store) = store();
    let (cell, key) = (record(1).cell, record(1).key);
    let held = store.reserve(&cell, &key).unwrap().unwrap();
    // Between its samples and its record.
    write(folder.path().join(cell.sample_file_name(&key)), "samples").unwrap();
    check_and_mend(folder.path(), &[], &[]);
    drop(held);
    let locks = folder.path().join(lock::LOCKS);
    write(locks.join("x-1.5.lock"), "process 1").unwrap();
    write(locks.join("x-1.5.partial"), "{").unwrap();
    write(folder.path().join(".y-1.5.json.a1B2c3.partial"), "{").unwrap();
    write(folder.path().join(".partial-7"), "{").unwrap();
    let wanted = [
        ("tiny-wanda", "no sound record names it"),
        ("x-1.5.lock", "is gone"),
        ("x-1.5.partial", "is gone"),
        (".y-1.5.json.a1B2c3.partial", "is gone"),
        (".partial-7", "was killed"),
    ];
    check_and_mend(folder.path(), &wanted, &[]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_record_of_the_future_is_left_where_it_is() {
    let (folder, store) = store();
    let path = write_record(&store, &failed(1)).unwrap();
    let text = String::from_utf8(read(&path).unwrap()).unwrap();
    write(&path, text.replacen("\"schema\": 2", "\"schema\": 3", 1)).unwrap();
    let findings = check_store(folder.path(), Some(&folder.path().join("damaged"))).unwrap();
    assert_eq!(findings.len(), 1);
    assert!(!findings[0].mended && findings[0].cure.contains("newer"));
    assert!(path.exists());
}
