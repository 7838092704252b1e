//! The exact text of a data set's split, from a local mirror or the Hub.

use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

use sha2::{Digest, Sha256};

use crate::catalogue::{Catalogue, HubSource, Split};
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::rows;

/// Where texts are looked for, in this order.
#[derive(Debug, Clone)]
pub struct Places {
    /// A folder laid out as `text/<data set>/...`.
    pub mirror: Option<PathBuf>,
    /// The Hub.
    pub hub: Hub,
}

impl Places {
    /// The folder of `--data`, else the one `PRUNEBENCH_DATA` names, and the Hub as its own variables say.
    pub fn from_env(data: Option<PathBuf>) -> Self {
        let named = || env::var_os("PRUNEBENCH_DATA").filter(|value| !value.is_empty());
        Self {
            mirror: data.or_else(|| named().map(PathBuf::from)),
            hub: Hub::from_env(),
        }
    }
}

/// A text whose content was checked against the catalogue.
#[derive(Debug, Clone)]
pub struct Text {
    /// The text.
    pub content: String,
    /// Hash of its UTF-8 bytes, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Where it came from.
    pub origin: Origin,
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
        /// Commit.
        revision: String,
        /// Its file in the cache.
        path: PathBuf,
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
        }
    }
}

/// The text of `split` of the data set `name`: the mirror's file if the mirror has it, else the Hub's.
///
/// # Errors
/// An unknown name, a mirror that is not a folder, a file that can't be fetched or read, or a text whose hash is not the
/// catalogue's. A wrong file in the mirror is an error, never a reason to look elsewhere.
pub fn text(catalogue: &Catalogue, name: &str, split: &str, places: &Places) -> Result<Text> {
    let data_set = catalogue.data_set(name)?;
    let split = data_set.split(split)?;
    let (content, origin) = match mirrored(split, places.mirror.as_deref())? {
        Some(path) => {
            let content = fs::read_to_string(&path).map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?;
            (content, Origin::Mirror(path))
        }
        None => from_hub(&data_set.hub, split, &places.hub)?,
    };
    let sha256: String = Sha256::digest(content.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if sha256 != split.sha256 {
        return Err(Error::WrongText {
            origin: origin.to_string(),
            found: sha256,
            wanted: split.sha256.clone(),
        });
    }
    Ok(Text {
        content,
        sha256,
        origin,
    })
}

fn mirrored(split: &Split, mirror: Option<&Path>) -> Result<Option<PathBuf>> {
    let Some(folder) = mirror else {
        return Ok(None);
    };
    if !folder.is_dir() {
        return Err(Error::NoMirror {
            path: folder.to_owned(),
        });
    }
    let path = folder.join(&split.mirror);
    Ok(path.exists().then_some(path))
}

fn from_hub(source: &HubSource, split: &Split, hub: &Hub) -> Result<(String, Origin)> {
    let path = hub.file(source, &split.file).map_err(|problem| Error::Hub {
        repository: source.repository.clone(),
        file: split.file.clone(),
        problem,
        mirror: split.mirror.clone(),
    })?;
    let mut rows = rows::read(&path, &split.column)?;
    for row in rows.iter_mut().filter(|row| row.is_empty()) {
        row.push_str(&split.empty_row);
    }
    let origin = Origin::Hub {
        repository: source.repository.clone(),
        revision: source.revision.clone(),
        path,
    };
    Ok((rows.join(&split.separator), origin))
}
