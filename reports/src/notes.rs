//! What stands above and below a comparison, so that no number goes without its protocol, its
//! sample count and its origin.

use std::collections::BTreeSet;

use prunebench_results::{GpuMemoryOf, MODEL_INPUT, PerplexityResult, Record};

use crate::{
    comparable::total,
    comparison::{Comparison, method, place},
    quantity::Subject,
    statistics::COVERAGE,
    table::grouped,
    task_notes,
};

pub(crate) fn caption(comparison: &Comparison) -> String {
    caption_of(comparison, "compressed and measured")
}

pub(crate) fn caption_of(comparison: &Comparison, what: &str) -> String {
    let model = &comparison.first().cell.model;
    let experiments = distinct(comparison, |record| Some(record.experiment.clone()));
    format!("{model}, {what}; experiment {experiments}")
}

/// The notes that numbers about these subjects want.
pub(crate) fn notes(comparison: &Comparison, subjects: &BTreeSet<Subject>) -> Vec<String> {
    let mut notes = vec![model(comparison)];
    for subject in subjects {
        match subject {
            Subject::Identity => {}
            Subject::Compression => notes.extend(compression(comparison)),
            Subject::Perplexity => notes.extend(perplexity(comparison)),
            Subject::PerplexityRatio => notes.extend(ratio(comparison)),
            Subject::Speed => notes.extend(throughput(comparison)),
            Subject::Utilisation => notes.extend(ceilings(comparison)),
            Subject::Gpu => notes.extend(gpu(comparison)),
            Subject::SpeedRatio => notes.extend(rounds(comparison)),
            Subject::Memory => notes.extend(memory(comparison)),
            Subject::Cost => notes.push(
                "Method cost: CPU time of all threads and tokens of calibration text that the recipe took, \
                 its forward passes included and evaluation excluded."
                    .into(),
            ),
            Subject::Score => notes.extend(task_notes::tasks(comparison)),
            Subject::ScoreChange => notes.extend(task_notes::changes(comparison)),
        }
    }
    notes.push(seeds(comparison));
    notes.extend(provenance(comparison));
    notes
}

fn model(comparison: &Comparison) -> String {
    let model = &comparison.first().cell.model;
    let hash = comparison.first().inputs.get(MODEL_INPUT);
    let mut inputs: Vec<String> = comparison
        .records()
        .flat_map(|record| &record.inputs)
        .filter(|(input, _)| *input != MODEL_INPUT)
        .map(|(input, value)| format!("{input} = {}", abbreviated(value)))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    inputs.insert(0, format!("Model: {model}"));
    if let Some(hash) = hash {
        inputs[0] += &format!(", content hash {}", abbreviated(hash));
    }
    format!("{}.", inputs.join("; "))
}

fn perplexity(comparison: &Comparison) -> Vec<String> {
    let Some(metrics) = comparison.groups.iter().find_map(|group| group.metrics().next()) else {
        return Vec::new();
    };
    let note = |result: &PerplexityResult| {
        let (n, tokens) = (result.windows, grouped(result.tokens_scored as u64));
        let available = result.windows_available;
        let (samples, counts) = match result.window {
            None => {
                let dropped = grouped(result.tail_tokens_dropped as u64);
                (
                    "windows",
                    format!("{n} of {available} windows, {tokens} tokens scored, {dropped} tail tokens dropped"),
                )
            }
            Some(window) => {
                let units = grouped(total(&result.units));
                let unit = result.unit;
                (
                    "documents",
                    format!(
                        "{n} of {available} documents, {units} {unit}s, {tokens} tokens scored in windows of at most {window}"
                    ),
                )
            }
        };
        format!(
            "Perplexity {}: per {}, n = {counts}; ± is the standard error over {samples} (delta method).",
            result.protocol, result.unit,
        )
    };
    metrics.perplexity.iter().map(note).collect()
}

fn ratio(comparison: &Comparison) -> Vec<String> {
    if comparison.first().cell.evaluation.perplexity.is_empty() {
        return Vec::new();
    }
    let baseline = comparison.baseline.join(" + ");
    let mut notes = vec![format!(
        "Ratio to {baseline}: perplexity over that of {baseline} on the same engine, device and \
         dtype, of several seeds the geometric mean of theirs; {:.0} % interval by Student's t on the differences of the same \
         windows' losses (taken as independent), of several seeds over seeds too.",
        100.0 * COVERAGE,
    )];
    let alone = distinct(comparison, |record| {
        comparison.baseline_of(record).is_none().then(|| place(record))
    });
    if !alone.is_empty() {
        notes.push(format!(
            "No ratio on {alone}: {baseline} has no successful record there."
        ));
    }
    notes
}

fn throughput(comparison: &Comparison) -> Option<String> {
    let metrics = comparison.groups.iter().flat_map(|group| group.metrics());
    let result = metrics.filter_map(|metrics| metrics.throughput.as_ref()).next()?;
    let request = comparison.first().cell.evaluation.throughput?;
    Some(format!(
        "Prefill and decode, timed apart: {} prompt tokens, {} generated tokens, batch {}, {} \
         threads{}; median ± median absolute deviation of {} repeats after {} for warm-up, all seeds \
         together.",
        result.prompt_tokens,
        result.generated_tokens,
        result.batch,
        result.threads,
        result
            .tensor_parallel
            .map_or_else(String::new, |ranks| format!(", {ranks}")),
        request.repeats,
        request.warmup,
    ))
}

/// What the shares of the ceilings are shares of.
fn ceilings(comparison: &Comparison) -> Option<String> {
    let asked = comparison.first().cell.evaluation.throughput?.ceilings;
    asked.then(|| {
        "Ceilings: a copy and a matrix product timed in each cell's process. Decode reads every executed weight and the keys and \
         values of all positions before, prefill computes every linear and the head; work that fits in a cache can exceed a copy \
         that does not."
            .into()
    })
}

