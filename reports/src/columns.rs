//! The columns in which records are written for programs: every number unrounded.

use std::borrow::Cow;

use prunebench_results::{
    Accounting, Budget, Compression, MODEL_INPUT, Metrics, PerplexityResult, PerplexityUnit, Record, TaskMetric,
    TaskResult, ThroughputResult,
};

use crate::comparable::total;
use crate::comparison::{RatioEstimate, method};
use crate::utilisation;

/// What a line is about: a record, and one of its results if it has several.
pub(crate) struct Line<'a> {
    pub(crate) record: &'a Record,
    /// Place of the protocol among the cell's.
    pub(crate) protocol: Option<usize>,
    pub(crate) task: Option<(&'a TaskResult, &'a TaskMetric)>,
    /// The recipe that `ratio` is to.
    pub(crate) baseline: String,
    pub(crate) ratio: Option<RatioEstimate>,
}

impl<'a> Line<'a> {
    /// A record as a whole.
    pub(crate) fn of(record: &'a Record) -> Self {
        Self {
            record,
            protocol: None,
            task: None,
            baseline: String::new(),
            ratio: None,
        }
    }

    fn metrics(&self) -> Option<&'a Metrics> {
        self.record.metrics.as_ref()
    }

    fn perplexity(&self) -> Option<&'a PerplexityResult> {
        self.metrics()?.perplexity.get(self.protocol?)
    }

    fn throughput(&self) -> Option<&'a ThroughputResult> {
        self.metrics()?.throughput.as_ref()
    }

    fn compression(&self) -> Option<&'a Compression> {
        self.metrics().map(|metrics| &metrics.compression)
    }

    fn accounting(&self) -> Option<&'a Accounting> {
        self.metrics().map(|metrics| &metrics.accounting)
    }

    fn budget(&self) -> Option<&'a Budget> {
        self.metrics().map(|metrics| &metrics.budget)
    }
}

/// How a column's cell is had from a line; an empty one if there is nothing.
pub(crate) enum Get {
    Text(for<'a> fn(&Line<'a>) -> Option<Cow<'a, str>>),
    Count(fn(&Line) -> Option<u64>),
    Number(fn(&Line) -> Option<f64>),
    Flag(fn(&Line) -> Option<bool>),
}

use Get::{Count, Flag, Number, Text};

