//! Intervals by resampling. Draws are seeded: equal samples give equal intervals.

use std::sync::{Arc, Mutex, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};
use statrs::distribution::{ContinuousCDF, Normal};

use super::{COVERAGE, Interval, estimate::students_t, normal_quantile};

/// Resamples of a bootstrap.
pub const RESAMPLES: usize = 10_000;

/// The fewest windows that an interval is computed from. The widest interval that a bootstrap can
/// give spans the extremes of the windows, which misses the median difference with probability
/// `2^(1-n)`: more than 5 % below six windows.
pub const FEWEST_WINDOWS: usize = 6;

/// How an interval is resampled. The default is what tables use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// Where the interval ends.
    pub ends: Ends,
    /// Resamples.
    pub resamples: usize,
    /// The seed of the draws.
    pub seed: u64,
}

/// Which percentiles of the resampled values an interval ends at, with `a = 1 - COVERAGE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// `a/2` and `1 - a/2` (SciPy's `method="percentile"`).
    Percentile,
    /// Those moved outwards so that few samples don't make the interval too narrow: the tail `a/2` becomes
    /// `Φ(-sqrt(n / (n - 1)) · t(1 - a/2; n - 1))` (Hesterberg 2014, arXiv 1411.5279, "expanded percentile interval").
    Expanded,
    /// Those corrected for bias by the share of resampled values below the value itself, and for skewness by the
    /// jackknife (Efron 1987; SciPy's `method="BCa"`).
    Bca,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            ends: Ends::Expanded,
            resamples: RESAMPLES,
            seed: 0,
        }
    }
}

impl Bootstrap {
    /// The interval of a statistic of `n` samples, which is given the places of those drawn. It is a paired bootstrap
    /// where a place stands for a pair. `None` below [`FEWEST_WINDOWS`], or if the statistic is no number.
    pub fn interval(&self, n: usize, statistic: impl Fn(&[usize]) -> f64) -> Option<Interval> {
        if n < FEWEST_WINDOWS {
            return None;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut draw = vec![0; n];
        let resampled = (0..self.resamples)
            .map(|_| {
                draw.fill_with(|| rng.random_range(0..n));
                statistic(&draw)
            })
            .collect();
        match self.ends {
            Ends::Percentile => between(resampled, [(1.0 - COVERAGE) / 2.0, (1.0 + COVERAGE) / 2.0]),
            Ends::Expanded => expanded_percentiles(resampled, n),
            Ends::Bca => {
                let tails = corrected_tails(&resampled, n, statistic);
                between(resampled, tails)
            }
        }
    }
}

/// The interval of a number made of sums over samples, with [`Ends::Expanded`]: `number` is given the sum of each of
/// `columns` over the places drawn, the same places for all. `None` as in [`Bootstrap::interval`].
///
/// Which places are drawn depends on how many there are and on nothing else, so thousands of intervals share their draws.
pub fn interval_of_sums(columns: &[&[f64]], number: impl Fn(&[f64]) -> f64) -> Option<Interval> {
    let n = columns.iter().map(|column| column.len()).min()?;
    if n < FEWEST_WINDOWS {
        return None;
    }
    let mut sums = vec![0.0; columns.len()];
    let mut resampled = Vec::with_capacity(RESAMPLES);
    each_draw(n, |times| {
        for (sum, column) in sums.iter_mut().zip(columns) {
            let drawn = column.iter().zip(times);
            *sum = drawn.map(|(value, &times)| value * f64::from(times)).sum();
        }
        resampled.push(number(&sums));
    });
    expanded_percentiles(resampled, n)
}

/// Gives `take` how often each of `n` places is drawn, resample by resample.
fn each_draw(n: usize, mut take: impl FnMut(&[u16])) {
    /// The most places whose draws are kept: 20 MB.
    const MOST: usize = 1000;
    /// Draws of the last few sizes: a table has few.
    static LAST: Mutex<Vec<(usize, Arc<[u16]>)>> = Mutex::new(Vec::new());
    const KEPT: usize = 4;
    let Bootstrap { resamples, seed, .. } = Bootstrap::default();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |times: &mut [u16]| {
        times.fill(0);
        for _ in 0..n {
            let place = &mut times[rng.random_range(0..n)];
            *place = place.saturating_add(1);
        }
    };
    if n > MOST {
        let mut times = vec![0; n];
        for _ in 0..resamples {
            draw(&mut times);
            take(&times);
        }
        return;
    }
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let known = last.iter().find(|(size, _)| *size == n);
    let all = known.map(|(_, times)| times.clone()).unwrap_or_else(|| {
        let mut times = vec![0; resamples * n];
        times.chunks_exact_mut(n).for_each(draw);
        let times: Arc<[u16]> = times.into();
        last.insert(0, (n, times.clone()));
        last.truncate(KEPT);
        times
    });
    drop(last);
    all.chunks_exact(n).for_each(take);
}

/// The percentiles of [`Ends::Bca`]: `Φ(z0 + (z0 + z) / (1 - acceleration · (z0 + z)))` at both `z`.
fn corrected_tails(resampled: &[f64], n: usize, statistic: impl Fn(&[usize]) -> f64) -> [f64; 2] {
    let all: Vec<usize> = (0..n).collect();
    let value = statistic(&all);
    // Resampled values equal to it count half, as in SciPy.
    let below: f64 = resampled
        .iter()
        .map(|&x| f64::from(x < value) + f64::from(x <= value))
        .sum();
    let bias = normal_quantile(below / 2.0 / resampled.len() as f64);
    let without = |left_out: usize| {
        let rest: Vec<usize> = all.iter().copied().filter(|&place| place != left_out).collect();
        statistic(&rest)
    };
    let jackknife: Vec<f64> = (0..n).map(without).collect();
    let centre = jackknife.iter().sum::<f64>() / n as f64;
    let power = |exponent| jackknife.iter().map(|x| (centre - x).powi(exponent)).sum::<f64>();
    let spread = power(2);
    let acceleration = if spread > 0.0 {
        power(3) / (6.0 * spread.powf(1.5))
    } else {
        0.0
    };
    [(1.0 - COVERAGE) / 2.0, (1.0 + COVERAGE) / 2.0].map(|tail| {
        let z = bias + normal_quantile(tail);
        Normal::standard().cdf(bias + z / (1.0 - acceleration * z))
    })
}

/// What a paired bootstrap over items says of the mean of a model and that of the baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanChange {
    /// Of the model's mean less the baseline's.
    pub difference: Interval,
    /// Of the model's mean over the baseline's; absent if the baseline's may be 0.
    pub ratio: Option<Interval>,
}

