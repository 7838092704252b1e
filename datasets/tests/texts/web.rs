//! Texts that are parts of one file at an address.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use prunebench_datasets::{Catalogue, Error, Places, Problem, Result, Text, text};
use prunebench_testing::server::{Answer, Fault, Server};
use tempfile::TempDir;

use crate::places;

const FILE: &str = "Thé quick\nbrown fox\n";
const FILE_SHA256: &str = "f44f3965fa79f5e13f110fea4da4c9c032d764b908f6e256bae2e53429fa5be2";

fn catalogue(endpoint: &str) -> Catalogue {
    let entry = format!(
        r#"
        title = "Test text"
        licence = "public domain"
        file = {{ url = "{endpoint}/some/file.txt", mirror = "text/sample/file.txt", sha256 = "{FILE_SHA256}" }}
        range.first = {{ from = 0, to = 3, sha256 = "0aefa70a9d253dae71bd1fd40bafb4004edc73b479fddc39fa1edfb6689e50e6" }}
        range.rest = {{ from = 3, to = 99, sha256 = "128fee6a2321ef90fd11663b07f2fbb3f7821aaf05f55ab98c2957829c3c90ab" }}
        "#
    );
    Catalogue::parse([("texts/sample", entry.as_str())]).expect("valid")
}

fn served(answer: Answer) -> (TempDir, Server) {
    let folder = TempDir::new().expect("temporary folder");
    (
        folder,
        Server::of(HashMap::from([("/some/file.txt".to_owned(), answer)])),
    )
}

fn fetched(split: &str, server: &Server, places: &Places) -> Result<Text> {
    text(&catalogue(&server.endpoint), "sample", split, places)
}

fn problem(error: Error) -> Problem {
    let message = error.to_string();
    assert!(
        message.contains("/some/file.txt") && message.contains("text/sample/file.txt"),
        "{message}"
    );
    match error {
        Error::Download { problem, .. } => *problem,
        other => panic!("not a download: {other}"),
    }
}

fn asked(server: &Server) -> usize {
    server.requests().len()
}

/// The names of the files that were fetched, whole or in part.
fn downloads(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder.join("data").join(FILE_SHA256))
        .into_iter()
        .flatten();
    names
        .map(|entry| entry.expect("readable").file_name().into_string().expect("Unicode"))
        .collect()
}

#[test]
fn ranges_count_characters_and_the_file_is_fetched_once() {
    let (folder, server) = served(Answer::File(FILE.into()));
    let mut places = places(folder.path(), "unused");
    let first = fetched("first", &server, &places).expect("served");
    assert_eq!(first.content, "Thé");
    assert!(
        first.origin.to_string().starts_with(&server.endpoint),
        "{}",
        first.origin
    );
    places.hub.offline = true;
    assert_eq!(
        fetched("rest", &server, &places).expect("kept").content,
        " quick\nbrown fox\n"
    );
    assert_eq!(asked(&server), 1);
}

#[test]
fn the_mirror_is_asked_before_the_address() {
    let (folder, server) = served(Answer::Status(500));
    let mut places = places(folder.path(), "unused");
    let path = folder.path().join("text/sample/file.txt");
    fs::create_dir_all(path.parent().expect("has one")).expect("created");
    fs::write(&path, FILE).expect("written");
    places.mirror = Some(folder.path().to_owned());
    assert_eq!(fetched("first", &server, &places).expect("mirrored").content, "Thé");
    fs::write(&path, FILE.replace("fox", "cat")).expect("written");
    let error = fetched("first", &server, &places).expect_err("another file");
    assert!(matches!(error, Error::WrongText { .. }), "{error}");
    assert_eq!(asked(&server), 0);
}

#[test]
fn a_fault_that_passes_is_met_again_and_no_part_is_taken_for_the_file() {
    let faults = [Fault::Status(503), Fault::Cut(4), Fault::Status(429)];
    let (folder, server) = served(Answer::Faulty(FILE.into(), faults.to_vec()));
    let places = places(folder.path(), "unused");
    assert_eq!(
        fetched("first", &server, &places).expect("whole at last").content,
        "Thé"
    );
    assert_eq!(asked(&server), 4);

    let (folder, server) = served(Answer::Faulty(FILE.into(), vec![Fault::Cut(4); 5]));
    let error = fetched("first", &server, &crate::places(folder.path(), "unused")).expect_err("cut each time");
    assert!(
        error.to_string().contains("5 attempts failed, the last so: "),
        "{error}"
    );
    assert!(matches!(problem(error), Problem::GaveUp { attempts: 5, .. }));
    // What came is kept to go on from, under another name.
    assert_eq!(downloads(folder.path()), ["file.txt.incomplete"]);
}

#[test]
fn a_fault_that_stays_is_believed_at_once() {
    let (folder, server) = served(Answer::Status(404));
    let mut places = places(folder.path(), "unused");
    let error = fetched("first", &server, &places).expect_err("absent");
    assert!(matches!(problem(error), Problem::Status { status: 404, .. }));
    assert_eq!(asked(&server), 1);
    places.downloads = None;
    assert!(matches!(
        problem(fetched("first", &server, &places).expect_err("nowhere")),
        Problem::NoCache
    ));
    places.downloads = Some(folder.path().join("data"));
    places.hub.offline = true;
    assert!(matches!(
        problem(fetched("first", &server, &places).expect_err("offline")),
        Problem::Offline(_)
    ));
    assert_eq!(asked(&server), 1);
}

#[test]
fn another_file_than_the_pinned_one_is_thrown_away() {
    let (folder, server) = served(Answer::File("<html>Log in</html>".into()));
    let error = fetched("first", &server, &places(folder.path(), "unused")).expect_err("another");
    let Problem::GaveUp { last, .. } = problem(error) else {
        panic!("not given up");
    };
    assert!(matches!(*last, Problem::Content { .. }), "{last}");
    assert_eq!(downloads(folder.path()), [""; 0]);
}

#[test]
fn a_folder_that_can_not_be_written_is_named() {
    let (folder, server) = served(Answer::File(FILE.into()));
    fs::write(folder.path().join("data"), "a file in the way").expect("written");
    let error = fetched("first", &server, &places(folder.path(), "unused")).expect_err("in the way");
    assert!(matches!(problem(error), Problem::Disk { .. }));
}

#[test]
fn tiny_shakespeare_is_cut_at_nine_tenths() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let catalogue = Catalogue::embedded().expect("valid");
    let mut places = places(Path::new("unused"), "unused");
    places.mirror = Some(shared.join("data"));
    let split = |name| {
        text(&catalogue, "tinyshakespeare", name, &places)
            .expect("mirrored")
            .content
    };
    let (train, validation) = (split("train"), split("validation"));
    let whole = fs::read_to_string(shared.join("data/text/tinyshakespeare/input.txt")).expect("readable");
    assert_eq!(train.len(), whole.len() * 9 / 10);
    assert_eq!(train.clone() + &validation, whole);
    for (name, length) in [("train-90k", 90_000), ("train-30k", 30_000)] {
        let beginning = split(name);
        assert!(beginning.len() == length && train.starts_with(&beginning), "{name}");
    }
}
