//! What a cell leaves: status, metrics with their raw samples, and where they came from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    cell::{Cell, CellKey, Inputs},
    cpu::Cpu,
    measurement::{PerplexityResult, TrainingResult},
    task::TaskResult,
    throughput::ThroughputResult,
};

/// The version of the record format. Records of older versions are read as what they mean in this one.
pub const SCHEMA: u32 = 2;

/// The answer to one [`Cell`], whole or not at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The version of this format, [`SCHEMA`].
    pub schema: u32,
    /// The cell's key, equal to `cell.key(&inputs)`.
    pub key: CellKey,
    /// What was asked.
    pub cell: Cell,
    /// Everything else that decided the numbers.
    pub inputs: Inputs,
    /// The experiment that the cell was first run for.
    pub experiment: String,
    /// How the cell ended.
    pub status: Status,
    /// What went wrong, or why the cell was skipped; absent exactly if the status is `ok`.
    pub error: Option<String>,
    /// The last lines that the cell's process wrote; none if the status is `ok`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// Earlier tries at this cell, the first one first. Each try that fails writes the record anew, and what it replaces
    /// goes here, so that a number never hides how often it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// What was measured; present exactly if the status is `ok`. In a store the losses of single windows and the answers
    /// to single items are in `samples`, and empty here until [`crate::read_samples`] joins them.
    pub metrics: Option<Metrics>,
    /// The file beside the record with those; absent if there are none, or if they are in the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<SampleFile>,
    /// Memory that the cell's process took, where it is known (also of a cell that failed).
    pub memory: Option<Memory>,
    /// Where, when and by what it was measured.
    pub provenance: Provenance,
}

/// How a cell ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Every metric that was asked for is there.
    Ok,
    /// The worker reported an error, panicked or was killed.
    Failed,
    /// The worker ran into its memory limit, or the machine's or the device's memory was at an end.
    Oom,
    /// The worker was ended at its time limit.
    Timeout,
    /// A number came out that is none, or is infinite.
    Nan,
    /// The cell was not measured, for the reason in `error`.
    Skipped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Oom => "oom",
            Self::Timeout => "timeout",
            Self::Nan => "nan",
            Self::Skipped => "skipped",
        })
    }
}

/// A try at a cell that another one replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// How it ended, never `ok`.
    pub status: Status,
    /// What went wrong.
    pub error: String,
    /// The start, RFC 3339 in UTC.
    pub started_at: String,
}

/// The samples of a record in a file of their own: gzip over JSON lines, a line for each window and item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleFile {
    /// Its name in the record's folder.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// Everything measured on one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// One result per requested protocol.
    pub perplexity: Vec<PerplexityResult>,
    /// Speed, if it was asked for.
    pub throughput: Option<ThroughputResult>,
    /// Speed of training, if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingResult>,
    /// One result per requested task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskResult>,
    /// What the methods removed.
    pub compression: Compression,
    /// The size of the compressed model.
    pub accounting: Accounting,
    /// What the methods cost.
    pub budget: Budget,
}

/// What a recipe removed. The four ratios answer four questions and are never inferred from one another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compression {
    /// The share that was asked for, if the recipe asks for one.
    pub nominal_ratio: Option<f64>,
    /// The share of the source model that is gone from the finished one: over the `basis` of the only method that removed
    /// something, or, of several, over the parameters that aren't zero.
    pub achieved_ratio: f64,
    /// The share of the dense model's stored parameters that is gone.
    pub achieved_parameter_ratio: f64,
    /// The share of the stored weights that is zero by a mask.
    pub mask_sparsity: f64,
    /// What each method of the recipe says of itself, in order.
    pub method_reports: Vec<MethodReport>,
}

/// What one method did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodReport {
    /// The method's name.
    pub method: String,
    /// Its whole configuration, defaults included.
    pub config: serde_json::Value,
    /// The share that was asked for, if the method asks for one.
    pub nominal: Option<f64>,
    /// The share that it removed of what it found; methods after it may have filled some of it again.
    pub achieved: f64,
    /// What both are shares of, e.g. `blocks` or `prunable weights`.
    pub basis: String,
    /// Whether another seed would give another model.
    pub stochastic: bool,
    /// What else the method has to tell, e.g. the removed blocks.
    pub details: serde_json::Value,
}

/// The size of the compressed model. Shared and tied tensors count once as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounting {
    /// Parameters that a checkpoint holds.
    pub stored_parameters: u64,
    /// Parameters that a token passes through, shared ones once per use.
    pub executed_parameters: u64,
    /// Stored parameters that aren't zero, whether a method or the training made the zeros.
    pub nonzero_parameters: u64,
    /// Bytes of the stored parameters.
    pub stored_bytes: u64,
    /// Floating-point operations to process one token, counted from the executed shapes.
    pub flops_per_token: u64,
    /// Bytes that the KV cache grows by with each token.
    pub kv_bytes_per_token: u64,
    /// Blocks that a token passes one after another.
    pub effective_depth: u64,
}

