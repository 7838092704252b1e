//! How a number differs between two measurements of the same items.

use serde::Serialize;

use super::snapshot::{Observed, Series, machine};
use crate::statistics::{COVERAGE, Estimate, Interval, McNemar, SeedNoise, smallest_difference};

/// A number before and after, compared item by item.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What a difference is measured in.
    pub scale: Scale,
    /// The number before, the mean over seeds.
    pub before: f64,
    /// The number after.
    pub after: f64,
    /// `after` less `before`, as `scale` says.
    pub difference: f64,
    /// Whether all samples are the same to the last digit.
    pub unchanged: bool,
    /// Windows, items or rounds in a seed.
    pub samples: usize,
    /// Seeds, or 1 where they are the rounds.
    pub seeds: usize,
    /// The range that the difference plausibly lies in.
    pub interval: Option<Interval>,
    /// How many answers became right and wrong, over all seeds; absent of what is no accuracy.
    pub flips: Option<McNemar>,
    /// The test of no difference, and its p-value; absent of a number without noise.
    pub test: Option<(&'static str, f64)>,
    /// The difference with its error over items and seeds, of which the test, the interval and what could have been seen are
    /// made: of logarithms where `scale` is relative.
    estimate: Option<Estimate>,
    /// Items and the mean square of their differences, if they are answers.
    answers: Option<(usize, f64)>,
}

/// What a difference is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Points of an accuracy.
    Points,
    /// A share of the value before.
    Relative,
}

/// What could have been seen, as sizes on the scale of a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smallest {
    /// The smallest fall.
    pub fall: f64,
    /// The smallest rise.
    pub rise: f64,
}

impl Smallest {
    /// The smallest change of either sign.
    pub fn change(self) -> f64 {
        self.fall.max(self.rise)
    }
}

/// Two measurements that say nothing of a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoChange {
    /// They are of different things.
    #[error("{0}")]
    Incomparable(String),
    /// They are of the same, under conditions in which a difference means nothing.
    #[error("{0}")]
    NotJudged(String),
}

impl Change {
    /// Compares a number of cells that differ in nothing but their seed, as pairs of before and after.
    ///
    /// # Errors
    /// If it can't be compared.
    pub fn of(metric: &str, pairs: &[(&Observed, &Observed)]) -> Result<Self, NoChange> {
        let incomparable = |text: String| NoChange::Incomparable(text);
        for (before, after) in pairs {
            let shared = before
                .inputs
                .iter()
                .filter_map(|(input, value)| Some((input, value, after.inputs.get(input)?)));
            if let Some((input, was, is)) = shared
                .into_iter()
                .find(|(input, was, is)| !is_of_program(input) && was != is)
            {
                return Err(incomparable(format!("`{input}` was {was} and is {is}")));
            }
        }
        Self::of_numbers(metric, pairs)
    }

    /// Compares a number of cells that may differ in more than their seed, as pairs of before and after, by what it was
    /// measured over alone.
    ///
    /// # Errors
    /// If it can't be compared.
    pub fn of_numbers(metric: &str, pairs: &[(&Observed, &Observed)]) -> Result<Self, NoChange> {
        let incomparable = |text: String| NoChange::Incomparable(text);
        let mut series = Vec::new();
        for (before, after) in pairs {
            match (before.series.get(metric), after.series.get(metric)) {
                (Some(before), Some(after)) => series.push((before, after)),
                _ => {
                    return Err(incomparable(
                        "it is no longer measured, or has items without a number".to_owned(),
                    ));
                }
            }
        }
        match series.first() {
            None => Err(incomparable("it was measured under no seed that is here".to_owned())),
            Some((Series::Losses { .. }, _)) => of_losses(&series),
            Some((Series::Answers { .. }, _)) => of_answers(&series),
            Some((Series::Count { .. }, _)) => of_counts(&series),
            Some((Series::Speed { .. }, _)) => of_speeds(pairs, &series),
        }
    }

