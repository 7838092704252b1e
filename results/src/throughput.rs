//! The speed of a model, what the device can do at most beside it, and what a GPU's driver tells meanwhile.

use serde::{Deserialize, Serialize};

use crate::{
    cell::TensorParallel,
    measurement::{MeasurementError, Samples},
    statistics,
};

/// Speed of prefill and decode, timed apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThroughputResult {
    /// Tokens of context that the prefill read, per sequence.
    pub prompt_tokens: usize,
    /// Tokens that the decode generated, per sequence.
    pub generated_tokens: usize,
    /// Sequences at once.
    pub batch: usize,
    /// Compute threads.
    pub threads: usize,
    /// Reading the prompt.
    pub prefill: Samples,
    /// Generating after the prompt.
    pub decode: Samples,
    /// Seconds of the very first call, before any warm-up; no part of the samples.
    pub first_call_s: f64,
    /// The ranks that the model was split over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor_parallel: Option<TensorParallel>,
    /// All-reduces that a forward pass went through, counted while decoding, where each generates one token per sequence;
    /// absent of one whole model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_reduces_per_token: Option<u64>,
    /// From the prompt to the first generated token, as a server does it: into the KV cache, with the logits of the last position
    /// alone. A repeat processed one token of each sequence. Absent of records from before it was timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token: Option<Samples>,
    /// Whether the projections that read the same input were one product.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stacked_projections: bool,
    /// What the device can do at most, if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceilings: Option<Ceilings>,
    /// What the driver told of the GPU meanwhile; absent on the host, and where the driver tells nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuReadings>,
}

/// Rates that no model exceeds on a device, measured in the same process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceilings {
    /// A large copy, in bytes read and bytes written.
    pub copy: Ceiling,
    /// A large matrix product in the cell's dtype, in floating-point operations.
    pub matmul: Ceiling,
}

/// Repeated timings of one large operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// Bytes or operations of each repeat.
    pub work: u64,
    /// Seconds of each repeat, in the order they were taken.
    pub seconds: Vec<f64>,
    /// The median of `work / seconds`.
    pub per_second: f64,
}

impl Ceiling {
    /// The rate of repeats that did `work` each.
    ///
    /// # Errors
    /// If there is no repeat, or a time isn't a positive number.
    pub fn new(work: u64, seconds: Vec<f64>) -> Result<Self, MeasurementError> {
        let Samples { seconds, .. } = Samples::new(1, seconds)?;
        let rates: Vec<f64> = seconds.iter().map(|s| work as f64 / s).collect();
        let per_second =
            statistics::median(&rates).ok_or_else(|| MeasurementError::Nothing { what: "ceiling".into() })?;
        Ok(Self {
            work,
            seconds,
            per_second,
        })
    }
}

/// What an NVIDIA driver told of a GPU while speed was measured. What it did not tell is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuReadings {
    /// The most memory in use at any sample; short peaks between samples are missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Whose memory that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_of: Option<GpuMemoryOf>,
    /// Milliseconds between samples.
    pub sampled_every_ms: u64,
    /// Energy of the whole device over all timed repeats, preparation between them included; absent if they took less than 2 s,
    /// which the driver's counter does not resolve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_joules: Option<f64>,
    /// How long that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_seconds: Option<f64>,
    /// Before the first call.
    pub start: GpuState,
    /// After the last repeat.
    pub end: GpuState,
}

/// Whose memory on a GPU was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuMemoryOf {
    /// That of the measuring process alone.
    Process,
    /// All that is in use on the device, because the driver did not tell the process apart.
    Device,
}

/// Clocks of a GPU at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuState {
    /// Clock of the multiprocessors, in MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm_mhz: Option<u32>,
    /// Clock of the memory, in MHz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mhz: Option<u32>,
    /// Why the clocks were not higher, in the driver's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Vec<String>>,
}

impl ThroughputResult {
    /// Everything but the speed that a timing is named for, in words.
    pub fn setting(&self) -> String {
        let ranks = self.tensor_parallel.map(|ranks| format!(", {ranks}"));
        let stacked = if self.stacked_projections {
            ", projections stacked"
        } else {
            ""
        };
        format!(
            "prompt {}, generated {}, batch {}, threads {}{}{stacked}",
            self.prompt_tokens,
            self.generated_tokens,
            self.batch,
            self.threads,
            ranks.unwrap_or_default()
        )
    }
}
