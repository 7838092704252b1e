//! The numbers of a record by name, each with its samples.

use std::collections::BTreeMap;

use prunebench_results::{
    MetricName, Metrics, PerplexityResult, Record, SuiteRequest, TaskRequest, TaskResult, ThroughputRequest,
    ThroughputResult,
};
use sha2::{Digest, Sha256};

use super::snapshot::Series;
use crate::comparable::{documents, windows};
use crate::dense;

/// Every number of a record that was measured beside `records`, whose recipe `dense` is the unit of speed.
pub(crate) fn series(
    record: &Record,
    metrics: &Metrics,
    dense: &[String],
    records: &[Record],
) -> BTreeMap<String, Series> {
    let perplexities = metrics.perplexity.iter().enumerate().map(|(index, result)| {
        let scope = windows(record, index);
        (perplexity_name(&result.protocol), losses(scope, result))
    });
    let tasks = metrics.tasks.iter().enumerate().flat_map(|(index, result)| {
        let of = move |metric: MetricName| {
            Some((
                task_name(metric, &result.request),
                task_series(record, index, result, metric)?,
            ))
        };
        result.own().iter().filter_map(move |metric| of(metric.name))
    });
    let suites = record.cell.evaluation.suites.iter();
    let suites = suites.filter_map(|suite| Some((suite_name(suite), suite_series(record, metrics, suite)?)));
    let (compression, accounting) = (&metrics.compression, &metrics.accounting);
    let counts = [
        ("achieved ratio", compression.achieved_ratio),
        ("achieved parameter ratio", compression.achieved_parameter_ratio),
        ("mask sparsity", compression.mask_sparsity),
        ("stored parameters", accounting.stored_parameters as f64),
        ("nonzero parameters", accounting.nonzero_parameters as f64),
        ("stored bytes", accounting.stored_bytes as f64),
        ("flops per token", accounting.flops_per_token as f64),
        ("kv bytes per token", accounting.kv_bytes_per_token as f64),
        ("effective depth", accounting.effective_depth as f64),
    ];
    let counts = counts.map(|(name, value)| (name.to_owned(), Series::Count { value }));
    let speeds = metrics
        .throughput
        .iter()
        .flat_map(|throughput| speeds(record, throughput, dense, records));
    perplexities
        .chain(tasks)
        .chain(suites)
        .chain(counts)
        .chain(speeds)
        .collect()
}

/// The losses of a perplexity. Sizes are those of the samples that are there, whatever counts the record names.
pub(crate) fn losses(scope: String, result: &PerplexityResult) -> Series {
    let equal = result.tokens_scored as f64 / result.windows as f64;
    Series::Losses {
        scope,
        nll: result.window_nll.clone(),
        units: if result.units.is_empty() {
            vec![equal; result.window_nll.len()]
        } else {
            result.units.iter().map(|&units| units as f64).collect()
        },
    }
}

/// What a perplexity is called.
pub(crate) fn perplexity_name(protocol: &str) -> String {
    format!("perplexity {protocol}")
}

/// `acc world_facts@1`, with the shots if there are any.
pub(crate) fn task_name(metric: MetricName, request: &TaskRequest) -> String {
    let name = format!("{metric} {}", request.task);
    match request.shots {
        0 => name,
        shots => format!("{name} {shots} shots"),
    }
}

/// What the mean of a suite is called.
pub(crate) fn suite_name(suite: &SuiteRequest) -> String {
    format!("mean {}", suite.suite)
}

/// What the speed of a phase is called.
pub(crate) fn speed_name(phase: &str, request: &ThroughputRequest) -> String {
    format!("{phase} speed, {}", request.setting())
}

/// A metric of a task. `None` if an item has no number.
pub(crate) fn task_series(record: &Record, index: usize, result: &TaskResult, metric: MetricName) -> Option<Series> {
    let scope = documents(record, index);
    let samples = result.items.iter().map(|item| result.sample(metric, item));
    let samples: Vec<f64> = samples.collect::<Option<_>>()?;
    Some(if metric == MetricName::Perplexity {
        Series::Losses {
            scope,
            units: vec![1.0; samples.len()],
            nll: samples.iter().map(|log_likelihood| -log_likelihood).collect(),
        }
    } else {
        let mut hash = Sha256::new();
        for likelihood in result.items.iter().flat_map(|item| &item.log_likelihoods) {
            hash.update(likelihood.unwrap_or(f64::NAN).to_le_bytes());
        }
        Series::Answers {
            scope,
            right: vec![samples.iter().map(|&sample| u8::from(sample > 0.5)).collect()],
            sha256: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    })
}

/// The mean of a suite. `None` if a member is no accuracy.
pub(crate) fn suite_series(record: &Record, metrics: &Metrics, suite: &SuiteRequest) -> Option<Series> {
    let (mut scopes, mut all, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for member in &suite.members {
        let index = metrics.tasks.iter().position(|result| member.is_of(&result.request))?;
        match task_series(record, index, &metrics.tasks[index], member.metric)? {
            Series::Answers { scope, right, sha256 } => {
                scopes.push(format!("{} of {scope}", member.metric));
                all.extend(right);
                hashes.push(sha256);
            }
            _ => return None,
        }
    }
    Some(Series::Answers {
        scope: scopes.join("; "),
        right: all,
        sha256: hashes.join(" "),
    })
}

/// Prefill and decode, each over the uncompressed model's of the same interleaved round, if there was one. None of that model,
/// which is the unit.
fn speeds(
    record: &Record,
    throughput: &ThroughputResult,
    dense: &[String],
    records: &[Record],
) -> Vec<(String, Series)> {
    let cell = &record.cell;
    if cell.recipe == dense {
        return Vec::new();
    }
    let interleaved = cell.evaluation.perplexity.is_empty() && cell.evaluation.tasks.is_empty();
    let beside = dense::of_round(record, records, dense)
        .filter(|_| interleaved)
        .and_then(|record| record.metrics.as_ref()?.throughput.as_ref());
    let Some(request) = &cell.evaluation.throughput else {
        return Vec::new();
    };
    let speed = |phase: &str, rate: fn(&ThroughputResult) -> f64| {
        let series = Series::Speed {
            rate: rate(throughput),
            ratio: beside.map(|beside| rate(throughput) / rate(beside)),
        };
        (speed_name(phase, request), series)
    };
    vec![
        speed("prefill", |throughput| throughput.prefill.median),
        speed("decode", |throughput| throughput.decode.median),
    ]
}
