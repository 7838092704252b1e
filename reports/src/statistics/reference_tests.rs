//! The same numbers as SciPy and statsmodels, which `tests/peers/reference_statistics.py` wrote into `reference.json`.

use serde::Deserialize;

use super::*;

/// For what is computed, and not drawn.
const EXACT: f64 = 1e-9;

#[derive(Deserialize)]
struct Reference {
    paired_t: Vec<PairedT>,
    welch: Vec<Welch>,
    mcnemar: Vec<McNemarCase>,
    connor: Vec<Connor>,
    wilcoxon: Vec<Test>,
    sign_flip: Vec<Test>,
    families: Vec<Family>,
    seeds: Vec<Seeds>,
    perplexity: Vec<Losses>,
    bootstrap: Vec<Resampled>,
}

#[derive(Deserialize)]
struct PairedT {
    differences: Vec<f64>,
    mean: f64,
    stderr: f64,
    p: f64,
    low: f64,
    high: f64,
    margin: f64,
    equivalence: f64,
    alpha: f64,
    power: f64,
    smallest: f64,
    smallest_noncentral: Option<f64>,
}

#[derive(Deserialize)]
struct Welch {
    a: Vec<f64>,
    b: Vec<f64>,
    p: f64,
    degrees: f64,
}

#[derive(Deserialize)]
struct McNemarCase {
    gained: u64,
    lost: u64,
    exact: f64,
    mid_p: f64,
}

#[derive(Deserialize)]
struct Connor {
    n: usize,
    discordant: f64,
    alpha: f64,
    power: f64,
    smallest: f64,
}

#[derive(Deserialize)]
struct Test {
    differences: Vec<f64>,
    p: f64,
}

#[derive(Deserialize)]
struct Family {
    p: Vec<f64>,
    holm: Vec<f64>,
    benjamini_hochberg: Vec<f64>,
}

#[derive(Deserialize)]
struct Seeds {
    values: Vec<Vec<f64>>,
    mean: f64,
    seed_variance: f64,
    item_variance: f64,
    rest_variance: f64,
    p: f64,
    stderr: f64,
    degrees: f64,
}

#[derive(Deserialize)]
struct Losses {
    nll: Vec<f64>,
    units: Vec<f64>,
    perplexity: f64,
    stderr: f64,
}

#[derive(Deserialize)]
struct Resampled {
    differences: Vec<f64>,
    percentile: [f64; 2],
    #[serde(rename = "BCa")]
    bca: [f64; 2],
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("reference.json")).unwrap()
}

/// Checks numbers against their references, within an absolute or relative difference.
#[track_caller]
fn near(found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        let off = (found - wanted).abs() / wanted.abs().max(1.0);
        assert!(off <= tolerance, "{found} is not {wanted}, off by {off:e}");
    }
}

#[test]
fn the_paired_t_test_its_interval_and_equivalence_are_those_of_scipy() {
    for case in reference().paired_t {
        let estimate = Estimate::of_mean(&case.differences).unwrap();
        let interval = estimate.interval(COVERAGE).unwrap();
        let smallest = estimate.smallest_effect(case.alpha, case.power).unwrap();
        near(
            &[estimate.value, estimate.stderr, estimate.p_value()],
            &[case.mean, case.stderr, case.p],
            EXACT,
        );
        near(&[interval.low, interval.high], &[case.low, case.high], EXACT);
        near(&[estimate.equivalence(case.margin)], &[case.equivalence], EXACT);
        near(&[smallest], &[case.smallest], EXACT);
        // The quantiles are an approximation, good to a hundredth.
        if let Some(wanted) = case.smallest_noncentral {
            near(&[smallest / wanted], &[1.0], 0.01);
        }
    }
}

#[test]
fn welchs_test_is_that_of_scipy() {
    for case in reference().welch {
        let estimate = Estimate::of_independent(&case.a, &case.b).unwrap();
        near(&[estimate.p_value(), estimate.degrees], &[case.p, case.degrees], EXACT);
    }
}

#[test]
fn mcnemars_test_is_that_of_statsmodels() {
    for McNemarCase {
        gained,
        lost,
        exact,
        mid_p,
    } in reference().mcnemar
    {
        let table = McNemar { gained, lost };
        near(&[table.exact(), table.mid_p()], &[exact, mid_p], EXACT);
    }
}

#[test]
fn the_smallest_difference_of_accuracy_solves_connors_equation() {
    for case in reference().connor {
        let smallest = smallest_difference(case.n, case.discordant, case.alpha, case.power);
        near(&[smallest.unwrap()], &[case.smallest], EXACT);
    }
}

#[test]
fn wilcoxons_test_is_that_of_scipy_exact_and_approximate() {
    for case in reference().wilcoxon {
        near(&[wilcoxon_signed_rank(&case.differences).unwrap()], &[case.p], EXACT);
    }
}

#[test]
fn the_sign_flip_test_is_that_of_scipy_where_all_patterns_are_tried_and_near_it_where_not() {
    for case in reference().sign_flip {
        let tolerance = if case.differences.len() > 16 { 1e-3 } else { EXACT };
        near(&[sign_flip_test(&case.differences).unwrap()], &[case.p], tolerance);
    }
}

#[test]
fn adjusted_p_values_are_those_of_statsmodels() {
    for case in reference().families {
        near(&holm(&case.p), &case.holm, EXACT);
        near(&benjamini_hochberg(&case.p), &case.benjamini_hochberg, EXACT);
    }
}

#[test]
fn seed_noise_apart_from_item_noise_is_that_of_an_analysis_of_variance() {
    for case in reference().seeds {
        let noise = SeedNoise::of(&case.values).unwrap();
        let found = [
            noise.seed_variance,
            noise.item_variance,
            noise.rest_variance,
            noise.p_value,
        ];
        near(
            &found,
            &[case.seed_variance, case.item_variance, case.rest_variance, case.p],
            EXACT,
        );
        let found = [noise.mean.value, noise.mean.stderr, noise.mean.degrees];
        near(&found, &[case.mean, case.stderr, case.degrees], EXACT);
    }
}

#[test]
fn the_error_of_a_perplexity_is_that_of_the_delta_method() {
    for case in reference().perplexity {
        let seeds = [case.nll.as_slice()];
        let found = [
            perplexity(&seeds, &case.units).unwrap(),
            perplexity_stderr(&seeds, &case.units).unwrap(),
        ];
        near(&found, &[case.perplexity, case.stderr], EXACT);
    }
}

#[test]
fn bootstraps_are_those_of_scipy_up_to_their_draws() {
    for case in reference().bootstrap {
        let mean = |draw: &[usize]| draw.iter().map(|&i| case.differences[i]).sum::<f64>() / draw.len() as f64;
        for (ends, wanted) in [(Ends::Percentile, case.percentile), (Ends::Bca, case.bca)] {
            let bootstrap = Bootstrap {
                ends,
                resamples: 200_000,
                seed: 0,
            };
            let interval = bootstrap.interval(case.differences.len(), mean).unwrap();
            near(&[interval.low, interval.high], &wanted, 1e-3);
        }
    }
}
