//! The Hub's files come whole and checked, and what is shown to the Hub is shown to nobody else.

mod cache;
mod credentials;
mod downloads;
mod names;

use std::path::Path;
use std::time::Duration;

use prunebench_hub::{Address, Hub, Patience, RepoType, Repository, Token};
use prunebench_testing::server::{COMMIT, Cut, Reply, Request};

const CONTENT: &[u8] = b"{\"text\": \"one two\"}\n{\"text\": \"three four five\"}\n";

/// The Hub at `endpoint`, with a token and a cache of its own, that waits for nothing long.
fn hub(home: &Path, endpoint: &str) -> Hub {
    Hub {
        endpoint: Address::new(endpoint),
        cache: Some(home.join("hub")),
        token: Token::new("hf_secret"),
        offline: false,
        patience: Patience {
            first_wait: Duration::ZERO,
            ..Patience::default()
        },
    }
}

fn rows(revision: &str) -> Repository {
    Repository::new(RepoType::Dataset, "some/rows", revision).unwrap()
}

/// Where the Hub has `rows.jsonl` of [`rows`].
fn path(revision: &str) -> String {
    format!("/datasets/some/rows/resolve/{revision}/rows.jsonl")
}

/// What the Hub's answer that sends to a large file looks like.
fn large(location: String, content: &[u8]) -> Reply {
    Reply::to(location)
        .with(
            "X-Linked-ETag",
            format!("\"{}\"", prunebench_testing::server::sha256(content)),
        )
        .with("X-Linked-Size", content.len().to_string())
        .of_hub("of-the-redirect", COMMIT)
}

/// Content that stops after half of it.
fn half(request: &Request, content: &[u8], cut: Cut) -> Reply {
    let mut reply = Reply::part(request, content);
    reply.cut = Some((content.len() / 2, cut));
    reply
}

/// Every file below a folder, by its path in it.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}
