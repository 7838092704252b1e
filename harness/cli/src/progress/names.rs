//! Cells of a plan in few words.

use std::collections::BTreeSet;

use prunebench_reports::Labels;
use prunebench_results::{Cell, Record, Status};
use prunebench_sweep::Planned;

/// What the cells of a plan are called beside each other.
pub struct Names {
    labels: Labels,
    /// Whether they differ in model, device, element type and seed.
    differ: [bool; 4],
    /// Characters of the longest place.
    longest: usize,
}

impl Names {
    pub fn of(cells: &[Planned]) -> Self {
        let differ = |part: &dyn Fn(&Cell) -> String| {
            let values: BTreeSet<String> = cells.iter().map(|planned| part(&planned.cell)).collect();
            values.len() > 1
        };
        let mut names = Self {
            labels: Labels::of(cells.iter().map(|planned| planned.cell.recipe.as_slice())),
            differ: [
                differ(&|cell| cell.model.clone()),
                differ(&|cell| cell.device.clone()),
                differ(&|cell| cell.dtype.clone()),
                differ(&|cell| cell.seed.to_string()),
            ],
            longest: 0,
        };
        let places = cells.iter().map(|planned| names.place(&planned.cell).chars().count());
        names.longest = places.max().unwrap_or(0);
        names
    }

    /// The recipe in short: `shortgpt 25 % + lora`.
    pub fn recipe(&self, cell: &Cell) -> String {
        self.labels.whole(&cell.recipe)
    }

    /// The engine, and what else of the rest differs among the cells; all places are equally wide.
    pub fn place(&self, cell: &Cell) -> String {
        let [model, device, dtype, seed] = self.differ;
        let parts = [
            model.then(|| cell.model.clone()),
            Some(cell.engine.clone()),
            device.then(|| cell.device.clone()),
            dtype.then(|| cell.dtype.clone()),
            seed.then(|| format!("seed {}", cell.seed)),
        ];
        let place = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        format!("{place:0$}", self.longest)
    }
}

/// `wanda(ratio=0.5) on torch cpu f32, seed 1`.
pub fn name(cell: &Cell) -> String {
    let Cell {
        recipe,
        engine,
        device,
        dtype,
        seed,
        ..
    } = cell;
    format!("{} on {engine} {device} {dtype}, seed {seed}", recipe.join(" + "))
}

/// The numbers of a record in one line, or the first line of what went wrong.
pub fn outcome(record: &Record) -> String {
    let Some(metrics) = &record.metrics else {
        return reason(record).to_owned();
    };
    let mut parts: Vec<String> = match metrics.perplexity.as_slice() {
        [only] => vec![format!("perplexity {:.4}", only.value)],
        several => several
            .iter()
            .map(|result| format!("{} {:.4}", result.protocol, result.value))
            .collect(),
    };
    let suites = &record.cell.evaluation.suites;
    for result in &metrics.tasks {
        let mut members = suites.iter().flat_map(|suite| &suite.members);
        if !members.any(|member| member.is_of(&result.request)) {
            let task = &result.request.task;
            parts.extend(
                result
                    .own()
                    .iter()
                    .map(|metric| format!("{task} {} {:.4}", metric.name, metric.value)),
            );
        }
    }
    for suite in suites {
        parts.extend(
            suite
                .mean(&metrics.tasks)
                .map(|(value, _)| format!("{} {value:.4}", suite.suite)),
        );
    }
    if let Some(throughput) = &metrics.throughput {
        let (prefill, decode) = (throughput.prefill.median, throughput.decode.median);
        parts.push(format!("prefill {prefill:.1} and decode {decode:.1} tokens/s"));
    }
    if let Some(training) = &metrics.training {
        parts.push(format!("training {:.1} tokens/s", training.steps.median));
    }
    parts.extend(metrics.budget.cache_faults.iter().cloned());
    if let Some(memory) = &record.memory {
        parts.push(format!("peak {} MiB", memory.peak_resident_bytes >> 20));
    }
    parts.join(", ")
}

/// The first line of a record's error.
pub fn reason(record: &Record) -> &str {
    let error = record.error.as_deref().unwrap_or_default();
    error.lines().find(|line| !line.trim().is_empty()).unwrap_or_default()
}

/// How a cell ended that has no numbers, in words that go before the reason; none where the reason says all.
pub fn ending(status: Status) -> &'static str {
    match status {
        Status::Oom => "out of memory: ",
        Status::Timeout => "out of time: ",
        Status::Nan => "no finite number: ",
        Status::Ok | Status::Failed | Status::Skipped => "",
    }
}
