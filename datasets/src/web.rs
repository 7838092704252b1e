//! Files at fixed addresses, fetched once into a folder of the user's cache.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::catalogue::WebFile;
use crate::error::WebProblem;
use crate::fetch::hexadecimal;
use crate::retry::{Fault, LONGEST_WAIT, failed_on_the_way, persist};

/// Bytes of the largest file that is taken.
const LIMIT: u64 = 1 << 30;

const CONNECTED_WITHIN: Duration = Duration::from_secs(30);
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// Path of `file` in the folder `downloads`, fetched first if it is not there. It is there whole or not at all.
pub(crate) fn fetch(
    file: &WebFile,
    downloads: &Path,
    offline: bool,
    first_wait: Duration,
) -> Result<PathBuf, WebProblem> {
    let name = file.url.rsplit('/').next().unwrap_or_default();
    // The hash keeps files of one name apart.
    let folder = downloads.join(&file.sha256);
    let path = folder.join(name);
    if path.exists() {
        return Ok(path);
    }
    if offline {
        return Err(WebProblem::Offline(downloads.to_owned()));
    }
    let content = persist(first_wait, || download(&file.url))?;
    let found = hexadecimal(Sha256::new_with_prefix(&content));
    if found != file.sha256 {
        let wanted = file.sha256.clone();
        return Err(WebProblem::Content { found, wanted });
    }
    let write = || {
        fs::create_dir_all(&folder)?;
        let mut part = NamedTempFile::new_in(&folder)?;
        part.write_all(&content)?;
        part.as_file().sync_all()?;
        part.persist(&path)?;
        Ok(())
    };
    write().map_err(|source| WebProblem::Write {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

fn download(url: &str) -> Result<Vec<u8>, WebProblem> {
    let request = ureq::get(url)
        .config()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECTED_WITHIN))
        .timeout_recv_response(Some(ANSWERED_WITHIN))
        .build();
    let mut response = request.call()?;
    if !response.status().is_success() {
        let wait = response.headers().get("Retry-After");
        let seconds = wait.and_then(|wait| wait.to_str().ok()?.parse().ok());
        return Err(WebProblem::Status {
            status: response.status().as_u16(),
            wait: seconds.map(Duration::from_secs),
        });
    }
    Ok(response.body_mut().with_config().limit(LIMIT).read_to_vec()?)
}

impl Fault for WebProblem {
    fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::Failed(error) => failed_on_the_way(error),
            _ => false,
        }
    }

    fn asked_wait(&self) -> Option<Duration> {
        match self {
            Self::Status { wait, .. } => wait.map(|wait| wait.min(LONGEST_WAIT)),
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
