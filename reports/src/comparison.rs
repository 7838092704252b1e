//! Records of one model under several recipes, checked to be comparable and grouped over seeds.

use std::collections::BTreeMap;

use prunebench_results::{Metrics, PerplexityResult, Record, Samples, ThroughputResult, statistics};
use rayon::prelude::*;

use crate::accuracy::{Change, Score};
use crate::dense;
use crate::resampled::{Number, Resampled};
use crate::statistics::{
    Interval, perplexity, perplexity_ratio_interval, perplexity_stderr, seed_perplexities, speed_ratio,
};

/// Records that may stand in one table.
#[derive(Debug)]
pub struct Comparison<'a> {
    pub(crate) baseline: &'a [String],
    /// Groups of the baseline first, otherwise in the order of the records.
    pub(crate) groups: Vec<Group<'a>>,
    ratios: Resampled<RatioEstimate>,
    pub(crate) changes: Resampled<Change>,
}

/// The records that differ in nothing but their seed, in the order given.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(crate) records: Vec<&'a Record>,
}

/// Perplexity over one or more seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PerplexityEstimate {
    pub(crate) value: f64,
    pub(crate) stderr: Option<f64>,
    pub(crate) seed_sd: Option<f64>,
}

/// A perplexity or a speed over the baseline's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RatioEstimate {
    pub(crate) value: f64,
    /// Absent of the baseline itself, and of too few windows or rounds.
    pub(crate) interval: Option<Interval>,
}

impl<'a> Comparison<'a> {
    /// Puts records side by side. Ratios are to the records whose recipe is `baseline` and which ran
    /// on the same engine, device and dtype; they come first, the rest stays in the order given.
    ///
    /// # Errors
    /// If there is no record, or records differ in what must be equal: model, evaluation, protocols
    /// and their windows, tasks and their documents, thread count, or the value of an input that they share.
    pub fn new(records: &'a [Record], baseline: &'a [String]) -> Result<Self, ComparisonError> {
        check_comparable(records)?;
        let mut groups: Vec<Group> = Vec::new();
        for record in records {
            match groups.iter_mut().find(|group| group.holds(record)) {
                None => groups.push(Group { records: vec![record] }),
                Some(group) => {
                    if group.records.iter().any(|other| other.cell.seed == record.cell.seed) {
                        return Err(ComparisonError::Twice { cell: name(record) });
                    }
                    group.records.push(record);
                }
            }
        }
        groups.sort_by_key(|group| group.first().cell.recipe != baseline);
        Ok(Self::of_groups(groups, baseline))
    }

    /// Of groups that are known to be comparable, those of the baseline first.
    pub(crate) fn of_groups(groups: Vec<Group<'a>>, baseline: &'a [String]) -> Self {
        Self {
            baseline,
            groups,
            ratios: Resampled::default(),
            changes: Resampled::default(),
        }
    }

    /// Resamples what the tables and their files show of groups and of single records, on all cores, so that it lies ready.
    pub(crate) fn resample(&self) {
        let shown = self.scores();
        let mut in_files = shown.clone();
        let results = self.groups.iter().find_map(|group| group.metrics().next());
        for (index, result) in results.into_iter().flat_map(|metrics| metrics.tasks.iter().enumerate()) {
            let metrics = result.metrics.iter().map(|metric| metric.name);
            in_files.extend(metrics.map(|metric| Score::Task { index, metric }));
        }
        let protocols = self.first().cell.evaluation.perplexity.len();
        let all = |records: &[&Record], scores: &[Score]| {
            for index in 0..protocols {
                self.ratio(records, index);
            }
            for &score in scores {
                self.change(records, score);
            }
        };
        self.groups.par_iter().for_each(|group| {
            all(&group.records, &shown);
            group.records.iter().for_each(|&record| all(&[record], &in_files));
        });
    }

    /// All records, in the order of the rows.
    pub(crate) fn records(&self) -> impl Iterator<Item = &'a Record> {
        self.groups.iter().flat_map(|group| group.records.iter().copied())
    }

    /// The first record; all of them share its model and its evaluation.
    pub(crate) fn first(&self) -> &'a Record {
        self.groups[0].first()
    }

    pub(crate) fn is_baseline(&self, record: &Record) -> bool {
        record.cell.recipe == self.baseline
    }

    /// The baseline's records beside which a record was measured, if any succeeded.
    pub(crate) fn baseline_of(&self, record: &Record) -> Option<&Group<'a>> {
        let beside =
            |group: &&Group<'a>| !dense::beside(record, group.records.iter().copied(), self.baseline).is_empty();
        self.groups.iter().find(beside)
    }

    /// The perplexity under the cell's `index`th protocol over the given records, which are of one
    /// group; `None` if none of them succeeded.
    pub(crate) fn perplexity(&self, records: &[&Record], index: usize) -> Option<PerplexityEstimate> {
        Losses::of_protocol(records, index)?.estimate()
    }

    /// That perplexity over the baseline's; `None` if either is missing.
    pub(crate) fn ratio(&self, records: &[&Record], index: usize) -> Option<RatioEstimate> {
        self.ratios.get(records, Number::Perplexity(index), || {
            let first = records.first()?;
            let model = Losses::of_protocol(records, index)?;
            let baseline = Losses::of_protocol(&self.baseline_of(first)?.records, index)?;
            model.ratio_to(&baseline, !self.is_baseline(first))
        })
    }

    /// The rate over the baseline's of the same round and machine, if there is any: where nothing but speed was measured.
    pub(crate) fn speed_ratio(
        &self,
        records: &[&Record],
        samples: impl Fn(&ThroughputResult) -> &Samples,
    ) -> Option<RatioEstimate> {
        let first = records.first()?;
        let baseline = self.baseline_of(first).filter(|_| !self.is_baseline(first))?;
        let rate = |record: &Record| {
            let throughput = record.metrics.as_ref()?.throughput.as_ref()?;
            Some(samples(throughput).median)
        };
        let rounds: Vec<[f64; 2]> = records
            .iter()
            .filter_map(|record| Some([rate(record)?, rate(self.in_round(record, baseline)?)?]))
            .collect();
        let (value, interval) = speed_ratio(&rounds)?;
        Some(RatioEstimate { value, interval })
    }

    /// The record of the baseline's that was timed in the same round on the same machine.
    pub(crate) fn in_round(&self, record: &Record, baseline: &Group<'a>) -> Option<&'a Record> {
        dense::of_round(record, baseline.records.iter().copied(), self.baseline)
    }

    /// Whether the cells were timed in rounds.
    pub(crate) fn is_in_rounds(&self) -> bool {
        let evaluation = &self.first().cell.evaluation;
        evaluation.throughput.is_some() && evaluation.perplexity.is_empty() && evaluation.tasks.is_empty()
    }
}

