use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tempfile::TempDir;

use super::*;

const ROOM: u64 = 1 << 20;

fn work(name: &str) -> SharedWork {
    SharedWork::new(name.into(), json!({ "model": "m", "seed": 1 }))
}

fn cache(folder: &TempDir, limit: u64) -> SharedWorkCache {
    SharedWorkCache::new(folder.path().join("cache"), limit, "a machine")
}

fn files(folder: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path().join("cache")).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    paths
}

/// The part's value, and whether it was made.
fn get(cache: &SharedWorkCache, part: &str, value: Vec<f64>) -> (Vec<f64>, bool) {
    let made = Cell::new(false);
    let make = || -> Result<Vec<f64>, Infallible> {
        made.set(true);
        Ok(value)
    };
    let Ok(value) = cache.share(&work("scores"), part, make);
    (value, made.get())
}

#[test]
fn what_one_made_another_takes_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let value = vec![0.1 + 0.2, f64::MIN_POSITIVE / 2.0, -0.0, f64::INFINITY, f64::NAN];
    let (first, second) = (cache(&folder, ROOM), cache(&folder, ROOM));
    assert!(get(&first, "a", value.clone()).1);
    let (taken, made) = get(&second, "a", Vec::new());
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!((bits(&taken), made), (bits(&value), false));
    assert_eq!((first.taken(), second.taken()), (vec![], vec!["scores".to_owned()]));
    // Another part is another matter.
    assert!(get(&second, "b", vec![1.0]).1);
    assert!(second.faults().is_empty());
}

#[test]
fn whatever_decides_shared_work_changes_its_key() {
    let key = |name: &str, decided_by| SharedWork::new(name.into(), decided_by).key;
    let one = key(
        "scores",
        json!({ "model": "m", "inputs": { "threads": "2", "seed": 1 } }),
    );
    let reordered = json!({ "inputs": { "seed": 1, "threads": "2" }, "model": "m" });
    assert_eq!(one, key("scores", reordered));
    for (name, other) in [
        (
            "other",
            json!({ "model": "m", "inputs": { "threads": "2", "seed": 1 } }),
        ),
        (
            "scores",
            json!({ "model": "n", "inputs": { "threads": "2", "seed": 1 } }),
        ),
        (
            "scores",
            json!({ "model": "m", "inputs": { "threads": "4", "seed": 1 } }),
        ),
        (
            "scores",
            json!({ "model": "m", "inputs": { "threads": "2", "seed": 2 } }),
        ),
        ("scores", json!({ "model": "m", "inputs": { "threads": "2" } })),
    ] {
        assert_ne!(one, key(name, other.clone()), "{name} {other}");
    }
    // The numbers of another machine may differ.
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = SharedWorkCache::new(folder.path().join("cache"), ROOM, "another machine");
    assert!(get(&cache(&folder, ROOM), "a", vec![1.0]).1);
    assert!(get(&elsewhere, "a", vec![2.0]).1);
}

#[test]
fn of_many_that_want_it_at_once_one_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (made, start) = (AtomicUsize::new(0), Barrier::new(8));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let cache = cache(&folder, ROOM);
                start.wait();
                let make = || -> Result<u64, Infallible> {
                    made.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(100));
                    Ok(7)
                };
                let Ok(value) = cache.share(&work("scores"), "a", make);
                assert_eq!(value, 7);
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
}

#[test]
fn a_failure_to_make_it_leaves_nothing_and_the_next_one_tries() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(&folder, ROOM);
    let failed: Result<Vec<f64>, &str> = cache.share(&work("scores"), "a", || Err("no"));
    assert_eq!(failed, Err("no"));
    assert!(files(&folder).is_empty());
    assert!(get(&cache, "a", vec![1.0]).1);
}

#[test]
fn damaged_work_is_removed_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let damages: [fn(&mut Vec<u8>); 4] = [
        |content| content[40] ^= 1,
        |content| content[0] ^= 1,
        |content| content.truncate(50),
        |content| content.truncate(3),
    ];
    for damage in damages {
        get(&cache(&folder, ROOM), "a", vec![1.0, 2.0, 3.0]);
        let path = files(&folder).remove(0);
        let mut content = fs::read(&path).unwrap();
        damage(&mut content);
        fs::write(&path, content).unwrap();
        let cache = cache(&folder, ROOM);
        assert_eq!(get(&cache, "a", vec![1.0, 2.0, 3.0]), (vec![1.0, 2.0, 3.0], true));
        let faults = cache.faults();
        assert!(faults.len() == 1 && faults[0].starts_with("scores: "), "{faults:?}");
        assert_eq!((files(&folder), get(&cache, "a", vec![]).1), (vec![path], false));
    }
}

#[test]
fn a_folder_that_cannot_be_used_keeps_nobody_from_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cache"), "a file in the way").unwrap();
    let cache = cache(&folder, ROOM);
    assert_eq!(get(&cache, "a", vec![1.0]), (vec![1.0], true));
    assert!(!cache.faults().is_empty());
}

#[test]
fn what_was_used_longest_ago_goes_when_the_limit_is_passed() {
    let folder = tempfile::tempdir().unwrap();
    let value = || vec![0.5; 100];
    let cache = cache(&folder, 2000);
    let age = |seconds: u64| {
        let newest = files(&folder).into_iter().max_by_key(|path| modified(path)).unwrap();
        let file = File::options().append(true).open(newest).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
            .unwrap();
    };
    get(&cache, "a", value());
    age(300);
    get(&cache, "b", value());
    age(200);
    // Used again, so that `b` is now the oldest.
    assert!(!get(&cache, "a", value()).1);
    get(&cache, "c", value());
    assert_eq!(files(&folder).len(), 2);
    let kept = |part: &str| !get(&cache, part, value()).1;
    assert!(kept("a") && kept("c") && !kept("b"));
    assert!(cache.faults().is_empty());
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn what_a_killed_process_left_half_written_is_removed_and_what_is_being_written_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(&folder, 5000);
    get(&cache, "a", vec![1.0]);
    let part = |stem: &str| folder.path().join("cache").join(format!(".{stem}.a1B2c3.partial"));
    fs::write(part("left"), vec![0; 9000]).unwrap();
    fs::write(part("held"), vec![0; 9000]).unwrap();
    let _lock = cache.lock("held").unwrap();
    get(&cache, "b", vec![1.0]);
    assert!(!part("left").exists() && part("held").exists());
    // Nor does it count.
    assert!(!get(&cache, "a", vec![]).1 && cache.faults().is_empty());
}

#[test]
fn work_larger_than_the_limit_is_not_kept_and_puts_none_out() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(&folder, 1000);
    get(&cache, "small", vec![1.0]);
    assert_eq!(get(&cache, "large", vec![0.5; 200]).0.len(), 200);
    assert_eq!(files(&folder).len(), 1);
    assert!(!get(&cache, "small", vec![]).1);
}
