//! The number that records give for a column of a paper's table.

use prunebench_results::{CellKey, Record, Status, TaskRequest, TaskResult};
use serde::Serialize;

use crate::{
    accuracy::{Score, ScoreChange},
    comparable::windows,
    comparison::{Comparison, Group, place, series},
    dense,
    gate::{Series, series::losses},
    paired::alone,
    paper::mapping::Measure,
    statistics::Interval,
    table::grouped,
};

/// A number, and the records it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The number, over seeds the mean.
    pub value: f64,
    /// The 95 % interval over items or rounds; absent of what is counted, and of too few.
    pub interval: Option<Interval>,
    /// The standard deviation over seeds, if there are several.
    pub seed_sd: Option<f64>,
    /// How many seeds.
    pub seeds: usize,
    /// Keys of the records.
    pub records: Vec<CellKey>,
    /// As many as the paper prints.
    #[serde(skip)]
    pub(crate) decimals: usize,
}

/// A number before it is known what it stands beside.
struct Found {
    value: f64,
    interval: Option<Interval>,
    seed_sd: Option<f64>,
    /// Windows, documents or rounds.
    samples: usize,
    /// What of the data was left out.
    part: Option<String>,
}

impl Measured {
    /// The number with the most samples, then the most seeds, then the latest, of records that differ in nothing but their
    /// seed; and what of the data it leaves out. `None` if no record has it.
    pub(crate) fn best<'a>(
        measure: &Measure,
        candidates: &[&'a Record],
        all: &'a [Record],
        baseline: &'a [String],
        decimals: usize,
    ) -> Option<(Self, Option<String>)> {
        let mut groups: Vec<Vec<&'a Record>> = Vec::new();
        for &record in candidates.iter().filter(|record| record.status == Status::Ok) {
            match groups.iter_mut().find(|group| differ_by_seed(group[0], record)) {
                None => groups.push(vec![record]),
                Some(group) if group.iter().any(|other| other.cell.seed == record.cell.seed) => {}
                Some(group) => group.push(record),
            }
        }
        let found = groups.into_iter().filter_map(|group| {
            let found = find(measure, &group, all, baseline)?;
            let latest = group.iter().map(|record| record.provenance.finished_at.clone()).max();
            Some((found, group, latest))
        });
        let (found, group, _) = found.max_by(|a, b| {
            let rank = |(found, group, latest): &(Found, Vec<&Record>, Option<String>)| {
                (found.samples, group.len(), latest.clone())
            };
            rank(a).cmp(&rank(b))
        })?;
        let measured = Self {
            value: found.value,
            interval: found.interval,
            seed_sd: found.seed_sd,
            seeds: group.len(),
            records: group.iter().map(|record| record.key.clone()).collect(),
            decimals,
        };
        Some((measured, found.part))
    }
}

fn differ_by_seed(a: &Record, b: &Record) -> bool {
    let same = |a: &Record, b: &Record| {
        a.cell.model == b.cell.model && place(a) == place(b) && a.cell.evaluation == b.cell.evaluation
    };
    same(a, b) && a.cell.recipe == b.cell.recipe && a.experiment == b.experiment && a.inputs == b.inputs
}

