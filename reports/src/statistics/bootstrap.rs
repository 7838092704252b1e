//! Intervals by resampling. Draws are seeded: equal samples give equal intervals.

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

/// The interval of a mean difference between two models by a paired bootstrap over items, with [`Ends::Expanded`].
///
/// `strata` has the samples of every item, task by task: each task is resampled apart, and the mean is the unweighted
/// one over tasks. A resample's mean depends only on how often each different pair is drawn, which is binomial given the
/// draws of the others, so 10,000 resamples of thousands of right and wrong answers take milliseconds. `None` if there is
/// no task, or one with fewer than [`FEWEST_WINDOWS`] items.
pub fn mean_difference_interval(strata: &[Paired]) -> Option<Interval> {
    interval_of_means(strata, |[model, baseline]| model - baseline)
}

/// The interval of a mean of the model over that of the baseline, resampled as in [`mean_difference_interval`]. `None` also
/// if the baseline's mean may be 0.
pub fn mean_ratio_interval(strata: &[Paired]) -> Option<Interval> {
    let interval = interval_of_means(strata, |[model, baseline]| {
        if baseline > 0.0 {
            model / baseline
        } else {
            f64::INFINITY
        }
    })?;
    interval.high.is_finite().then_some(interval)
}

/// The samples of a model and of the baseline for the same item.
pub type Paired = Vec<[f64; 2]>;

/// The percentiles of a number made of the two resampled means over tasks.
fn interval_of_means(strata: &[Paired], number: impl Fn([f64; 2]) -> f64) -> Option<Interval> {
    let fewest = strata.iter().map(Vec::len).min()?;
    if fewest < FEWEST_WINDOWS {
        return None;
    }
    let counted: Vec<Vec<([f64; 2], u64)>> = strata.iter().map(|items| count(items)).collect();
    let Bootstrap { resamples, seed, .. } = Bootstrap::default();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let numbers = (0..resamples)
        .map(|_| {
            let mut means = [0.0; 2];
            for values in &counted {
                let task = resampled_means(values, &mut rng)?;
                for (mean, task) in means.iter_mut().zip(task) {
                    *mean += task / counted.len() as f64;
                }
            }
            Some(number(means))
        })
        .collect::<Option<_>>()?;
    expanded_percentiles(numbers, fewest)
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
        let interval = mean_difference_interval(std::slice::from_ref(&paired)).unwrap();
        assert!((interval.low - plain.low).abs() < 0.0051, "{interval:?} {plain:?}");
        assert!((interval.high - plain.high).abs() < 0.0051, "{interval:?} {plain:?}");
        // The normal approximation: -0.09 ± 1.96 · sd / sqrt(200).
        let half = 1.96 * standard_error(&items).unwrap();
        assert!((interval.low + 0.09 + half).abs() < 0.01 && (interval.high + 0.09 - half).abs() < 0.01);
        assert_eq!(mean_difference_interval(&[paired]), Some(interval));
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
        let interval = mean_ratio_interval(std::slice::from_ref(&items)).unwrap();
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
        assert_eq!(mean_ratio_interval(&[vec![[1.0, 0.0]; 20]]), None);
    }

    #[test]
    fn a_mean_over_tasks_weighs_tasks_alike_and_has_a_narrower_interval_than_each() {
        let alternating =
            |n: usize, size: f64| -> Paired { (0..n).map(|i| [if i % 2 == 0 { size } else { 0.0 }, 0.0]).collect() };
        let (few, many) = (alternating(100, 1.0), alternating(1000, -1.0));
        let both = mean_difference_interval(&[few.clone(), many]).unwrap();
        let centre = (both.low + both.high) / 2.0;
        assert!(centre.abs() < 0.01, "{both:?}");
        let one = mean_difference_interval(&[few]).unwrap();
        assert!(both.high - both.low < 0.6 * (one.high - one.low));
    }

    #[test]
    fn equal_answers_have_an_interval_of_nothing_and_too_few_have_none() {
        let same = vec![[1.0, 1.0]; 50];
        assert_eq!(
            mean_difference_interval(std::slice::from_ref(&same)),
            Some(Interval { low: 0.0, high: 0.0 })
        );
        assert_eq!(mean_difference_interval(&[same.clone(), same[..5].to_vec()]), None);
        assert_eq!(mean_difference_interval(&[]), None);
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[1.0, f64::INFINITY, f64::INFINITY], 0.9), f64::INFINITY);
    }
}
