//! Files by their place: the mirror's if it has them, else those of the Hub or of their address.

use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

use prunebench_hub::{Hub, Problem, RepoType, Repository};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::catalogue::{HubSource, RowFile, WebFile};
use crate::error::{Error, Result};
use crate::rows;
use crate::world::{Domain, Part, WORLD_VERSION};

/// Where texts and tasks are looked for, in this order.
#[derive(Debug, Clone)]
pub struct Places {
    /// A folder laid out as `text/<data set>/...`, `tasks/<task>/...` and `instructions/<set>/...`.
    pub mirror: Option<PathBuf>,
    /// The Hub, which also says whether to go to the network at all.
    pub hub: Hub,
    /// Folder for files that are not the Hub's; none if the user has no cache.
    pub downloads: Option<PathBuf>,
}

impl Places {
    /// The folder of `--data`, else the one `PRUNEBENCH_DATA` names, and the Hub as its own variables say.
    pub fn from_env(data: Option<PathBuf>) -> Self {
        let named = || env::var_os("PRUNEBENCH_DATA").filter(|value| !value.is_empty());
        Self {
            mirror: data.or_else(|| named().map(PathBuf::from)),
            hub: Hub::from_env(),
            downloads: dirs::cache_dir().map(|cache| cache.join("prunebench").join("data")),
        }
    }

    /// The file of the mirror, if there is a mirror and it has the file.
    pub(crate) fn mirrored(&self, file: &str) -> Result<Option<PathBuf>> {
        let Some(folder) = &self.mirror else {
            return Ok(None);
        };
        if !folder.is_dir() {
            return Err(Error::NoMirror {
                path: folder.to_owned(),
            });
        }
        let path = folder.join(file);
        Ok(path.exists().then_some(path))
    }

    /// The file of the Hub; `mirror` is where a mirror would keep it.
    pub(crate) fn hubbed(&self, source: &HubSource, file: &str, mirror: &str) -> Result<(PathBuf, Origin)> {
        let repository = Repository::new(RepoType::Dataset, &source.repository, source.revision());
        let fetched = repository.and_then(|repository| self.hub.file(&repository, file));
        let path = fetched.map_err(|problem| Error::Hub {
            repository: source.repository.clone(),
            file: file.to_owned(),
            problem: Box::new(problem),
            mirror: mirror.to_owned(),
        })?;
        let origin = Origin::Hub {
            repository: source.repository.clone(),
            revision: source.revision().to_owned(),
            path: path.clone(),
        };
        Ok((path, origin))
    }

    /// A file with an address, checked against its hash.
    pub(crate) fn web(&self, file: &WebFile) -> Result<(PathBuf, Origin)> {
        let (path, origin) = match self.mirrored(&file.mirror)? {
            Some(path) => (path.clone(), Origin::Mirror(path)),
            None => {
                let fetched = match &self.downloads {
                    Some(downloads) => self.hub.pinned_file(&file.url, &file.sha256, downloads),
                    None => Err(Problem::NoCache),
                };
                let path = fetched.map_err(|problem| Error::Download {
                    url: file.url.clone(),
                    problem: Box::new(problem),
                    mirror: file.mirror.clone(),
                })?;
                let url = file.url.clone();
                (path.clone(), Origin::Web { url, path })
            }
        };
        check(&hash_of(&path)?, &file.sha256, &origin)?;
        Ok((path, origin))
    }

    /// The rows of a file, checked against its hash where the catalogue has one. A wrong file in the mirror is an
    /// error, never a reason to look elsewhere.
    pub(crate) fn rows(&self, source: &HubSource, file: &RowFile) -> Result<(Vec<Value>, Origin)> {
        let (path, name, hash, origin) = match self.mirrored(&file.mirror)? {
            Some(path) => {
                let origin = Origin::Mirror(path.clone());
                (path, &file.mirror, &file.mirror_sha256, origin)
            }
            None => {
                let (path, origin) = self.hubbed(source, &file.file, &file.mirror)?;
                (path, &file.file, &file.hub_sha256, origin)
            }
        };
        if let Some(wanted) = hash {
            check(&hash_of(&path)?, wanted, &origin)?;
        }
        let rows = rows::read(&path, name)?;
        if rows.is_empty() {
            return Err(Error::NoRows {
                origin: origin.to_string(),
            });
        }
        Ok((rows, origin))
    }
}

/// Where a text came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file of the local mirror.
    Mirror(PathBuf),
    /// A file of a Hub repository at a commit, now at `path` in the cache.
    Hub {
        /// `owner/name`.
        repository: String,
        /// Commit, or `main` where the catalogue pins none.
        revision: String,
        /// Its file in the cache.
        path: PathBuf,
    },
    /// A file with an address, now at `path` in the cache.
    Web {
        /// The address.
        url: String,
        /// Its file in the cache.
        path: PathBuf,
    },
    /// The synthetic world, which this program makes.
    World {
        /// What it is about.
        domains: Vec<Domain>,
        /// Which part of it.
        part: Part,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mirror(path) => write!(f, "{}", path.display()),
            Self::Hub {
                repository,
                revision,
                path,
            } => write!(f, "{repository}@{revision} ({})", path.display()),
            Self::Web { url, path } => write!(f, "{url} ({})", path.display()),
            Self::World { domains, part } => {
                let domains: Vec<&str> = domains.iter().map(|domain| domain.name()).collect();
                let (domains, part) = (domains.join(", "), part.name());
                write!(f, "made by this program (world {WORLD_VERSION}: {domains}; {part})")
            }
        }
    }
}

/// An error unless the hashes are the same.
pub(crate) fn check(found: &str, wanted: &str, origin: &Origin) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let (origin, made) = (origin.to_string(), matches!(origin, Origin::World { .. }));
    let (found, wanted) = (found.to_owned(), wanted.to_owned());
    Err(match made {
        true => Error::WrongWorld { origin, found, wanted },
        false => Error::WrongText { origin, found, wanted },
    })
}

/// A finished hash in lower-case hexadecimal digits.
pub(crate) fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash_of(path: &Path) -> Result<String> {
    let content = fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(hexadecimal(Sha256::new_with_prefix(content)))
}
