//! Files of data repositories on the Hub, through the cache every Hub client shares.

use std::env;
use std::path::PathBuf;

use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use crate::catalogue::HubSource;
use crate::error::HubProblem;

/// How the Hub is reached.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Address of the Hub, if not its own.
    pub endpoint: Option<String>,
    /// Folder of the shared cache.
    pub cache: PathBuf,
    /// Access token, if any.
    pub token: Option<String>,
    /// Use the cache only.
    pub offline: bool,
}

impl Hub {
    /// As `HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN` (else the token file of a login) and `HF_HUB_OFFLINE` say.
    pub fn from_env() -> Self {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let cache = Cache::from_env();
        Self {
            endpoint: variable("HF_ENDPOINT"),
            cache: cache.path().clone(),
            token: variable("HF_TOKEN").or_else(|| cache.token()),
            offline: variable("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
        }
    }

    /// Path in the cache of `file` of `source`, fetched first if it is not there.
    pub(crate) fn file(&self, source: &HubSource, file: &str) -> std::result::Result<PathBuf, HubProblem> {
        let cache = Cache::new(self.cache.clone());
        let repo = Repo::with_revision(source.repository.clone(), RepoType::Dataset, source.revision.clone());
        // The revision is a commit, so a file in its snapshot can't be stale, whichever client put it there.
        let cached = cache.repo(repo.clone()).pointer_path(&source.revision).join(file);
        if cached.exists() {
            return Ok(cached);
        }
        if self.offline {
            return Err(HubProblem::Offline(self.cache.clone()));
        }
        let mut builder = ApiBuilder::from_cache(cache)
            .with_progress(false)
            .with_token(self.token.clone());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        let fetched = builder.build().and_then(|api| api.repo(repo).download(file));
        fetched.map_err(|error| match status(&error) {
            Some(code @ (401 | 403)) => HubProblem::Refused(code),
            Some(404) => HubProblem::Missing,
            _ => HubProblem::Failed(error),
        })
    }
}

fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(request) => match **request {
            ureq::Error::StatusCode(code) => Some(code),
            _ => None,
        },
        _ => None,
    }
}

/// The spellings of "yes" that the Hub's own client takes.
fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_ascii_uppercase().as_str())
}
