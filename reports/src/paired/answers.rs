//! Accuracies: right and wrong answers to items.

use super::{NoChange, PairedDifference, Pairs, Scale, mean, mean_over_seeds, other_kind, same_scope, series_by_seed};
use crate::gate::Series;
use crate::statistics::{COVERAGE, Interval, McNemar};

pub(super) fn of_answers(series: &Pairs) -> Result<PairedDifference, NoChange> {
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
        for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
            table.gained += u64::from(after > before);
            table.lost += u64::from(after < before);
        }
        let both = weighted(after).into_iter().zip(weighted(before));
        seeds.push(both.map(|(after, before)| after - before).collect::<Vec<f64>>());
    }
    let (difference, estimate) = mean_over_seeds(&seeds)?;
    let [before, after] = [0, 1].map(|side| mean(means.iter().map(|pair| pair[side])));
    let square = mean(seeds.iter().flatten().map(|difference| difference.powi(2)));
    Ok(PairedDifference {
        scale: Scale::Points,
        before,
        after,
        difference,
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

/// Answers such that the mean over all items is the unweighted one over tasks.
pub(crate) fn weighted(right: &[Vec<u8>]) -> Vec<f64> {
    let all = right.iter().map(Vec::len).sum::<usize>() as f64;
    let tasks = right.iter().flat_map(|task| {
        let weight = all / (right.len() * task.len()) as f64;
        task.iter().map(move |&right| weight * f64::from(right))
    });
    tasks.collect()
}

/// What is left of the accuracy before, as a share of it, seed by seed as in [`PairedDifference::of_seeds`], with its 95 % interval: by t on what each item adds to the logarithm of
/// the share (delta method). `None` where nothing was right before, or they can't be compared.
pub(crate) fn retained(before: &[(u64, &Series)], after: &[(u64, &Series)]) -> Option<(f64, Option<Interval>)> {
    let answers = |series: &Series| match series {
        Series::Answers { right, .. } => Some(weighted(right)),
        _ => None,
    };
    let pairs = series_by_seed(before, after).into_iter();
    let pairs = pairs.map(|(before, after)| Some([answers(before)?, answers(after)?]));
    let pairs: Vec<[Vec<f64>; 2]> = pairs.collect::<Option<_>>()?;
    let [before, after] = [0, 1].map(|side| mean(pairs.iter().map(|pair| mean(pair[side].iter().copied()))));
    if before.is_nan() || before <= 0.0 {
        return None;
    }
    let share = after / before;
    let seeds: Vec<Vec<f64>> = pairs
        .iter()
        .map(|[was, is]| was.iter().zip(is).map(|(was, is)| is / after - was / before).collect())
        .collect();
    let interval = mean_over_seeds(&seeds)
        .ok()
        .and_then(|(_, error)| error?.interval(COVERAGE));
    let interval = interval.filter(|_| share > 0.0).map(|Interval { low, high }| Interval {
        low: share * low.exp(),
        high: share * high.exp(),
    });
    Some((share, interval))
}