/// The samples of a model and of the baseline for the same item.
pub type Paired = Vec<[f64; 2]>;

impl MeanChange {
    /// Both intervals, with [`Ends::Expanded`].
    ///
    /// `strata` has the samples of every item, task by task: each task is resampled apart, and the mean is the unweighted
    /// one over tasks. A resample's mean depends only on how often each different pair is drawn, which is binomial given the
    /// draws of the others, so 10,000 resamples of thousands of right and wrong answers take milliseconds. `None` if there is
    /// no task, or one with fewer than [`FEWEST_WINDOWS`] items.
    pub fn of(strata: &[Paired]) -> Option<Self> {
        let fewest = strata.iter().map(Vec::len).min()?;
        if fewest < FEWEST_WINDOWS {
            return None;
        }
        let counted: Vec<Vec<([f64; 2], u64)>> = strata.iter().map(|items| count(items)).collect();
        let Bootstrap { resamples, seed, .. } = Bootstrap::default();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut differences = Vec::with_capacity(resamples);
        let mut ratios = Vec::with_capacity(resamples);
        for _ in 0..resamples {
            let mut means = [0.0; 2];
            for values in &counted {
                let task = resampled_means(values, &mut rng)?;
                for (mean, task) in means.iter_mut().zip(task) {
                    *mean += task / counted.len() as f64;
                }
            }
            let [model, baseline] = means;
            differences.push(model - baseline);
            ratios.push(if baseline > 0.0 {
                model / baseline
            } else {
                f64::INFINITY
            });
        }
        Some(Self {
            difference: expanded_percentiles(differences, fewest)?,
            ratio: expanded_percentiles(ratios, fewest).filter(|interval| interval.high.is_finite()),
        })
    }
}

