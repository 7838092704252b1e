//! Models on the Hugging Face Hub, kept in its usual cache.

use std::{fs, path::PathBuf};

use prunebench_hub::{Hub, Problem, RepoType, Repository};

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
        self.resolve_from(&Hub::from_env())
    }

    fn resolve_from(&self, hub: &Hub) -> Result<PathBuf> {
        if hub.offline { self.cached(hub) } else { self.fetch(hub) }
    }

    fn failed(&self, detail: impl Into<String>) -> ModelError {
        ModelError::Source {
            spec: super::ModelSource::Hub(self.clone()).to_string(),
            detail: detail.into(),
        }
    }

    fn at(&self, revision: &str) -> Result<Repository> {
        let repository = Repository::new(RepoType::Model, &self.repository, revision);
        repository.map_err(|problem| self.failed(problem.to_string()))
    }

    fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The snapshot in the cache, refused if a file that loading needs is not there.
    fn cached(&self, hub: &Hub) -> Result<PathBuf> {
        let repository = self.at(self.revision())?;
        let find = |file: &str| {
            let found = hub.cached(&repository, file);
            found.map_err(|problem| self.explain(&problem, file))
        };
        let get = |file: &str| hub.file(&repository, file).map_err(|e| self.explain(&e, file));
        let config = get(CONFIG_FILE)?;
        match find(INDEX_FILE)? {
            Some(index) if find(SINGLE_FILE)?.is_none() => {
                let bytes = fs::read(&index).map_err(at(&index))?;
                for shard in index_files(&index, &bytes)? {
                    get(&shard)?;
                }
            }
            _ => drop(get(SINGLE_FILE)?),
        }
        self.folder(config)
    }

    fn fetch(&self, hub: &Hub) -> Result<PathBuf> {
        // One listing names the commit, so that all files are of one snapshot.
        let named = self.at(self.revision())?;
        let listing = hub.listing(&named).map_err(|e| self.explain(&e, "the repository"))?;
        let has = |name: &str| listing.files.iter().any(|file| file == name);
        let snapshot = self.at(&listing.commit)?;
        let get = |name: &str| hub.file(&snapshot, name).map_err(|e| self.explain(&e, name));
        let config = get(CONFIG_FILE)?;
        for name in BESIDE_WEIGHTS.into_iter().filter(|name| has(name)) {
            get(name)?;
        }
        if has(SINGLE_FILE) {
            get(SINGLE_FILE)?;
        } else if has(INDEX_FILE) {
            let index = get(INDEX_FILE)?;
            let bytes = fs::read(&index).map_err(at(&index))?;
            let mut shards = index_files(&index, &bytes)?;
            shards.sort();
            shards.dedup();
            for shard in shards {
                get(&shard)?;
            }
        } else {
            return Err(self.failed(format!(
                "the repository has neither {SINGLE_FILE} nor {INDEX_FILE}; take one with safetensors weights"
            )));
        }
        // What offline mode looks the revision up by.
        let remembered = hub.remember(&named, &listing.commit);
        remembered.map_err(|problem| self.explain(&problem, "the revision"))?;
        self.folder(config)
    }

    fn folder(&self, config: PathBuf) -> Result<PathBuf> {
        match config.parent() {
            Some(folder) => Ok(folder.to_path_buf()),
            None => Err(self.failed(format!("{} lies in no folder", config.display()))),
        }
    }

    fn explain(&self, problem: &Problem, what: &str) -> ModelError {
        self.failed(match problem {
            Problem::Missing => format!("{what} at revision {}: {problem}", self.revision()),
            Problem::Failed { .. } | Problem::Status { .. } | Problem::GaveUp { .. } => {
                format!("{what}: {problem}; or set HF_HUB_OFFLINE=1 to use the cache alone")
            }
            _ => format!("{what}: {problem}"),
        })
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
