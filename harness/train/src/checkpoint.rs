//! Checkpoints of a run: a folder for each, whole or not there at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use prunebench_files::{PARTIAL, WholeFolder, intended_name};
use prunebench_model::checkpoint::{load_tensors, save_tensors};
use prunebench_tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::data::{Domain, MixtureState, Source};
use crate::log::Entry;
use crate::{Result, TrainError};

const STATE: &str = "state.json";
const TENSORS: &str = "tensors.safetensors";

/// What a checkpoint holds beside tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    pub(crate) step: u64,
    pub(crate) tokens: u64,
    pub(crate) seconds: f64,
    pub(crate) mixture: MixtureState,
    /// Step and loss of the best weights.
    pub(crate) best: Option<(u64, f64)>,
    /// As [`crate::Trained::entries`] has them.
    #[serde(default)]
    pub(crate) entries: Vec<Entry>,
    /// What a run that goes on must have in common with the one that stopped.
    pub(crate) identity: BTreeMap<String, Value>,
}

/// Where a run's checkpoints go, and how often. The newest is kept.
pub struct Checkpoints {
    folder: PathBuf,
    every: Interval,
}

enum Interval {
    Steps(u64),
    Time {
        at_least: Duration,
        started: Instant,
        last: Instant,
    },
}

impl Checkpoints {
    /// Checkpoints in `folder`, one every so many steps and none at the end.
    pub fn new(folder: PathBuf, every: u64) -> Self {
        Self {
            folder,
            every: Interval::Steps(every.max(1)),
        }
    }

    /// Checkpoints in `folder`, one after each step that ends so long after the last one, and one at the end of a run that takes
    /// so long, for what comes after it.
    pub fn timed(folder: PathBuf, at_least: Duration) -> Self {
        let now = Instant::now();
        Self {
            folder,
            every: Interval::Time {
                at_least,
                started: now,
                last: now,
            },
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn is_due(&self, step: u64, steps: u64) -> bool {
        match &self.every {
            Interval::Steps(every) => step.is_multiple_of(*every) && step < steps,
            Interval::Time {
                at_least,
                started,
                last,
            } => {
                let since = if step < steps { last } else { started };
                since.elapsed() >= *at_least
            }
        }
    }

    /// The newest whole checkpoint.
    pub(crate) fn newest(&self) -> Option<PathBuf> {
        self.all().pop().map(|(_, path)| path)
    }

    /// Whole checkpoints, oldest first.
    fn all(&self) -> Vec<(u64, PathBuf)> {
        let mut found: Vec<(u64, PathBuf)> = self
            .folders()
            .filter_map(|path| Some((step(path.file_name()?.to_str()?)?, path)))
            .collect();
        found.sort();
        found
    }

    /// What killed runs left half written; a folder is one run's at a time. Earlier versions called it `step-….partial`.
    fn parts(&self) -> Vec<PathBuf> {
        let is_part = |name: &str| {
            let whole = intended_name(name).or_else(|| name.strip_suffix(PARTIAL));
            whole.is_some_and(|whole| step(whole).is_some())
        };
        let of_name = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_part);
        self.folders().filter(of_name).collect()
    }

    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir())
    }

    /// Writes a checkpoint, and then removes those before it.
    pub(crate) fn save(&mut self, state: &State, tensors: &[(String, Tensor)]) -> Result<()> {
        let path = self.folder.join(format!("step-{:08}", state.step));
        let (before, left) = (self.all(), self.parts());
        if let Err(reason) = write(&path, state, tensors) {
            return Err(TrainError::CheckpointNotWritten {
                path,
                step: state.step,
                reason,
                kept: before.into_iter().next_back().map(|(_, path)| path),
            });
        }
        let before = before.into_iter().map(|(_, old)| old).filter(|old| *old != path);
        for old in before.chain(left) {
            // A checkpoint too many harms nobody.
            let _ = fs::remove_dir_all(old);
        }
        if let Interval::Time { last, .. } = &mut self.every {
            *last = Instant::now();
        }
        Ok(())
    }

    /// The newest checkpoint, which must be of the same run.
    pub(crate) fn latest(
        &self,
        identity: &BTreeMap<String, Value>,
        device: &Device,
    ) -> Result<Option<(State, BTreeMap<String, Tensor>)>> {
        let Some(path) = self.newest() else {
            return Ok(None);
        };
        let file = path.join(STATE);
        let unreadable = |detail: String| TrainError::File {
            path: file.clone(),
            detail: format!("{detail}; remove {} to start afresh", path.display()),
        };
        let text = fs::read_to_string(&file).map_err(|error| unreadable(error.to_string()))?;
        let state: State = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        let all: BTreeSet<&String> = identity.keys().chain(state.identity.keys()).collect();
        for what in all {
            let (found, wanted) = (state.identity.get(what), identity.get(what));
            if found != wanted {
                let detail = match found {
                    None => format!(
                        "the checkpoint does not say its {what}, so it is of another run or of an earlier version of this program"
                    ),
                    Some(found) => difference(what, found, wanted.unwrap_or(&Value::Null)),
                };
                return Err(TrainError::OtherRun { path, detail });
            }
        }
        Ok(Some((state, load_tensors(&path.join(TENSORS), device)?)))
    }
}

