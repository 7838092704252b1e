//! What a gate does in many simulated nights: how often it is red by chance, and how often a loss makes it red.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};

use super::test_snapshots::*;
use super::*;

/// Answers before and after, of which a share is lost and a share gained.
fn pair(n: usize, lost: f64, gained: f64, rng: &mut ChaCha8Rng) -> [Series; 2] {
    let (mut before, mut after) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for _ in 0..n {
        let draw: f64 = rng.random();
        let (was, is) = if draw < lost {
            (1, 0)
        } else if draw < lost + gained {
            (0, 1)
        } else {
            let both = u8::from(draw < 0.6);
            (both, both)
        };
        before.push(was);
        after.push(is);
    }
    [answers(before, "before"), answers(after, "after")]
}

/// Answers of a seed whose accuracy is its own.
fn drawn(n: usize, digest: &str, rng: &mut ChaCha8Rng) -> Series {
    let shift: f64 = StandardNormal.sample(rng);
    let accuracy = (0.5 + 0.03 * shift).clamp(0.0, 1.0);
    answers((0..n).map(|_| u8::from(rng.random_bool(accuracy))).collect(), digest)
}

/// The mean of two tasks of different lengths.
fn pair_of_means(rng: &mut ChaCha8Rng) -> [Series; 2] {
    let [first, second] = [200, 300].map(|n| pair(n, 0.05, 0.05, rng));
    let mut tasks = second.into_iter();
    first.map(|mut mean| {
        if let (Series::Answers { right: tasks, .. }, Some(Series::Answers { right, .. })) = (&mut mean, tasks.next()) {
            tasks.extend(right);
        }
        mean
    })
}

/// 200 comparisons without an effect: of answers and their means, of losses with a skewed noise, and of three seeds, of which
/// half are drawn anew.
fn null_night(rng: &mut ChaCha8Rng) -> [Snapshot; 2] {
    let mut both = [Vec::new(), Vec::new()];
    let mut add = |metric: &'static str, recipe: String, seed: u64, pair: [Series; 2]| {
        for (cells, series) in both.iter_mut().zip(pair) {
            cells.push(cell(&recipe, seed, [(metric, series)]));
        }
    };
    for number in 0..80 {
        add("acc", format!("answers {number}"), 0, pair(500, 0.05, 0.05, rng));
    }
    for number in 0..40 {
        add("acc", format!("means {number}"), 0, pair_of_means(rng));
    }
    for number in 0..40 {
        let before: Vec<f64> = (0..200).map(|_| 3.0 + rng.random::<f64>()).collect();
        let noise = |rng: &mut ChaCha8Rng| 0.05 * (<Exp1 as Distribution<f64>>::sample(&Exp1, rng) - 1.0);
        let after = before.iter().map(|nll| nll + noise(rng)).collect();
        add(
            "perplexity",
            format!("losses {number}"),
            0,
            [losses(before), losses(after)],
        );
    }
    for number in 0..20 {
        for seed in 0..3 {
            add("acc", format!("seeds {number}"), seed, pair(300, 0.05, 0.05, rng));
            let anew = ["before", "after"].map(|digest| drawn(300, digest, rng));
            add("acc", format!("anew {number}"), seed, anew);
        }
    }
    both.map(|cells| Snapshot { cells })
}

#[test]
fn two_hundred_comparisons_without_an_effect_are_red_in_at_most_5_percent_of_500_nights() {
    let mut rng = ChaCha8Rng::seed_from_u64(500);
    // No margin, so that the tests alone keep the promise.
    let rules = rules(&[("acc", 0.0, "higher-is-better"), ("perplexity", 0.0, "lower-is-better")]);
    let red = (0..500).filter(|_| {
        let [before, after] = null_night(&mut rng);
        let report = judge(&after, &before, &rules).unwrap();
        assert_eq!(report.families[0].comparisons, 200);
        report.verdict == Verdict::Regression
    });
    let red = red.count();
    assert!(red <= 25, "{red} of 500 nights");
}

#[test]
fn the_same_records_are_never_red() {
    let rules = rules(&[("*", 0.0, "unchanged")]);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..5 {
        let [night, _] = null_night(&mut rng);
        let report = judge(&night, &night, &rules).unwrap();
        assert_eq!(report.verdict, Verdict::Ok);
        assert!(report.findings.iter().all(|finding| finding.verdict == Verdict::Ok));
    }
}

/// The share of nights in which a loss of so many items in 1,000 is found, beside 199 numbers that did not change or alone.
fn power(lost: f64, gained: f64, family: usize) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let rules = rules(&[("number", 0.01, "higher-is-better")]);
    let rest = || (1..family).map(|number| cell(&number.to_string(), 0, [("number", answers(vec![1, 0], "same"))]));
    let [mut before, mut after] = [snapshot(rest()), snapshot(rest())];
    let nights = 1000;
    let red = (0..nights).filter(|_| {
        let [was, is] = pair(1000, lost, gained, &mut rng);
        before.cells.push(cell("0", 0, [("number", was)]));
        after.cells.push(cell("0", 0, [("number", is)]));
        let report = judge(&after, &before, &rules).unwrap();
        before.cells.pop();
        after.cells.pop();
        report.verdict == Verdict::Regression
    });
    red.count() as f64 / f64::from(nights)
}

/// METHODOLOGY.md reports these numbers: of no item gained, of one to three lost, of four to six lost.
#[test]
fn the_power_against_two_points_at_1000_items_is_as_reported() {
    for (family, reported) in [(1, [0.99, 0.87, 0.51]), (200, [0.97, 0.28, 0.03])] {
        let losses = [(0.02, 0.0), (0.03, 0.01), (0.06, 0.04)];
        for ((lost, gained), reported) in losses.into_iter().zip(reported) {
            let found = power(lost, gained, family);
            assert!((found - reported).abs() < 0.006, "{found} is not {reported}");
        }
    }
}
