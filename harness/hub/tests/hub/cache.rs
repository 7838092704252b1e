//! The cache is the one that `huggingface_hub` reads and writes.

use std::fs;
use std::path::Path;
use std::thread;

use prunebench_hub::Problem;
use prunebench_testing::server::{COMMIT, Reply, Server, sha256};

use super::{CONTENT, files, hub, rows};

fn serving() -> Server {
    Server::new(|request| Reply::part(request, CONTENT).of_hub(&sha256(CONTENT), COMMIT))
}

fn offline(home: &Path) -> prunebench_hub::Hub {
    let mut hub = hub(home, "http://127.0.0.1:1");
    hub.offline = true;
    hub
}

#[test]
fn what_is_written_is_laid_out_as_huggingface_hub_lays_it_out() {
    let server = serving();
    let home = tempfile::tempdir().unwrap();
    let found = hub(home.path(), &server.endpoint)
        .file(&rows("refs/pr/1"), "raw/rows.jsonl")
        .unwrap();
    let etag = sha256(CONTENT);
    let snapshot = format!("datasets--some--rows/snapshots/{COMMIT}/raw/rows.jsonl");
    assert_eq!(found, home.path().join("hub").join(&snapshot));
    assert_eq!(
        files(&home.path().join("hub")),
        [
            format!(".locks/datasets--some--rows/{etag}.lock"),
            format!("datasets--some--rows/blobs/{etag}"),
            "datasets--some--rows/refs/refs/pr/1".to_owned(),
            snapshot,
        ]
    );
    let reference = fs::read_to_string(home.path().join("hub/datasets--some--rows/refs/refs/pr/1")).unwrap();
    assert_eq!(reference, COMMIT);
    #[cfg(unix)]
    assert_eq!(fs::read_link(&found).unwrap(), Path::new("../../../blobs").join(&etag));
}

/// A cache as `huggingface_hub` leaves it, with `file` as a link or, where there are none, as a copy.
fn left(home: &Path, linked: bool) {
    let folder = home.join("hub/datasets--some--rows");
    let snapshot = folder.join("snapshots").join(COMMIT);
    for folder in [&folder.join("blobs"), &snapshot, &folder.join("refs")] {
        fs::create_dir_all(folder).unwrap();
    }
    let blob = folder.join("blobs").join(sha256(CONTENT));
    fs::write(&blob, CONTENT).unwrap();
    fs::write(folder.join("refs/main"), COMMIT).unwrap();
    #[cfg(unix)]
    if linked {
        let target = Path::new("../../blobs").join(sha256(CONTENT));
        return std::os::unix::fs::symlink(target, snapshot.join("rows.jsonl")).unwrap();
    }
    let _ = linked;
    fs::copy(blob, snapshot.join("rows.jsonl")).unwrap();
}

#[test]
fn what_huggingface_hub_left_is_read() {
    for linked in [true, false] {
        let home = tempfile::tempdir().unwrap();
        left(home.path(), linked);
        for revision in ["main", COMMIT] {
            let found = offline(home.path()).file(&rows(revision), "rows.jsonl").unwrap();
            assert_eq!(fs::read(found).unwrap(), CONTENT);
        }
        let absent = offline(home.path()).file(&rows("main"), "other.jsonl").unwrap_err();
        assert!(matches!(absent, Problem::Offline(_)), "{absent}");
    }
}

#[test]
fn a_reference_that_is_no_commit_is_not_followed() {
    let home = tempfile::tempdir().unwrap();
    left(home.path(), false);
    fs::write(home.path().join("evil"), "x").unwrap();
    let reference = home.path().join("hub/datasets--some--rows/refs/main");
    fs::write(&reference, "../../..").unwrap();
    assert_eq!(offline(home.path()).cached(&rows("main"), "evil").unwrap(), None);
    // A line break behind the commit does no harm.
    fs::write(&reference, format!("{COMMIT}\n")).unwrap();
    assert!(
        offline(home.path())
            .cached(&rows("main"), "rows.jsonl")
            .unwrap()
            .is_some()
    );
}

#[test]
fn content_that_is_there_is_not_fetched_for_another_name() {
    let server = serving();
    let home = tempfile::tempdir().unwrap();
    let hub = hub(home.path(), &server.endpoint);
    hub.file(&rows("main"), "rows.jsonl").unwrap();
    let again = hub.file(&rows("main"), "copy/rows.jsonl").unwrap();
    assert_eq!(fs::read(again).unwrap(), CONTENT);
    assert_eq!(server.ranges(), ["0-"]);
    // Content of another length than the Hub's is not the Hub's.
    fs::write(
        home.path().join("hub/datasets--some--rows/blobs").join(sha256(CONTENT)),
        "cut",
    )
    .unwrap();
    let mended = hub.file(&rows("main"), "third.jsonl").unwrap();
    assert_eq!(fs::read(mended).unwrap(), CONTENT);
    assert_eq!(server.ranges(), ["0-", "0-"]);
}

#[test]
fn several_that_want_one_file_fetch_it_once() {
    let server = serving();
    let home = tempfile::tempdir().unwrap();
    let hub = hub(home.path(), &server.endpoint);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let found = hub.file(&rows(COMMIT), "rows.jsonl").unwrap();
                assert_eq!(fs::read(found).unwrap(), CONTENT);
            });
        }
    });
    assert_eq!(server.ranges(), ["0-"]);
    assert_eq!(files(&home.path().join("hub")).len(), 3);
}

#[test]
fn a_branch_that_moved_is_noted_and_a_commit_is_not() {
    let home = tempfile::tempdir().unwrap();
    left(home.path(), false);
    let hub = offline(home.path());
    let reference = home.path().join("hub/datasets--some--rows/refs");
    let other = "f".repeat(40);
    hub.remember(&rows("main"), &other).unwrap();
    hub.remember(&rows(&other), &other).unwrap();
    assert_eq!(fs::read_to_string(reference.join("main")).unwrap(), other);
    assert_eq!(files(&reference), ["main"]);
    for commit in ["../../x", "main", ""] {
        let problem = hub.remember(&rows("main"), commit).unwrap_err();
        assert!(matches!(problem, Problem::Name { what: "commit", .. }), "{problem}");
    }
}

#[test]
fn without_a_home_the_cure_is_named() {
    let mut hub = offline(Path::new("unused"));
    hub.cache = None;
    let problem = hub.file(&rows("main"), "rows.jsonl").unwrap_err();
    assert!(
        matches!(problem, Problem::NoCache) && problem.to_string().contains("HF_HOME"),
        "{problem}"
    );
}
