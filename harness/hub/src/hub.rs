//! The Hub: its files, and the list of them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::address::Address;
use crate::cache::{Commit, ETag, Shelf};
use crate::client::{Answer, Ask, Client, Patience};
use crate::error::Problem;
use crate::hash::Hash;
use crate::persist::persist;
use crate::repository::{Repository, check_path, is_commit};
use crate::token::Token;
use crate::transfer::{self, Wanted, lock, make_folder_of};

/// Bytes of the longest list of files that is read.
const LONGEST_LISTING: u64 = 64 << 20;

/// How the Hub is reached, and where its files are kept.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Address of the Hub.
    pub endpoint: Address,
    /// Folder of the cache that its clients share; none if the user has none.
    pub cache: Option<PathBuf>,
    /// Access token, if any.
    pub token: Option<Token>,
    /// Use the cache only.
    pub offline: bool,
    /// How long is waited for what.
    pub patience: Patience,
}

/// The files of a repository at a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// Every file, as a path in the repository.
    pub files: Vec<String>,
}

impl Hub {
    /// Path in the cache of a file, if it is there. A branch or tag is what it was when it was last looked up.
    ///
    /// # Errors
    /// If the name of the file could lead out of the cache, or there is no cache.
    pub fn cached(&self, repository: &Repository, file: &str) -> Result<Option<PathBuf>, Problem> {
        Shelf::new(self.cache()?, repository).find(file)
    }

    /// Path in the cache of a file, fetched first if it is not there.
    ///
    /// # Errors
    /// If the Hub does not give it, what comes is not what it names, or the disk does not take it.
    pub fn file(&self, repository: &Repository, file: &str) -> Result<PathBuf, Problem> {
        if let Some(path) = self.cached(repository, file)? {
            return Ok(path);
        }
        let client = self.client()?;
        persist(self.patience.first_wait, || self.fetch(&client, repository, file))
    }

    /// The files of a repository, and the commit that its revision is now.
    ///
    /// # Errors
    /// If the Hub does not tell, or in another form than a Hub.
    pub fn listing(&self, repository: &Repository) -> Result<Listing, Problem> {
        let client = self.client()?;
        persist(self.patience.first_wait, || self.list(&client, repository))
    }

    /// Notes in the cache that the repository's revision is now this commit, so that [`Hub::cached`] finds its files.
    ///
    /// # Errors
    /// If it is no whole commit, or the disk does not take it.
    pub fn remember(&self, repository: &Repository, commit: &str) -> Result<(), Problem> {
        let commit = Commit::new(commit).ok_or_else(|| Problem::Name {
            what: "commit",
            found: commit.to_owned(),
        })?;
        Shelf::new(self.cache()?, repository).remember(&commit)
    }

    fn cache(&self) -> Result<&Path, Problem> {
        self.cache.as_deref().ok_or(Problem::NoCache)
    }

