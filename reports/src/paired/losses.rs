//! Perplexities: summed losses of windows, documents or items.

use super::{NoChange, PairedDifference, Pairs, Scale, mean, mean_over_seeds, other_kind, relative, same_scope};
use crate::gate::Series;
use crate::statistics::COVERAGE;

/// The mean NLL of all windows, window by window.
pub(super) fn of_losses(series: &Pairs) -> Result<PairedDifference, NoChange> {
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
        let differences: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        seeds.push(per_item(&differences, units));
    }
    let (difference, estimate) = mean_over_seeds(&seeds)?;
    let [before, after] = [0, 1].map(|side| mean(perplexities.iter().map(|pair| pair[side])));
    Ok(PairedDifference {
        scale: Scale::Relative,
        before,
        after,
        difference: difference.exp_m1(),
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

/// Losses such that their mean is the loss of all: where windows are of different lengths each counts by its own, as a ratio of
/// sums and its delta-method error have it.
pub(crate) fn per_item(nll: &[f64], units: &[f64]) -> Vec<f64> {
    let all: f64 = units.iter().sum();
    let ratio = nll.iter().sum::<f64>() / all;
    let weight = units.len() as f64 / all;
    let terms = nll.iter().zip(units);
    terms
        .map(|(nll, units)| ratio + (nll - ratio * units) * weight)
        .collect()
}
