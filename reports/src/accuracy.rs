//! Accuracy of a group of records and its change against the baseline's, item by item.

use std::collections::BTreeMap;

use prunebench_results::{MetricName, Record, SuiteRequest, TaskItem, TaskRequest, TaskResult, statistics};

use crate::{
    comparison::{Comparison, Group, RatioEstimate, by_seed, series},
    gate::{
        Series,
        series::{suite_series, task_series},
    },
    losses::Losses,
    paired::{PairedDifference, Scale, retained},
    statistics::Interval,
};

/// A number that tasks give.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Score<'a> {
    /// A metric of the cell's `index`th task.
    Task { index: usize, metric: MetricName },
    /// The mean of a suite.
    Suite(&'a SuiteRequest),
}

/// A score over one or more seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ScoreEstimate {
    pub(crate) value: f64,
    pub(crate) stderr: Option<f64>,
    pub(crate) seed_sd: Option<f64>,
    /// Of all seeds together.
    pub(crate) nan_items: usize,
}

/// A score beside the baseline's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ScoreChange {
    /// Of an accuracy: the difference, and the share of the baseline's that is left if that is not 0.
    Difference {
        value: f64,
        interval: Option<Interval>,
        retained: Option<RatioEstimate>,
    },
    /// Of a perplexity.
    Ratio(RatioEstimate),
}

/// The items of a score under each seed.
type Seeds = Vec<(u64, Series)>;

/// A mean with its standard error.
pub(crate) type Mean = (f64, Option<f64>);

