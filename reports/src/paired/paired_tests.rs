//! What could have been seen is what the test would have found.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};

use super::*;
use crate::gate::test_snapshots::*;
use crate::gate::{Rules, Verdict, judge};

const WINDOWS: usize = 1100;

/// A perplexity before and after, each a cell of one seed.
type Seed = [Observed; 2];

/// Cells of these seeds whose windows get worse by what is drawn for each, and by the seed's own shift.
fn seeds(shifts: &[f64], mut drawn: impl FnMut() -> f64) -> Vec<Seed> {
    let before: Vec<f64> = (0..WINDOWS).map(|w| 3.0 + (w * 7919 % 101) as f64 / 100.0).collect();
    let seeds = shifts.iter().zip(0..).map(|(shift, seed)| {
        let after = before.iter().map(|nll| nll + shift + drawn()).collect();
        [before.clone(), after].map(|nll| cell("wanda(ratio=0.5)", seed, [("perplexity", losses(nll))]))
    });
    seeds.collect()
}

fn change(seeds: &[Seed]) -> PairedDifference {
    let pairs: Vec<(&Observed, &Observed)> = seeds.iter().map(|[before, after]| (before, after)).collect();
    PairedDifference::of("perplexity", &pairs).unwrap()
}

/// A rise of every loss after, in all seeds alike.
fn shifted(seeds: &[Seed], by: f64) -> Vec<Seed> {
    let mut seeds = seeds.to_vec();
    for [_, after] in &mut seeds {
        if let Some(Series::Losses { nll, .. }) = after.series.get_mut("perplexity") {
            nll.iter_mut().for_each(|nll| *nll += by);
        }
    }
    seeds
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

#[test]
fn three_seeds_that_scatter_by_half_a_margin_are_inconclusive_in_a_family_of_300() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let of_seeds = seeds(&[-0.01, 0.0, 0.01], || 0.05 * normal(&mut rng));
    let rest = (1..300).map(|number| cell(&number.to_string(), 0, [("perplexity", losses(vec![3.0; 9]))]));
    let night = |side: usize| snapshot(rest.clone().chain(of_seeds.iter().map(|seed| seed[side].clone())));
    let text = "[family.quality]\nalpha = 0.03\n[[rule]]\nmetric = \"perplexity\"\nmargin = 0.02\ndirection = \
                \"lower-is-better\"\nfamily = \"quality\"\n";
    let report = judge(&night(1), &night(0), &Rules::parse(text).unwrap()).unwrap();
    assert_eq!(report.families[0].comparisons, 300);
    let finding = report.findings.last().unwrap();
    let smallest = finding.change.as_ref().unwrap().smallest.unwrap();
    // About (t(1 - 0.00005; 2) + t(0.8; 2)) · 0.01 / sqrt(3) = 101 · 0.0058.
    assert!(
        finding.verdict == Verdict::Inconclusive && (0.75..0.95).contains(&smallest),
        "{:?}: {}, {smallest}",
        finding.verdict,
        finding.reason
    );
}

/// Checks that a change of the smallest size that is found with even odds is where its p-value passes the level.
#[track_caller]
fn is_just_found(of: impl Fn(f64) -> PairedDifference) {
    const LEVEL: f64 = 0.0001;
    let change = of(0.0);
    let smallest = change.smallest(LEVEL, 0.5).unwrap();
    for size in [(-smallest.fall).ln_1p(), smallest.rise.ln_1p()] {
        for (factor, found) in [(0.999, false), (1.001, true)] {
            let change = of(factor * size - change.difference.ln_1p());
            let (test, p) = change.test.unwrap();
            assert_eq!(p < LEVEL, found, "{test}: {factor} of {size}, p = {p}");
        }
    }
}

#[test]
fn what_could_have_been_seen_is_what_the_test_finds() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let skewed = |rng: &mut ChaCha8Rng| <Exp1 as Distribution<f64>>::sample(&Exp1, rng).powi(2);
    for sign in [-0.1, 0.1] {
        let single = seeds(&[0.0], || sign * skewed(&mut rng));
        is_just_found(|shift| change(&shifted(&single, shift)));
    }
    let three = seeds(&[-0.01, 0.02, 0.0], || 0.05 * normal(&mut rng));
    is_just_found(|shift| change(&shifted(&three, shift)));
    let round = |ratio: f64| {
        let series = Series::Speed {
            rate: ratio,
            ratio: Some(ratio),
        };
        let mut cell = cell("a", 0, [("decode speed", series)]);
        cell.cell.evaluation.perplexity.clear();
        cell
    };
    is_just_found(|shift| {
        let rounds = [(1.50, 1.52), (1.49, 1.51), (1.48, 1.47)].map(|(a, b)| [round(a), round(b * shift.exp())]);
        let pairs: Vec<(&Observed, &Observed)> = rounds.iter().map(|[before, after]| (before, after)).collect();
        PairedDifference::of("decode speed", &pairs).unwrap()
    });
}

