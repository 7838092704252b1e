//! What a page knows of the numbers of records by their name.

use std::collections::{BTreeMap, BTreeSet};

use prunebench_results::{Evaluation, Metrics, Record, ThroughputRequest};
use serde::Serialize;

use crate::paired::Scale;
use crate::quantity::Better;

/// What a checkpoint holds, and what of it isn't zero.
pub(super) const STORED: &str = "stored parameters";
pub(super) const NONZERO: &str = "nonzero parameters";
/// What quality is drawn against, where it is not the same for all, in this order. A mask makes nothing smaller.
pub(super) const SIZES: [&str; 3] = [STORED, "effective depth", NONZERO];

/// What the page knows of a number's name.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measure {
    pub(super) name: String,
    pub(super) unit: &'static str,
    /// Which end is good; absent where neither is.
    pub(super) better: Option<Better>,
    /// Whether it says how good a model is, rather than what it costs.
    pub(super) quality: bool,
    /// What differences to the dense model are in.
    pub(super) scale: Option<Scale>,
}

/// Numbers of a record that are not made of items.
pub(super) fn plain_numbers(record: &Record, metrics: &Metrics) -> BTreeMap<String, f64> {
    let mut numbers = BTreeMap::from([
        ("method cost".to_owned(), metrics.budget.cpu_seconds),
        (
            "calibration tokens".to_owned(),
            metrics.budget.calibration_tokens as f64,
        ),
        ("training tokens".to_owned(), metrics.budget.training_tokens as f64),
    ]);
    if let Some(memory) = &record.memory {
        numbers.insert("peak memory".to_owned(), (memory.peak_resident_bytes >> 20) as f64);
    }
    if let Some(throughput) = &metrics.throughput {
        numbers.insert("prefill speed".to_owned(), throughput.prefill.median);
        numbers.insert("decode speed".to_owned(), throughput.decode.median);
    }
    numbers
}

/// Unit and good end of a number that is not made of items.
pub(super) fn plain_measure(name: &str) -> (&'static str, Option<Better>) {
    match name {
        "prefill speed" | "decode speed" => ("tokens/s", Some(Better::Higher)),
        "method cost" => ("CPU s", Some(Better::Lower)),
        "peak memory" => ("MiB", Some(Better::Lower)),
        "stored bytes" | "kv bytes per token" => ("bytes", Some(Better::Lower)),
        "stored parameters" | "nonzero parameters" | "flops per token" | "effective depth" => ("", Some(Better::Lower)),
        _ => ("", None),
    }
}

/// What of an evaluation its numbers' names leave open, in words.
pub(super) fn setting(evaluation: &Evaluation) -> String {
    let windows = evaluation.perplexity.iter();
    let windows = windows.filter_map(|request| Some(format!("{} windows of {}", request.windows?, request.protocol)));
    let limits: BTreeSet<usize> = evaluation.tasks.iter().filter_map(|request| request.limit).collect();
    let limits = limits
        .into_iter()
        .map(|limit| format!("tasks of at most {limit} documents"));
    let speed = evaluation.throughput.iter().map(ThroughputRequest::setting);
    windows.chain(limits).chain(speed).collect::<Vec<_>>().join("; ")
}