impl<'a> Comparison<'a> {
    /// What the accuracy tables show: of each task the metrics that a suite takes it by, else its own; then the suites.
    /// Nothing if no record has tasks that succeeded.
    pub(crate) fn scores(&self) -> Vec<Score<'a>> {
        let evaluation = &self.first().cell.evaluation;
        let Some(metrics) = self.groups.iter().find_map(|group| group.metrics().next()) else {
            return Vec::new();
        };
        let mut scores = Vec::new();
        for (index, (request, result)) in evaluation.tasks.iter().zip(&metrics.tasks).enumerate() {
            let members = evaluation.suites.iter().flat_map(|suite| &suite.members);
            let mut names: Vec<MetricName> = Vec::new();
            for member in members.filter(|member| member.is_of(request)) {
                if !names.contains(&member.metric) {
                    names.push(member.metric);
                }
            }
            if names.is_empty() {
                names = result.own().iter().map(|metric| metric.name).collect();
            }
            scores.extend(names.into_iter().map(|metric| Score::Task { index, metric }));
        }
        scores.extend(evaluation.suites.iter().map(Score::Suite));
        scores
    }

    /// How tables and notes call a score.
    pub(crate) fn score_name(&self, score: Score) -> String {
        match score {
            Score::Task { index, metric } => {
                format!("{} {metric}", task_name(&self.first().cell.evaluation.tasks[index]))
            }
            Score::Suite(suite) => format!("{} mean", suite.suite),
        }
    }

    /// The score over the given records, which are of one group; `None` if none of them succeeded.
    pub(crate) fn score(&self, records: &[&Record], score: Score) -> Option<ScoreEstimate> {
        match score {
            Score::Task { index, metric } => task_estimate(&results(records, index), metric),
            Score::Suite(suite) => {
                let members = self.members(suite).map(|member| self.score(records, member));
                let members = members.collect::<Option<Vec<_>>>()?;
                let means: Vec<Mean> = members.iter().map(|member| (member.value, member.stderr)).collect();
                let (value, stderr) = statistics::mean_of_independent(&means)?;
                let seeds = records.iter().filter_map(|record| record.metrics.as_ref());
                let seeds: Vec<f64> = seeds
                    .filter_map(|metrics| Some(suite.mean(&metrics.tasks)?.0))
                    .collect();
                Some(ScoreEstimate {
                    value,
                    stderr,
                    seed_sd: statistics::sample_sd(&seeds),
                    nan_items: members.iter().map(|member| member.nan_items).sum(),
                })
            }
        }
    }

    /// The score beside that of the baseline; `None` of the baseline itself, or if either is missing.
    pub(crate) fn change(&self, records: &[&Record], score: Score) -> Option<ScoreChange> {
        let (before, after) = self.beside_baseline(records, score)?;
        let (before, after) = (by_seed(&before), by_seed(&after));
        let change = PairedDifference::of_seeds(&before, &after).ok()?;
        Some(match change.scale {
            Scale::Relative => ScoreChange::Ratio(RatioEstimate::of(&change)),
            Scale::Points => ScoreChange::Difference {
                value: change.difference,
                interval: change.interval,
                retained: retained(&before, &after).map(|(value, interval)| RatioEstimate { value, interval }),
            },
        })
    }

    /// How the score differs from the baseline's, as [`Self::change`].
    pub(crate) fn score_difference(&self, records: &[&Record], score: Score) -> Option<PairedDifference> {
        let (before, after) = self.beside_baseline(records, score)?;
        PairedDifference::of_seeds(&by_seed(&before), &by_seed(&after)).ok()
    }

    /// The items of the score of the baseline and of these records, by seed.
    fn beside_baseline(&self, records: &[&Record], score: Score) -> Option<(Seeds, Seeds)> {
        let of = |record: &Record| Self::score_series(record, score);
        Some((series(&self.baseline_beside(records)?.records, of), series(records, of)))
    }

    /// Whether a score is no share of right answers.
    pub(crate) fn is_perplexity(&self, score: Score) -> bool {
        matches!(
            score,
            Score::Task {
                metric: MetricName::Perplexity,
                ..
            }
        )
    }

    /// The items of a score; `None` where one has no number.
    pub(crate) fn score_series(record: &Record, score: Score) -> Option<Series> {
        let metrics = record.metrics.as_ref()?;
        match score {
            Score::Task { index, metric } => task_series(record, index, metrics.tasks.get(index)?, metric),
            Score::Suite(suite) => suite_series(record, metrics, suite),
        }
    }

    /// The share of items answered otherwise than by the baseline, with its standard error over items: another request
    /// chosen, or of a single request another verdict whether it is greedy. `None` of a suite, and as [`Self::change`].
    pub(crate) fn flips(&self, records: &[&Record], score: Score) -> Option<Mean> {
        let Score::Task { index, metric } = score else {
            return None;
        };
        let model = results(records, index);
        let baseline = results(&self.baseline_beside(records)?.records, index);
        let pairs: Vec<(&TaskResult, &TaskResult)> = model
            .iter()
            .flat_map(|&model| baseline.iter().map(move |&baseline| (model, baseline)))
            .collect();
        let items = model.first()?.items.len();
        let flipped = (0..items).map(|item| {
            let different = |(a, b): &(&TaskResult, &TaskResult)| {
                let [of_a, of_b] = [
                    answer(a, metric, a.items.get(item)?),
                    answer(b, metric, b.items.get(item)?),
                ];
                Some(f64::from(of_a != of_b))
            };
            statistics::mean(&pairs.iter().map(different).collect::<Option<Vec<_>>>()?)
        });
        let flipped: Vec<f64> = flipped.collect::<Option<_>>()?;
        Some((statistics::mean(&flipped)?, statistics::standard_error(&flipped)))
    }

    /// The divergence from the dense model per scored position, where it was measured; `None` of a suite.
    pub(crate) fn divergence(&self, records: &[&Record], score: Score) -> Option<Mean> {
        let Score::Task { index, .. } = score else {
            return None;
        };
        let results = results(records, index);
        let positions: Option<Vec<f64>> = results
            .first()?
            .items
            .iter()
            .map(|item| Some(item.divergence?.1 as f64))
            .collect();
        let seeds: Option<Vec<Vec<f64>>> = results
            .iter()
            .map(|result| result.items.iter().map(|item| Some(item.divergence?.0)).collect())
            .collect();
        statistics::ratio_of_sums(&mean_over_seeds(&seeds?)?, &positions?)
    }

    fn members(&self, suite: &'a SuiteRequest) -> impl Iterator<Item = Score<'a>> {
        let tasks = &self.first().cell.evaluation.tasks;
        suite.members.iter().filter_map(|member| {
            let index = tasks.iter().position(|request| member.is_of(request))?;
            let metric = member.metric;
            Some(Score::Task { index, metric })
        })
    }

    fn baseline_beside(&self, records: &[&Record]) -> Option<&Group<'a>> {
        let first = records.first()?;
        self.baseline_of(first).filter(|_| !self.is_baseline(first))
    }
}

