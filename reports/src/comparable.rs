//! Whether records may stand in one table.

use std::collections::BTreeMap;

use prunebench_results::{Metrics, Record, ThroughputResult};

use crate::comparison::name;

pub(crate) fn check_comparable(records: &[Record]) -> Result<(), ComparisonError> {
    let first = records.first().ok_or(ComparisonError::Empty)?;
    let mut inputs: BTreeMap<&str, (&Record, &str)> = BTreeMap::new();
    let mut measured: Option<&Record> = None;
    for record in records {
        equal("model", first, record, |record| record.cell.model.clone())?;
        equal("evaluation", first, record, |record| {
            format!("{:?}", record.cell.evaluation)
        })?;
        for (input, value) in &record.inputs {
            let (other, seen) = *inputs.entry(input).or_insert((record, value));
            if seen != value {
                return Err(differ(input, (other, seen.into()), (record, value.clone())));
            }
        }
        if let Some(metrics) = &record.metrics {
            check_complete(record, metrics)?;
            let first = *measured.get_or_insert(record);
            for index in 0..metrics.perplexity.len() {
                equal("set of scored windows", first, record, |record| windows(record, index))?;
            }
            for index in 0..metrics.tasks.len() {
                equal("set of documents", first, record, |record| documents(record, index))?;
            }
            equal("throughput setting", first, record, throughput_name)?;
        }
    }
    Ok(())
}

/// Checks that a record answers what its cell asks, so that columns can go by the cell.
fn check_complete(record: &Record, metrics: &Metrics) -> Result<(), ComparisonError> {
    let evaluation = &record.cell.evaluation;
    let asked = evaluation.perplexity.iter().map(|request| &request.protocol);
    let whole = asked.eq(metrics.perplexity.iter().map(|result| &result.protocol))
        && metrics.perplexity.iter().all(|result| {
            result.window_nll.len() == result.windows
                && (result.units.is_empty() || result.units.len() == result.windows)
        })
        && evaluation
            .tasks
            .iter()
            .eq(metrics.tasks.iter().map(|result| &result.request))
        && evaluation
            .suites
            .iter()
            .all(|suite| suite.mean(&metrics.tasks).is_some())
        && evaluation.throughput.is_some() == metrics.throughput.is_some()
        && evaluation.training.is_some() == metrics.training.is_some();
    if whole {
        Ok(())
    } else {
        Err(ComparisonError::Incomplete { cell: name(record) })
    }
}

pub(crate) fn windows(record: &Record, index: usize) -> String {
    let result = record
        .metrics
        .as_ref()
        .and_then(|metrics| metrics.perplexity.get(index));
    result.map_or_else(String::new, |result| {
        format!(
            "{}: {} of {} windows, {} tokens scored",
            result.protocol, result.windows, result.windows_available, result.tokens_scored
        ) + &match total(&result.units) {
            0 => String::new(),
            units => format!(", {units} {}s", result.unit),
        }
    })
}

/// The sum of counts, as far as it can be told: a record may name any number.
pub(crate) fn total(counts: &[usize]) -> u64 {
    counts.iter().fold(0u64, |sum, &count| sum.saturating_add(count as u64))
}

pub(crate) fn documents(record: &Record, index: usize) -> String {
    let result = record.metrics.as_ref().and_then(|metrics| metrics.tasks.get(index));
    result.map_or_else(String::new, |result| {
        let rows: Vec<usize> = result.items.iter().map(|item| item.document).collect();
        let runs = rows.chunk_by(|a, b| a.checked_add(1) == Some(*b));
        let runs: Vec<String> = runs
            .map(|run| match run {
                [row] => row.to_string(),
                _ => format!("{}-{}", run[0], run[run.len() - 1]),
            })
            .collect();
        format!(
            "{}: {} of {} documents, {} requests, rows {}",
            result.request.task,
            result.documents,
            result.documents_available,
            result.scoring.requests,
            runs.join(", ")
        )
    })
}

fn throughput_name(record: &Record) -> String {
    let result = record.metrics.as_ref().and_then(|metrics| metrics.throughput.as_ref());
    result.map_or_else(String::new, ThroughputResult::setting)
}

fn equal(
    what: &str,
    first: &Record,
    second: &Record,
    value: impl Fn(&Record) -> String,
) -> Result<(), ComparisonError> {
    let values = (value(first), value(second));
    if values.0 == values.1 {
        Ok(())
    } else {
        Err(differ(what, (first, values.0), (second, values.1)))
    }
}

fn differ(what: &str, first: (&Record, String), second: (&Record, String)) -> ComparisonError {
    ComparisonError::Mixed {
        what: what.into(),
        first: name(first.0),
        first_value: first.1,
        second: name(second.0),
        second_value: second.1,
    }
}

/// Records that may not stand in one table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComparisonError {
    /// There is nothing to compare.
    #[error("there is no record to make a table of: run the experiment first")]
    Empty,
    /// Numbers of different kinds would share a column.
    #[error(
        "records that differ in {what} can't share a table: {first} has `{first_value}`, {second} \
         has `{second_value}`; make a table of each, or measure them again alike"
    )]
    Mixed {
        /// What differs.
        what: String,
        /// The first cell.
        first: String,
        /// What it has.
        first_value: String,
        /// The second cell.
        second: String,
        /// What it has.
        second_value: String,
    },
    /// One cell would count twice.
    #[error("there are two records of {cell}: give one of them")]
    Twice {
        /// The cell.
        cell: String,
    },
    /// A record lacks what its cell asked for.
    #[error(
        "the record of {cell} is `ok` but lacks something that its cell asks for: delete it, and \
         run the experiment again"
    )]
    Incomplete {
        /// The cell.
        cell: String,
    },
}
