//! Perplexity and its comparison from the losses of the same windows.
//!
//! Losses come as one slice per seed, each with the mean NLL of every window, in the same order for
//! all seeds and models. Windows are equally long, so the mean over windows is the mean over tokens.
//! The intervals take windows as independent draws; a text whose neighbouring windows are alike
//! deserves somewhat wider ones.

use prunebench_results::statistics::{mean, standard_error};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Perplexity, averaged over seeds: `mean_s exp(mean_w nll[s][w])`. `None` without losses.
pub fn perplexity(seeds: &[&[f64]]) -> Option<f64> {
    mean(&seed_perplexities(seeds))
}

/// The perplexity of each seed, `exp(mean_w nll[s][w])`; seeds without losses are left out.
pub fn seed_perplexities(seeds: &[&[f64]]) -> Vec<f64> {
    seeds.iter().filter_map(|windows| mean(windows)).map(f64::exp).collect()
}

/// The standard error of [`perplexity`] over windows by the delta method.
///
/// The perplexity moves with window `w` by `g[w] = mean_s perplexity[s] · nll[s][w]`, so its
/// standard error is that of the mean of `g`; with one seed that is
/// `perplexity · sd(nll) / sqrt(windows)`. The noise between seeds is no part of it. `None` with
/// fewer than two windows, or seeds of different lengths.
pub fn perplexity_stderr(seeds: &[&[f64]]) -> Option<f64> {
    let windows = common_length(seeds)?;
    let perplexities = seed_perplexities(seeds);
    let gradient: Vec<f64> = (0..windows)
        .map(|w| {
            let terms = seeds
                .iter()
                .zip(&perplexities)
                .map(|(nll, perplexity)| perplexity * nll[w]);
            terms.sum::<f64>() / seeds.len() as f64
        })
        .collect();
    standard_error(&gradient)
}

/// The interval of `perplexity(model) / perplexity(baseline)` by a paired bootstrap over windows.
///
/// Each resample draws windows with replacement, the same for both models and all seeds. The ends
/// are percentiles of the resampled ratios, moved outwards so that few windows don't make the
/// interval too narrow: the tail `a/2` becomes `Φ(-sqrt(n / (n - 1)) · t(1 - a/2; n - 1))`
/// (Hesterberg 2014, arXiv 1411.5279, "expanded percentile interval"). The draws are seeded:
/// equal losses give equal intervals. `None` below [`FEWEST_WINDOWS`], or if the lengths differ.
pub fn perplexity_ratio_interval(model: &[&[f64]], baseline: &[&[f64]]) -> Option<Interval> {
    let windows = common_length(model)?;
    if windows < FEWEST_WINDOWS || common_length(baseline)? != windows {
        return None;
    }
    let resampled = |seeds: &[&[f64]], draw: &[usize]| {
        let sum = |nll: &[f64]| draw.iter().map(|&w| nll[w]).sum::<f64>();
        seeds.iter().map(|nll| (sum(nll) / windows as f64).exp()).sum::<f64>() / seeds.len() as f64
    };
    let mut rng = ChaCha8Rng::seed_from_u64(BOOTSTRAP_SEED);
    let mut draw = vec![0; windows];
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            draw.fill_with(|| rng.random_range(0..windows));
            resampled(model, &draw) / resampled(baseline, &draw)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let tail = expanded_tail(windows)?;
    Some(Interval {
        low: quantile(&ratios, tail),
        high: quantile(&ratios, 1.0 - tail),
    })
}

/// The percentile that stands for the lower end of an interval from `n` samples.
fn expanded_tail(n: usize) -> Option<f64> {
    let n = n as f64;
    let t = StudentsT::new(0.0, 1.0, n - 1.0)
        .ok()?
        .inverse_cdf((1.0 + COVERAGE) / 2.0);
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

fn common_length(seeds: &[&[f64]]) -> Option<usize> {
    let length = seeds.first()?.len();
    seeds.iter().all(|windows| windows.len() == length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSES: [f64; 8] = [2.0, 2.5, 3.0, 2.2, 2.8, 2.4, 2.6, 3.1];

    #[test]
    fn one_seed_gives_the_delta_method_error() {
        // Window losses 1, 2 and 3: the mean is 2, the sd 1.
        let losses: &[f64] = &[1.0, 2.0, 3.0];
        assert_eq!(perplexity(&[losses]), Some(2f64.exp()));
        let stderr = perplexity_stderr(&[losses]).unwrap();
        assert!((stderr - 2f64.exp() / 3f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn seeds_are_averaged_as_perplexities() {
        let seeds: [&[f64]; 2] = [&[1.0, 1.0], &[3.0, 3.0]];
        assert_eq!(perplexity(&seeds), Some((1f64.exp() + 3f64.exp()) / 2.0));
        // No window differs from another, so all noise is between seeds.
        assert_eq!(perplexity_stderr(&seeds), Some(0.0));
    }

    #[test]
    fn opposite_window_noise_of_two_seeds_cancels_in_the_error() {
        let seeds: [&[f64]; 2] = [&[1.0, 3.0], &[3.0, 1.0]];
        assert!(perplexity_stderr(&seeds).unwrap() < 1e-12);
    }

    #[test]
    fn a_constant_shift_has_an_exact_ratio() {
        let shifted = LOSSES.map(|nll| nll + 0.5);
        let interval = perplexity_ratio_interval(&[&shifted], &[&LOSSES]).unwrap();
        assert!((interval.low - 0.5f64.exp()).abs() < 1e-12, "{interval:?}");
        assert!((interval.high - 0.5f64.exp()).abs() < 1e-12, "{interval:?}");
    }

    #[test]
    fn the_interval_is_close_to_the_t_interval_of_the_paired_losses() {
        let differences: Vec<f64> = (0..64).map(|w| 0.3 + (w as f64 * 1.7).sin() * 0.1).collect();
        let baseline: Vec<f64> = (0..64).map(|w| 3.0 + (w as f64 * 0.9).cos()).collect();
        let model: Vec<f64> = baseline.iter().zip(&differences).map(|(b, d)| b + d).collect();
        let interval = perplexity_ratio_interval(&[&model], &[&baseline]).unwrap();
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
        assert_eq!(perplexity_ratio_interval(&[&LOSSES[..5]], &[&LOSSES[..5]]), None);
        assert_eq!(perplexity_ratio_interval(&[&LOSSES], &[&LOSSES[..7]]), None);
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[1.0, f64::INFINITY, f64::INFINITY], 0.9), f64::INFINITY);
    }
}
