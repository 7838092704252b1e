//! What a task asks of a machine, by the limits of its cells and by what earlier records say they take.

use prunebench_results::{Record, Status};

use super::scheduler::Shape;
use crate::experiment::Limits;
use crate::forecast::{Estimate, Likeness};
use crate::plan::Planned;

/// Memory that a cell's process and the one that watches it take before they do anything.
const BASE_MIB: f64 = 512.0;
/// Minutes that starting takes on a busy machine.
const BASE_MINUTES: f64 = 5.0;

/// A cell, with what is known of it.
pub(super) struct Known<'a> {
    pub(super) planned: &'a Planned,
    pub(super) estimate: Option<Estimate>,
    pub(super) found: Option<&'a Record>,
}

/// What a task gets that measures these cells, one after another.
///
/// Memory and time are rounded up to a power of two, so that few shapes serve many cells, and doubled for each earlier try
/// that ran out of them. What the experiment limits a cell to is enough, however large the estimate.
pub(super) fn shape(cells: &[Known], limits: Limits) -> Shape {
    let limit_mib = limits.memory_gb.map(|gb| gb * 1e9 / f64::from(1 << 20) + BASE_MIB);
    let limit_minutes = limits
        .timeout_s
        .map(|seconds| seconds * f64::from(1 + limits.retries) / 60.0 + BASE_MINUTES);
    let memory = cells.iter().map(|cell| {
        let estimate = cell.estimate.and_then(|estimate| {
            let peak = estimate.peak_resident_bytes? as f64 / f64::from(1 << 20);
            Some((peak * headroom(&estimate) + BASE_MIB) * doubled(cell, Status::Oom))
        });
        least(estimate, limit_mib)
    });
    let minutes = cells.iter().map(|cell| {
        let estimate = cell.estimate.map(|estimate| {
            (estimate.seconds * headroom(&estimate) / 60.0 + BASE_MINUTES) * doubled(cell, Status::Timeout)
        });
        least(estimate, limit_minutes)
    });
    // One cell of which nothing is known leaves the whole task to the system's default.
    let most: Option<f64> = memory.reduce(|a, b| Some(a?.max(b?))).flatten();
    let all: Option<f64> = minutes.reduce(|a, b| Some(a? + b?)).flatten();
    Shape {
        cores: cells.iter().map(|cell| cell.planned.threads()).max().unwrap_or(1),
        memory_mib: most.map(rounded),
        minutes: all.map(rounded),
        gpu: cells.iter().any(|cell| cell.planned.is_on_gpu()),
        exclusive: cells.iter().any(|cell| cell.planned.measures_speed()),
    }
}

/// How far beyond an estimate a cell may go. What other recipes took says little about this one, which may train.
fn headroom(estimate: &Estimate) -> f64 {
    match estimate.same {
        Likeness::Cell | Likeness::Recipe => 1.5,
        Likeness::Evaluation | Likeness::Model => 4.0,
    }
}

fn doubled(cell: &Known, status: Status) -> f64 {
    let tries = cell.found.map_or(0, |record| {
        let before = record.attempts.iter().filter(|attempt| attempt.status == status);
        before.count() + usize::from(record.status == status)
    });
    2_f64.powi(tries as i32)
}

fn least(estimate: Option<f64>, limit: Option<f64>) -> Option<f64> {
    match (estimate, limit) {
        (Some(estimate), Some(limit)) => Some(estimate.min(limit)),
        (one, other) => one.or(other),
    }
}

fn rounded(value: f64) -> u64 {
    (value.ceil() as u64).next_power_of_two()
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
