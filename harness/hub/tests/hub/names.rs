//! What a server, or the user, calls things never becomes a path unchecked.

use prunebench_hub::{Problem, RepoType, Repository};
use prunebench_testing::server::{COMMIT, Reply, Server, sha256};

use super::{CONTENT, files, hub, rows};

/// Fetches from a server that says `etag` and `commit`, and tells the problem, and every file that came to be.
fn fetched(etag: &str, commit: &str) -> (Result<(), Problem>, Vec<String>) {
    let (etag, commit) = (etag.to_owned(), commit.to_owned());
    let server = Server::new(move |request| {
        let reply = Reply::part(request, CONTENT);
        reply.with("ETag", etag.clone()).with("X-Repo-Commit", commit.clone())
    });
    let around = tempfile::tempdir().unwrap();
    let home = around.path().join("a/b/c/d");
    let hub = hub(&home, &server.endpoint);
    let found = hub.file(&rows("main"), "rows.jsonl");
    (found.map(drop), files(around.path()))
}

#[test]
fn an_etag_that_is_a_path_is_refused() {
    for etag in [
        "\"../../../../evil\"",
        "../evil",
        "\"/tmp/evil\"",
        "W/\"..\"",
        "\"\"",
        "\"a/b\"",
        "\"a\\b\"",
        "\".\"",
    ] {
        let (found, files) = fetched(etag, COMMIT);
        assert!(
            matches!(&found, Err(Problem::Header { name: "ETag", .. })),
            "{etag}: {found:?}"
        );
        assert_eq!(files, [""; 0], "{etag}");
    }
}

#[test]
fn a_commit_that_is_none_is_refused() {
    let etag = format!("\"{}\"", sha256(CONTENT));
    for commit in [
        "../../../evil",
        "main",
        "",
        &COMMIT[1..],
        &format!("{COMMIT}0"),
        "/tmp/evil",
        &COMMIT.to_uppercase(),
    ] {
        let (found, files) = fetched(&etag, commit);
        assert!(
            matches!(
                &found,
                Err(Problem::Header {
                    name: "X-Repo-Commit",
                    ..
                })
            ),
            "{commit}: {found:?}"
        );
        assert_eq!(files, [""; 0], "{commit}");
    }
    fetched(&etag, COMMIT).0.unwrap();
}

#[test]
fn an_absent_header_is_named() {
    let server = Server::new(|request| Reply::part(request, CONTENT));
    let home = tempfile::tempdir().unwrap();
    let problem = hub(home.path(), &server.endpoint)
        .file(&rows("main"), "rows.jsonl")
        .unwrap_err();
    let text = problem.to_string();
    assert!(
        text.contains("nothing as ETag") && text.contains("HF_ENDPOINT"),
        "{text}"
    );
    assert!(text.contains(&server.endpoint), "{text}");
}

#[test]
fn another_commit_than_the_pinned_one_is_refused() {
    let server = Server::new(|request| Reply::part(request, CONTENT).of_hub("etag", COMMIT));
    let home = tempfile::tempdir().unwrap();
    let pinned = "f".repeat(40);
    let problem = hub(home.path(), &server.endpoint)
        .file(&rows(&pinned), "rows.jsonl")
        .unwrap_err();
    assert!(
        matches!(
            problem,
            Problem::Header {
                name: "X-Repo-Commit",
                ..
            }
        ),
        "{problem}"
    );
}

#[test]
fn file_names_that_leave_the_snapshot_are_refused_before_anything_is_asked() {
    let server = Server::new(|_| Reply::status(404));
    let home = tempfile::tempdir().unwrap();
    let hub = hub(home.path(), &server.endpoint);
    for file in [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "",
        "a//b",
        "a/",
        ".",
        "a\\..\\b",
        "C:x",
        "a\nb",
    ] {
        for found in [
            hub.cached(&rows("main"), file).map(drop),
            hub.file(&rows("main"), file).map(drop),
        ] {
            assert!(
                matches!(&found, Err(Problem::Name { what: "file", .. })),
                "{file}: {found:?}"
            );
        }
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_listing_with_a_name_that_is_no_path_or_a_wrong_commit_is_refused() {
    let list = |text: String| {
        let body = text.into_bytes();
        let server = Server::new(move |_| Reply {
            body: body.clone(),
            ..Reply::status(200)
        });
        let home = tempfile::tempdir().unwrap();
        hub(home.path(), &server.endpoint).listing(&rows("main")).unwrap_err()
    };
    for name in ["../x", "/x", "a//b", ""] {
        let problem = list(format!(
            "{{\"sha\": \"{COMMIT}\", \"siblings\": [{{\"rfilename\": \"{name}\"}}]}}"
        ));
        assert!(matches!(problem, Problem::Name { .. }), "{name}: {problem}");
    }
    for text in ["{\"sha\": \"../x\", \"siblings\": []}", "{}", "<html>", ""] {
        let problem = list(text.to_owned());
        assert!(matches!(problem, Problem::Listing { .. }), "{text}: {problem}");
    }
}

#[test]
fn a_pinned_file_has_a_name_and_a_hash() {
    let home = tempfile::tempdir().unwrap();
    let hub = hub(home.path(), "http://127.0.0.1:1");
    let sha256 = sha256(CONTENT);
    for (url, hash) in [
        ("http://127.0.0.1:1/..", sha256.as_str()),
        ("http://127.0.0.1:1/", &sha256),
        ("http://127.0.0.1:1/x", "../x"),
        ("http://127.0.0.1:1/x", COMMIT),
    ] {
        let problem = hub.pinned_file(url, hash, home.path()).unwrap_err();
        assert!(matches!(problem, Problem::Name { .. }), "{url} {hash}: {problem}");
    }
    assert!(Repository::new(RepoType::Model, "../x", "main").is_err());
}
