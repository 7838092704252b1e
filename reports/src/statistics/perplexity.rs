//! Perplexity and its errors.
//!
//! Losses come as one slice per seed, each with the summed NLL of every window, in the same order for all seeds and
//! models, and `units` says what each window's loss is spread over: its tokens or words, or 1 where all windows are equally
//! long and the losses are means already. Windows may also be documents, or items with a single request.

use prunebench_results::statistics::{mean, ratio_of_sums};

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
    if seeds.is_empty() || seeds.iter().any(|nll| nll.len() != units.len()) {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn unequal_windows_weigh_by_their_units() {
        let (nll, units): (&[f64], _) = (&[1.0, 5.0], [1.0, 2.0]);
        assert_eq!(perplexity(&[nll], &units), Some(2f64.exp()));
        let stderr = perplexity_stderr(&[nll], &units).unwrap();
        assert!((stderr - 2f64.exp() * 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(perplexity(&[nll], &[1.0]), None);
    }
}
