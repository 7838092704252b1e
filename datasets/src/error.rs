//! What can go wrong between a data set's name and its tokens.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure to name, find, read or cut a data set, with what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A catalogue file breaks the catalogue's rules.
    #[error("catalogue/{file}.toml: {reason}")]
    Catalogue {
        /// Stem of the file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No entry of that name.
    #[error("no {kind} {name:?}{}; there are: {}", hint(near), known.join(", "))]
    Unknown {
        /// What was asked for: `data set`, `split of wikitext2` or `protocol`.
        kind: String,
        /// The name asked for.
        name: String,
        /// The nearest name, if one is near.
        near: Option<String>,
        /// Every name there is.
        known: Vec<String>,
    },
    /// The data folder the user named is not there.
    #[error(
        "the data folder {path} is not a folder; name one laid out as text/<data set>/... with --data or \
         PRUNEBENCH_DATA, or name none to use the Hub"
    )]
    NoMirror {
        /// The folder named.
        path: PathBuf,
    },
    /// A file is there but can't be read as text.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A text is not the one the protocols are defined on.
    #[error(
        "{origin} is not the text of the catalogue: its sha256 is {found}, wanted {wanted}. Numbers on another text \
         can't be compared; remove the file and fetch it again"
    )]
    WrongText {
        /// Where the text came from.
        origin: String,
        /// Hash of what was found.
        found: String,
        /// Hash in the catalogue.
        wanted: String,
    },
    /// The Hub did not give the file.
    #[error(
        "can't get {file} of {repository}: {problem}. Or keep the text in a data folder as {mirror} and name the folder \
         with --data or PRUNEBENCH_DATA"
    )]
    Hub {
        /// Repository on the Hub.
        repository: String,
        /// File in it.
        file: String,
        /// What the Hub, or the way to it, said.
        problem: HubProblem,
        /// Where a mirror would keep the same text.
        mirror: String,
    },
    /// A parquet file is cut off, damaged or of another shape.
    #[error("{path} can't be read as parquet: {reason}. Remove the file; the next run fetches it again")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader met.
        reason: String,
    },
    /// A window in which nothing is predicted.
    #[error("a window of {window} tokens predicts nothing; it must hold at least 2")]
    WindowTooSmall {
        /// The window asked for.
        window: usize,
    },
    /// Fewer tokens than the windows need.
    #[error(
        "the text has {tokens} tokens, but {count} window(s) of {window} need {}; take a longer text, or smaller or \
         fewer windows",
        count.saturating_mul(*window)
    )]
    TextTooShort {
        /// Tokens there are.
        tokens: usize,
        /// Windows wanted.
        count: usize,
        /// Tokens in each.
        window: usize,
    },
}

/// Why a file did not come from the Hub.
#[derive(Debug, thiserror::Error)]
pub enum HubProblem {
    /// 401 or 403.
    #[error(
        "the Hub refused it (HTTP {0}); accept the data set's terms there and set HF_TOKEN, or log in with `hf auth login`"
    )]
    Refused(u16),
    /// 404.
    #[error("the Hub has no such file at that revision (HTTP 404); check HF_ENDPOINT")]
    Missing,
    /// Offline mode and nothing in the cache.
    #[error("HF_HUB_OFFLINE is set and the file is not in the cache {0}; unset it once to fetch the file")]
    Offline(PathBuf),
    /// No usable answer.
    #[error("{0}; check the network and HF_ENDPOINT")]
    Failed(#[from] hf_hub::api::sync::ApiError),
}

impl Error {
    /// The error for a `name` that is none of `known`, with the nearest of them.
    pub(crate) fn unknown<'a>(kind: impl Into<String>, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<String> = known.map(str::to_owned).collect();
        let near = known
            .iter()
            .map(|other| (strsim::normalized_damerau_levenshtein(name, other), other))
            .filter(|(likeness, _)| *likeness >= 0.6)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, other)| other.clone());
        Self::Unknown {
            kind: kind.into(),
            name: name.to_owned(),
            near,
            known,
        }
    }
}

fn hint(near: &Option<String>) -> String {
    near.as_ref()
        .map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}
