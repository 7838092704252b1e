//! What the way to the Hub does to files, told through tasks whose rows are JSON lines or parquet.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use prunebench_datasets::{Catalogue, Documents, Error, Problem, Result, RowSource, Shots};
use prunebench_testing::server::{Answer, Fault, Server};
use tempfile::TempDir;

use crate::parquet::parquet_of_choices;
use crate::{REVISION, places, problem};

const ROWS: &str = "{\"text\": \"one two\"}\n{\"text\": \"three four five\"}\n";
const ROWS_SHA256: &str = "a5e1a1b35c1dab594723a055ade509ef8753bf9e269043c0c8b32374a823b024";

fn catalogue(file: &str, more: &str) -> Catalogue {
    let task = format!(
        r#"
        title = "Last words"
        version = 1
        licence = "public domain"
        lm_eval = {{ version = "0.4.13", task = "none", task_version = "1.0" }}
        metrics = ["acc"]
        hub = {{ repository = "some/rows", revision = "{REVISION}" }}
        split.test = {{ file = "{file}", mirror = "tasks/words/test.jsonl" {more} }}
        few_shot = {{ split = "test", order = "first", separator = "" }}
        [prompt]
        split = "test"
        kind = "continuation"
        context = "{{{{ text.split(' ')[0] }}}}"
        continuation = "{{{{ text.split(' ')[1] }}}}"
        "#
    );
    Catalogue::parse([("tasks/words", task.as_str())]).expect("valid")
}

fn served(file: &str, answer: Answer) -> (TempDir, Server) {
    let path = format!("/datasets/some/rows/resolve/{REVISION}/{file}");
    (
        TempDir::new().expect("temporary folder"),
        Server::of(HashMap::from([(path, answer)])),
    )
}

fn documents(catalogue: &Catalogue, cache: &Path, server: &Server) -> Result<Documents> {
    let task = catalogue.task("words")?;
    task.documents(&Shots::new(0), None, &places(cache, &server.endpoint))
}

/// Fetches the rows past `faults`.
fn fetched(faults: &[Fault]) -> (Result<Documents>, TempDir, Server) {
    let (cache, server) = served("rows.jsonl", Answer::Faulty(ROWS.into(), faults.to_vec()));
    let found = documents(&catalogue("rows.jsonl", ""), cache.path(), &server);
    (found, cache, server)
}

/// The file where every Hub client looks for it.
fn snapshot(cache: &Path) -> PathBuf {
    cache.join(format!("hub/datasets--some--rows/snapshots/{REVISION}/rows.jsonl"))
}

fn gave_up(found: Result<Documents>) -> Problem {
    let error = found.expect_err("every attempt fails");
    assert!(
        error.to_string().contains("5 attempts failed, the last so: "),
        "{error}"
    );
    match problem(error) {
        Problem::GaveUp { attempts: 5, last } => *last,
        other => panic!("not given up: {other}"),
    }
}

#[test]
fn a_cut_download_goes_on_where_it_was_cut() {
    let (found, cache, server) = fetched(&[Fault::Cut(10), Fault::Cut(7)]);
    assert_eq!(found.expect("whole at last").documents.len(), 2);
    assert_eq!(server.ranges(), ["0-", "10-", "17-"]);
    assert_eq!(std::fs::read_to_string(snapshot(cache.path())).expect("cached"), ROWS);
}

#[test]
fn a_download_that_is_cut_every_time_leaves_no_file_and_can_go_on_later() {
    let (found, cache, server) = fetched(&[Fault::Cut(3); 5]);
    assert!(matches!(gave_up(found), Problem::Failed { .. }));
    assert!(!snapshot(cache.path()).exists());
    documents(&catalogue("rows.jsonl", ""), cache.path(), &server).expect("whole at last");
    assert_eq!(server.ranges().last().map(String::as_str), Some("15-"));
}

#[test]
fn a_file_of_the_wrong_length_is_thrown_away_and_fetched_again() {
    let (found, _cache, server) = fetched(&[Fault::Short(20)]);
    assert_eq!(found.expect("whole at last").documents.len(), 2);
    assert_eq!(server.ranges(), ["0-", "0-"]);
    let (found, cache, _server) = fetched(&[Fault::Short(20); 5]);
    let last = gave_up(found);
    let wanted = ROWS.len() as u64;
    assert!(
        matches!(last, Problem::Length { found: 20, wanted: length } if length == wanted),
        "{last}"
    );
    assert!(!snapshot(cache.path()).exists());
}