    /// The smallest fall and rise that the test would have found at level `alpha` with probability `power`; `None` of a number
    /// without noise.
    pub fn smallest(&self, alpha: f64, power: f64) -> Option<Smallest> {
        let estimate = self.estimate?;
        if let Some((items, square)) = self.answers {
            // A few answers that differ say little of how many might.
            let few = smallest_difference(items, square, alpha, power)?;
            let smallest = estimate.smallest_effect(alpha, power)?.max(few);
            return Some(Smallest {
                fall: smallest,
                rise: smallest,
            });
        }
        let [fall, rise] = estimate.smallest_effects_if_skewed(alpha, power)?;
        Some(Smallest {
            fall: -(-fall).exp_m1(),
            rise: rise.exp_m1(),
        })
    }
}

/// A number over some seeds, by itself, with its 95 % interval if it has noise.
pub(crate) fn plain(seeds: &[&Series]) -> Option<(f64, Option<Interval>)> {
    let nothing: Vec<Series> = seeds.iter().map(|series| series.nothing()).collect();
    let series: Vec<(&Series, &Series)> = nothing.iter().zip(seeds.iter().copied()).collect();
    match seeds.first()? {
        // The perplexity of no loss is 1.
        Series::Losses { .. } => of_losses(&series).ok().map(|change| {
            let interval = change.interval.map(|Interval { low, high }| Interval {
                low: 1.0 + low,
                high: 1.0 + high,
            });
            (change.after, interval)
        }),
        Series::Answers { .. } => of_answers(&series).ok().map(|change| (change.after, change.interval)),
        Series::Count { .. } | Series::Speed { .. } => {
            let value = |series: &&Series| match series {
                Series::Count { value } => Some(*value),
                Series::Speed { rate, .. } => Some(*rate),
                _ => None,
            };
            let values: Vec<f64> = seeds.iter().map(value).collect::<Option<_>>()?;
            Some((mean(values.into_iter()), None))
        }
    }
}

impl Series {
    /// The same items without loss or right answer.
    fn nothing(&self) -> Self {
        let mut nothing = self.clone();
        match &mut nothing {
            Self::Losses { nll, .. } => nll.fill(0.0),
            Self::Answers { right, .. } => right.iter_mut().for_each(|task| task.fill(0)),
            Self::Count { .. } | Self::Speed { .. } => {}
        }
        nothing
    }
}

/// Whether an input is of the program and the machine, whose changes a gate is there to judge, and not of what is measured.
pub(crate) fn is_of_program(input: &str) -> bool {
    let program = ["engine:", "numerics:", "method:", "prunebench", "threads", "model name"];
    program.iter().any(|name| input.starts_with(name))
}

type Pairs<'a> = [(&'a Series, &'a Series)];

fn same_scope(before: &str, after: &str) -> Result<(), NoChange> {
    if before == after {
        return Ok(());
    }
    Err(NoChange::Incomparable(format!(
        "it was over {before}, and is over {after}"
    )))
}

fn other_kind() -> NoChange {
    NoChange::Incomparable("it was a number of another kind, or over other items".to_owned())
}

fn too_few() -> NoChange {
    NoChange::NotJudged("two samples at least are wanted for an error; measure more".to_owned())
}

/// The mean difference with its error over items and seeds, from the differences of the same items under each seed, with the
/// degrees of freedom of the seeds, or of the items where all seeds are alike; `None` where a single item did not change.
fn difference(seeds: &[Vec<f64>], unchanged: bool) -> Result<Option<Estimate>, NoChange> {
    let first = seeds.first().ok_or_else(other_kind)?;
    if seeds.iter().any(|seed| seed.len() != first.len()) {
        return Err(other_kind());
    }
    let estimate = if seeds.iter().all(|seed| seed == first) {
        Estimate::of_mean(first)
    } else {
        // Satterthwaite's degrees of freedom are a guess from the same few seeds: where these happen to agree, it takes them for
        // many, and far in the tails that gives tens of times as many false alarms as it says.
        SeedNoise::of(seeds).map(|noise| Estimate {
            degrees: (seeds.len() - 1) as f64,
            ..noise.mean
        })
    };
    match estimate {
        None if first.is_empty() || !unchanged => Err(too_few()),
        estimate => Ok(estimate),
    }
}

