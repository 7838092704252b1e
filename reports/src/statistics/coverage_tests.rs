//! How often the 95 % intervals hold the truth, and what must hold of every sample.

use proptest::collection::vec;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::*;

/// Checks that between 93 and 97 % of the intervals hold the truth.
#[track_caller]
fn covers(repeats: usize, truth: f64, mut interval: impl FnMut(&mut ChaCha8Rng) -> Option<Interval>) {
    let mut rng = ChaCha8Rng::seed_from_u64(95);
    let hits = (0..repeats)
        .filter(|_| {
            let Interval { low, high } = interval(&mut rng).unwrap();
            low <= truth && truth <= high
        })
        .count();
    let share = hits as f64 / repeats as f64;
    assert!((0.93..=0.97).contains(&share), "{share}");
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn values(n: usize, rng: &mut ChaCha8Rng, value: impl Fn(&mut ChaCha8Rng) -> f64) -> Vec<f64> {
    (0..n).map(|_| value(rng)).collect()
}

#[test]
fn t_intervals_cover_95_percent_of_a_handful_of_normal_values() {
    covers(4000, 0.0, |rng| {
        Estimate::of_mean(&values(5, rng, normal))?.interval(COVERAGE)
    });
}

#[test]
fn welch_intervals_cover_95_percent_where_one_side_varies_more() {
    covers(4000, 0.5, |rng| {
        let a = values(6, rng, |rng| 0.5 + 3.0 * normal(rng));
        let b = values(12, rng, normal);
        Estimate::of_independent(&a, &b)?.interval(COVERAGE)
    });
}

/// Five seeds of 100 items that share the items' noise.
fn seeds(seed_sd: f64, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let items = values(100, rng, |rng| 0.3 * normal(rng));
    let seed = |rng: &mut ChaCha8Rng| {
        let seed = seed_sd * normal(rng);
        items.iter().map(|item| item + seed + normal(rng)).collect()
    };
    (0..5).map(|_| seed(rng)).collect()
}

#[test]
fn intervals_over_seeds_cover_95_percent_with_seed_noise_large_or_small() {
    for seed_sd in [0.3, 0.1] {
        covers(4000, 0.0, |rng| {
            Estimate::of_seeds(&seeds(seed_sd, rng))?.interval(COVERAGE)
        });
    }
}

#[test]
fn without_seed_noise_intervals_over_seeds_are_a_little_wide_and_those_over_items_exact() {
    let mut rng = ChaCha8Rng::seed_from_u64(95);
    let misses = |of: &dyn Fn(&[Vec<f64>]) -> Estimate, rng: &mut ChaCha8Rng| {
        (0..4000)
            .filter(|_| {
                let interval = of(&seeds(0.0, rng)).interval(COVERAGE).unwrap();
                interval.low > 0.0 || interval.high < 0.0
            })
            .count()
    };
    let over_seeds = misses(&|seeds| Estimate::of_seeds(seeds).unwrap(), &mut rng);
    let over_items = misses(
        &|seeds| {
            let means: Vec<f64> = (0..100)
                .map(|item| seeds.iter().map(|seed| seed[item]).sum::<f64>() / 5.0)
                .collect();
            Estimate::of_mean(&means).unwrap()
        },
        &mut rng,
    );
    assert!((60..over_items).contains(&over_seeds), "{over_seeds} of 4000");
    assert!((160..240).contains(&over_items), "{over_items} of 4000");
}

#[test]
fn two_delta_method_errors_cover_95_percent_of_perplexities() {
    covers(4000, 3f64.exp(), |rng| {
        let losses = values(100, rng, |rng| 3.0 + 0.5 * normal(rng));
        let value = perplexity(&[&losses], &[1.0; 100])?;
        let margin = normal_quantile(0.975) * perplexity_stderr(&[&losses], &[1.0; 100])?;
        Some(Interval {
            low: value - margin,
            high: value + margin,
        })
    });
}

#[test]
fn speed_ratios_of_five_rounds_cover_95_percent() {
    covers(4000, 1.3, |rng| {
        let round = |rng: &mut ChaCha8Rng| {
            let load = (0.3 * normal(rng)).exp();
            [130.0 * load * (0.05 * normal(rng)).exp(), 100.0 * load]
        };
        let rounds: Vec<[f64; 2]> = (0..5).map(|_| round(rng)).collect();
        speed_ratio(&rounds)?.1
    });
}

/// Checks that a test calls at most 5 % of samples without an effect significant, but for the draws of the simulation.
#[track_caller]
fn keeps_its_level(p_value: impl Fn(&mut ChaCha8Rng) -> Option<f64>) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let alarms = (0..4000).filter(|_| p_value(&mut rng).unwrap() < 0.05).count();
    assert!(alarms < 230, "{alarms} of 4000");
}