/// What the recipe cost, evaluation excluded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Tokens of calibration text that were read.
    pub calibration_tokens: u64,
    /// Tokens that the model was trained on, however often.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub training_tokens: u64,
    /// Passes through the model, or a part of it.
    pub forward_passes: u64,
    /// CPU time of all threads.
    pub cpu_seconds: f64,
    /// Time on the clock.
    pub wall_seconds: f64,
    /// Time on the clock of scores and updates alone, forward passes excluded.
    pub update_seconds: f64,
    /// Work that other cells had done, by name: of the recipe, whose cost is counted here as if this cell had done it,
    /// and of the evaluation, likewise in its seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
    /// What was wrong with work that was kept, and with its folder; the cell did it itself then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache_faults: Vec<String>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Memory that a cell's process took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// The most bytes resident at any time.
    pub peak_resident_bytes: u64,
    /// How that was measured, e.g. `VmHWM of the worker process`.
    pub how: String,
}

/// Where, when and by what a record was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The git revision of the program, if it was built in a checkout.
    pub git_revision: Option<String>,
    /// Whether the checkout differed from that revision.
    pub git_dirty: bool,
    /// The version of prunebench.
    pub prunebench_version: String,
    /// The compiler, e.g. `rustc 1.95.0`.
    pub rustc: String,
    /// The tensor engine, e.g. `libtorch 2.11.0`.
    pub engine_version: String,
    /// The name of the machine; absent in records of before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The CPU; in older records its name alone.
    pub cpu: Cpu,
    /// Logical cores that the process may use.
    pub cores: usize,
    /// Compute threads.
    pub threads: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// The GPU model, if the cell ran on one.
    pub gpu: Option<String>,
    /// Which of them, or which instance of one, by its UUID; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_uuid: Option<String>,
    /// The GPU driver, if the cell ran on one.
    pub driver: Option<String>,
    /// The operating system and its version.
    pub os: String,
    /// The start, RFC 3339 in UTC.
    pub started_at: String,
    /// The end, RFC 3339 in UTC.
    pub finished_at: String,
}

impl Record {
    /// Checks what the types can't say: the schema, the key, the name of the samples' file, and that numbers go with
    /// success and an error with anything else.
    ///
    /// # Errors
    /// The first of these that doesn't hold.
    pub fn check(&self) -> Result<(), RecordError> {
        if self.schema != SCHEMA {
            return Err(RecordError::Schema { found: self.schema });
        }
        let key = self.cell.key(&self.inputs);
        if self.key != key {
            return Err(RecordError::Key {
                found: self.key.clone(),
                wanted: key,
            });
        }
        let ok = self.status == Status::Ok;
        if self.metrics.is_some() != ok || self.error.is_none() != ok {
            return Err(RecordError::Outcome {
                status: self.status,
                metrics: self.metrics.is_some(),
                error: self.error.is_some(),
            });
        }
        let wanted = self.cell.sample_file_name(&self.key);
        match &self.samples {
            Some(SampleFile { file, .. }) if *file != wanted => Err(RecordError::Samples {
                found: file.clone(),
                wanted,
            }),
            _ => Ok(()),
        }
    }

    /// The name of the file that holds this record.
    pub fn file_name(&self) -> String {
        self.cell.file_name(&self.key)
    }
}

/// A record that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is of another format.
    #[error("it is of record format {found}, and this program reads formats 1 to {SCHEMA}")]
    Schema {
        /// The format it says it is of.
        found: u32,
    },
    /// It answers another cell than its key says.
    #[error("its key is {found}, but its cell and inputs have the key {wanted}")]
    Key {
        /// The key it says it has.
        found: CellKey,
        /// The key of what it holds.
        wanted: CellKey,
    },
    /// Its samples would be another record's.
    #[error("its samples are in `{found}`, but those of its cell are in `{wanted}`")]
    Samples {
        /// The file it names.
        found: String,
        /// The file of its cell.
        wanted: String,
    },
    /// Numbers with a failure, or success without numbers.
    #[error(
        "its status is `{status}` with metrics {} and an error {}; `ok` goes with metrics and no \
         error, any other status with an error and no metrics",
        presence(*metrics), presence(*error)
    )]
    Outcome {
        /// The status.
        status: Status,
        /// Whether there are metrics.
        metrics: bool,
        /// Whether there is an error.
        error: bool,
    },
}

fn presence(present: bool) -> &'static str {
    if present { "present" } else { "absent" }
}
