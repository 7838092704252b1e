//! Perplexity and its errors.
//!
//! Losses come as one slice per seed, each with the summed NLL of every window, in the same order for all seeds and
//! models, and `units` says what each window's loss is spread over: its tokens or words, or 1 where all windows are equally
//! long and the losses are means already. Windows may also be documents, or items with a single request.

use prunebench_results::statistics::{mean, ratio_of_sums};

use super::{Interval, interval_of_sums};

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

/// The interval of `perplexity(model) / perplexity(baseline)` by a paired [`super::Bootstrap`] over windows: each resample draws
/// windows with replacement, the same for both models and all seeds. `None` below [`super::FEWEST_WINDOWS`], or if the
/// lengths differ.
pub fn perplexity_ratio_interval(model: &[&[f64]], baseline: &[&[f64]], units: &[f64]) -> Option<Interval> {
    common_length(model, units)?;
    common_length(baseline, units)?;
    let columns: Vec<&[f64]> = std::iter::once(units)
        .chain(model.iter().copied())
        .chain(baseline.iter().copied())
        .collect();
    interval_of_sums(&columns, |sums| {
        let (units, sums) = (sums[0], &sums[1..]);
        let (model, baseline) = sums.split_at(model.len());
        let perplexity = |sums: &[f64]| sums.iter().map(|sum| (sum / units).exp()).sum::<f64>() / sums.len() as f64;
        perplexity(model) / perplexity(baseline)
    })
}

/// The number of windows, if every seed has as many losses as there are units.
fn common_length(seeds: &[&[f64]], units: &[f64]) -> Option<usize> {
    (!seeds.is_empty() && seeds.iter().all(|nll| nll.len() == units.len())).then_some(units.len())
}

#[cfg(test)]
mod tests {
    use prunebench_results::statistics::{mean, standard_error};
    use statrs::distribution::{ContinuousCDF, StudentsT};

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
}
