//! What could have been seen is what the test would have found.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};

use super::test_snapshots::*;
use super::*;

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

fn change(seeds: &[Seed]) -> Change {
    let pairs: Vec<(&Observed, &Observed)> = seeds.iter().map(|[before, after]| (before, after)).collect();
    Change::of("perplexity", &pairs).unwrap()
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
fn is_just_found(of: impl Fn(f64) -> Change) {
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
        Change::of("decode speed", &pairs).unwrap()
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
    let error = Change::of("perplexity", &pairs).unwrap_err();
    assert!(
        matches!(&error, NoChange::Incomparable(reason) if reason.contains("other items")),
        "{error}"
    );
}
