use std::{
    io::BufRead,
    process::{Command, Stdio},
};

use super::*;
use crate::store::tests::{names, read, reserve, store};
use crate::test_records::record;
use crate::{Store, check_store, read_records};

#[test]
fn opening_leaves_nothing_behind_and_locks_nothing() {
    let (folder, _store) = store();
    assert!(names(folder.path()).is_empty());
    Store::open(folder.path()).unwrap();
}

#[test]
fn a_reserved_cell_is_nobody_else_s_until_it_is_dropped() {
    let (folder, store) = store();
    let other = Store::open(folder.path()).unwrap();
    let mut first = reserve(&store, 1).unwrap();
    assert!(reserve(&other, 1).is_none() && reserve(&other, 2).is_some());
    // Also with the record written and the other store opened anew.
    first.record(&record(1)).unwrap();
    assert!(reserve(&Store::open(folder.path()).unwrap(), 1).is_none());
    drop(first);
    let after = reserve(&other, 1).unwrap();
    assert_eq!(after.found(), Some(&read(&store, 1).0));
}

#[test]
fn of_many_who_ask_for_a_cell_one_has_it_at_a_time() {
    let (folder, _) = store();
    let measured = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let store = Store::open(folder.path()).unwrap();
                for seed in 0..20 {
                    let mut reservation = loop {
                        match reserve(&store, seed) {
                            Some(reservation) => break reservation,
                            None => std::thread::yield_now(),
                        }
                    };
                    if reservation.found().is_none() {
                        reservation.record(&record(seed)).unwrap();
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
fn the_reservation_of_a_killed_process_is_taken_over_with_what_it_left() {
    // The test starts itself as the process to kill.
    const FOLDER: &str = "PRUNEBENCH_TEST_FOLDER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let store = Store::open(folder).unwrap();
        let _reservation = reserve(&store, 1).unwrap();
        println!("\nholding");
        std::thread::sleep(std::time::Duration::from_secs(60));
        return;
    }
    let (folder, store) = store();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "the_reservation_of_a_killed_process_is_taken_over_with_what_it_left",
            "--nocapture",
        ])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = io::BufReader::new(child.stdout.take().unwrap());
    let held = output.lines().any(|line| line.unwrap() == "holding");
    let refused = reserve(&store, 1).is_none();
    // Half a record and half its samples, as if it was killed while it wrote, and half a record of an earlier version.
    let (stem, name) = (record(1).cell.stem(&record(1).key), record(1).file_name());
    let partials = [
        folder.path().join(format!(".{name}.a1B2c3.partial")),
        folder.path().join(format!(".{stem}.jsonl.gz.a1B2c4.partial")),
        folder.path().join(LOCKS).join(format!("{stem}.partial")),
    ];
    let half = || {
        partials
            .iter()
            .for_each(|partial| fs::write(partial, "{\"schema\": 2, \"key\"").unwrap())
    };
    half();
    Store::open(folder.path()).unwrap();
    let kept = partials.iter().all(|partial| partial.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(held && refused && kept);
    assert_eq!(read_records(folder.path()).unwrap(), []);
    drop(reserve(&store, 1).unwrap());
    Store::open(folder.path()).unwrap();
    assert!(names(folder.path()).is_empty());

    fs::write(path(folder.path(), &stem, LOCK), "process 1").unwrap();
    half();
    Store::open(folder.path()).unwrap();
    assert!(names(folder.path()).is_empty());
}

#[test]
fn who_watches_hears_which_cells_are_reserved_and_how_far_they_are() {
    let (folder, store) = store();
    assert_eq!(running(folder.path()).unwrap(), []);
    let (mut first, _second) = (reserve(&store, 1).unwrap(), reserve(&store, 2).unwrap());
    let said = |seed: u64| {
        let stem = record(seed).cell.stem(&record(seed).key);
        let of_cell = running(folder.path())
            .unwrap()
            .into_iter()
            .find(|running| running.stem == stem);
        of_cell.unwrap().owner
    };
    let owner = said(1).unwrap();
    assert_eq!(
        (owner.cell, owner.process, owner.phase),
        (record(1).cell.to_string(), std::process::id(), None)
    );
    let far = |seed: u64| said(seed).map(|owner| (owner.phase.unwrap_or_default(), owner.done, owner.total));
    first.progress("a long name of a phase", 1, 2);
    first.progress("b", 0, 4);
    assert_eq!(far(1), Some(("b".to_owned(), 0, 4)));
    // Not with every step.
    first.progress("b", 1, 4);
    assert_eq!(far(1), Some(("b".to_owned(), 0, 4)));
    // A line that is half written says nothing yet.
    let stem = record(2).cell.stem(&record(2).key);
    fs::write(path(folder.path(), &stem, LOCK), "{\"cell\": \"ti").unwrap();
    assert_eq!(said(2), None);
    // Watching took nothing away, and what is over isn't listed.
    assert!(reserve(&store, 1).is_none());
    drop(first);
    assert_eq!(running(folder.path()).unwrap().len(), 1);
}

#[test]
fn of_those_who_look_before_they_reserve_one_looks_at_a_time_and_sees_the_reservations_of_the_others() {
    let (folder, _) = store();
    let begun = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8)
            .map(|seed| {
                let folder = folder.path();
                scope.spawn(move || {
                    let store = Store::open(folder).unwrap().on(&format!("host-{seed}"));
                    let record = record(seed);
                    let reservation = store.reserve_if(&record.cell, &record.key, || {
                        let others = running(folder)?.into_iter().filter_map(|running| running.owner);
                        Ok::<_, StoreError>(others.map(|owner| owner.host).eq([format!("host-{seed}")]))
                    });
                    reservation.unwrap()
                })
            })
            .collect();
        let reservations = runs.into_iter().map(|run| run.join().unwrap());
        reservations.collect::<Vec<_>>().into_iter().flatten().count()
    });
    assert_eq!(begun, 1);
}