/// The different pairs in rising order, each with its number.
fn count(items: &[[f64; 2]]) -> Vec<([f64; 2], u64)> {
    let mut sorted = items.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    let runs = sorted.chunk_by(|a, b| a == b);
    runs.map(|run| (run[0], run.len() as u64)).collect()
}

/// The means of as many draws with replacement as there are pairs.
fn resampled_means(values: &[([f64; 2], u64)], rng: &mut ChaCha8Rng) -> Option<[f64; 2]> {
    let all: u64 = values.iter().map(|(_, count)| count).sum();
    let (mut values_left, mut draws_left, mut sums) = (all, all, [0.0; 2]);
    for (pair, count) in values {
        let drawn = Binomial::new(draws_left, *count as f64 / values_left as f64)
            .ok()?
            .sample(rng);
        for (sum, value) in sums.iter_mut().zip(pair) {
            *sum += value * drawn as f64;
        }
        values_left -= count;
        draws_left -= drawn;
    }
    Some(sums.map(|sum| sum / all as f64))
}

/// The interval between the percentiles of resampled values that suit `n` samples.
fn expanded_percentiles(resampled: Vec<f64>, n: usize) -> Option<Interval> {
    let tail = expanded_tail(n)?;
    between(resampled, [tail, 1.0 - tail])
}

/// The percentile that stands for the lower end of an interval from `n` samples.
fn expanded_tail(n: usize) -> Option<f64> {
    let n = n as f64;
    let t = students_t(n - 1.0, (1.0 + COVERAGE) / 2.0)?;
    Some(Normal::standard().cdf(-(n / (n - 1.0)).sqrt() * t))
}

fn between(mut resampled: Vec<f64>, tails: [f64; 2]) -> Option<Interval> {
    if resampled.iter().any(|x| x.is_nan()) {
        return None;
    }
    resampled.sort_by(f64::total_cmp);
    let [low, high] = tails.map(|tail| quantile(&resampled, tail));
    Some(Interval { low, high })
}

/// The quantile `q` of sorted values, interpolated between neighbours.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    // Equal neighbours first: the difference of two infinities is no number.
    if below == above {
        below
    } else {
        below + (above - below) * place.fract()
    }
}

#[cfg(test)]
mod tests {
    use prunebench_results::statistics::{mean, standard_error};

    use super::*;
    use crate::statistics::perplexity_ratio_interval;

    fn difference(strata: &[Paired]) -> Option<Interval> {
        MeanChange::of(strata).map(|change| change.difference)
    }

    fn ratio(strata: &[Paired]) -> Option<Interval> {
        MeanChange::of(strata)?.ratio
    }

    const LOSSES: [f64; 8] = [2.0, 2.5, 3.0, 2.2, 2.8, 2.4, 2.6, 3.1];

    #[test]
    fn few_windows_widen_the_tails_and_too_few_give_no_interval() {
        // sqrt(10 / 9) · t(0.975; 9) = 1.05409 · 2.26216 = 2.38453, and Φ(-2.38453) = 0.00855.
        assert!((expanded_tail(10).unwrap() - 0.00855).abs() < 1e-5);
        assert!((expanded_tail(100_000).unwrap() - 0.025).abs() < 1e-5);
        assert_eq!(
            perplexity_ratio_interval(&[&LOSSES[..5]], &[&LOSSES[..5]], &[1.0; 5]),
            None
        );
        assert_eq!(perplexity_ratio_interval(&[&LOSSES], &[&LOSSES[..7]], &[1.0; 8]), None);
    }

    #[test]
    fn a_mean_difference_has_the_interval_of_a_plain_paired_bootstrap() {
        // 12 items better, 30 worse, 158 alike, drawn one by one.
        let items: Vec<f64> = (0..200)
            .map(|i| [1.0, -1.0, 0.0][usize::from(i >= 12) + usize::from(i >= 42)])
            .collect();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let plain = (0..RESAMPLES)
            .map(|_| (0..200).map(|_| items[rng.random_range(0..200)]).sum::<f64>() / 200.0)
            .collect();
        let plain = expanded_percentiles(plain, 200).unwrap();
        let paired: Paired = items.iter().map(|&difference| [difference, 0.0]).collect();
        let interval = difference(std::slice::from_ref(&paired)).unwrap();
        assert!((interval.low - plain.low).abs() < 0.0051, "{interval:?} {plain:?}");
        assert!((interval.high - plain.high).abs() < 0.0051, "{interval:?} {plain:?}");
        // The normal approximation: -0.09 ± 1.96 · sd / sqrt(200).
        let half = 1.96 * standard_error(&items).unwrap();
        assert!((interval.low + 0.09 + half).abs() < 0.01 && (interval.high + 0.09 - half).abs() < 0.01);
        assert_eq!(difference(&[paired]), Some(interval));
    }

