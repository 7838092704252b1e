//! Why a file did not come, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::address::Address;

/// Why a file did not come.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// 401 of the Hub.
    #[error(
        "the Hub refused it (HTTP 401): it is private, gated or not there; check the name, and set HF_TOKEN or log in with \
         `hf auth login`"
    )]
    Refused,
    /// 403 of the Hub.
    #[error("the Hub guards it (HTTP 403); accept its terms at {page} with the account of your HF_TOKEN")]
    Gated {
        /// Where the terms are.
        page: String,
    },
    /// 404 of the Hub.
    #[error("the Hub has no such file at that revision (HTTP 404); check the name, and HF_ENDPOINT if it is set")]
    Missing,
    /// 429 of the Hub.
    #[error("the Hub got too many requests (HTTP 429); wait some minutes, or set HF_TOKEN, which is allowed more")]
    Busy {
        /// How long the Hub asks to wait.
        wait: Option<Duration>,
    },
    /// An answer that is neither the file nor one of those.
    #[error("{host} answered with HTTP {status}; check the network, or try again later")]
    Status {
        /// Who answered, as `scheme://host:port`.
        host: String,
        /// What it answered with.
        status: u16,
        /// How long it asks to wait.
        wait: Option<Duration>,
    },
    /// Offline mode and nothing in the cache.
    #[error("HF_HUB_OFFLINE is set and the file is not in the cache {0}; unset it once to fetch the file")]
    Offline(PathBuf),
    /// Nowhere to keep it.
    #[error("no cache folder is known to keep it in; set HOME, or HF_HOME for files of the Hub")]
    NoCache,
    /// A token that can't be sent.
    #[error(
        "the token in HF_TOKEN, or in the file of a login, has characters that no token has (a space, a line break, a letter \
         with an accent?); copy it anew, or log in with `hf auth login`"
    )]
    Token,
    /// No address.
    #[error("{0} is no address; wanted http://host or https://host, in HF_ENDPOINT where the Hub is meant")]
    Address(Address),
    /// A name that is no part of a path, or would lead elsewhere.
    #[error("the {what} {found:?} can't be taken for a path; wanted names with slashes between, and none of them `..`")]
    Name {
        /// What it names.
        what: &'static str,
        /// The name.
        found: String,
    },
    /// A header that is absent, or that no Hub sends.
    #[error(
        "{host} answered with {} as {name}, wanted {wanted}; is it a Hub? Check HF_ENDPOINT, and whether there is a proxy in \
         the way",
        found.as_ref().map_or_else(|| "nothing".to_owned(), |found| format!("{found:?}"))
    )]
    Header {
        /// Who answered.
        host: String,
        /// The header.
        name: &'static str,
        /// What it said, if it was there.
        found: Option<String>,
        /// What a Hub says in it.
        wanted: &'static str,
    },
    /// A list of files that can't be read.
    #[error("{host} lists the repository's files in another form than a Hub does ({reason}); check HF_ENDPOINT")]
    Listing {
        /// Who answered.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A redirect that is not followed.
    #[error("{host} sends elsewhere, and {reason}; check the network and the address")]
    Redirect {
        /// Who answered.
        host: String,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// The file came, but shorter or longer than announced.
    #[error("it came with {found} bytes instead of {wanted} and was thrown away")]
    Length {
        /// Bytes that came.
        found: u64,
        /// Bytes announced.
        wanted: u64,
    },
    /// The file is longer than any that is taken.
    #[error("it has more than {limit} bytes, the most that is taken; is it the file that is meant?")]
    TooLong {
        /// The most that is taken.
        limit: u64,
    },
    /// Another file came.
    #[error("what came has {kind} {found} instead of {wanted} and was thrown away; is there a proxy in the way?")]
    Content {
        /// Which hash.
        kind: &'static str,
        /// Hash of what came.
        found: String,
        /// Hash of the file.
        wanted: String,
    },
    /// Not the part that was asked for.
    #[error("{host} did not send the rest of the file, which was asked for; what had come was thrown away")]
    Part {
        /// Who answered.
        host: String,
    },
    /// Bytes stopped coming.
    #[error("{host} sent nothing for {} s; check the network", after.as_secs_f64())]
    Stalled {
        /// Who fell silent.
        host: String,
        /// How long was waited.
        after: Duration,
    },
    /// No usable answer.
    #[error("{host}: {source}; check the network and that address")]
    Failed {
        /// Who was asked.
        host: String,
        /// What the client met.
        source: Box<ureq::Error>,
    },
    /// It can't be kept.
    #[error("{path} can't be written ({source}); check the folder and the disk")]
    Disk {
        /// Where it was to go.
        path: PathBuf,
        /// Why it can't.
        source: io::Error,
    },
    /// A fault that stayed.
    #[error("{attempts} attempts failed, the last so: {last}")]
    GaveUp {
        /// How often it was tried.
        attempts: usize,
        /// What the last attempt met.
        last: Box<Problem>,
    },
}

impl Problem {
    /// What `error` of the client means, which came of asking `host` and waiting as `stall` says.
    pub(crate) fn of(host: String, error: ureq::Error, stall: Duration) -> Self {
        match error {
            ureq::Error::Timeout(ureq::Timeout::PerRead) => Self::Stalled { host, after: stall },
            error => Self::Failed {
                host,
                source: Box::new(error),
            },
        }
    }

    /// The problem with `path` that the disk has.
    pub(crate) fn disk(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Disk { path, source }
    }
}
