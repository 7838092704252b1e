//! Who gets to see a token or a password.

use prunebench_hub::{Address, Problem, Token};
use prunebench_testing::server::{COMMIT, Reply, Server};

use super::{CONTENT, hub, large, rows};

const AUTHORIZATION: &str = "authorization";

/// What a server was shown, request by request.
fn shown(server: &Server) -> Vec<Option<String>> {
    let requests = server.requests();
    let shown = requests.iter().map(|request| request.header(AUTHORIZATION));
    shown.map(|value| value.map(str::to_owned)).collect()
}

fn store() -> Server {
    Server::new(|request| Reply::part(request, CONTENT).with("ETag", "\"of-the-store\""))
}

#[test]
fn a_token_stays_with_the_first_host() {
    let store = store();
    let location = format!("{}/somewhere?signature=1", store.endpoint);
    let server = Server::new(move |_| large(location.clone(), CONTENT));
    let home = tempfile::tempdir().unwrap();
    let found = hub(home.path(), &server.endpoint)
        .file(&rows(COMMIT), "rows.jsonl")
        .unwrap();
    assert_eq!(std::fs::read(found).unwrap(), CONTENT);
    let token = Some("Bearer hf_secret".to_owned());
    assert_eq!(shown(&server), [token.clone(), token]);
    assert_eq!(shown(&store), [None]);
}

#[test]
fn a_password_in_the_address_stays_with_the_first_host() {
    let store = store();
    let location = format!("{}/somewhere", store.endpoint);
    let server = Server::new(move |_| large(location.clone(), CONTENT));
    let home = tempfile::tempdir().unwrap();
    let endpoint = server.endpoint.replace("//", "//user:password@");
    let mut hub = hub(home.path(), &endpoint);
    hub.token = None;
    hub.file(&rows(COMMIT), "rows.jsonl").unwrap();
    // The name and the password in base 64.
    let basic = Some("Basic dXNlcjpwYXNzd29yZA==".to_owned());
    assert_eq!(shown(&server), [basic.clone(), basic]);
    assert_eq!(shown(&store), [None]);
}

#[test]
fn a_redirect_within_the_host_keeps_the_token() {
    let new = "/datasets/new/rows/resolve/rows.jsonl";
    let server = Server::new(move |request| match request.path == new {
        true => Reply::part(request, CONTENT).of_hub(&prunebench_testing::server::sha256(CONTENT), COMMIT),
        false => Reply::to(new),
    });
    let home = tempfile::tempdir().unwrap();
    hub(home.path(), &server.endpoint)
        .file(&rows(COMMIT), "rows.jsonl")
        .unwrap();
    assert_eq!(server.requests().len(), 4);
    assert!(shown(&server).iter().all(Option::is_some));
}

#[test]
fn a_token_is_not_shown_again_when_another_host_sends_back() {
    // The store, which learns the Hub's address from the path, sends to something else there.
    let store = Server::new(|request| Reply::to(format!("http:/{}/private", request.path)));
    let location = store.endpoint.clone();
    let server = Server::new(move |request| match request.path.as_str() {
        "/private" => Reply::part(request, CONTENT),
        _ => large(format!("{location}/{}", request.header("host").unwrap()), CONTENT),
    });
    let home = tempfile::tempdir().unwrap();
    hub(home.path(), &server.endpoint)
        .file(&rows(COMMIT), "rows.jsonl")
        .unwrap();
    assert_eq!(server.requests().last().unwrap().path, "/private");
    let token = Some("Bearer hf_secret".to_owned());
    assert_eq!(shown(&server), [token.clone(), token, None]);
    assert_eq!(shown(&store), [None]);
}

#[test]
fn redirects_in_a_circle_end() {
    let server = Server::new(|request| Reply::to(request.path.clone()));
    let home = tempfile::tempdir().unwrap();
    let problem = hub(home.path(), &server.endpoint)
        .file(&rows(COMMIT), "rows.jsonl")
        .unwrap_err();
    assert!(matches!(problem, Problem::Redirect { .. }), "{problem}");
    assert!(server.requests().len() < 20);
}

#[test]
fn the_list_of_files_shows_no_token_elsewhere_either() {
    let store = Server::new(|_| Reply {
        body: format!("{{\"sha\": \"{COMMIT}\", \"siblings\": []}}").into_bytes(),
        ..Reply::status(200)
    });
    let location = format!("{}/list", store.endpoint);
    let server = Server::new(move |_| Reply::to(location.clone()));
    let home = tempfile::tempdir().unwrap();
    let listing = hub(home.path(), &server.endpoint).listing(&rows("main")).unwrap();
    assert_eq!(listing.commit, COMMIT);
    assert_eq!((shown(&server)[0].is_some(), shown(&store)), (true, vec![None]));
}

#[test]
fn a_file_at_a_fixed_address_is_asked_for_without_a_token() {
    let store = store();
    let home = tempfile::tempdir().unwrap();
    let url = format!("{}/rows.jsonl", store.endpoint);
    let sha256 = prunebench_testing::server::sha256(CONTENT);
    let hub = hub(home.path(), &store.endpoint);
    hub.pinned_file(&url, &sha256, home.path()).unwrap();
    assert_eq!(shown(&store), [None]);
}

#[test]
fn a_token_with_a_line_break_is_refused_before_anything_is_sent() {
    let server = Server::new(|_| Reply::status(404));
    let home = tempfile::tempdir().unwrap();
    let mut hub = hub(home.path(), &server.endpoint);
    hub.token = Token::new("hf_secret\r\nX-More: 1");
    let problem = hub.file(&rows(COMMIT), "rows.jsonl").unwrap_err();
    assert!(matches!(problem, Problem::Token), "{problem}");
    assert!(!problem.to_string().contains("secret"), "{problem}");
    assert!(server.requests().is_empty());
}

#[test]
fn no_problem_prints_what_is_secret() {
    let home = tempfile::tempdir().unwrap();
    let gone = Server::new(|_| Reply::status(500)).endpoint;
    for endpoint in [&gone[..], "http://127.0.0.1:1", "ftp://host", "http://no such host"] {
        let mut hub = hub(home.path(), "");
        hub.endpoint = Address::new(endpoint.replace("//", "//user:secret@"));
        let problem = hub.file(&rows(COMMIT), "rows.jsonl").unwrap_err();
        for text in [problem.to_string(), format!("{problem:?}"), format!("{hub:?}")] {
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