    #[test]
    fn a_retained_share_has_the_interval_of_fieller() {
        // The baseline has 120 of 200 right, of which the model loses 30, and it gains 12 others.
        let pair = |i: usize| {
            [
                f64::from(i < 12 || (42..132).contains(&i)),
                f64::from((12..132).contains(&i)),
            ]
        };
        let items: Paired = (0..200).map(pair).collect();
        let interval = ratio(std::slice::from_ref(&items)).unwrap();
        // The shares r with |mean(m - r b)| <= 1.96 · standard error(m - r b).
        let inside = |share: f64| {
            let rest: Vec<f64> = items.iter().map(|[model, baseline]| model - share * baseline).collect();
            mean(&rest).unwrap().abs() <= 1.96 * standard_error(&rest).unwrap()
        };
        let shares = (500..1200)
            .map(|i| f64::from(i) / 1000.0)
            .filter(|&share| inside(share));
        let shares: Vec<f64> = shares.collect();
        let (low, high) = (shares[0], shares[shares.len() - 1]);
        assert!((interval.low - low).abs() < 0.01, "{interval:?} [{low}, {high}]");
        assert!((interval.high - high).abs() < 0.01, "{interval:?} [{low}, {high}]");
        assert!(low < 102.0 / 120.0 && 102.0 / 120.0 < high);
        // A baseline that is right nowhere leaves nothing to retain.
        assert_eq!(ratio(&[vec![[1.0, 0.0]; 20]]), None);
    }

    #[test]
    fn a_mean_over_tasks_weighs_tasks_alike_and_has_a_narrower_interval_than_each() {
        let alternating =
            |n: usize, size: f64| -> Paired { (0..n).map(|i| [if i % 2 == 0 { size } else { 0.0 }, 0.0]).collect() };
        let (few, many) = (alternating(100, 1.0), alternating(1000, -1.0));
        let both = difference(&[few.clone(), many]).unwrap();
        let centre = (both.low + both.high) / 2.0;
        assert!(centre.abs() < 0.01, "{both:?}");
        let one = difference(&[few]).unwrap();
        assert!(both.high - both.low < 0.6 * (one.high - one.low));
    }

    #[test]
    fn equal_answers_have_an_interval_of_nothing_and_too_few_have_none() {
        let same = vec![[1.0, 1.0]; 50];
        assert_eq!(
            difference(std::slice::from_ref(&same)),
            Some(Interval { low: 0.0, high: 0.0 })
        );
        assert_eq!(difference(&[same.clone(), same[..5].to_vec()]), None);
        assert_eq!(difference(&[]), None);
    }

    #[test]
    fn sums_have_the_interval_of_the_places_drawn_one_by_one() {
        let squares = LOSSES.map(|x| x * x);
        let one_by_one = Bootstrap::default().interval(8, |draw| {
            let sum = |values: &[f64]| draw.iter().map(|&place| values[place]).sum::<f64>();
            sum(&squares) / sum(&LOSSES)
        });
        let of_sums = interval_of_sums(&[&squares, &LOSSES], |sums| sums[0] / sums[1]);
        let (one_by_one, of_sums) = (one_by_one.unwrap(), of_sums.unwrap());
        assert!((one_by_one.low - of_sums.low).abs() < 1e-12 && (one_by_one.high - of_sums.high).abs() < 1e-12);
        assert_eq!(interval_of_sums(&[&LOSSES[..5]], |sums| sums[0]), None);
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[1.0, f64::INFINITY, f64::INFINITY], 0.9), f64::INFINITY);
    }
}