#[test]
fn a_skewed_sample_shows_a_change_to_its_own_side_first() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let single = seeds(&[0.0], || 0.1 * <Exp1 as Distribution<f64>>::sample(&Exp1, &mut rng));
    let smallest = change(&single).smallest(0.0001, 0.8).unwrap();
    assert!(
        smallest.rise < 0.95 * smallest.fall && smallest.change() == smallest.fall,
        "{smallest:?}"
    );
    // Both are the plain one where there is no skewness.
    let estimate = crate::statistics::Estimate {
        value: 0.0,
        stderr: 0.01,
        degrees: 99.0,
        skewness: 0.0,
    };
    let plain = estimate.smallest_effect(0.01, 0.8).unwrap();
    let both = estimate.smallest_effects_if_skewed(0.01, 0.8).unwrap();
    assert!(
        both.iter().all(|size| (size / plain - 1.0).abs() < 1e-12),
        "{both:?} {plain}"
    );
}

#[test]
fn seeds_of_other_items_are_not_one_number() {
    let mut both = seeds(&[0.0, 0.1], || 0.0);
    for cell in &mut both[1] {
        cell.series.insert("perplexity".into(), losses(vec![3.0; 5]));
    }
    let pairs: Vec<(&Observed, &Observed)> = both.iter().map(|[before, after]| (before, after)).collect();
    let error = PairedDifference::of("perplexity", &pairs).unwrap_err();
    assert!(
        matches!(&error, NoChange::Incomparable(reason) if reason.contains("other items")),
        "{error}"
    );
}

/// Checks that between 93 and 97 % of the intervals hold the truth.
#[track_caller]
fn covers(truth: f64, mut interval: impl FnMut(&mut ChaCha8Rng) -> Option<Interval>) {
    let mut rng = ChaCha8Rng::seed_from_u64(95);
    let held = (0..3000).filter(|_| {
        let Interval { low, high } = interval(&mut rng).unwrap();
        low <= truth && truth <= high
    });
    let share = held.count() as f64 / 3000.0;
    assert!((0.93..=0.97).contains(&share), "{share}");
}

fn of_one(before: &Series, after: &Series) -> PairedDifference {
    PairedDifference::of_seeds(&[(0, before)], &[(0, after)]).unwrap()
}

#[test]
fn intervals_of_perplexity_ratios_cover_95_percent() {
    covers(0.2f64.exp_m1(), |rng| {
        let before: Vec<f64> = (0..25).map(|_| 3.0 + 0.5 * normal(rng)).collect();
        let after = before.iter().map(|nll| nll + 0.2 + 0.1 * normal(rng)).collect();
        of_one(&losses(before), &losses(after)).interval
    });
}

/// Answers to items of which 7 % are lost, 3 % gained, and 50 % right before and after.
fn tasks(sizes: [usize; 2], rng: &mut ChaCha8Rng) -> [Series; 2] {
    let mut both = [Vec::new(), Vec::new()];
    for size in sizes {
        let pairs: Vec<[u8; 2]> = (0..size)
            .map(|_| match rng.random_range(0..100) {
                0..7 => [1, 0],
                7..10 => [0, 1],
                rest => [u8::from(rest < 60); 2],
            })
            .collect();
        for (side, tasks) in both.iter_mut().enumerate() {
            tasks.push(pairs.iter().map(|pair| pair[side]).collect());
        }
    }
    both.map(|right| Series::Answers {
        scope: String::new(),
        right,
        sha256: String::new(),
    })
}

#[test]
fn intervals_of_accuracy_differences_and_of_what_is_retained_cover_95_percent() {
    covers(-0.04, |rng| {
        let [before, after] = tasks([200, 300], rng);
        of_one(&before, &after).interval
    });
    // Of 57 % are 53 % left.
    covers(53.0 / 57.0, |rng| {
        let [before, after] = tasks([200, 300], rng);
        retained(&[(0, &before)], &[(0, &after)])?.1
    });
}

#[test]
fn a_retained_share_has_the_interval_of_fieller() {
    // 120 of 200 are right before, of which 30 are lost, and 12 others gained.
    let right = |of: &dyn Fn(usize) -> bool| answers((0..200).map(|item| u8::from(of(item))).collect(), "");
    let before = right(&|item| (12..132).contains(&item));
    let after = right(&|item| item < 12 || (42..132).contains(&item));
    let (share, interval) = retained(&[(0, &before)], &[(0, &after)]).unwrap();
    assert!((share - 102.0 / 120.0).abs() < 1e-12);
    let (was, is) = match (&before, &after) {
        (Series::Answers { right: was, .. }, Series::Answers { right: is, .. }) => (weighted(was), weighted(is)),
        _ => panic!(),
    };
    // The shares r whose mean(is - r was) may be 0.
    let inside = |share: &f64| {
        let rest: Vec<f64> = is.iter().zip(&was).map(|(is, was)| is - share * was).collect();
        Estimate::of_mean(&rest).unwrap().p_value() >= 0.05
    };
    let shares: Vec<f64> = (500..1200)
        .map(|share| f64::from(share) / 1000.0)
        .filter(inside)
        .collect();
    let interval = interval.unwrap();
    assert!((interval.low - shares[0]).abs() < 0.01, "{interval:?} {shares:?}");
    assert!(
        (interval.high - shares[shares.len() - 1]).abs() < 0.01,
        "{interval:?} {shares:?}"
    );
    // What was right nowhere leaves nothing to retain, and what is right nowhere any more has no logarithm.
    let none = right(&|_| false);
    assert_eq!(retained(&[(0, &none)], &[(0, &after)]), None);
    assert_eq!(retained(&[(0, &before)], &[(0, &none)]), Some((0.0, None)));
}
