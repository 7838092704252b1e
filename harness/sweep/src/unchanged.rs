//! Whether what a cell reads is still what its plan hashed.

use std::fmt::Display;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prunebench_model::ModelError;
use prunebench_model::checkpoint::{content_hash, files};
use prunebench_model::source::{Location, ResolvedModel};
use prunebench_results::{Inputs, MODEL_INPUT};
use prunebench_train::TrainingRun;
use serde::{Deserialize, Serialize};

use crate::worker::CellError;

/// The name among a cell's inputs under which the hash of what a training left beside its model stands.
pub(crate) const TRAINING_RUN_INPUT: &str = "training run";
/// A file written no longer ago may be written again without its times telling.
const CLOCK_STEP: Duration = Duration::from_secs(2);

/// The name among a cell's inputs under which the hash of a text stands.
pub(crate) fn text_input(data_set: &str, split: &str) -> String {
    format!("data:{data_set}/{split}")
}

/// How the files of a model looked when they were hashed, so that those that nobody touched since need not be hashed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamps(Vec<Stamp>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    file: PathBuf,
    inode: u64,
    bytes: u64,
    /// Of the content, in nanoseconds since 1970.
    modified: i64,
    /// Of content, name or rights; no program sets it back.
    changed: i64,
}

impl Stamps {
    /// Of the files that a model is loaded from and those that its training left beside them; none of a model that is drawn at
    /// random.
    pub(crate) fn of(model: &ResolvedModel) -> Result<Self, ModelError> {
        let Location::Path(path) = &model.location else {
            return Ok(Self(Vec::new()));
        };
        let stamps = files(path)?.into_iter().chain(training_files(path)).map(|file| {
            Stamp::of(&file).map_err(|source| ModelError::Io {
                path: file.clone(),
                source,
            })
        });
        Ok(Self(stamps.collect::<Result<_, _>>()?))
    }

    /// Whether there are files, and each that is written from now on will look different.
    pub(crate) fn are_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let latest = now.saturating_sub(CLOCK_STEP).as_nanos() as i64;
        let settled = |stamp: &Stamp| stamp.modified.max(stamp.changed) < latest;
        !self.0.is_empty() && self.0.iter().all(settled)
    }
}

impl Stamp {
    fn of(file: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(file)?;
        let nanoseconds = |seconds: i64, more: i64| seconds.saturating_mul(1_000_000_000).saturating_add(more);
        Ok(Self {
            file: file.to_owned(),
            inode: found.ino(),
            bytes: found.size(),
            modified: nanoseconds(found.mtime(), found.mtime_nsec()),
            changed: nanoseconds(found.ctime(), found.ctime_nsec()),
        })
    }
}

fn training_files(model: &Path) -> Vec<PathBuf> {
    TrainingRun::beside(model).map(|run| run.files()).unwrap_or_default()
}

/// Hash of what a training left beside a model; empty if that is nothing.
pub(crate) fn training_run_hash(model: &ResolvedModel) -> Result<String, ModelError> {
    let Location::Path(path) = &model.location else {
        return Ok(String::new());
    };
    let hashes: Vec<String> = training_files(path)
        .iter()
        .map(|file| content_hash(file))
        .collect::<Result<_, _>>()?;
    Ok(hashes.join(" "))
}

/// Refuses a model, or what its training left, that is not the planned one. `before` is how its files looked when they were, if
/// that is known; gives how they look now.
pub(crate) fn check_model(
    model: &ResolvedModel,
    before: Option<&Stamps>,
    planned: &Inputs,
) -> Result<Stamps, CellError> {
    let now = Stamps::of(model)?;
    if before != Some(&now) {
        let place: &dyn Display = match &model.location {
            Location::Path(path) => &path.display(),
            Location::Random(_) => &model.name,
        };
        check(planned, MODEL_INPUT, &model.content_hash()?, place)?;
        if planned.contains_key(TRAINING_RUN_INPUT) {
            check(planned, TRAINING_RUN_INPUT, &training_run_hash(model)?, place)?;
        }
    }
    Ok(now)
}

/// Refuses what has another hash than the plan found; `place` is where it lies.
pub(crate) fn check(planned: &Inputs, input: &str, found: &str, place: impl Display) -> Result<(), CellError> {
    let planned = planned.get(input).map_or("", String::as_str);
    if planned == found {
        return Ok(());
    }
    Err(CellError::Changed {
        input: input.to_owned(),
        place: place.to_string(),
        found: found.to_owned(),
        planned: planned.to_owned(),
    })
}

#[cfg(test)]
#[path = "unchanged_tests.rs"]
mod tests;
