//! The comparison for programs: every number of every record, unrounded.

use std::io::Write;

use prunebench_results::{MODEL_INPUT, PerplexityResult, PerplexityUnit, Record};
use serde::Serialize;
use serde_json::json;

use crate::comparison::{Comparison, method};

/// One record, or one protocol of a record that has several; the header is the fields' names.
#[derive(Serialize)]
struct Row<'a> {
    model: &'a str,
    method: String,
    engine: &'a str,
    device: &'a str,
    dtype: &'a str,
    seed: u64,
    status: String,
    error: Option<&'a str>,
    nominal_ratio: Option<f64>,
    achieved_ratio: Option<f64>,
    achieved_parameter_ratio: Option<f64>,
    mask_sparsity: Option<f64>,
    stored_parameters: Option<u64>,
    executed_parameters: Option<u64>,
    nonzero_parameters: Option<u64>,
    stored_bytes: Option<u64>,
    flops_per_token: Option<u64>,
    kv_bytes_per_token: Option<u64>,
    effective_depth: Option<u64>,
    protocol: Option<&'a str>,
    perplexity: Option<f64>,
    perplexity_stderr: Option<f64>,
    windows: Option<usize>,
    windows_available: Option<usize>,
    tokens_scored: Option<usize>,
    total_nll: Option<f64>,
    /// Of each window or document, as a JSON list: what a paired comparison takes.
    window_nll: Option<String>,
    perplexity_unit: Option<PerplexityUnit>,
    units: Option<usize>,
    byte_perplexity: Option<f64>,
    bits_per_byte: Option<f64>,
    baseline: String,
    ratio_to_baseline: Option<f64>,
    ratio_low: Option<f64>,
    ratio_high: Option<f64>,
    prompt_tokens: Option<usize>,
    generated_tokens: Option<usize>,
    batch: Option<usize>,
    throughput_threads: Option<usize>,
    ranks: Option<usize>,
    all_reduce_latency_us: Option<u64>,
    all_reduces_per_token: Option<u64>,
    repeats: Option<usize>,
    prefill_tokens_per_s: Option<f64>,
    prefill_mad: Option<f64>,
    decode_tokens_per_s: Option<f64>,
    decode_mad: Option<f64>,
    first_call_s: Option<f64>,
    peak_resident_bytes: Option<u64>,
    method_cpu_s: Option<f64>,
    method_wall_s: Option<f64>,
    method_update_s: Option<f64>,
    calibration_tokens: Option<u64>,
    training_tokens: Option<u64>,
    forward_passes: Option<u64>,
    git_revision: Option<&'a str>,
    git_dirty: bool,
    prunebench_version: &'a str,
    engine_version: &'a str,
    rustc: &'a str,
    cpu: &'a str,
    cores: usize,
    threads: usize,
    memory_bytes: u64,
    gpu: Option<&'a str>,
    driver: Option<&'a str>,
    os: &'a str,
    started_at: &'a str,
    finished_at: &'a str,
    experiment: &'a str,
    model_hash: Option<&'a str>,
    key: &'a str,
}