/// An interval of logarithms as one of relative changes.
fn relative(interval: Option<Interval>) -> Option<Interval> {
    interval.map(|interval| Interval {
        low: interval.low.exp_m1(),
        high: interval.high.exp_m1(),
    })
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

/// The mean NLL of all windows, window by window. Where windows are of different lengths each counts by its own, as a
/// ratio of sums and its delta-method error have it.
fn of_losses(series: &Pairs) -> Result<Change, NoChange> {
    let mut seeds = Vec::new();
    let (mut perplexities, mut unchanged) = (Vec::new(), true);
    for pair in series {
        let (
            Series::Losses {
                scope: scope_before,
                nll: before,
                units,
            },
            Series::Losses {
                scope,
                nll: after,
                units: units_after,
            },
        ) = pair
        else {
            return Err(other_kind());
        };
        same_scope(scope_before, scope)?;
        if before.len() != after.len() || units != units_after || units.len() != before.len() {
            return Err(other_kind());
        }
        let all: f64 = units.iter().sum();
        let perplexity = |nll: &[f64]| (nll.iter().sum::<f64>() / all).exp();
        perplexities.push([perplexity(before), perplexity(after)]);
        unchanged &= before == after;
        let differences = after.iter().zip(before).map(|(after, before)| after - before);
        let ratio = differences.clone().sum::<f64>() / all;
        let weight = units.len() as f64 / all;
        seeds.push(
            differences
                .zip(units)
                .map(|(difference, units)| ratio + (difference - ratio * units) * weight)
                .collect::<Vec<f64>>(),
        );
    }
    let estimate = difference(&seeds, unchanged)?;
    let [before, after] = [0, 1].map(|side| mean(perplexities.iter().map(|pair| pair[side])));
    Ok(Change {
        scale: Scale::Relative,
        before,
        after,
        difference: estimate.map_or(0.0, |estimate| estimate.value.exp_m1()),
        unchanged,
        samples: seeds.first().map_or(0, Vec::len),
        seeds: seeds.len(),
        interval: relative(estimate.and_then(|estimate| estimate.interval(COVERAGE))),
        flips: None,
        test: estimate.map(|estimate| ("paired t of losses", estimate.p_value_if_skewed())),
        estimate,
        answers: None,
    })
}

fn of_answers(series: &Pairs) -> Result<Change, NoChange> {
    let mut seeds = Vec::new();
    let (mut means, mut unchanged, mut items) = (Vec::new(), true, 0);
    let mut table = McNemar { gained: 0, lost: 0 };
    // Whether each item weighs the same.
    let mut alike = true;
    for pair in series {
        let (
            Series::Answers {
                scope: scope_before,
                right: before,
                sha256: sha256_before,
            },
            Series::Answers {
                scope,
                right: after,
                sha256,
            },
        ) = pair
        else {
            return Err(other_kind());
        };
        same_scope(scope_before, scope)?;
        if before.iter().map(Vec::len).ne(after.iter().map(Vec::len)) || before.iter().any(Vec::is_empty) {
            return Err(other_kind());
        }
        let tasks = before.len();
        alike = before.iter().all(|task| task.len() == before[0].len());
        let all = before.iter().map(Vec::len).sum::<usize>() as f64;
        items = tasks * before.iter().map(Vec::len).min().unwrap_or(0);
        unchanged &= before == after && sha256_before == sha256;
        let accuracy = |right: &[Vec<u8>]| {
            mean(
                right
                    .iter()
                    .map(|task| mean(task.iter().map(|&right| f64::from(right)))),
            )
        };
        means.push([accuracy(before), accuracy(after)]);
        let mut differences = Vec::with_capacity(all as usize);
        for (before, after) in before.iter().zip(after) {
            // So that the mean over all items is the unweighted one over tasks.
            let weight = all / (tasks * before.len()) as f64;
            for (before, after) in before.iter().zip(after) {
                let difference = f64::from(*after) - f64::from(*before);
                table.gained += u64::from(difference > 0.0);
                table.lost += u64::from(difference < 0.0);
                differences.push(weight * difference);
            }
        }
        seeds.push(differences);
    }
    let estimate = difference(&seeds, unchanged)?;
    let [before, after] = [0, 1].map(|side| mean(means.iter().map(|pair| pair[side])));
    let square = mean(seeds.iter().flatten().map(|difference| difference.powi(2)));
    Ok(Change {
        scale: Scale::Points,
        before,
        after,
        difference: estimate.map_or(0.0, |estimate| estimate.value),
        unchanged,
        samples: seeds.first().map_or(0, Vec::len),
        seeds: seeds.len(),
        interval: estimate.and_then(|estimate| estimate.interval(COVERAGE)),
        flips: Some(table),
        test: estimate.map(|estimate| match seeds.len() == 1 && alike {
            true => ("exact McNemar", table.exact()),
            // Not corrected for skewness: where nothing changed, an answer is as likely lost as gained.
            false => ("paired t of answers", estimate.p_value()),
        }),
        estimate,
        answers: Some((items, square)),
    })
}

/// The seed that differs most speaks for all.
fn of_counts(series: &Pairs) -> Result<Change, NoChange> {
    let mut largest: Option<[f64; 3]> = None;
    for pair in series {
        let (Series::Count { value: before }, Series::Count { value: after }) = pair else {
            return Err(other_kind());
        };
        let difference = match *before {
            0.0 => *after,
            before => (after - before) / before.abs(),
        };
        if largest.is_none_or(|[_, _, largest]| difference.abs() > largest.abs()) {
            largest = Some([*before, *after, difference]);
        }
    }
    let [before, after, difference] = largest.ok_or_else(other_kind)?;
    Ok(Change {
        scale: Scale::Relative,
        before,
        after,
        difference,
        unchanged: before == after,
        samples: 1,
        seeds: series.len(),
        interval: None,
        flips: None,
        test: None,
        estimate: None,
        answers: None,
    })
}

/// Ratios to the uncompressed model, round by round. Rounds of two runs are independent.
fn of_speeds(pairs: &[(&Observed, &Observed)], series: &Pairs) -> Result<Change, NoChange> {
    let not_judged = |text: String| Err(NoChange::NotJudged(text));
    for (before, after) in pairs {
        let [was, is] = [machine(&before.provenance), machine(&after.provenance)];
        if was != is {
            return not_judged(format!(
                "speed is judged on the same machine only; it was {was}, and is {is}"
            ));
        }
        let evaluation = &after.cell.evaluation;
        if !evaluation.perplexity.is_empty() || !evaluation.tasks.is_empty() {
            return not_judged(
                "speed is judged in interleaved rounds only, which an experiment has that measures nothing else"
                    .to_owned(),
            );
        }
    }
    let mut logarithms = [Vec::new(), Vec::new()];
    for pair in series {
        let (Series::Speed { ratio: before, .. }, Series::Speed { ratio: after, .. }) = pair else {
            return Err(other_kind());
        };
        let (Some(before), Some(after)) = (before, after) else {
            return not_judged("there is no uncompressed model beside it in its round".to_owned());
        };
        logarithms[0].push(before.ln());
        logarithms[1].push(after.ln());
    }
    let [before, after] = &logarithms;
    let Some(estimate) = Estimate::of_independent(after, before) else {
        return not_judged("there is a single round; two at least are wanted, so give `seeds`".to_owned());
    };
    let ratio = |logarithms: &[f64]| mean(logarithms.iter().copied()).exp();
    Ok(Change {
        scale: Scale::Relative,
        before: ratio(before),
        after: ratio(after),
        difference: estimate.value.exp_m1(),
        unchanged: before == after,
        samples: after.len(),
        seeds: 1,
        interval: relative(estimate.interval(COVERAGE)),
        flips: None,
        test: Some(("Welch's t of log ratios", estimate.p_value())),
        estimate: Some(estimate),
        answers: None,
    })
}