fn find<'a>(measure: &Measure, group: &[&'a Record], all: &'a [Record], baseline: &'a [String]) -> Option<Found> {
    let first = group[0];
    let metrics = first.metrics.as_ref()?;
    let mut groups = vec![Group {
        records: group.to_vec(),
    }];
    if first.cell.recipe != baseline {
        let of_experiment = all.iter().filter(|record| record.experiment == first.experiment);
        let records = dense::beside(first, of_experiment, baseline);
        if !records.is_empty() {
            groups.insert(0, Group { records });
        }
    }
    let comparison = Comparison::of_groups(groups, baseline);
    let figure = |value: f64| Found {
        value,
        interval: None,
        seed_sd: None,
        samples: group.len(),
        part: None,
    };
    match measure {
        Measure::Perplexity(protocol) | Measure::Loss(protocol) => {
            let index = metrics
                .perplexity
                .iter()
                .position(|result| result.protocol == *protocol)?;
            let result = &metrics.perplexity[index];
            let estimate = comparison.perplexity(group, index)?;
            let part = (result.windows < result.windows_available).then(|| {
                let [windows, of] = [result.windows, result.windows_available].map(|count| grouped(count as u64));
                format!("the first {windows} of {of} windows or documents")
            });
            let interval = interval(group, |record| {
                let result = record.metrics.as_ref()?.perplexity.get(index)?;
                Some(losses(windows(record, index), result))
            });
            let logarithm = matches!(measure, Measure::Loss(_));
            Some(Found {
                value: if logarithm { estimate.value.ln() } else { estimate.value },
                interval: interval.map(|ends| match logarithm {
                    true => Interval {
                        low: ends.low.ln(),
                        high: ends.high.ln(),
                    },
                    false => ends,
                }),
                // By the delta method for the logarithm.
                seed_sd: estimate
                    .seed_sd
                    .map(|sd| if logarithm { sd / estimate.value } else { sd }),
                samples: result.windows,
                part,
            })
        }
        Measure::Accuracy { task, metric, shots } => {
            let index = metrics
                .tasks
                .iter()
                .position(|result| is_task(&result.request, task, *shots))?;
            metrics.tasks[index].metric(*metric)?;
            score(
                &comparison,
                group,
                Score::Task { index, metric: *metric },
                &metrics.tasks[index..=index],
            )
        }
        Measure::Suite(name) => {
            let suite = first.cell.evaluation.suites.iter().find(|suite| suite.suite == *name)?;
            score(&comparison, group, Score::Suite(suite), &metrics.tasks)
        }
        Measure::Retained(name) => {
            let suite = first.cell.evaluation.suites.iter().find(|suite| suite.suite == *name)?;
            let ScoreChange::Difference { retained, .. } = comparison.change(group, Score::Suite(suite))? else {
                return None;
            };
            let retained = retained?;
            Some(Found {
                value: 100.0 * retained.value,
                interval: retained.interval.map(|interval| scaled(interval, 100.0)),
                seed_sd: None,
                samples: documents(&metrics.tasks),
                part: part(&metrics.tasks),
            })
        }
        Measure::AchievedRatio => Some(figure(metrics.compression.achieved_ratio)),
        Measure::StoredParameters => Some(figure(metrics.accounting.stored_parameters as f64)),
        Measure::Speed(timing) | Measure::SpeedPercent(timing) | Measure::TimePercent(timing) => {
            let asked = first.cell.evaluation.throughput?;
            let found = [asked.prompt_tokens, asked.generated_tokens, asked.batch];
            if asked.tensor_parallel.is_some() || found != [timing.prompt_tokens, timing.generated_tokens, timing.batch]
            {
                return None;
            }
            let ratio = comparison.speed_ratio(group, |throughput| &throughput.decode)?;
            let percent = if matches!(measure, Measure::Speed(_)) {
                1.0
            } else {
                100.0
            };
            let (value, interval) = if matches!(measure, Measure::TimePercent(_)) {
                let inverse = |interval: Interval| Interval {
                    low: 1.0 / interval.high,
                    high: 1.0 / interval.low,
                };
                (1.0 / ratio.value, ratio.interval.map(inverse))
            } else {
                (ratio.value, ratio.interval)
            };
            Some(Found {
                interval: interval.map(|interval| scaled(interval, percent)),
                ..figure(percent * value)
            })
        }
    }
}

/// A score in percent.
fn score<'a>(
    comparison: &Comparison<'a>,
    group: &[&'a Record],
    score: Score<'a>,
    tasks: &[TaskResult],
) -> Option<Found> {
    let estimate = comparison.score(group, score)?;
    let interval = interval(group, |record| Comparison::score_series(record, score));
    Some(Found {
        value: 100.0 * estimate.value,
        interval: interval.map(|interval| scaled(interval, 100.0)),
        seed_sd: estimate.seed_sd.map(|sd| 100.0 * sd),
        samples: documents(tasks),
        part: part(tasks),
    })
}

fn is_task(request: &TaskRequest, name: &str, shots: usize) -> bool {
    let bare = request
        .task
        .split_once('@')
        .map_or(request.task.as_str(), |(bare, _)| bare);
    bare == name && request.shots == shots
}

fn documents(tasks: &[TaskResult]) -> usize {
    sum(tasks, |task| task.documents)
}

/// A record may name any number.
fn sum(tasks: &[TaskResult], of: fn(&TaskResult) -> usize) -> usize {
    tasks.iter().fold(0usize, |sum, task| sum.saturating_add(of(task)))
}

fn part(tasks: &[TaskResult]) -> Option<String> {
    let (done, of) = (documents(tasks), sum(tasks, |task| task.documents_available));
    (done < of).then(|| format!("{} of {} documents", grouped(done as u64), grouped(of as u64)))
}

/// The interval of a number by itself over these records.
fn interval(records: &[&Record], of: impl Fn(&Record) -> Option<Series>) -> Option<Interval> {
    let series = series(records, of);
    alone(&series.iter().map(|(_, series)| series).collect::<Vec<_>>())?.1
}

fn scaled(interval: Interval, by: f64) -> Interval {
    Interval {
        low: by * interval.low,
        high: by * interval.high,
    }
}
