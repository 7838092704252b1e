//! What comes is the whole file or nothing, however the way there is.

use std::collections::HashMap;
use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use prunebench_hub::{Download, DownloadState, Hub, Problem, observe_downloads};
use prunebench_testing::server::{Answer, COMMIT, Cut, Fault, Reply, Server, sha256};
use tempfile::TempDir;

use super::{CONTENT, files, half, hub, large, path, rows};

fn served(faults: &[Fault]) -> (TempDir, Server, Hub) {
    let answer = Answer::Faulty(CONTENT.to_vec(), faults.to_vec());
    let server = Server::of(HashMap::from([(path(COMMIT), answer)]));
    let home = tempfile::tempdir().unwrap();
    let hub = hub(home.path(), &server.endpoint);
    (home, server, hub)
}

fn gave_up(problem: Problem) -> (usize, Problem) {
    match problem {
        Problem::GaveUp { attempts, last } => (attempts, *last),
        other => panic!("not given up: {other}"),
    }
}

/// The file of content, and its part.
fn blob(home: &TempDir, end: &str) -> std::path::PathBuf {
    home.path()
        .join(format!("hub/datasets--some--rows/blobs/{}{end}", sha256(CONTENT)))
}

#[test]
fn who_watches_hears_where_a_download_begins_how_far_it_is_and_how_it_ends() {
    // Of the same process are the downloads of the other tests.
    const NAME: &str = "some/rows watched/rows.jsonl";
    static HEARD: Mutex<Vec<Download>> = Mutex::new(Vec::new());
    let first = observe_downloads(|download| {
        if download.name == NAME {
            HEARD.lock().unwrap().push(download.clone());
        }
    });
    assert!(first && !observe_downloads(|_| {}));
    let answer = Answer::Faulty(CONTENT.to_vec(), vec![Fault::Cut(10)]);
    let path = path(COMMIT).replace("rows.jsonl", "watched/rows.jsonl");
    let server = Server::of(HashMap::from([(path, answer)]));
    let home = tempfile::tempdir().unwrap();
    let hub = hub(home.path(), &server.endpoint);
    hub.file(&rows(COMMIT), "watched/rows.jsonl").unwrap();
    // What is there is not fetched.
    hub.file(&rows(COMMIT), "watched/rows.jsonl").unwrap();
    let heard = HEARD.lock().unwrap();
    let ids: Vec<u64> = heard.iter().map(|download| download.id).collect();
    assert!(ids.is_sorted() && ids.first() != ids.last(), "{ids:?}");
    let whole = CONTENT.len() as u64;
    let said: Vec<_> = heard.iter().map(|d| (d.state, d.from, d.bytes)).collect();
    let wanted = [
        (DownloadState::Begins, 0, 0),
        (DownloadState::GoesOn, 0, 10),
        (DownloadState::Cut, 0, 10),
        (DownloadState::Begins, 10, 10),
        (DownloadState::GoesOn, 10, whole),
        (DownloadState::Whole, 10, whole),
    ];
    assert_eq!(said, wanted);
    assert!(heard.iter().all(|download| download.total == Some(whole)), "{heard:?}");
}

/// How long the tests wait for a server that has fallen silent.
const STALL: Duration = Duration::from_millis(500);

#[test]
fn a_server_that_falls_silent_is_left_and_asked_for_the_rest() {
    let (_home, server, mut hub) = served(&[Fault::Stall(10), Fault::Stall(7)]);
    hub.patience.stall = STALL;
    let found = hub.file(&rows(COMMIT), "rows.jsonl").unwrap();
    assert_eq!(fs::read(found).unwrap(), CONTENT);
    assert_eq!(server.ranges(), ["0-", "10-", "17-"]);
}

#[test]
fn a_server_that_stays_silent_is_believed_in_the_end() {
    let (_home, _server, mut hub) = served(&[Fault::Stall(0); 5]);
    hub.patience.stall = STALL;
    let (attempts, last) = gave_up(hub.file(&rows(COMMIT), "rows.jsonl").unwrap_err());
    assert!(
        matches!(last, Problem::Stalled { after: STALL, .. }) && attempts == 5,
        "{last}"
    );
}

