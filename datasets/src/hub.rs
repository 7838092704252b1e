//! Files of data repositories on the Hub, through the cache every Hub client shares.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use crate::catalogue::HubSource;
use crate::error::HubProblem;
use crate::retry::{Fault, LONGEST_WAIT, failed_on_the_way, is_cut, persist};

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
    /// Wait before a second attempt, doubled before each further one.
    pub first_wait: Duration,
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
            first_wait: Duration::from_secs(1),
        }
    }

    /// Path in the cache of `file` of `source`, fetched first if it is not there.
    pub(crate) fn file(&self, source: &HubSource, file: &str) -> Result<PathBuf, HubProblem> {
        let cache = Cache::new(self.cache.clone());
        let revision = source.revision();
        let repo = Repo::with_revision(source.repository.clone(), RepoType::Dataset, revision.to_owned());
        let cached = cache.repo(repo.clone());
        // The snapshot of a commit can't be stale, whichever client put it there. What `main` was is in a reference.
        let snapshot = cached.pointer_path(revision).join(file);
        if let Some(path) = Some(snapshot).filter(|path| path.exists()).or_else(|| cached.get(file)) {
            return Ok(path);
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
        let api = builder.build()?.repo(repo);
        let blobs = cached.blob_path("blobs").with_file_name("");
        persist(self.first_wait, || self.attempt(&api, source, file, &blobs))
    }

    fn attempt(&self, api: &ApiRepo, source: &HubSource, file: &str, blobs: &Path) -> Result<PathBuf, HubProblem> {
        let mut announced = 0;
        let fetched = api.download_with_progress(file, Announced(&mut announced));
        let path = fetched.map_err(|error| match status(&error) {
            Some(401) => HubProblem::Refused,
            Some(403) => HubProblem::Gated {
                page: format!("https://huggingface.co/datasets/{}", source.repository),
            },
            Some(404) => HubProblem::Missing,
            Some(429) => HubProblem::Busy {
                wait: self.retry_after(&api.url(file)),
            },
            _ => {
                // What came so far is longer than the file, or all of it: there is nothing to resume.
                if matches!(error, ApiError::InvalidResume) || status(&error) == Some(416) {
                    remove_parts(blobs);
                }
                HubProblem::Failed(error)
            }
        })?;
        let length = |path: &Path| fs::metadata(path).map(|found| found.len());
        let (found, wanted) = (length(&path).map_err(ApiError::from)?, announced as u64);
        if found != wanted {
            // The client takes what came for whole; the pointer in the snapshot is a link to it.
            for wrong in [fs::canonicalize(&path).map_err(ApiError::from)?, path] {
                match fs::remove_file(wrong) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(ApiError::from(error).into()),
                    _ => {}
                }
            }
            return Err(HubProblem::Length { found, wanted });
        }
        Ok(path)
    }

    /// How long the Hub asks to wait, which the client does not tell.
    fn retry_after(&self, url: &str) -> Option<Duration> {
        let mut request = ureq::get(url)
            .config()
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        request = request.header("Range", "bytes=0-0");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let response = request.call().ok()?;
        let seconds = response.headers().get("Retry-After")?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}

/// Remembers the length the client was told.
struct Announced<'a>(&'a mut usize);

impl Progress for Announced<'_> {
    fn init(&mut self, size: usize, _: &str) {
        *self.0 = size;
    }

    fn update(&mut self, _: usize) {}

    fn finish(&mut self) {}
}

fn remove_parts(blobs: &Path) {
    let files = fs::read_dir(blobs)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    for part in files.filter(|path| path.extension().is_some_and(|kind| kind == "part")) {
        // A part that stays shows as the same problem once more.
        let _ = fs::remove_file(part);
    }
}

impl Fault for HubProblem {
    fn may_pass(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Length { .. } => true,
            Self::Failed(error) => match error {
                ApiError::LockAcquisition(_) | ApiError::InvalidResume => true,
                ApiError::IoError(error) => is_cut(error),
                ApiError::RequestError(request) => status(error) == Some(416) || failed_on_the_way(request),
                _ => false,
            },
            _ => false,
        }
    }

    fn asked_wait(&self) -> Option<Duration> {
        match self {
            Self::Busy { wait } => wait.map(|wait| wait.min(LONGEST_WAIT)),
            _ => None,
        }
    }

    fn gave_up(attempts: usize, last: Self) -> Self {
        Self::GaveUp {
            attempts,
            last: Box::new(last),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_the_hub_asks_for_is_kept_but_not_for_ever() {
        let busy = |seconds: Option<u64>| {
            let problem = HubProblem::Busy {
                wait: seconds.map(Duration::from_secs),
            };
            problem.asked_wait()
        };
        assert_eq!(busy(Some(7)), Some(Duration::from_secs(7)));
        assert_eq!(busy(Some(86_400)), Some(LONGEST_WAIT));
        assert_eq!(busy(None), None);
        assert_eq!(HubProblem::Missing.asked_wait(), None);
    }

    #[test]
    fn only_what_can_pass_is_met_again() {
        let failed = |kind| HubProblem::Failed(ApiError::IoError(io::Error::from(kind)));
        assert!(failed(io::ErrorKind::ConnectionReset).may_pass());
        assert!(!failed(io::ErrorKind::StorageFull).may_pass());
        assert!(!failed(io::ErrorKind::ConnectionRefused).may_pass());
        assert!(!HubProblem::Refused.may_pass());
    }
}