/// How memory and energy of a GPU were had.
fn gpu(comparison: &Comparison) -> Option<String> {
    let metrics = comparison.groups.iter().flat_map(|group| group.metrics());
    let mut results = metrics.filter_map(|metrics| metrics.throughput.as_ref());
    let gpu = results.find_map(|result| result.gpu.as_ref())?;
    let whose = match gpu.memory_of {
        Some(GpuMemoryOf::Process) => "of the cell's process",
        Some(GpuMemoryOf::Device) => "of the whole device",
        None => "not told by the driver",
    };
    Some(format!(
        "GPU: peak memory {whose}, sampled every {} ms; energy of the device over all timed repeats, n/a below 2 s.",
        gpu.sampled_every_ms
    ))
}

/// What speeds over the baseline's are, where they were timed in rounds.
fn rounds(comparison: &Comparison) -> Vec<String> {
    if !comparison.is_in_rounds() {
        return Vec::new();
    }
    let baseline = comparison.baseline.join(" + ");
    let mut notes = vec![format!(
        "Ratio to {baseline}: of the medians of the same round on the same machine, geometric mean over rounds, {:.0} % interval by \
         Student's t on their logarithms. A round is a seed: all rows were timed once with its tokens before any was with the next.",
        100.0 * COVERAGE,
    )];
    let alone = distinct(comparison, |record| {
        let of = comparison.baseline_of(record).filter(|_| record.metrics.is_some())?;
        let is_alone = comparison.in_round(record, of).is_none();
        is_alone.then(|| format!("{}, seed {}", method(record), record.cell.seed))
    });
    if !alone.is_empty() {
        notes.push(format!(
            "Rounds left out, {baseline} not timed on the same machine: {alone}."
        ));
    }
    notes
}

fn compression(comparison: &Comparison) -> Option<String> {
    let bases: BTreeSet<String> = comparison
        .groups
        .iter()
        .flat_map(|group| group.metrics())
        .flat_map(|metrics| &metrics.compression.method_reports)
        .map(|report| format!("{} ({})", report.basis, report.method))
        .collect();
    (!bases.is_empty()).then(|| {
        format!(
            "Nominal and achieved ratio are shares of: {}. Mask sparsity is the share of stored \
             weights that a mask makes zero; they still take memory and time.",
            bases.into_iter().collect::<Vec<_>>().join(", ")
        )
    })
}

fn memory(comparison: &Comparison) -> Option<String> {
    let how = distinct(comparison, |record| Some(record.memory.as_ref()?.how.clone()));
    (!how.is_empty()).then(|| format!("Peak memory: {how}; the highest of all seeds."))
}

fn seeds(comparison: &Comparison) -> String {
    let seeds = distinct(comparison, |record| Some(record.cell.seed.to_string()));
    let mut note = format!(
        "Seeds: {seeds}. Numbers are means over the seeds that succeeded; the seed sd is the \
         standard deviation between seeds and no part of the standard error."
    );
    let unmeasured: BTreeSet<String> = comparison
        .groups
        .iter()
        .filter(|group| group.metrics().count() == 1)
        .filter(|group| {
            let mut reports = group.metrics().flat_map(|m| &m.compression.method_reports);
            reports.any(|report| report.stochastic)
        })
        .map(|group| method(group.first()))
        .collect();
    if !unmeasured.is_empty() {
        let methods = unmeasured.into_iter().collect::<Vec<_>>().join(", ");
        note += &format!(" Measured with one seed, so its seed noise is unknown: {methods}.");
    }
    note
}

fn provenance(comparison: &Comparison) -> [String; 2] {
    let machine = distinct(comparison, |record| {
        let p = &record.provenance;
        let gib = p.memory_bytes as f64 / (1u64 << 30) as f64;
        let mut machine = format!(
            "{}, {} cores, {} threads, {gib:.0} GiB, {}",
            p.cpu, p.cores, p.threads, p.os
        );
        if let Some(gpu) = &p.gpu {
            let driver = p.driver.as_deref().unwrap_or("unknown");
            machine += &format!(", {gpu} with driver {driver}");
        }
        Some(machine)
    });
    let of = |text: fn(&Record) -> &String| distinct(comparison, |r| Some(text(r).clone()));
    let revisions = distinct(comparison, |record| {
        let p = &record.provenance;
        let changed = if p.git_dirty { " with local changes" } else { "" };
        let revision = p.git_revision.as_deref().unwrap_or("unknown");
        Some(format!("{}{changed}", abbreviated(revision)))
    });
    let times = || comparison.records().map(|record| &record.provenance);
    let started = times().map(|p| p.started_at.as_str()).min().unwrap_or_default();
    let finished = times().map(|p| p.finished_at.as_str()).max().unwrap_or_default();
    [
        format!("Machine: {machine}."),
        format!(
            "Measured {started} to {finished} by prunebench {} (git {revisions}) with {}, {}.",
            of(|record| &record.provenance.prunebench_version),
            of(|record| &record.provenance.engine_version),
            of(|record| &record.provenance.rustc),
        ),
    ]
}

/// The different values among all records, joined in order of first appearance.
fn distinct(comparison: &Comparison, value: impl Fn(&Record) -> Option<String>) -> String {
    let mut values: Vec<String> = Vec::new();
    for value in comparison.records().filter_map(value) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values.join(", ")
}

/// A hash by its first digits; anything else whole.
pub(crate) fn abbreviated(value: &str) -> &str {
    let hash = value.len() >= 40 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hash { &value[..16] } else { value }
}