#[test]
fn a_server_that_begins_anew_does_not_spoil_the_file() {
    let (found, cache, _server) = fetched(&[Fault::Cut(10), Fault::Whole]);
    assert_eq!(found.expect("whole at last").documents.len(), 2);
    assert_eq!(std::fs::read_to_string(snapshot(cache.path())).expect("cached"), ROWS);
}

#[test]
fn a_busy_hub_is_asked_again_and_believed_in_the_end() {
    let (found, _cache, _server) = fetched(&[Fault::Status(429), Fault::Status(503)]);
    assert_eq!(found.expect("free at last").documents.len(), 2);
    let (cache, server) = served("rows.jsonl", Answer::Status(429));
    let last = gave_up(documents(&catalogue("rows.jsonl", ""), cache.path(), &server));
    assert!(
        matches!(last, Problem::Busy { wait: Some(wait) } if wait.is_zero()),
        "{last}"
    );
    assert!(last.to_string().contains("HTTP 429"), "{last}");
}

#[test]
fn a_refusal_is_believed_at_once() {
    for status in [401, 403, 404] {
        let (cache, server) = served("rows.jsonl", Answer::Status(status));
        documents(&catalogue("rows.jsonl", ""), cache.path(), &server).expect_err("refused");
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[test]
fn rows_of_another_hash_are_an_error_that_names_the_file() {
    for (content, good) in [(ROWS.to_owned(), true), (ROWS.replace("two", "too"), false)] {
        let (cache, server) = served("rows.jsonl", Answer::File(content.into()));
        let pinned = catalogue("rows.jsonl", &format!(", hub_sha256 = \"{ROWS_SHA256}\""));
        match documents(&pinned, cache.path(), &server) {
            Ok(_) => assert!(good),
            Err(error) => {
                assert!(!good && matches!(error, Error::WrongText { .. }), "{error}");
                let text = error.to_string();
                assert!(text.contains("rows.jsonl") && text.contains("fetch it again"), "{text}");
            }
        }
    }
}

#[test]
fn nested_parquet_rows_have_the_fields_of_json_lines() {
    let bytes = parquet_of_choices("Which barks?", &["jar", "Köter"], &["1", "2"], "2");
    let arc = include_str!("../../catalogue/tasks/arc_easy.toml");
    let kept: Vec<&str> = arc.lines().filter(|line| !line.contains("_sha256 = ")).collect();
    let catalogue = Catalogue::parse([("tasks/arc_easy", kept.join("\n").as_str())]).expect("valid");
    let task = catalogue.task("arc_easy@1").expect("present");
    let Ok(RowSource::File { hub, file }) = task.split("test") else {
        panic!("not a file");
    };
    let path = format!("/datasets/allenai/ai2_arc/resolve/{}/{}", hub.revision(), file.file);
    for (length, whole) in [(bytes.len(), true), (bytes.len() - 9, false)] {
        let server = Server::of(HashMap::from([(path.clone(), Answer::File(bytes[..length].to_vec()))]));
        let cache = TempDir::new().expect("temporary folder");
        let found = task.documents(&Shots::new(0), None, &places(cache.path(), &server.endpoint));
        if !whole {
            assert!(matches!(found, Err(Error::Parquet { .. })), "{found:?}");
            continue;
        }
        let document = found.expect("served").documents.swap_remove(0);
        assert_eq!(document.requests[1].context, "Question: Which barks?\nAnswer:");
        assert_eq!(
            (document.choices, document.gold),
            (vec!["jar".to_owned(), "Köter".to_owned()], Some(1))
        );
    }
}

#[test]
fn an_unpinned_repository_is_taken_from_main_and_says_so() {
    let content = include_str!("../../catalogue/tasks/lambada_openai.toml");
    let open = |line: &&str| !line.contains("_sha256 = ") && !line.starts_with("revision = ");
    let kept: Vec<&str> = content.lines().filter(open).collect();
    let catalogue = Catalogue::parse([("tasks/words", kept.join("\n").as_str())]).expect("valid");
    let task = catalogue.task("words").expect("present");
    assert!(!task.pinned());
    let path = "/datasets/EleutherAI/lambada_openai/resolve/main/data/lambada_test.jsonl";
    let server = Server::of(HashMap::from([(path.to_owned(), Answer::File(ROWS.into()))]));
    let cache = TempDir::new().expect("temporary folder");
    let found = documents(&catalogue, cache.path(), &server).expect("served");
    assert!(
        found.origins[0]
            .to_string()
            .starts_with("EleutherAI/lambada_openai@main"),
        "{}",
        found.origins[0]
    );
    let requests = server.requests().len();
    documents(&catalogue, cache.path(), &server).expect("cached");
    assert_eq!(server.requests().len(), requests);
}