impl Comparison<'_> {
    /// Writes CSV with a header: a line per record and protocol, in the order of the table. Cells
    /// without a number are empty; ratios are of this record alone to the mean of the baseline's seeds.
    ///
    /// # Errors
    /// If `out` can't be written.
    pub fn write_csv(&self, out: impl Write) -> Result<(), csv::Error> {
        let mut writer = csv::Writer::from_writer(out);
        for record in self.records() {
            for index in 0..record.cell.evaluation.perplexity.len().max(1) {
                writer.serialize(self.row(record, index))?;
            }
        }
        Ok(writer.flush()?)
    }

    fn row<'a>(&self, record: &'a Record, index: usize) -> Row<'a> {
        let metrics = record.metrics.as_ref();
        let compression = metrics.map(|metrics| &metrics.compression);
        let accounting = metrics.map(|metrics| &metrics.accounting);
        let budget = metrics.map(|metrics| &metrics.budget);
        let throughput = metrics.and_then(|metrics| metrics.throughput.as_ref());
        let result = metrics.and_then(|metrics| metrics.perplexity.get(index));
        let ratio = self.ratio(&[record], index);
        let interval = ratio.and_then(|ratio| ratio.interval);
        let cell = &record.cell;
        let provenance = &record.provenance;
        Row {
            model: &cell.model,
            method: method(record),
            engine: &cell.engine,
            device: &cell.device,
            dtype: &cell.dtype,
            seed: cell.seed,
            status: record.status.to_string(),
            error: record.error.as_deref(),
            nominal_ratio: compression.and_then(|c| c.nominal_ratio),
            achieved_ratio: compression.map(|c| c.achieved_ratio),
            achieved_parameter_ratio: compression.map(|c| c.achieved_parameter_ratio),
            mask_sparsity: compression.map(|c| c.mask_sparsity),
            stored_parameters: accounting.map(|a| a.stored_parameters),
            executed_parameters: accounting.map(|a| a.executed_parameters),
            nonzero_parameters: accounting.map(|a| a.nonzero_parameters),
            stored_bytes: accounting.map(|a| a.stored_bytes),
            flops_per_token: accounting.map(|a| a.flops_per_token),
            kv_bytes_per_token: accounting.map(|a| a.kv_bytes_per_token),
            effective_depth: accounting.map(|a| a.effective_depth),
            protocol: cell.evaluation.perplexity.get(index).map(|r| r.protocol.as_str()),
            perplexity: result.map(|r| r.value),
            perplexity_stderr: result.and_then(|r| r.stderr),
            windows: result.map(|r| r.windows),
            windows_available: result.map(|r| r.windows_available),
            tokens_scored: result.map(|r| r.tokens_scored),
            total_nll: result.map(|r| r.total_nll),
            window_nll: result.map(|r| json!(r.window_nll).to_string()),
            perplexity_unit: result.map(|r| r.unit),
            units: result.map(units),
            byte_perplexity: result.and_then(|r| r.byte_perplexity()),
            bits_per_byte: result.and_then(|r| r.bits_per_byte()),
            baseline: self.baseline.join(" + "),
            ratio_to_baseline: ratio.map(|r| r.value),
            ratio_low: interval.map(|i| i.low),
            ratio_high: interval.map(|i| i.high),
            prompt_tokens: throughput.map(|t| t.prompt_tokens),
            generated_tokens: throughput.map(|t| t.generated_tokens),
            batch: throughput.map(|t| t.batch),
            throughput_threads: throughput.map(|t| t.threads),
            ranks: throughput.and_then(|t| Some(t.tensor_parallel?.ranks)),
            all_reduce_latency_us: throughput.and_then(|t| Some(t.tensor_parallel?.all_reduce_latency_us)),
            all_reduces_per_token: throughput.and_then(|t| t.all_reduces_per_token),
            repeats: throughput.map(|t| t.decode.seconds.len()),
            prefill_tokens_per_s: throughput.map(|t| t.prefill.median),
            prefill_mad: throughput.map(|t| t.prefill.mad),
            decode_tokens_per_s: throughput.map(|t| t.decode.median),
            decode_mad: throughput.map(|t| t.decode.mad),
            first_call_s: throughput.map(|t| t.first_call_s),
            peak_resident_bytes: record.memory.as_ref().map(|m| m.peak_resident_bytes),
            method_cpu_s: budget.map(|b| b.cpu_seconds),
            method_wall_s: budget.map(|b| b.wall_seconds),
            method_update_s: budget.map(|b| b.update_seconds),
            calibration_tokens: budget.map(|b| b.calibration_tokens),
            training_tokens: budget.map(|b| b.training_tokens),
            forward_passes: budget.map(|b| b.forward_passes),
            git_revision: provenance.git_revision.as_deref(),
            git_dirty: provenance.git_dirty,
            prunebench_version: &provenance.prunebench_version,
            engine_version: &provenance.engine_version,
            rustc: &provenance.rustc,
            cpu: &provenance.cpu,
            cores: provenance.cores,
            threads: provenance.threads,
            memory_bytes: provenance.memory_bytes,
            gpu: provenance.gpu.as_deref(),
            driver: provenance.driver.as_deref(),
            os: &provenance.os,
            started_at: &provenance.started_at,
            finished_at: &provenance.finished_at,
            experiment: &record.experiment,
            model_hash: record.inputs.get(MODEL_INPUT).map(String::as_str),
            key: record.key.as_str(),
        }
    }
}

/// What the loss is spread over, in units of the result's.
fn units(result: &PerplexityResult) -> usize {
    if result.units.is_empty() {
        result.tokens_scored
    } else {
        result.units.iter().sum()
    }
}