#[test]
fn mcnemars_test_without_an_effect_alarms_in_at_most_5_percent() {
    keeps_its_level(|rng| {
        let gained = (0..30).filter(|_| rng.random_bool(0.5)).count() as u64;
        let table = McNemar {
            gained,
            lost: 30 - gained,
        };
        Some(table.exact())
    });
}

#[test]
fn the_smallest_effects_are_found_as_often_as_they_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(80);
    let smallest = Estimate {
        value: 0.0,
        stderr: 1.0 / 40f64.sqrt(),
        degrees: 39.0,
        skewness: 0.0,
    };
    let effect = smallest.smallest_effect(0.05, 0.8).unwrap();
    let found = (0..2000).filter(|_| {
        let sample = values(40, &mut rng, |rng| effect + normal(rng));
        Estimate::of_mean(&sample).unwrap().p_value() < 0.05
    });
    let share = found.count() as f64 / 2000.0;
    assert!((0.77..0.83).contains(&share), "{share}");
    // Answers: 10 % of 1,000 items answered right by one model only.
    let effect = smallest_difference(1000, 0.1, 0.05, 0.8).unwrap();
    let found = (0..2000).filter(|_| {
        let (mut gained, mut lost) = (0, 0);
        for _ in 0..1000 {
            let draw: f64 = rng.random();
            lost += u64::from(draw < (0.1 + effect) / 2.0);
            gained += u64::from(draw > 1.0 - (0.1 - effect) / 2.0);
        }
        McNemar { gained, lost }.exact() < 0.05
    });
    let share = found.count() as f64 / 2000.0;
    assert!((0.77..0.83).contains(&share), "{share}");
}

#[test]
fn samples_that_say_nothing_have_no_number() {
    assert_eq!(Estimate::of_mean(&[1.0]), None);
    assert_eq!(Estimate::of_independent(&[1.0], &[1.0, 2.0]), None);
    assert_eq!(Estimate::of_seeds(&[vec![1.0, 2.0], vec![1.0]]), None);
    assert_eq!(Estimate::of_seeds(&[vec![0.0; 9], vec![0.0; 9]]), None);
    assert_eq!(smallest_difference(0, 0.1, 0.05, 0.8), None);
    // Equal samples are no evidence of a difference, and differences without any error are certain.
    assert_eq!(Estimate::of_mean(&[0.0; 9]).unwrap().p_value(), 1.0);
    assert_eq!(Estimate::of_mean(&[0.5; 9]).unwrap().p_value(), 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn p_values_are_probabilities_and_know_no_sign(mut d in vec(-3.0..3.0f64, 2..40)) {
        let p_values = |d: &[f64]| {
            let estimate = Estimate::of_mean(d).unwrap();
            [estimate.p_value(), estimate.p_value_if_skewed()]
        };
        let before = p_values(&d);
        for p in before {
            prop_assert!((0.0..=1.0).contains(&p), "{}", p);
        }
        d.iter_mut().for_each(|d| *d = -*d);
        for (before, after) in before.into_iter().zip(p_values(&d)) {
            prop_assert!((before - after).abs() < 1e-12);
        }
    }

    #[test]
    fn adjusted_p_values_are_no_smaller_and_keep_the_order(p in vec(0.0..=1.0f64, 0..30)) {
        let (holm, discovery) = (holm(&p), benjamini_hochberg(&p));
        for i in 0..p.len() {
            // But for the last digit: three times a third is not always one.
            prop_assert!(p[i] <= discovery[i] + 1e-12 && discovery[i] <= holm[i] + 1e-12 && holm[i] <= 1.0);
            for j in 0..p.len() {
                prop_assert!(p[i] > p[j] || (holm[i] <= holm[j] && discovery[i] <= discovery[j]));
            }
        }
    }

    #[test]
    fn a_longer_sample_or_a_larger_level_sees_smaller_effects(n in 30usize..5000, discordant in 0.0..0.5f64) {
        let smallest = |n, alpha| smallest_difference(n, discordant, alpha, 0.8).unwrap();
        prop_assert!(smallest(2 * n, 0.05) <= smallest(n, 0.05) + 1e-12);
        prop_assert!(smallest(n, 0.05) <= smallest(n, 0.001) + 1e-12);
        prop_assert!((0.0..=1.0).contains(&smallest(n, 0.05)));
    }

    #[test]
    fn intervals_hold_the_value_and_move_with_it(d in vec(-3.0..3.0f64, 8..20), shift in -5.0..5.0f64) {
        let of = |d: &[f64]| Estimate::of_mean(d).unwrap().interval(COVERAGE).unwrap();
        let value = d.iter().sum::<f64>() / d.len() as f64;
        let interval = of(&d);
        prop_assert!(interval.low <= value + 1e-12 && value <= interval.high + 1e-12);
        let moved = of(&d.iter().map(|d| d + shift).collect::<Vec<_>>());
        prop_assert!((moved.low - interval.low - shift).abs() < 1e-9 && (moved.high - interval.high - shift).abs() < 1e-9);
    }
}
