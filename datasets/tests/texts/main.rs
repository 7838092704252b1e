//! Texts come from the mirror, else the Hub, and are the pinned ones or an error that says what to do.

mod faults;
mod instructions;
mod pages;
mod parquet;
mod web;
mod wikitext2;
mod world;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use parquet::parquet;
use prunebench_datasets::{Catalogue, Error, Hub, Origin, Places, Problem, text};
use prunebench_hub::{Address, Patience, Token};
use prunebench_testing::server::{Answer, Request, Server};
use tempfile::TempDir;

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
const ROWS: [Option<&str>; 4] = [Some(""), Some(" = Title = \n"), Some(""), Some(" Naïve 日本 .\n")];
const SERVED: &str = "/datasets/some/texts/resolve/0123456789abcdef0123456789abcdef01234567/raw/test.parquet";

fn catalogue() -> Catalogue {
    let entry = format!(
        r#"
        title = "Test text"
        licence = "public domain"
        hub = {{ repository = "some/texts", revision = "{REVISION}" }}
        [split.joined]
        mirror = "text/sample/joined.txt"
        file = "raw/test.parquet"
        column = "text"
        separator = "\n\n"
        sha256 = "c91b9304919e0a09183c90caea67dcaf68c2aefb0b0872abdb3798f558fae95c"
        [split.lines]
        mirror = "text/sample/lines.raw"
        file = "raw/test.parquet"
        column = "text"
        separator = ""
        empty_row = " \n"
        sha256 = "360741a9884dd1809429976f5d357968d219aad5771d0a86750920d508890fc5"
        "#
    );
    Catalogue::parse([("texts/sample", entry.as_str())]).expect("valid")
}

/// The Hub at `endpoint` with a cache of its own.
fn places(cache: &Path, endpoint: &str) -> Places {
    Places {
        mirror: None,
        hub: Hub {
            endpoint: Address::new(endpoint),
            cache: Some(cache.join("hub")),
            token: None,
            offline: false,
            patience: Patience {
                first_wait: Duration::ZERO,
                ..Patience::default()
            },
        },
        downloads: Some(cache.join("data")),
    }
}

fn hub_with(answer: Answer) -> (TempDir, Server) {
    let server = Server::of(HashMap::from([(SERVED.to_owned(), answer)]));
    (TempDir::new().expect("temporary folder"), server)
}

fn problem(error: Error) -> Problem {
    match error {
        Error::Hub { problem, .. } => *problem,
        other => panic!("not a Hub error: {other}"),
    }
}

#[test]
fn rows_become_the_text_the_catalogue_spells() {
    let (cache, server) = hub_with(Answer::File(parquet("text", &ROWS, 3)));
    let places = places(cache.path(), &server.endpoint);
    let joined = text(&catalogue(), "sample", "joined", &places).expect("served");
    assert_eq!(joined.content, "\n\n = Title = \n\n\n\n\n Naïve 日本 .\n");
    assert!(joined.origin.to_string().starts_with(&format!("some/texts@{REVISION}")));
    let lines = text(&catalogue(), "sample", "lines", &places).expect("served");
    assert_eq!(lines.content, " \n = Title = \n \n Naïve 日本 .\n");
}

#[test]
fn a_fetched_file_is_not_fetched_again() {
    let (cache, server) = hub_with(Answer::File(parquet("text", &ROWS, 4)));
    let mut places = places(cache.path(), &server.endpoint);
    text(&catalogue(), "sample", "joined", &places).expect("served");
    let requests = server.requests().len();
    text(&catalogue(), "sample", "lines", &places).expect("cached");
    assert_eq!(server.requests().len(), requests);
    places.hub.offline = true;
    text(&catalogue(), "sample", "joined", &places).expect("offline from the cache");
}

#[test]
fn the_token_goes_with_the_request() {
    let (cache, server) = hub_with(Answer::File(parquet("text", &ROWS, 4)));
    let mut places = places(cache.path(), &format!("{}/", server.endpoint));
    places.hub.token = Token::new("hf_secret");
    text(&catalogue(), "sample", "joined", &places).expect("served");
    let requests = server.requests();
    let shown = |request: &Request| request.header("authorization") == Some("Bearer hf_secret");
    assert!(!requests.is_empty() && requests.iter().all(shown));
}

#[test]
fn the_mirror_is_asked_before_the_hub() {
    let (folder, server) = hub_with(Answer::Status(500));
    let mut places = places(folder.path(), &server.endpoint);
    let path = folder.path().join("text/sample/lines.raw");
    fs::create_dir_all(path.parent().expect("has one")).expect("created");
    fs::write(&path, " \n = Title = \n \n Naïve 日本 .\n").expect("written");
    places.mirror = Some(folder.path().to_owned());
    let found = text(&catalogue(), "sample", "lines", &places).expect("mirrored");
    assert_eq!(found.origin, Origin::Mirror(path));
    assert!(server.requests().is_empty());
    assert!(
        text(&catalogue(), "sample", "joined", &places).is_err(),
        "the other split is only on the Hub"
    );
}

