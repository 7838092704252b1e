//! Models on the Hugging Face Hub, kept in its usual cache.

use std::{env, ffi::OsString, fs, path::PathBuf};

use hf_hub::{
    Cache, Repo, RepoType,
    api::sync::{ApiBuilder, ApiError, ApiRepo},
};

use crate::{
    checkpoint::{BESIDE_WEIGHTS, CONFIG_FILE, INDEX_FILE, SINGLE_FILE, index_files},
    error::{ModelError, Result, at},
};

/// A repository on the Hub at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubModel {
    /// `org/name`.
    pub repository: String,
    /// Branch, tag or commit; `main` if the user named none.
    pub revision: Option<String>,
}

impl HubModel {
    /// Parses `org/name` or `org/name@revision`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (repository, revision) = match text.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision)),
            None => (text, None),
        };
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        let (org, name) = repository.split_once('/')?;
        let revision_plain = revision.is_none_or(|r| r.split('/').all(plain));
        (plain(org) && plain(name) && revision_plain).then(|| Self {
            repository: repository.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }

    /// Folder of the snapshot in the cache, complete.
    pub(super) fn resolve(&self) -> Result<PathBuf> {
        self.resolve_with(&Settings::read(|name| env::var_os(name))?)
    }

    fn resolve_with(&self, settings: &Settings) -> Result<PathBuf> {
        if settings.offline {
            self.cached(&settings.cache)
        } else {
            self.fetch(settings)
        }
    }

    fn failed(&self, detail: impl Into<String>) -> ModelError {
        ModelError::Source {
            spec: super::ModelSource::Hub(self.clone()).to_string(),
            detail: detail.into(),
        }
    }

    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repository.clone(), RepoType::Model, revision.to_owned())
    }

    fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The snapshot in the cache, refused if a file that loading needs is not there.
    fn cached(&self, cache: &Cache) -> Result<PathBuf> {
        let absent = |file: &str| {
            self.failed(format!(
                "{file} is not in the cache {} and HF_HUB_OFFLINE is set; unset it once to fetch the model",
                cache.path().display()
            ))
        };
        let repo = cache.repo(self.repo(self.revision()));
        let config = repo.get(CONFIG_FILE).ok_or_else(|| absent(CONFIG_FILE))?;
        if repo.get(SINGLE_FILE).is_none() {
            let index = repo.get(INDEX_FILE).ok_or_else(|| absent(SINGLE_FILE))?;
            let bytes = fs::read(&index).map_err(at(&index))?;
            for shard in index_files(&index, &bytes)? {
                repo.get(&shard).ok_or_else(|| absent(&shard))?;
            }
        }
        self.folder(config)
    }

    fn fetch(&self, settings: &Settings) -> Result<PathBuf> {
        let Settings { cache, token, .. } = settings;
        let mut builder = ApiBuilder::from_cache(cache.clone())
            .with_progress(false)
            .with_retries(2)
            .with_token(token.clone());
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        let api = builder.build().map_err(|e| self.explain(&e, "the repository"))?;

        // One listing names the commit, so that all files are of one snapshot.
        let info = api
            .repo(self.repo(self.revision()))
            .info()
            .map_err(|e| self.explain(&e, "the repository"))?;
        let has = |name: &str| info.siblings.iter().any(|file| file.rfilename == name);
        let files = api.repo(self.repo(&info.sha));
        let config = self.get(&files, CONFIG_FILE)?;
        for name in BESIDE_WEIGHTS.into_iter().filter(|name| has(name)) {
            self.get(&files, name)?;
        }
        if has(SINGLE_FILE) {
            self.get(&files, SINGLE_FILE)?;
        } else if has(INDEX_FILE) {
            let index = self.get(&files, INDEX_FILE)?;
            let bytes = fs::read(&index).map_err(at(&index))?;
            let mut shards = index_files(&index, &bytes)?;
            shards.sort();
            shards.dedup();
            for shard in shards {
                self.get(&files, &shard)?;
            }
        } else {
            return Err(self.failed(format!(
                "the repository has neither {SINGLE_FILE} nor {INDEX_FILE}; take one with safetensors weights"
            )));
        }
        // What offline mode looks the revision up by.
        cache
            .repo(self.repo(self.revision()))
            .create_ref(&info.sha)
            .map_err(at(cache.path()))?;
        self.folder(config)
    }

    fn get(&self, files: &ApiRepo, name: &str) -> Result<PathBuf> {
        files.get(name).map_err(|e| self.explain(&e, name))
    }

    fn folder(&self, config: PathBuf) -> Result<PathBuf> {
        match config.parent() {
            Some(folder) => Ok(folder.to_path_buf()),
            None => Err(self.failed(format!("{} lies in no folder", config.display()))),
        }
    }

    fn explain(&self, error: &ApiError, what: &str) -> ModelError {
        let status = match error {
            ApiError::RequestError(error) => match **error {
                ureq::Error::StatusCode(status) => Some(status),
                _ => None,
            },
            _ => None,
        };
        self.failed(match status {
            Some(status @ (401 | 403)) => format!(
                "HTTP {status} for {what}: the repository is gated, private or absent; accept its terms on its page, \
                 and set HF_TOKEN or log in with `hf auth login`"
            ),
            Some(404) => format!(
                "HTTP 404 for {what} at revision {}: check the spelling of hf:org/name@revision",
                self.revision()
            ),
            _ => format!("{what}: {error}; check the network, or set HF_HUB_OFFLINE=1 to use the cache alone"),
        })
    }
}

/// What the environment says about the Hub, in the variables of Hugging Face's own libraries.
struct Settings {
    /// `HF_ENDPOINT`; absent for the Hub itself.
    endpoint: Option<String>,
    /// `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in the home folder.
    cache: Cache,
    /// `HF_TOKEN`, else the file `HF_TOKEN_PATH`, else `token` in `HF_HOME`.
    token: Option<String>,
    /// `HF_HUB_OFFLINE`: use the cache alone.
    offline: bool,
}

impl Settings {
    fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let text = |name| variable(name).and_then(|value| value.into_string().ok());
        let home = match variable("HF_HOME") {
            Some(home) => PathBuf::from(home),
            None => dirs::home_dir()
                .map(|home| home.join(".cache").join("huggingface"))
                .ok_or_else(|| ModelError::Source {
                    spec: super::HUB_PREFIX.to_owned(),
                    detail: "no home folder is known; set HF_HOME".to_owned(),
                })?,
        };
        let token_path = variable("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
        Ok(Self {
            endpoint: text("HF_ENDPOINT").map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            cache: Cache::new(variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from)),
            token: text("HF_TOKEN")
                .or_else(|| fs::read_to_string(token_path).ok())
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty()),
            offline: text("HF_HUB_OFFLINE")
                .is_some_and(|value| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())),
        })
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
