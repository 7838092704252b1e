//! Hub sources against a small HTTP server on this machine.

use std::{
    collections::HashMap,
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use super::{HubModel, Settings};
use crate::{checkpoint::BESIDE_WEIGHTS, error::ModelError};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A server of one repository, `org/model`; it stops answering when the test ends the process.
struct Hub {
    endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    /// Serves `files`; every request is answered with `refusal` if there is one.
    fn serve(files: &[(&str, &str)], refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files: HashMap<String, String> = files.iter().map(|(n, t)| (n.to_string(), t.to_string())).collect();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &files, refusal, &log);
            }
        });
        Self { endpoint, requests }
    }

    fn settings(&self, home: &Path, more: &[(&str, &str)]) -> Settings {
        let mut variables = vec![("HF_ENDPOINT", self.endpoint.as_str())];
        variables.extend(more);
        settings(home, &variables)
    }
}

fn settings(home: &Path, variables: &[(&str, &str)]) -> Settings {
    Settings::read(|name| {
        if name == "HF_HOME" {
            return Some(home.into());
        }
        variables
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| OsString::from(value))
    })
    .unwrap()
}

fn answer(mut stream: TcpStream, files: &HashMap<String, String>, refusal: Option<&str>, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut request, mut token, mut line) = (String::new(), String::from("no token"), String::new());
    reader.read_line(&mut request).unwrap();
    while reader.read_line(&mut line).unwrap() > 2 {
        if line.to_lowercase().starts_with("authorization:") {
            token = line.trim().to_owned();
        }
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap().to_owned();
    log.lock().unwrap().push(format!("{path} {token}"));
    let (status, body) = match (refusal, path.strip_prefix("/api/models/org/model/revision/")) {
        (Some(refusal), _) => (refusal, String::new()),
        (None, Some("main" | "v1")) => {
            let names: Vec<_> = files
                .keys()
                .map(|name| serde_json::json!({"rfilename": name}))
                .collect();
            (
                "200 OK",
                serde_json::json!({"sha": COMMIT, "siblings": names}).to_string(),
            )
        }
        _ => match path
            .strip_prefix(&format!("/org/model/resolve/{COMMIT}/"))
            .and_then(|name| files.get(name))
        {
            Some(text) => ("206 Partial Content", text.clone()),
            None => ("404 Not Found", String::new()),
        },
    };
    let etag = path.replace('/', "-");
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {n}\r\nContent-Range: bytes 0-{n}/{n}\r\nETag: \"{etag}\"\r\n\
         X-Repo-Commit: {COMMIT}\r\nConnection: close\r\n\r\n{body}",
        n = body.len()
    )
    .unwrap();
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
    let hub = Hub::serve(&SHARDED, None);
    let home = tempfile::tempdir().unwrap();
    let folder = model("org/model")
        .resolve_with(&hub.settings(home.path(), &[]))
        .unwrap();
    for (name, text) in SHARDED {
        assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), text);
    }
    let asked = hub.requests.lock().unwrap().len();
    let offline = hub.settings(home.path(), &[("HF_HUB_OFFLINE", "1")]);
    assert_eq!(model("org/model").resolve_with(&offline).unwrap(), folder);
    assert_eq!(hub.requests.lock().unwrap().len(), asked);
}

#[test]
fn every_file_that_loading_reads_is_fetched() {
    let beside = BESIDE_WEIGHTS.map(|name| (name, "{}"));
    let hub = Hub::serve(
        &[&beside[..], &[("model.safetensors", "first"), ("README.md", "a card")]].concat(),
        None,
    );
    let home = tempfile::tempdir().unwrap();
    let folder = model("org/model")
        .resolve_with(&hub.settings(home.path(), &[]))
        .unwrap();
    let fetched = |name: &str| folder.join(name).exists();
    assert!(BESIDE_WEIGHTS.into_iter().all(fetched) && fetched("model.safetensors"));
    assert!(!fetched("README.md"));
}

#[test]
fn second_fetch_asks_for_the_commit_only() {
    let hub = Hub::serve(&SHARDED, None);
    let home = tempfile::tempdir().unwrap();
    let settings = hub.settings(home.path(), &[]);
    model("org/model@v1").resolve_with(&settings).unwrap();
    hub.requests.lock().unwrap().clear();
    model("org/model@v1").resolve_with(&settings).unwrap();
    assert_eq!(
        hub.requests.lock().unwrap().as_slice(),
        ["/api/models/org/model/revision/v1 no token"]
    );
}

#[test]
fn token_comes_from_the_variable_before_the_file() {
    let hub = Hub::serve(&SHARDED, None);
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), "from-file\n").unwrap();
    model("org/model")
        .resolve_with(&hub.settings(home.path(), &[]))
        .unwrap();
    assert!(
        hub.requests
            .lock()
            .unwrap()
            .iter()
            .all(|request| request.ends_with("Bearer from-file"))
    );
    hub.requests.lock().unwrap().clear();
    let settings = hub.settings(home.path(), &[("HF_TOKEN", "from-variable")]);
    model("org/model").resolve_with(&settings).unwrap();
    assert!(
        hub.requests
            .lock()
            .unwrap()
            .iter()
            .all(|request| request.ends_with("Bearer from-variable"))
    );
}

#[test]
fn gated_repository_names_the_token() {
    let home = tempfile::tempdir().unwrap();
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let hub = Hub::serve(&[], Some(status));
        let message = message(model("org/model").resolve_with(&hub.settings(home.path(), &[])));
        assert!(
            message.contains(&status[..3]) && message.contains("HF_TOKEN"),
            "{message}"
        );
    }
}

#[test]
fn missing_repository_or_revision_is_named() {
    let hub = Hub::serve(&SHARDED, None);
    let home = tempfile::tempdir().unwrap();
    let settings = hub.settings(home.path(), &[]);
    let message = message(model("org/model@v9").resolve_with(&settings));
    assert!(message.contains("404") && message.contains("v9"), "{message}");
}

#[test]
fn repository_without_safetensors_is_refused() {
    let hub = Hub::serve(&[("config.json", "{}"), ("pytorch_model.bin", "x")], None);
    let home = tempfile::tempdir().unwrap();
    let message = message(model("org/model").resolve_with(&hub.settings(home.path(), &[])));
    assert!(message.contains("safetensors"), "{message}");
}

#[test]
fn offline_without_the_model_says_how_to_fetch_it() {
    let home = tempfile::tempdir().unwrap();
    let offline = settings(home.path(), &[("HF_HUB_OFFLINE", "1")]);
    let message = message(model("org/model").resolve_with(&offline));
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
    let settings = settings(home.path(), &[("HF_ENDPOINT", &format!("http://127.0.0.1:{port}"))]);
    let message = message(model("org/model").resolve_with(&settings));
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
