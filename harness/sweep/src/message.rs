//! What the process of a cell is told, and what it tells.

use std::path::PathBuf;

use prunebench_results::{Cell, Inputs, Memory, Metrics, SharedWork, Status};
use serde::{Deserialize, Serialize};

use crate::experiment::Calibration;
use crate::recovery::Recovery;
use crate::unchanged::Stamps;

/// The one line of JSON that a worker reads from standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) cell: Cell,
    /// What the plan found, which the worker must find again.
    pub(crate) inputs: Inputs,
    /// Where the model was found; absent for one that is drawn at random.
    pub(crate) model: Option<PathBuf>,
    /// How its files looked when they were hashed; absent if that would not tell a change.
    #[serde(default)]
    pub(crate) stamps: Option<Stamps>,
    /// Present if a method of the recipe reads calibration text.
    pub(crate) calibration: Option<Calibration>,
    /// Present if a method of the recipe trains.
    pub(crate) recovery: Option<Recovery>,
    /// The local mirror of the texts.
    pub(crate) data: Option<PathBuf>,
    /// Compute threads, which the worker's environment has set already.
    pub(crate) threads: usize,
    /// Work that other cells may have done, or may want.
    pub(crate) shares: Shares,
    /// Where the recipe's trainings leave checkpoints, if they do.
    #[serde(default)]
    pub(crate) checkpoints: Option<Checkpoints>,
}

/// Checkpoints of a cell's trainings.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoints {
    /// Of the cell alone.
    pub(crate) folder: PathBuf,
    /// Seconds between two.
    pub(crate) every_s: f64,
}

/// What a cell can take from others, and where.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shares {
    /// Absent if every cell does all its work itself.
    pub(crate) cache: Option<Cache>,
    /// What each method of the recipe shares.
    pub(crate) of_methods: Vec<Option<SharedWork>>,
    /// What the dense model says to each task, if it is asked.
    pub(crate) of_tasks: Vec<Option<SharedWork>>,
}

/// A folder of shared work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cache {
    pub(crate) folder: PathBuf,
    pub(crate) limit_bytes: u64,
}

impl Shares {
    /// All of it, of methods first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &SharedWork> {
        self.of_methods.iter().chain(&self.of_tasks).flatten()
    }
}

/// A line of JSON that a worker writes to standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Message {
    /// So far.
    Progress { phase: String, done: usize, total: usize },
    /// The last word of a cell that went well.
    Measured { metrics: Box<Metrics>, memory: Memory },
    /// The last word of one that did not.
    Failed {
        status: Status,
        error: String,
        memory: Option<Memory>,
    },
}
