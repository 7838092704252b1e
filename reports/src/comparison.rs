//! Records of one model under several recipes, grouped over seeds, beside a baseline.

use prunebench_results::{Metrics, Record, Samples, ThroughputResult, statistics};

use crate::comparable::{ComparisonError, check_comparable, windows};
use crate::dense;
use crate::gate::{Series, series::losses};
use crate::losses::{Losses, PerplexityEstimate};
use crate::paired::PairedDifference;
use crate::statistics::{Interval, speed_ratio};

/// Records that may stand in one table.
#[derive(Debug)]
pub struct Comparison<'a> {
    pub(crate) baseline: &'a [String],
    /// Groups of the baseline first, otherwise in the order of the records.
    pub(crate) groups: Vec<Group<'a>>,
}

/// The records that differ in nothing but their seed, in the order given.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(crate) records: Vec<&'a Record>,
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
        Self { baseline, groups }
    }

    /// All records, in the order of the rows.
    pub(crate) fn records(&self) -> impl Iterator<Item = &'a Record> {
        self.groups.iter().flat_map(|group| group.records.iter().copied())
    }

    /// The recipes of all records.
    pub(crate) fn recipes(&self) -> impl Iterator<Item = &'a [String]> {
        self.records().map(|record| record.cell.recipe.as_slice())
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

    /// That perplexity over the baseline's, of several seeds the geometric mean of their ratios; `None` if either is missing.
    pub(crate) fn ratio(&self, records: &[&Record], index: usize) -> Option<RatioEstimate> {
        let first = records.first()?;
        let ratio = RatioEstimate::of(&self.perplexity_difference(records, index)?);
        Some(RatioEstimate {
            interval: ratio.interval.filter(|_| !self.is_baseline(first)),
            ..ratio
        })
    }

    /// How that perplexity differs from the baseline's; `None` if either is missing.
    pub(crate) fn perplexity_difference(&self, records: &[&Record], index: usize) -> Option<PairedDifference> {
        let of_protocol = |record: &Record| {
            let result = record.metrics.as_ref()?.perplexity.get(index)?;
            Some(losses(windows(record, index), result))
        };
        let baseline = self.baseline_of(records.first()?)?;
        let (before, after) = (series(&baseline.records, of_protocol), series(records, of_protocol));
        PairedDifference::of_seeds(&by_seed(&before), &by_seed(&after)).ok()
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

impl RatioEstimate {
    /// Of a difference that is relative.
    pub(crate) fn of(difference: &PairedDifference) -> Self {
        Self {
            value: 1.0 + difference.difference,
            interval: difference.interval.map(|Interval { low, high }| Interval {
                low: 1.0 + low,
                high: 1.0 + high,
            }),
        }
    }
}

/// A number of each record that has it, with the record's seed.
pub(crate) fn series(records: &[&Record], of: impl Fn(&Record) -> Option<Series>) -> Vec<(u64, Series)> {
    let found = records
        .iter()
        .filter_map(|record| Some((record.cell.seed, of(record)?)));
    found.collect()
}

pub(crate) fn by_seed(series: &[(u64, Series)]) -> Vec<(u64, &Series)> {
    series.iter().map(|(seed, series)| (*seed, series)).collect()
}

impl<'a> Group<'a> {
    pub(crate) fn first(&self) -> &'a Record {
        self.records[0]
    }

    /// The same records in another comparison.
    pub(crate) fn again(&self) -> Self {
        Self {
            records: self.records.clone(),
        }
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

#[cfg(test)]
#[path = "comparison_tests.rs"]
pub(crate) mod tests;