#[test]
fn a_changed_mirror_file_is_an_error_and_not_a_reason_to_look_elsewhere() {
    let (folder, server) = hub_with(Answer::File(parquet("text", &ROWS, 4)));
    let mut places = places(folder.path(), &server.endpoint);
    let path = folder.path().join("text/sample/lines.raw");
    fs::create_dir_all(path.parent().expect("has one")).expect("created");
    places.mirror = Some(folder.path().to_owned());

    fs::write(&path, " \n = Title = \n").expect("written");
    let error = text(&catalogue(), "sample", "lines", &places).expect_err("changed");
    assert!(matches!(error, Error::WrongText { .. }), "{error}");
    assert!(
        error.to_string().contains("lines.raw is not the text of the catalogue"),
        "{error}"
    );

    fs::write(&path, [0xff, 0xfe]).expect("written");
    let error = text(&catalogue(), "sample", "lines", &places).expect_err("not UTF-8");
    assert!(matches!(error, Error::Read { .. }), "{error}");
}

#[test]
fn a_data_folder_that_is_not_there_is_an_error() {
    let (folder, server) = hub_with(Answer::File(parquet("text", &ROWS, 4)));
    let mut places = places(folder.path(), &server.endpoint);
    places.mirror = Some(folder.path().join("absent"));
    let error = text(&catalogue(), "sample", "lines", &places).expect_err("absent");
    assert!(matches!(error, Error::NoMirror { .. }), "{error}");
}

#[test]
fn other_rows_than_the_pinned_ones_are_an_error() {
    let (cache, server) = hub_with(Answer::File(parquet("text", &ROWS[..3], 4)));
    let error = text(
        &catalogue(),
        "sample",
        "joined",
        &places(cache.path(), &server.endpoint),
    )
    .expect_err("shorter");
    assert!(matches!(error, Error::WrongText { .. }), "{error}");
}

#[test]
fn each_refusal_of_the_hub_has_its_cure() {
    for (status, cure) in [
        (401, "HF_TOKEN"),
        (403, "accept its terms at https://huggingface.co/datasets/some/texts"),
        (404, "HF_ENDPOINT"),
        (500, "network"),
    ] {
        let (cache, server) = hub_with(Answer::Status(status));
        let error = text(
            &catalogue(),
            "sample",
            "joined",
            &places(cache.path(), &server.endpoint),
        )
        .expect_err("refused");
        let message = error.to_string();
        assert!(
            message.contains(cure) && message.contains("text/sample/joined.txt"),
            "{message}"
        );
        let right = match (problem(error), status) {
            (Problem::Refused, 401) | (Problem::Gated { .. }, 403) | (Problem::Missing, 404) => true,
            (Problem::GaveUp { attempts: 5, last }, 500) => matches!(*last, Problem::Status { status: 500, .. }),
            _ => false,
        };
        assert!(right, "{message}");
    }
}

#[test]
fn offline_without_a_cached_file_says_so_and_asks_nobody() {
    let (cache, server) = hub_with(Answer::File(parquet("text", &ROWS, 4)));
    let mut places = places(cache.path(), &server.endpoint);
    places.hub.offline = true;
    let error = text(&catalogue(), "sample", "joined", &places).expect_err("offline");
    assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
    assert!(matches!(problem(error), Problem::Offline(_)));
    assert!(server.requests().is_empty());
}

#[test]
fn a_hub_that_is_not_there_is_an_error() {
    let cache = TempDir::new().expect("temporary folder");
    let error = |endpoint| text(&catalogue(), "sample", "joined", &places(cache.path(), endpoint)).expect_err("nobody");
    let gone = error("http://127.0.0.1:1");
    assert!(gone.to_string().contains("http://127.0.0.1:1"), "{gone}");
    assert!(matches!(problem(gone), Problem::Failed { .. }));
    let odd = error("not an address");
    assert!(odd.to_string().contains("HF_ENDPOINT"), "{odd}");
    assert!(matches!(problem(odd), Problem::Address(_)));
}

/// Puts `bytes` where the cache keeps the file and reads the text from there.
fn from_cached(bytes: &[u8]) -> Result<String, Error> {
    let cache = TempDir::new().expect("temporary folder");
    let path = cache.path().join(format!(
        "hub/datasets--some--texts/snapshots/{REVISION}/raw/test.parquet"
    ));
    fs::create_dir_all(path.parent().expect("has one")).expect("created");
    fs::write(path, bytes).expect("written");
    let mut places = places(cache.path(), "unused");
    places.hub.offline = true;
    text(&catalogue(), "sample", "joined", &places).map(|text| text.content)
}

#[test]
fn a_truncated_parquet_file_is_an_error_at_every_length() {
    let whole = parquet("text", &ROWS, 2);
    from_cached(&whole).expect("whole");
    for length in 0..whole.len() {
        let error = from_cached(&whole[..length]).expect_err("truncated");
        assert!(matches!(error, Error::Parquet { .. }), "{length} bytes: {error}");
    }
}

#[test]
fn a_damaged_parquet_file_never_gives_another_text() {
    let whole = parquet("text", &ROWS, 2);
    let good = from_cached(&whole).expect("whole");
    for place in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[place] ^= flip;
            // Damage in a statistic or a name changes nothing; anywhere else it must be noticed, not panic.
            match from_cached(&bytes) {
                Ok(text) => assert_eq!(text, good),
                Err(error) => assert!(
                    matches!(error, Error::Parquet { .. } | Error::WrongText { .. }),
                    "byte {place}: {error}"
                ),
            }
        }
    }
}

#[test]
fn a_column_that_is_absent_or_has_nulls_is_an_error() {
    let error = from_cached(&parquet("page", &ROWS, 4)).expect_err("absent").to_string();
    assert!(error.contains("no column \"text\", only page"), "{error}");
    let error = from_cached(&parquet("text", &[Some("a"), None], 4))
        .expect_err("null")
        .to_string();
    assert!(error.contains("has 1 texts, wanted 2"), "{error}");
}
