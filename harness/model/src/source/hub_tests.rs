//! Hub sources against a small HTTP server on this machine.

use std::{collections::HashMap, ffi::OsString, net::TcpListener, path::Path, time::Duration};

use prunebench_hub::Hub;
use prunebench_testing::server::{Answer, COMMIT, Server};

use super::HubModel;
use crate::{checkpoint::BESIDE_WEIGHTS, error::ModelError};

/// A Hub with one repository, `org/model`, of which `main` and `v1` are the same.
fn serve(files: &[(&str, &str)]) -> Server {
    let listing = |revision: &str| {
        let path = format!("/api/models/org/model/revision/{revision}");
        (path, Answer::listing(files.iter().map(|(name, _)| *name)))
    };
    let mut answers = HashMap::from([listing("main"), listing("v1")]);
    for (name, text) in files {
        let path = format!("/org/model/resolve/{COMMIT}/{name}");
        answers.insert(path, Answer::File(text.as_bytes().to_vec()));
    }
    Server::of(answers)
}

/// The Hub at `endpoint` as the environment would describe it, with `home` for `HF_HOME`.
fn hub(endpoint: &str, home: &Path, more: &[(&str, &str)]) -> Hub {
    let mut hub = Hub::from_variables(|name| match name {
        "HF_HOME" => Some(home.into()),
        "HF_ENDPOINT" => Some(endpoint.into()),
        _ => {
            let found = more.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        }
    });
    hub.patience.first_wait = Duration::ZERO;
    hub
}

/// Each request's path and the token it came with.
fn requests(server: &Server) -> Vec<(String, Option<String>)> {
    let seen = server.requests();
    seen.iter()
        .map(|request| (request.path.clone(), request.header("authorization").map(str::to_owned)))
        .collect()
}

fn model(text: &str) -> HubModel {
    HubModel::parse(text).unwrap()
}

fn message(result: Result<std::path::PathBuf, ModelError>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, ModelError::Source { .. }), "{error:?}");
    error.to_string()
}

const SHARDED: [(&str, &str); 5] = [
    ("config.json", "{}"),
    ("tokenizer.json", "{}"),
    (
        "model.safetensors.index.json",
        r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#,
    ),
    ("one.safetensors", "first"),
    ("two.safetensors", "second"),
];

#[test]
fn fetched_snapshot_is_complete_and_serves_offline_without_a_request() {
    let server = serve(&SHARDED);
    let home = tempfile::tempdir().unwrap();
    let folder = model("org/model")
        .resolve_from(&hub(&server.endpoint, home.path(), &[]))
        .unwrap();
    for (name, text) in SHARDED {
        assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), text);
    }
    let asked = server.requests().len();
    let offline = hub(&server.endpoint, home.path(), &[("HF_HUB_OFFLINE", "1")]);
    for name in ["org/model", &format!("org/model@{COMMIT}")] {
        assert_eq!(model(name).resolve_from(&offline).unwrap(), folder);
    }
    assert_eq!(server.requests().len(), asked);
}

#[test]
fn every_file_that_loading_reads_is_fetched() {
    let beside = BESIDE_WEIGHTS.map(|name| (name, "{}"));
    let server = serve(&[&beside[..], &[("model.safetensors", "first"), ("README.md", "a card")]].concat());
    let home = tempfile::tempdir().unwrap();
    let folder = model("org/model")
        .resolve_from(&hub(&server.endpoint, home.path(), &[]))
        .unwrap();
    let fetched = |name: &str| folder.join(name).exists();
    assert!(BESIDE_WEIGHTS.into_iter().all(fetched) && fetched("model.safetensors"));
    assert!(!fetched("README.md"));
}

#[test]
fn second_fetch_asks_for_the_commit_only() {
    let server = serve(&SHARDED);
    let home = tempfile::tempdir().unwrap();
    let hub = hub(&server.endpoint, home.path(), &[]);
    model("org/model@v1").resolve_from(&hub).unwrap();
    server.requests().clear();
    model("org/model@v1").resolve_from(&hub).unwrap();
    assert_eq!(
        requests(&server),
        [("/api/models/org/model/revision/v1".to_owned(), None)]
    );
}

#[test]
fn token_goes_with_every_request() {
    let server = serve(&SHARDED);
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), "from-file\n").unwrap();
    model("org/model")
        .resolve_from(&hub(&server.endpoint, home.path(), &[]))
        .unwrap();
    let requests = requests(&server);
    let shown = |token: &Option<String>| token.as_deref() == Some("Bearer from-file");
    assert!(requests.len() > SHARDED.len() && requests.iter().all(|(_, token)| shown(token)));
}

#[test]
fn gated_repository_names_the_token() {
    let home = tempfile::tempdir().unwrap();
    for status in [401, 403] {
        let path = "/api/models/org/model/revision/main".to_owned();
        let server = Server::of(HashMap::from([(path, Answer::Status(status))]));
        let message = message(model("org/model").resolve_from(&hub(&server.endpoint, home.path(), &[])));
        assert!(
            message.contains(&status.to_string()) && message.contains("HF_TOKEN"),
            "{message}"
        );
    }
}

#[test]
fn missing_repository_or_revision_is_named() {
    let server = serve(&SHARDED);
    let home = tempfile::tempdir().unwrap();
    let message = message(model("org/model@v9").resolve_from(&hub(&server.endpoint, home.path(), &[])));
    assert!(message.contains("404") && message.contains("v9"), "{message}");
}

#[test]
fn repository_without_safetensors_is_refused() {
    let server = serve(&[("config.json", "{}"), ("pytorch_model.bin", "x")]);
    let home = tempfile::tempdir().unwrap();
    let message = message(model("org/model").resolve_from(&hub(&server.endpoint, home.path(), &[])));
    assert!(message.contains("safetensors"), "{message}");
}

#[test]
fn offline_without_the_model_says_how_to_fetch_it() {
    let home = tempfile::tempdir().unwrap();
    let offline = hub("unused", home.path(), &[("HF_HUB_OFFLINE", "1")]);
    let message = message(model("org/model").resolve_from(&offline));
    assert!(
        message.contains("config.json") && message.contains("HF_HUB_OFFLINE"),
        "{message}"
    );
}

#[test]
fn unreachable_hub_offers_the_cache() {
    let home = tempfile::tempdir().unwrap();
    // A port that was free a moment ago: nothing listens on it.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let hub = hub(&format!("http://127.0.0.1:{port}"), home.path(), &[]);
    let message = message(model("org/model").resolve_from(&hub));
    assert!(message.contains("HF_HUB_OFFLINE=1"), "{message}");
}

#[test]
fn repository_names_that_could_leave_the_cache_are_refused() {
    for text in [
        "model",
        "org/",
        "org/..",
        "../model",
        "org/model/more",
        "org/model@",
        "org/model@../x",
        "o g/model",
    ] {
        assert_eq!(HubModel::parse(text), None, "{text}");
    }
    assert_eq!(model("org/model@refs/pr/1").revision.as_deref(), Some("refs/pr/1"));
}
