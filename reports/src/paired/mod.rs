//! How a number differs between two measurements of the same items. Whatever shows such a difference takes it from here, so
//! that tables, the page and the gate have one interval for it.

mod alone;
mod answers;
mod losses;
mod speeds;

use serde::Serialize;

pub(crate) use self::alone::alone;
pub(crate) use self::answers::{retained, weighted};
pub(crate) use self::losses::per_item;
use crate::gate::{Observed, Series};
use crate::statistics::{Estimate, Interval, McNemar, smallest_difference};

/// A number before and after, compared item by item.
#[derive(Debug, Clone, PartialEq)]
pub struct PairedDifference {
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

impl PairedDifference {
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
            Some((Series::Speed { .. }, _)) => speeds::of_speeds(pairs, &series),
            Some((Series::Count { .. }, _)) => speeds::of_counts(&series),
            Some(_) => match Self::of_samples(&series)? {
                // A single sample that changed has no error to judge by.
                change if change.estimate.is_none() && !change.unchanged => Err(too_few()),
                change => Ok(change),
            },
        }
    }

    /// Compares losses or answers by their seeds: each with those before under the same seed, or with the first where there is no
    /// such seed.
    ///
    /// # Errors
    /// As of [`Self::of_samples`].
    pub(crate) fn of_seeds(before: &[(u64, &Series)], after: &[(u64, &Series)]) -> Result<Self, NoChange> {
        Self::of_samples(&series_by_seed(before, after))
    }

    /// Compares losses or answers under each seed with those before. A single sample has a difference without an interval.
    ///
    /// # Errors
    /// If they can't be compared, or are no losses or answers.
    fn of_samples(series: &Pairs) -> Result<Self, NoChange> {
        match series.first() {
            Some((Series::Losses { .. }, _)) => losses::of_losses(series),
            Some((Series::Answers { .. }, _)) => answers::of_answers(series),
            _ => Err(other_kind()),
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

/// Whether an input is of the program and the machine, whose changes a gate is there to judge, and not of what is measured.
pub(crate) fn is_of_program(input: &str) -> bool {
    let program = ["engine:", "numerics:", "method:", "prunebench", "threads", "model name"];
    program.iter().any(|name| input.starts_with(name))
}

/// A number's samples before and after, seed by seed.
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

/// A mean over items and seeds, from samples of the same items under each seed, and with its error: by the degrees of freedom of
/// the seeds, or of the items where all seeds are alike. A single item has no error.
///
/// # Errors
/// If there is no item, or seeds have different numbers of them.
fn mean_over_seeds(seeds: &[Vec<f64>]) -> Result<(f64, Option<Estimate>), NoChange> {
    let first = seeds.first().ok_or_else(other_kind)?;
    if first.is_empty() {
        return Err(too_few());
    }
    if seeds.iter().any(|seed| seed.len() != first.len()) {
        return Err(other_kind());
    }
    let estimate = if seeds.iter().all(|seed| seed == first) {
        Estimate::of_mean(first)
    } else {
        // Satterthwaite's degrees of freedom are a guess from the same few seeds: where these happen to agree, it takes them for
        // many, and far in the tails that gives tens of times as many false alarms as it says.
        Estimate::of_seeds(seeds).map(|mean| Estimate {
            degrees: (seeds.len() - 1) as f64,
            ..mean
        })
    };
    let value = estimate.map_or_else(
        || mean(seeds.iter().map(|seed| mean(seed.iter().copied()))),
        |estimate| estimate.value,
    );
    Ok((value, estimate))
}

/// Each of `after` beside the one of the same seed before, or beside the first where none is of its seed.
pub(crate) fn by_seed<T: Copy>(before: &[T], after: &[T], seed: impl Fn(T) -> u64) -> Vec<(T, T)> {
    let beside = |&after: &T| {
        let same = before.iter().find(|&&before| seed(before) == seed(after));
        Some((*same.or_else(|| before.first())?, after))
    };
    after.iter().filter_map(beside).collect()
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

fn series_by_seed<'a>(before: &[(u64, &'a Series)], after: &[(u64, &'a Series)]) -> Vec<(&'a Series, &'a Series)> {
    let pairs = by_seed(before, after, |(seed, _)| seed).into_iter();
    pairs.map(|((_, before), (_, after))| (before, after)).collect()
}

#[cfg(test)]
mod paired_tests;
