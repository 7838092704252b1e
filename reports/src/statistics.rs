//! Perplexity and accuracy and their comparison, from the losses of the same windows or the answers to the same items.
//!
//! Losses come as one slice per seed, each with the summed NLL of every window, in the same order for all seeds and
//! models, and `units` says what each window's loss is spread over: its tokens or words, or 1 where all windows are equally
//! long and the losses are means already. Windows may also be documents, or items with a single request. The intervals
//! take windows and items as independent draws; a text whose neighbouring windows are alike deserves somewhat wider ones.

use prunebench_results::statistics::{mean, ratio_of_sums, standard_error};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Two-sided coverage of every interval.
pub const COVERAGE: f64 = 0.95;

/// Resamples of a bootstrap.
pub const RESAMPLES: usize = 10_000;

/// The fewest windows that an interval is computed from. The widest interval that a bootstrap can
/// give spans the extremes of the windows, which misses the median difference with probability
/// `2^(1-n)`: more than 5 % below six windows.
pub const FEWEST_WINDOWS: usize = 6;

const BOOTSTRAP_SEED: u64 = 0;

/// A range of plausible values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Perplexity, averaged over seeds: `mean_s exp(Σ_w nll[s][w] / Σ_w units[w])`. `None` without losses.
pub fn perplexity(seeds: &[&[f64]], units: &[f64]) -> Option<f64> {
    mean(&seed_perplexities(seeds, units))
}

/// The perplexity of each seed, `exp(Σ_w nll[s][w] / Σ_w units[w])`; seeds without losses are left out.
pub fn seed_perplexities(seeds: &[&[f64]], units: &[f64]) -> Vec<f64> {
    let means = seeds.iter().filter_map(|nll| ratio_of_sums(nll, units));
    means.map(|(mean, _)| mean.exp()).collect()
}

/// The standard error of [`perplexity`] over windows by the delta method.
///
/// The perplexity moves with window `w` by `g[w] = mean_s perplexity[s] · nll[s][w]`, less what its units make of it, so
/// its standard error is that of the ratio `Σ g / Σ units`; with one seed and equal units that is
/// `perplexity · sd(nll) / sqrt(windows)`. The noise between seeds is no part of it. `None` with
/// fewer than two windows, or seeds of different lengths.
pub fn perplexity_stderr(seeds: &[&[f64]], units: &[f64]) -> Option<f64> {
    common_length(seeds, units)?;
    let perplexities = seed_perplexities(seeds, units);
    let gradient: Vec<f64> = (0..units.len())
        .map(|w| {
            let terms = seeds
                .iter()
                .zip(&perplexities)
                .map(|(nll, perplexity)| perplexity * nll[w]);
            terms.sum::<f64>() / seeds.len() as f64
        })
        .collect();
    ratio_of_sums(&gradient, units)?.1
}

/// The interval of `perplexity(model) / perplexity(baseline)` by a paired bootstrap over windows.
///
/// Each resample draws windows with replacement, the same for both models and all seeds. The ends
/// are percentiles of the resampled ratios, moved outwards so that few windows don't make the
/// interval too narrow: the tail `a/2` becomes `Φ(-sqrt(n / (n - 1)) · t(1 - a/2; n - 1))`
/// (Hesterberg 2014, arXiv 1411.5279, "expanded percentile interval"). The draws are seeded:
/// equal losses give equal intervals. `None` below [`FEWEST_WINDOWS`], or if the lengths differ.
pub fn perplexity_ratio_interval(model: &[&[f64]], baseline: &[&[f64]], units: &[f64]) -> Option<Interval> {
    let windows = common_length(model, units)?;
    common_length(baseline, units)?;
    if windows < FEWEST_WINDOWS {
        return None;
    }
    let resampled = |seeds: &[&[f64]], draw: &[usize], units: f64| {
        let sum = |nll: &[f64]| draw.iter().map(|&w| nll[w]).sum::<f64>();
        seeds.iter().map(|nll| (sum(nll) / units).exp()).sum::<f64>() / seeds.len() as f64
    };
    let mut rng = ChaCha8Rng::seed_from_u64(BOOTSTRAP_SEED);
    let mut draw = vec![0; windows];
    let ratios = (0..RESAMPLES)
        .map(|_| {
            draw.fill_with(|| rng.random_range(0..windows));
            let units = draw.iter().map(|&w| units[w]).sum();
            resampled(model, &draw, units) / resampled(baseline, &draw, units)
        })
        .collect();
    expanded_percentiles(ratios, windows)
}