/// `arc_easy`, with its shots if there are any.
pub(crate) fn task_name(request: &TaskRequest) -> String {
    let name = request
        .task
        .split_once('@')
        .map_or(request.task.as_str(), |(name, _)| name);
    match request.shots {
        0 => name.to_owned(),
        1 => format!("{name}, 1 shot,"),
        shots => format!("{name}, {shots} shots,"),
    }
}

fn results<'a>(records: &[&'a Record], index: usize) -> Vec<&'a TaskResult> {
    let metrics = records.iter().filter_map(|record| record.metrics.as_ref());
    metrics.filter_map(|metrics| metrics.tasks.get(index)).collect()
}

fn task_estimate(results: &[&TaskResult], metric: MetricName) -> Option<ScoreEstimate> {
    let nan_items = results.iter().map(|result| result.nan_items).sum();
    let values: Option<Vec<f64>> = results
        .iter()
        .map(|result| Some(result.metric(metric)?.value))
        .collect();
    let values = values?;
    let stderr = if let [result] = results {
        result.metric(metric)?.stderr
    } else if metric == MetricName::Perplexity {
        task_losses(results)?.estimate()?.stderr
    } else {
        let items = &results.first()?.items;
        // A record may name any number as a group.
        let mut strata: BTreeMap<Option<usize>, Vec<f64>> = BTreeMap::new();
        for (item, sample) in items.iter().zip(mean_samples(results, metric)?) {
            strata.entry(item.group).or_default().push(sample);
        }
        statistics::pooled_standard_error(&strata.into_values().collect::<Vec<_>>())
    };
    Some(ScoreEstimate {
        value: statistics::mean(&values)?,
        stderr,
        seed_sd: statistics::sample_sd(&values),
        nan_items,
    })
}

/// The samples of each item, averaged over seeds.
fn mean_samples(results: &[&TaskResult], metric: MetricName) -> Option<Vec<f64>> {
    let seeds: Option<Vec<Vec<f64>>> = results
        .iter()
        .map(|result| result.items.iter().map(|item| result.sample(metric, item)).collect())
        .collect();
    mean_over_seeds(&seeds?)
}

fn mean_over_seeds(seeds: &[Vec<f64>]) -> Option<Vec<f64>> {
    let items = seeds.first()?.len();
    (0..items)
        .map(|item| {
            statistics::mean(
                &seeds
                    .iter()
                    .map(|seed| seed.get(item).copied())
                    .collect::<Option<Vec<_>>>()?,
            )
        })
        .collect()
}

/// The items of a task with single requests as windows of one unit.
fn task_losses(results: &[&TaskResult]) -> Option<Losses> {
    let losses = |result: &&TaskResult| {
        let samples = result
            .items
            .iter()
            .map(|item| result.sample(MetricName::Perplexity, item));
        samples.map(|sample| Some(-sample?)).collect::<Option<Vec<f64>>>()
    };
    Some(Losses {
        seeds: results.iter().map(losses).collect::<Option<_>>()?,
        units: vec![1.0; results.first()?.items.len()],
    })
}

/// What an item's answer is compared by: the chosen request, or whether its single request is greedy.
fn answer(result: &TaskResult, metric: MetricName, item: &TaskItem) -> (Option<usize>, Option<bool>) {
    match item.gold {
        Some(_) => (result.chosen(metric, item), None),
        None => (None, item.greedy.first().copied()),
    }
}
