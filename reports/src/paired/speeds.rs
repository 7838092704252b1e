//! Numbers without samples of their own: counts, and speeds of rounds.

use super::{NoChange, PairedDifference, Pairs, Scale, mean, other_kind, relative};
use crate::gate::{Observed, Series, machine};
use crate::statistics::{COVERAGE, Estimate};

/// The seed that differs most speaks for all.
pub(super) fn of_counts(series: &Pairs) -> Result<PairedDifference, NoChange> {
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
    Ok(PairedDifference {
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
pub(super) fn of_speeds(pairs: &[(&Observed, &Observed)], series: &Pairs) -> Result<PairedDifference, NoChange> {
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
    Ok(PairedDifference {
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