    fn client(&self) -> Result<Client<'_>, Problem> {
        match self.offline {
            true => Err(Problem::Offline(self.cache()?.to_owned())),
            false => Ok(Client::new(&self.patience, self.token.as_ref())),
        }
    }

    fn fetch(&self, client: &Client, repository: &Repository, file: &str) -> Result<PathBuf, Problem> {
        let shelf = Shelf::new(self.cache()?, repository);
        let address = self.endpoint.with(&repository.path(file));
        let about = self.about(client, repository, &address)?;
        let (blob, part) = (shelf.blob(&about.etag), shelf.part(&about.etag));
        make_folder_of(&blob)?;
        let _lock = lock(&shelf.lock(&about.etag))?;
        // Another process may have brought it, also for another commit or under another name.
        let is_whole = |found: fs::Metadata| about.length.is_none_or(|length| length == found.len());
        if !fs::metadata(&blob).is_ok_and(is_whole) {
            let wanted = Wanted {
                name: format!("{} {file}", repository.name()),
                address,
                length: about.length,
                hash: Hash::of_etag(about.etag.as_str()),
                limit: u64::MAX,
            };
            transfer::fetch(client, &wanted, &part, &blob).map_err(|problem| self.meaning(problem, repository))?;
        }
        let path = shelf.link(&about.commit, file, &about.etag)?;
        shelf.remember(&about.commit)?;
        Ok(path)
    }

    /// What the Hub tells of a file before it sends it, or sends to where it is.
    fn about(&self, client: &Client, repository: &Repository, address: &Address) -> Result<About, Problem> {
        let answer = client.send(Ask::Head, address)?;
        let status = answer.response.status();
        if !status.is_success() && !status.is_redirection() {
            return Err(self.meaning(answer.problem(), repository));
        }
        // The answer that sends to another host has that content's ETag and length in headers of the Hub's own.
        let etag = required(&answer, &["X-Linked-ETag", "ETag"], "a name of content", ETag::new)?;
        let pinned = Some(repository.revision()).filter(|revision| is_commit(revision));
        let wanted = pinned.map_or("40 hexadecimal digits", |_| "the commit that was asked for");
        let commit = required(&answer, &["X-Repo-Commit"], wanted, |value| {
            Commit::new(value).filter(|_| pinned.is_none_or(|pinned| pinned == value))
        })?;
        let own = || answer.number("Content-Length").filter(|_| status.is_success());
        Ok(About {
            etag,
            commit,
            length: answer.number("X-Linked-Size").or_else(own),
        })
    }

    fn list(&self, client: &Client, repository: &Repository) -> Result<Listing, Problem> {
        let mut answer = client.send(Ask::Content(0), &self.endpoint.with(&repository.listing_path()))?;
        if !answer.response.status().is_success() {
            return Err(self.meaning(answer.problem(), repository));
        }
        let mut text = Vec::new();
        let read = answer
            .response
            .body_mut()
            .as_reader()
            .take(LONGEST_LISTING)
            .read_to_end(&mut text);
        read.map_err(|error| client.problem(&answer.host, error.into()))?;
        let other = |reason: String| Problem::Listing {
            host: answer.host.clone(),
            reason,
        };
        let listed: Listed = serde_json::from_slice(&text).map_err(|error| other(error.to_string()))?;
        if !is_commit(&listed.sha) {
            return Err(other(format!("sha is {:?}, wanted 40 hexadecimal digits", listed.sha)));
        }
        let files: Vec<String> = listed.siblings.into_iter().map(|file| file.rfilename).collect();
        files.iter().try_for_each(|file| check_path("file", file))?;
        Ok(Listing {
            commit: listed.sha,
            files,
        })
    }

    /// What a status means if the Hub itself answered with it.
    fn meaning(&self, problem: Problem, repository: &Repository) -> Problem {
        let hub = self.endpoint.target().map(|(target, _)| target.origin());
        match problem {
            Problem::Status { host, status, wait } if hub.is_ok_and(|hub| hub == host) => match status {
                401 => Problem::Refused,
                403 => Problem::Gated {
                    page: repository.page(),
                },
                404 => Problem::Missing,
                429 => Problem::Busy { wait },
                _ => Problem::Status { host, status, wait },
            },
            other => other,
        }
    }
}

struct About {
    etag: ETag,
    commit: Commit,
    length: Option<u64>,
}

#[derive(Deserialize)]
struct Listed {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// The first of the headers that is there, as what a Hub says in it.
fn required<T>(
    answer: &Answer,
    names: &[&'static str],
    wanted: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, Problem> {
    let found = names.iter().find_map(|name| Some((*name, answer.header(name)?)));
    let value = found.as_ref().and_then(|(_, value)| read(value));
    value.ok_or_else(|| {
        let (name, found) = match found {
            Some((name, value)) => (name, Some(value)),
            None => (names[names.len() - 1], None),
        };
        Problem::Header {
            host: answer.host.clone(),
            name,
            found,
            wanted,
        }
    })
}