#[test]
fn other_content_than_its_hash_is_thrown_away() {
    let (home, server, hub) = served(&[Fault::Garbled]);
    let found = hub.file(&rows(COMMIT), "rows.jsonl").unwrap();
    assert_eq!(fs::read(found).unwrap(), CONTENT);
    assert_eq!(server.ranges(), ["0-", "0-"]);
    assert!(!blob(&home, ".incomplete").exists());

    let (home, _server, hub) = served(&[Fault::Garbled; 9]);
    let (attempts, last) = gave_up(hub.file(&rows(COMMIT), "rows.jsonl").unwrap_err());
    assert!(
        matches!(&last, Problem::Content { wanted, .. } if *wanted == sha256(CONTENT)),
        "{last}"
    );
    assert_eq!(attempts, 3);
    assert!(!blob(&home, "").exists() && !blob(&home, ".incomplete").exists());
}

#[test]
fn small_files_are_checked_by_gits_hash() {
    // `printf one | git hash-object --stdin`.
    let etag = "43dd47ea691c90a5fa7827892c70241913351963";
    for (content, good) in [(&b"one"[..], true), (b"two", false)] {
        let server = Server::new(move |request| Reply::part(request, content).of_hub(etag, COMMIT));
        let home = tempfile::tempdir().unwrap();
        match hub(home.path(), &server.endpoint).file(&rows(COMMIT), "rows.jsonl") {
            Ok(found) => assert!(good && fs::read(found).unwrap() == content),
            Err(problem) => assert!(!good && matches!(gave_up(problem).1, Problem::Content { .. })),
        }
    }
}

#[test]
fn a_part_of_an_earlier_program_is_gone_on_with_or_thrown_away() {
    for (part, ranges) in [
        (&CONTENT[..20], &["20-"][..]),
        // Complete, but not in its place.
        (CONTENT, &[]),
        // Another file's: noticed by the hash.
        (&b"????"[..], &["4-", "0-"]),
        (&[b'?'; 99], &["0-"]),
    ] {
        let (home, server, hub) = served(&[]);
        fs::create_dir_all(blob(&home, "").parent().unwrap()).unwrap();
        fs::write(blob(&home, ".incomplete"), part).unwrap();
        let found = hub.file(&rows(COMMIT), "rows.jsonl").unwrap();
        assert_eq!(fs::read(found).unwrap(), CONTENT);
        assert_eq!(server.ranges(), ranges);
    }
}

#[test]
fn a_file_that_no_hash_names_is_begun_anew() {
    let mut attempts = 0;
    let server = Server::new(move |request| {
        attempts += usize::from(request.method == "GET");
        let reply = match attempts {
            1 => half(request, CONTENT, Cut::Ends),
            _ => Reply::part(request, CONTENT),
        };
        reply.of_hub("no-hash", COMMIT)
    });
    let home = tempfile::tempdir().unwrap();
    let found = hub(home.path(), &server.endpoint)
        .file(&rows(COMMIT), "rows.jsonl")
        .unwrap();
    assert_eq!(fs::read(found).unwrap(), CONTENT);
    assert_eq!(server.ranges(), ["0-", "0-"]);
}

#[test]
fn a_server_that_refuses_or_mistakes_the_range_is_asked_for_all_of_it() {
    let wrong = |from: usize| {
        let reply = Reply {
            body: CONTENT[from..].to_vec(),
            ..Reply::status(206)
        };
        reply.with(
            "Content-Range",
            format!("bytes {from}-{}/{}", CONTENT.len() - 1, CONTENT.len()),
        )
    };
    for answer in [Reply::status(416), wrong(3), Reply::status(206)] {
        let server = Server::new(move |request| {
            let reply = match request.header("range") {
                Some(_) => answer.clone(),
                None => Reply::part(request, CONTENT),
            };
            reply.of_hub(&sha256(CONTENT), COMMIT)
        });
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(blob(&home, "").parent().unwrap()).unwrap();
        fs::write(blob(&home, ".incomplete"), &CONTENT[..10]).unwrap();
        let found = hub(home.path(), &server.endpoint)
            .file(&rows(COMMIT), "rows.jsonl")
            .unwrap();
        assert_eq!(fs::read(found).unwrap(), CONTENT);
        assert_eq!(server.ranges(), ["10-", "0-"]);
    }
}