/// Name and content of a column.
pub(crate) type Column = (&'static str, Get);

/// What was measured, and the size of the model.
pub(crate) const CELL: &[Column] = &[
    ("model", Text(|l| Some(l.record.cell.model.as_str().into()))),
    ("method", Text(|l| Some(method(l.record).into()))),
    ("engine", Text(|l| Some(l.record.cell.engine.as_str().into()))),
    ("device", Text(|l| Some(l.record.cell.device.as_str().into()))),
    ("dtype", Text(|l| Some(l.record.cell.dtype.as_str().into()))),
    ("seed", Count(|l| Some(l.record.cell.seed))),
    ("status", Text(|l| Some(l.record.status.to_string().into()))),
    ("error", Text(|l| l.record.error.as_deref().map(Cow::from))),
    ("nominal_ratio", Number(|l| l.compression()?.nominal_ratio)),
    ("achieved_ratio", Number(|l| Some(l.compression()?.achieved_ratio))),
    (
        "achieved_parameter_ratio",
        Number(|l| Some(l.compression()?.achieved_parameter_ratio)),
    ),
    ("mask_sparsity", Number(|l| Some(l.compression()?.mask_sparsity))),
    ("stored_parameters", Count(|l| Some(l.accounting()?.stored_parameters))),
    (
        "executed_parameters",
        Count(|l| Some(l.accounting()?.executed_parameters)),
    ),
    (
        "nonzero_parameters",
        Count(|l| Some(l.accounting()?.nonzero_parameters)),
    ),
    ("stored_bytes", Count(|l| Some(l.accounting()?.stored_bytes))),
    ("flops_per_token", Count(|l| Some(l.accounting()?.flops_per_token))),
    (
        "kv_bytes_per_token",
        Count(|l| Some(l.accounting()?.kv_bytes_per_token)),
    ),
    ("effective_depth", Count(|l| Some(l.accounting()?.effective_depth))),
];

/// One perplexity.
pub(crate) const PERPLEXITY: &[Column] = &[
    (
        "protocol",
        Text(|l| {
            Some(
                l.record
                    .cell
                    .evaluation
                    .perplexity
                    .get(l.protocol?)?
                    .protocol
                    .as_str()
                    .into(),
            )
        }),
    ),
    ("perplexity", Number(|l| Some(l.perplexity()?.value))),
    ("perplexity_stderr", Number(|l| l.perplexity()?.stderr)),
    ("windows", Count(|l| Some(l.perplexity()?.windows as u64))),
    (
        "windows_available",
        Count(|l| Some(l.perplexity()?.windows_available as u64)),
    ),
    ("tokens_scored", Count(|l| Some(l.perplexity()?.tokens_scored as u64))),
    ("total_nll", Number(|l| Some(l.perplexity()?.total_nll))),
    (
        "perplexity_unit",
        Text(|l| Some(l.perplexity()?.unit.to_string().into())),
    ),
    ("units", Count(|l| units(l.perplexity()?))),
    ("byte_perplexity", Number(|l| l.perplexity()?.byte_perplexity())),
    ("bits_per_byte", Number(|l| l.perplexity()?.bits_per_byte())),
];

/// The losses of all windows or documents as a JSON list: what a paired comparison takes.
pub(crate) const WINDOWS: &[Column] = &[(
    "window_nll",
    Text(|l| Some(serde_json::json!(l.perplexity()?.window_nll).to_string().into())),
)];

/// That perplexity against the baseline's.
pub(crate) const COMPARISON: &[Column] = &[
    ("baseline", Text(|l| Some(l.baseline.clone().into()))),
    ("ratio_to_baseline", Number(|l| Some(l.ratio?.value))),
    ("ratio_low", Number(|l| Some(l.ratio?.interval?.low))),
    ("ratio_high", Number(|l| Some(l.ratio?.interval?.high))),
];

/// One metric of one task.
pub(crate) const TASK: &[Column] = &[
    ("task", Text(|l| Some(l.task?.0.request.task.as_str().into()))),
    ("shots", Count(|l| Some(l.task?.0.request.shots as u64))),
    ("metric", Text(|l| Some(l.task?.1.name.to_string().into()))),
    ("score", Number(|l| Some(l.task?.1.value))),
    ("score_stderr", Number(|l| l.task?.1.stderr)),
    ("documents", Count(|l| Some(l.task?.0.documents as u64))),
    (
        "documents_available",
        Count(|l| Some(l.task?.0.documents_available as u64)),
    ),
    ("tied_items", Count(|l| Some(l.task?.0.tied_items as u64))),
    ("nan_items", Count(|l| Some(l.task?.0.nan_items as u64))),
];

/// Speed, cost, and where the record comes from.
pub(crate) const RUN: &[Column] = &[
    ("prompt_tokens", Count(|l| Some(l.throughput()?.prompt_tokens as u64))),
    (
        "generated_tokens",
        Count(|l| Some(l.throughput()?.generated_tokens as u64)),
    ),
    ("batch", Count(|l| Some(l.throughput()?.batch as u64))),
    ("throughput_threads", Count(|l| Some(l.throughput()?.threads as u64))),
    ("ranks", Count(|l| Some(l.throughput()?.tensor_parallel?.ranks as u64))),
    (
        "all_reduce_latency_us",
        Count(|l| Some(l.throughput()?.tensor_parallel?.all_reduce_latency_us)),
    ),
    (
        "all_reduces_per_token",
        Count(|l| l.throughput()?.all_reduces_per_token),
    ),
    ("repeats", Count(|l| Some(l.throughput()?.decode.seconds.len() as u64))),
    ("prefill_tokens_per_s", Number(|l| Some(l.throughput()?.prefill.median))),
    ("prefill_mad", Number(|l| Some(l.throughput()?.prefill.mad))),
    ("decode_tokens_per_s", Number(|l| Some(l.throughput()?.decode.median))),
    ("decode_mad", Number(|l| Some(l.throughput()?.decode.mad))),
    (
        "time_to_first_token_s",
        Number(|l| utilisation::time_to_first_token(l.record)),
    ),
    ("time_per_token_s", Number(|l| utilisation::time_per_token(l.record))),
    ("bandwidth_utilisation", Number(|l| utilisation::bandwidth(l.record))),
    ("flop_utilisation", Number(|l| utilisation::flops(l.record))),
    (
        "copy_bytes_per_s",
        Number(|l| Some(l.throughput()?.ceilings.as_ref()?.copy.per_second)),
    ),
    (
        "matmul_flops_per_s",
        Number(|l| Some(l.throughput()?.ceilings.as_ref()?.matmul.per_second)),
    ),
    (
        "gpu_peak_memory_bytes",
        Count(|l| l.throughput()?.gpu.as_ref()?.peak_memory_bytes),
    ),
    ("gpu_energy_j", Number(|l| l.throughput()?.gpu.as_ref()?.energy_joules)),
    ("first_call_s", Number(|l| Some(l.throughput()?.first_call_s))),
    (
        "peak_resident_bytes",
        Count(|l| Some(l.record.memory.as_ref()?.peak_resident_bytes)),
    ),
    ("method_cpu_s", Number(|l| Some(l.budget()?.cpu_seconds))),
    ("method_wall_s", Number(|l| Some(l.budget()?.wall_seconds))),
    ("method_update_s", Number(|l| Some(l.budget()?.update_seconds))),
    ("calibration_tokens", Count(|l| Some(l.budget()?.calibration_tokens))),
    ("training_tokens", Count(|l| Some(l.budget()?.training_tokens))),
    ("forward_passes", Count(|l| Some(l.budget()?.forward_passes))),
    (
        "git_revision",
        Text(|l| l.record.provenance.git_revision.as_deref().map(Cow::from)),
    ),
    ("git_dirty", Flag(|l| Some(l.record.provenance.git_dirty))),
    (
        "prunebench_version",
        Text(|l| Some(l.record.provenance.prunebench_version.as_str().into())),
    ),
    (
        "engine_version",
        Text(|l| Some(l.record.provenance.engine_version.as_str().into())),
    ),
    ("rustc", Text(|l| Some(l.record.provenance.rustc.as_str().into()))),
    ("cpu", Text(|l| Some(l.record.provenance.cpu.to_string().into()))),
    ("cores", Count(|l| Some(l.record.provenance.cores as u64))),
    ("threads", Count(|l| Some(l.record.provenance.threads as u64))),
    ("memory_bytes", Count(|l| Some(l.record.provenance.memory_bytes))),
    ("gpu", Text(|l| l.record.provenance.gpu.as_deref().map(Cow::from))),
    (
        "gpu_uuid",
        Text(|l| l.record.provenance.gpu_uuid.as_deref().map(Cow::from)),
    ),
    ("driver", Text(|l| l.record.provenance.driver.as_deref().map(Cow::from))),
    ("os", Text(|l| Some(l.record.provenance.os.as_str().into()))),
    (
        "started_at",
        Text(|l| Some(l.record.provenance.started_at.as_str().into())),
    ),
    (
        "finished_at",
        Text(|l| Some(l.record.provenance.finished_at.as_str().into())),
    ),
    ("experiment", Text(|l| Some(l.record.experiment.as_str().into()))),
    ("model_hash", Text(|l| l.record.inputs.get(MODEL_INPUT).map(Cow::from))),
    ("key", Text(|l| Some(l.record.key.as_str().into()))),
];

/// What a store knows of a record.
pub(crate) const STORE: &[Column] = &[
    ("earlier_attempts", Count(|l| Some(l.record.attempts.len() as u64))),
    (
        "samples",
        Text(|l| l.record.samples.as_ref().map(|samples| samples.file.as_str().into())),
    ),
];

/// What the loss is spread over, in units of the result's; words are with the samples, if those are there.
fn units(result: &PerplexityResult) -> Option<u64> {
    match result.unit {
        PerplexityUnit::Token => Some(result.tokens_scored as u64),
        PerplexityUnit::Word => (!result.units.is_empty()).then(|| total(&result.units)),
    }
}

/// Writes a line for each of `lines` as CSV with a header; an empty cell is empty.
pub(crate) fn write_csv<'a>(
    columns: &[&[Column]],
    lines: impl IntoIterator<Item = Line<'a>>,
    out: impl std::io::Write,
) -> Result<(), csv::Error> {
    let columns = || columns.iter().copied().flatten();
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(columns().map(|(name, _)| name))?;
    for line in lines {
        let cells = columns().map(|(_, get)| match get {
            Text(get) => get(&line).unwrap_or_default(),
            Count(get) => get(&line).map_or(Cow::default(), |count| count.to_string().into()),
            // As shortest text that gives the same number, `1.0` for one.
            Number(get) => get(&line).map_or(Cow::default(), |number| format!("{number:?}").into()),
            Flag(get) => get(&line).map_or(Cow::default(), |flag| flag.to_string().into()),
        });
        writer.write_record(cells.map(|cell| cell.into_owned().into_bytes()))?;
    }
    Ok(writer.flush()?)
}
