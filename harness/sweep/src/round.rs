//! A round of speed belongs to the machine that began it: what two machines timed says nothing of the recipes.

use prunebench_results::{CellKey, Record, Status, Store, StoreError, running, visit_records};

use crate::host::Host;
use crate::machine::Machine;
use crate::plan::{Plan, Planned};

/// A round that another machine began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// That machine, in words.
    pub(crate) machine: String,
    /// Whether other machines measure something for the same records just now.
    pub(crate) goes_on: bool,
}

/// Whether another machine than this began the round of a cell: has measured one of its cells, or is at it.
///
/// # Errors
/// If the records or the reservations can't be read.
pub(crate) fn elsewhere(
    plan: &Plan,
    planned: &Planned,
    store: &Store,
    host: &Host,
    machine: &Machine,
) -> Result<Option<Elsewhere>, StoreError> {
    let seed_of = |stem: &str| {
        let short = stem.rsplit('-').next().unwrap_or_default();
        let cell = plan.cells.iter().find(|planned| planned.key.short() == short);
        cell.map(|planned| planned.cell.seed)
    };
    let mut others = Vec::new();
    for running in running(store.folder())? {
        if let Some(owner) = running.owner.filter(|owner| owner.host != host.name) {
            others.push((seed_of(&running.stem), owner.host));
        }
    }
    // A cell of another plan may be of the same round.
    let of_round = others
        .iter()
        .find(|(seed, _)| seed.is_none_or(|seed| seed == planned.cell.seed));
    if let Some((_, name)) = of_round {
        return Ok(Some(Elsewhere {
            machine: name.clone(),
            goes_on: true,
        }));
    }
    let mut found = None;
    visit_records(store.folder(), &mut |record| {
        if found.is_none() && is_of_round(plan, planned, &record) && !is_from_here(&record, planned, host, machine) {
            found = Some(Elsewhere {
                machine: machine_of(&record),
                goes_on: !others.is_empty(),
            });
        }
    })?;
    Ok(found)
}

/// Whether a record has numbers of the round of a cell. Records of other versions, models or threads are no part of it, unless
/// the plan has them.
fn is_of_round(plan: &Plan, planned: &Planned, record: &Record) -> bool {
    let is_planned = |key: &CellKey| plan.cells.iter().any(|planned| planned.key == *key);
    let evaluation = &record.cell.evaluation;
    let agrees = || {
        let mut inputs = record.inputs.iter();
        inputs.all(|(name, value)| planned.inputs.get(name).is_none_or(|wanted| wanted == value))
    };
    record.status == Status::Ok
        && record.cell.seed == planned.cell.seed
        && evaluation.perplexity.is_empty()
        && evaluation.tasks.is_empty()
        && (is_planned(&record.key) || agrees())
}

/// Whether a record was measured where a cell would be now.
fn is_from_here(record: &Record, planned: &Planned, host: &Host, machine: &Machine) -> bool {
    let there = &record.provenance;
    let here = machine.provenance(&planned.cell, planned.threads(), None, String::new());
    // What isn't known of one of them can't tell them apart.
    let alike = |a: Option<&String>, b: Option<&String>| a.zip(b).is_none_or(|(a, b)| a == b);
    alike(there.host.as_ref(), Some(&host.name))
        && alike(there.gpu.as_ref(), here.gpu.as_ref())
        && (&there.cpu, there.cores) == (&here.cpu, here.cores)
}

/// `host (CPU, 8 cores)`.
fn machine_of(record: &Record) -> String {
    let there = &record.provenance;
    let name = there.host.as_deref().unwrap_or("another machine");
    let gpu = there.gpu.as_ref().map_or_else(String::new, |gpu| format!(", {gpu}"));
    format!("{name} ({}, {} cores{gpu})", there.cpu, there.cores)
}

#[cfg(all(test, unix))]
#[path = "round_tests.rs"]
mod tests;