#[test]
fn more_than_was_announced_is_not_written_to_the_disk() {
    let endless = vec![b'x'; 1 << 20];
    let store = Server::new(move |request| Reply::part(request, &endless));
    let location = format!("{}/somewhere", store.endpoint);
    let server = Server::new(move |_| large(location.clone(), CONTENT));
    let home = tempfile::tempdir().unwrap();
    let problem = hub(home.path(), &server.endpoint)
        .file(&rows(COMMIT), "rows.jsonl")
        .unwrap_err();
    let (_, last) = gave_up(problem);
    assert!(
        matches!(last, Problem::Length { found, .. } if found < 200_000),
        "{last}"
    );
    assert!(!files(home.path()).iter().any(|file| file.contains("blobs")));
}

#[test]
fn a_refusal_by_the_store_is_not_taken_for_the_hubs() {
    let store = Server::new(|_| Reply::status(403));
    let location = format!("{}/somewhere", store.endpoint);
    let server = Server::new(move |_| large(location.clone(), CONTENT));
    let home = tempfile::tempdir().unwrap();
    let problem = hub(home.path(), &server.endpoint)
        .file(&rows(COMMIT), "rows.jsonl")
        .unwrap_err();
    assert!(
        matches!(&problem, Problem::Status { status: 403, host, .. } if *host == store.endpoint),
        "{problem}"
    );
}

#[test]
fn a_pinned_file_goes_on_where_it_was_cut_and_is_checked() {
    let url = |server: &Server| format!("{}/some/file.txt", server.endpoint);
    let serve = |faults: &[Fault]| {
        let answer = Answer::Faulty(CONTENT.to_vec(), faults.to_vec());
        Server::of(HashMap::from([("/some/file.txt".to_owned(), answer)]))
    };
    let home = tempfile::tempdir().unwrap();
    let hub = hub(home.path(), "http://127.0.0.1:1");
    let fetch = |server: &Server| hub.pinned_file(&url(server), &sha256(CONTENT), home.path());

    let server = serve(&[
        Fault::Cut(3),
        Fault::Cut(0),
        Fault::Cut(0),
        Fault::Cut(0),
        Fault::Cut(0),
    ]);
    gave_up(fetch(&server).unwrap_err());
    assert_eq!(server.ranges().last().unwrap(), "3-");
    let server = serve(&[Fault::Cut(4)]);
    assert_eq!(fs::read(fetch(&server).unwrap()).unwrap(), CONTENT);
    assert_eq!(server.ranges(), ["3-", "7-"]);
    fetch(&server).unwrap();
    assert_eq!(server.ranges().len(), 2);
}

#[test]
fn a_pinned_file_that_announces_more_than_any_has_is_not_begun() {
    let range = format!("bytes 0-1/{}", 2_u64 << 30);
    let server = Server::new(move |_| Reply::status(206).with("Content-Range", range.clone()));
    let home = tempfile::tempdir().unwrap();
    let url = format!("{}/x", server.endpoint);
    let hub = hub(home.path(), "http://127.0.0.1:1");
    let problem = hub.pinned_file(&url, &sha256(CONTENT), home.path()).unwrap_err();
    assert!(matches!(problem, Problem::TooLong { .. }), "{problem}");
}

#[test]
fn a_file_in_the_way_is_named() {
    let (home, _server, hub) = served(&[]);
    fs::write(home.path().join("hub"), "a file in the way").unwrap();
    let problem = hub.file(&rows(COMMIT), "rows.jsonl").unwrap_err();
    assert!(matches!(problem, Problem::Disk { .. }), "{problem}");
}