/// The losses of the same windows under several seeds.
pub(crate) struct Losses {
    pub(crate) seeds: Vec<Vec<f64>>,
    pub(crate) units: Vec<f64>,
}

impl Losses {
    /// Of the records that succeeded, if any; means over each window's tokens where all windows have equally many.
    fn of_protocol(records: &[&Record], index: usize) -> Option<Self> {
        let results: Vec<&PerplexityResult> = records
            .iter()
            .filter_map(|record| record.metrics.as_ref()?.perplexity.get(index))
            .collect();
        let first = results.first()?;
        let losses = |result: &&PerplexityResult| {
            let tokens = result.tokens_scored as f64 / result.windows as f64;
            let unit = if result.units.is_empty() { tokens } else { 1.0 };
            result.window_nll.iter().map(|nll| nll / unit).collect()
        };
        Some(Self {
            seeds: results.iter().map(losses).collect(),
            units: if first.units.is_empty() {
                vec![1.0; first.windows]
            } else {
                first.units.iter().map(|&units| units as f64).collect()
            },
        })
    }

    fn slices(&self) -> Vec<&[f64]> {
        self.seeds.iter().map(Vec::as_slice).collect()
    }

    pub(crate) fn estimate(&self) -> Option<PerplexityEstimate> {
        let seeds = self.slices();
        Some(PerplexityEstimate {
            value: perplexity(&seeds, &self.units)?,
            stderr: perplexity_stderr(&seeds, &self.units),
            seed_sd: statistics::sample_sd(&seed_perplexities(&seeds, &self.units)),
        })
    }

    pub(crate) fn ratio_to(&self, baseline: &Self, interval: bool) -> Option<RatioEstimate> {
        let (model, baseline) = (self.slices(), baseline.slices());
        Some(RatioEstimate {
            value: perplexity(&model, &self.units)? / perplexity(&baseline, &self.units)?,
            interval: interval
                .then(|| perplexity_ratio_interval(&model, &baseline, &self.units))
                .flatten(),
        })
    }
}

impl<'a> Group<'a> {
    pub(crate) fn first(&self) -> &'a Record {
        self.records[0]
    }

    /// The metrics of the records that succeeded.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &'a Metrics> {
        self.records.iter().filter_map(|record| record.metrics.as_ref())
    }

    /// The mean of a number over the seeds that succeeded.
    pub(crate) fn mean(&self, number: impl Fn(&Metrics) -> f64) -> Option<f64> {
        statistics::mean(&self.metrics().map(number).collect::<Vec<_>>())
    }

    /// Median and median absolute deviation of the rates of all seeds' repeats together.
    pub(crate) fn rate(&self, samples: impl Fn(&ThroughputResult) -> &Samples) -> Option<(f64, f64)> {
        let results = self.metrics().filter_map(|metrics| metrics.throughput.as_ref());
        let rates: Vec<f64> = results.flat_map(|result| samples(result).rates()).collect();
        Some((
            statistics::median(&rates)?,
            statistics::median_absolute_deviation(&rates)?,
        ))
    }

    fn holds(&self, record: &Record) -> bool {
        self.first().cell.recipe == record.cell.recipe && same_place(self.first(), record)
    }
}

fn same_place(a: &Record, b: &Record) -> bool {
    let (a, b) = (&a.cell, &b.cell);
    (&a.engine, &a.device, &a.dtype) == (&b.engine, &b.device, &b.dtype)
}

/// How errors and notes call a cell.
pub(crate) fn name(record: &Record) -> String {
    let cell = &record.cell;
    format!("{} on {}, seed {}", method(record), place(record), cell.seed)
}

pub(crate) fn method(record: &Record) -> String {
    record.cell.recipe.join(" + ")
}

pub(crate) fn place(record: &Record) -> String {
    let cell = &record.cell;
    format!("{} {} {}", cell.engine, cell.device, cell.dtype)
}

fn check_comparable(records: &[Record]) -> Result<(), ComparisonError> {
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
        ) + &match result.units.iter().sum::<usize>() {
            0 => String::new(),
            units => format!(", {units} {}s", result.unit),
        }
    })
}

pub(crate) fn documents(record: &Record, index: usize) -> String {
    let result = record.metrics.as_ref().and_then(|metrics| metrics.tasks.get(index));
    result.map_or_else(String::new, |result| {
        let rows: Vec<usize> = result.items.iter().map(|item| item.document).collect();
        let runs = rows.chunk_by(|a, b| a + 1 == *b);
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

#[cfg(test)]
#[path = "comparison_tests.rs"]
pub(crate) mod tests;
