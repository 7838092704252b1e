//! Where files are: on the Hub and in a mirror.

use std::path::{Component, Path};

use serde::Deserialize;

use crate::world::{Domain, Part};

/// A data repository on the Hub.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name`.
    pub repository: String,
    /// Commit, 40 hexadecimal digits. Without one the content can change, and lists say so.
    pub revision: Option<String>,
}

impl HubSource {
    /// The commit, else the branch `main`.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match &self.revision {
            Some(revision) if !is_hex(revision, 40) => Err(format!(
                "hub.revision {revision:?} is no commit; a branch or tag can move, so pin 40 hexadecimal digits"
            )),
            _ => Ok(()),
        }
    }
}

/// One file of rows, as JSON lines or parquet by its ending.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowFile {
    /// Path in the Hub repository.
    pub file: String,
    /// Hash of that file, where known.
    pub hub_sha256: Option<String>,
    /// Path in a local mirror.
    pub mirror: String,
    /// Hash of that file, where known.
    pub mirror_sha256: Option<String>,
}

impl RowFile {
    pub(super) fn check(&self, key: &str) -> Result<(), String> {
        check_mirror(key, &self.mirror)?;
        for (name, hash) in [("hub_sha256", &self.hub_sha256), ("mirror_sha256", &self.mirror_sha256)] {
            if let Some(hash) = hash {
                check_hash(&format!("{key}.{name}"), hash)?;
            }
        }
        Ok(())
    }
}

/// One file at a fixed address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebFile {
    /// Its address, which must name a version that can't change.
    pub url: String,
    /// Path in a local mirror.
    pub mirror: String,
    /// Hash of the file.
    pub sha256: String,
}

impl WebFile {
    pub(super) fn check(&self) -> Result<(), String> {
        check_mirror("file", &self.mirror)?;
        check_hash("file.sha256", &self.sha256)
    }
}

/// What a task's rows are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowSource {
    /// A file.
    File {
        /// Where the Hub keeps it.
        hub: HubSource,
        /// Its names and hashes.
        file: RowFile,
    },
    /// The synthetic world.
    World(WorldRows),
}

/// Questions of the synthetic world.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldRows {
    /// What they are about.
    pub domain: Domain,
    /// Which of them.
    pub part: Part,
    /// Hash of the rows as JSON lines, so that a change of the generator is noticed.
    pub sha256: String,
}

impl RowSource {
    pub(super) fn check(&self, key: &str) -> Result<(), String> {
        match self {
            Self::File { hub, file } => {
                hub.check()?;
                file.check(&format!("split.{key}"))
            }
            Self::World(world) => check_hash(&format!("generated.{key}.sha256"), &world.sha256),
        }
    }
}

pub(super) fn check_hash(key: &str, hash: &str) -> Result<(), String> {
    if is_hex(hash, 64) {
        return Ok(());
    }
    Err(format!("{key} {hash:?} is not 64 lower-case hexadecimal digits"))
}

pub(super) fn check_mirror(key: &str, path: &str) -> Result<(), String> {
    let inside = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if inside {
        return Ok(());
    }
    Err(format!("{key}.mirror {path:?} must be a path below the data folder"))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