/// The interval of a mean difference between two models by a paired bootstrap over items, with percentiles as those of
/// [`perplexity_ratio_interval`].
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
    let mut rng = ChaCha8Rng::seed_from_u64(BOOTSTRAP_SEED);
    let numbers = (0..RESAMPLES)
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

/// A model's speed over the baseline's, from the rates of both in the same rounds: the geometric mean of the rounds' ratios,
/// with the interval of Student's t on their logarithms, which two rounds at least have. `None` without rounds.
pub fn speed_ratio(rounds: &[[f64; 2]]) -> Option<(f64, Option<Interval>)> {
    let logarithms: Vec<f64> = rounds.iter().map(|[model, baseline]| (model / baseline).ln()).collect();
    let centre = mean(&logarithms)?;
    let interval = standard_error(&logarithms).and_then(|error| {
        let margin = error * students_t(logarithms.len())?;
        Some(Interval {
            low: (centre - margin).exp(),
            high: (centre + margin).exp(),
        })
    });
    Some((centre.exp(), interval))
}

/// The quantile of Student's t that [`COVERAGE`] takes of `n` samples.
fn students_t(n: usize) -> Option<f64> {
    let distribution = StudentsT::new(0.0, 1.0, n as f64 - 1.0).ok()?;
    Some(distribution.inverse_cdf((1.0 + COVERAGE) / 2.0))
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
fn expanded_percentiles(mut resampled: Vec<f64>, n: usize) -> Option<Interval> {
    resampled.sort_by(f64::total_cmp);
    let tail = expanded_tail(n)?;
    Some(Interval {
        low: quantile(&resampled, tail),
        high: quantile(&resampled, 1.0 - tail),
    })
}

/// The percentile that stands for the lower end of an interval from `n` samples.
fn expanded_tail(n: usize) -> Option<f64> {
    let t = students_t(n)?;
    let n = n as f64;
    Some(Normal::standard().cdf(-(n / (n - 1.0)).sqrt() * t))
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

/// The number of windows, if every seed has as many losses as there are units.
fn common_length(seeds: &[&[f64]], units: &[f64]) -> Option<usize> {
    (!seeds.is_empty() && seeds.iter().all(|nll| nll.len() == units.len())).then_some(units.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSES: [f64; 8] = [2.0, 2.5, 3.0, 2.2, 2.8, 2.4, 2.6, 3.1];

    #[test]
    fn one_seed_gives_the_delta_method_error() {
        // Window losses 1, 2 and 3: the mean is 2, the sd 1.
        let losses: &[f64] = &[1.0, 2.0, 3.0];
        assert_eq!(perplexity(&[losses], &[1.0; 3]), Some(2f64.exp()));
        let stderr = perplexity_stderr(&[losses], &[1.0; 3]).unwrap();
        assert!((stderr - 2f64.exp() / 3f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn seeds_are_averaged_as_perplexities() {
        let seeds: [&[f64]; 2] = [&[1.0, 1.0], &[3.0, 3.0]];
        assert_eq!(perplexity(&seeds, &[1.0; 2]), Some((1f64.exp() + 3f64.exp()) / 2.0));
        // No window differs from another, so all noise is between seeds.
        assert_eq!(perplexity_stderr(&seeds, &[1.0; 2]), Some(0.0));
    }

    #[test]
    fn opposite_window_noise_of_two_seeds_cancels_in_the_error() {
        let seeds: [&[f64]; 2] = [&[1.0, 3.0], &[3.0, 1.0]];
        assert!(perplexity_stderr(&seeds, &[1.0; 2]).unwrap() < 1e-12);
    }

    #[test]
    fn a_constant_shift_has_an_exact_ratio() {
        let shifted = LOSSES.map(|nll| nll + 0.5);
        let interval = perplexity_ratio_interval(&[&shifted], &[&LOSSES], &[1.0; 8]).unwrap();
        assert!((interval.low - 0.5f64.exp()).abs() < 1e-12, "{interval:?}");
        assert!((interval.high - 0.5f64.exp()).abs() < 1e-12, "{interval:?}");
    }

    #[test]
    fn the_interval_is_close_to_the_t_interval_of_the_paired_losses() {
        let differences: Vec<f64> = (0..64).map(|w| 0.3 + (w as f64 * 1.7).sin() * 0.1).collect();
        let baseline: Vec<f64> = (0..64).map(|w| 3.0 + (w as f64 * 0.9).cos()).collect();
        let model: Vec<f64> = baseline.iter().zip(&differences).map(|(b, d)| b + d).collect();
        let interval = perplexity_ratio_interval(&[&model], &[&baseline], &[1.0; 64]).unwrap();
        let centre = mean(&differences).unwrap();
        let t = StudentsT::new(0.0, 1.0, 63.0).unwrap().inverse_cdf(0.975);
        let half = t * standard_error(&differences).unwrap();
        assert!(
            (interval.low.ln() - (centre - half)).abs() < 0.05 * half,
            "{interval:?}"
        );
        assert!(
            (interval.high.ln() - (centre + half)).abs() < 0.05 * half,
            "{interval:?}"
        );
    }

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
    fn unequal_windows_weigh_by_their_units() {
        let (nll, units): (&[f64], _) = (&[1.0, 5.0], [1.0, 2.0]);
        assert_eq!(perplexity(&[nll], &units), Some(2f64.exp()));
        let stderr = perplexity_stderr(&[nll], &units).unwrap();
        assert!((stderr - 2f64.exp() * 2.0 / 3.0).abs() < 1e-12);
        // Summed losses over a common number of tokens are means over 1.
        let sums = LOSSES.map(|nll| 4.0 * nll);
        let shorter = LOSSES.map(|nll| 0.9 * nll);
        let long = perplexity_ratio_interval(&[&sums], &[&LOSSES], &[4.0; 8]).unwrap();
        let (short, base) = (LOSSES, LOSSES.map(|nll| nll / 4.0));
        let mean = perplexity_ratio_interval(&[&short], &[&base], &[1.0; 8]).unwrap();
        assert!((long.low - mean.low).abs() < 1e-12 && (long.high - mean.high).abs() < 1e-12);
        // A window without weight has no say.
        let mut units = [1.0; 8];
        units[7] = 1e-300;
        let light = |mut losses: [f64; 8]| {
            losses[7] *= 1e-300;
            losses
        };
        let (model, base) = (light(LOSSES), light(shorter));
        let light = perplexity_ratio_interval(&[&model], &[&base], &units).unwrap();
        assert!(light.high < (0.1f64 * 3.0).exp(), "{light:?}");
        assert_eq!(perplexity(&[nll], &[1.0]), None);
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
    fn speeds_are_compared_round_by_round() {
        // Logarithms ln 1.1, ln 1.2 and ln 1.3; t(0.975; 2) = 4.302653.
        let (value, interval) = speed_ratio(&[[11.0, 10.0], [24.0, 20.0], [13.0, 10.0]]).unwrap();
        let logs = [1.1f64, 1.2, 1.3].map(f64::ln);
        let centre = logs.iter().sum::<f64>() / 3.0;
        let variance = logs.iter().map(|log| (log - centre).powi(2)).sum::<f64>() / 2.0;
        let margin = 4.302653 * (variance / 3.0).sqrt();
        let interval = interval.unwrap();
        assert!((value - centre.exp()).abs() < 1e-12);
        assert!((interval.low - (centre - margin).exp()).abs() < 1e-6, "{interval:?}");
        assert!((interval.high - (centre + margin).exp()).abs() < 1e-6, "{interval:?}");
        assert_eq!(speed_ratio(&[[3.0, 2.0]]), Some((1.5, None)));
        assert_eq!(speed_ratio(&[]), None);
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[1.0, f64::INFINITY, f64::INFINITY], 0.9), f64::INFINITY);
    }
}