/// Says what differs, down to the first key that does.
fn difference(what: &str, found: &Value, wanted: &Value) -> String {
    if let (Some(found), Some(wanted)) = (found.as_object(), wanted.as_object()) {
        let key = found
            .keys()
            .chain(wanted.keys())
            .find(|key| found.get(*key) != wanted.get(*key));
        if let Some(key) = key {
            let of = |values: &Map<String, Value>| values.get(key).cloned().unwrap_or_default();
            return difference(&format!("{what}: {key}"), &of(found), &of(wanted));
        }
    }
    match (found.to_string(), wanted.to_string()) {
        (found, wanted) if found.len() + wanted.len() < 200 => {
            format!("the checkpoint is of another run ({what}: {found}, now {wanted})")
        }
        _ => format!("the checkpoint is of another run (its {what} differ)"),
    }
}

/// The step of a checkpoint's name.
fn step(name: &str) -> Option<u64> {
    name.strip_prefix("step-")?.parse().ok()
}

/// The checkpoint `path`, whole or not at all.
fn write(path: &Path, state: &State, tensors: &[(String, Tensor)]) -> std::result::Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let text = serde_json::to_string_pretty(state).map_err(|error| failed(&error))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    let folder = WholeFolder::new(path).map_err(|error| failed(&error))?;
    let named: Vec<(String, &Tensor)> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    save_tensors(&named, &folder.partial().join(TENSORS)).map_err(|error| failed(&error))?;
    fs::write(folder.partial().join(STATE), text).map_err(|error| failed(&error))?;
    // A run that was started afresh in the folder of another.
    if path.is_dir() {
        fs::remove_dir_all(path).map_err(|error| failed(&error))?;
    }
    folder.keep().map_err(|error| failed(&error))
}

/// Adds a domain's name and tokens to a hash.
pub(crate) fn fingerprint(domain: &Domain, hash: &mut Sha256) {
    match &domain.source {
        Source::Stream(tokens) => hash_sequence(hash, usize::MAX, tokens),
        Source::Examples(examples) => examples.iter().for_each(|example| {
            hash_sequence(hash, example.prompt, &example.tokens);
            hash.update(example.id.to_le_bytes());
        }),
    }
    hash.update(domain.name.as_bytes());
}

pub(crate) fn hash_sequence(hash: &mut Sha256, prompt: usize, tokens: &[u32]) {
    hash.update((prompt as u64).to_le_bytes());
    hash.update((tokens.len() as u64).to_le_bytes());
    tokens.iter().for_each(|token| hash.update(token.to_le_bytes()));
}

pub(crate) fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
