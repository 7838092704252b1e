//! The same numbers as SciPy and statsmodels, which `tests/peers/reference_statistics.py` wrote into `reference.json`.

use serde::Deserialize;

use super::*;

const EXACT: f64 = 1e-9;

#[derive(Deserialize)]
struct Reference {
    paired_t: Vec<PairedT>,
    welch: Vec<Welch>,
    mcnemar: Vec<McNemarCase>,
    connor: Vec<Connor>,
    families: Vec<Family>,
    seeds: Vec<Seeds>,
    perplexity: Vec<Losses>,
}

#[derive(Deserialize)]
struct PairedT {
    differences: Vec<f64>,
    mean: f64,
    stderr: f64,
    p: f64,
    low: f64,
    high: f64,
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
struct Family {
    p: Vec<f64>,
    holm: Vec<f64>,
    benjamini_hochberg: Vec<f64>,
}

#[derive(Deserialize)]
struct Seeds {
    values: Vec<Vec<f64>>,
    mean: f64,
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
fn the_paired_t_test_and_its_interval_are_those_of_scipy() {
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
    for McNemarCase { gained, lost, exact } in reference().mcnemar {
        near(&[McNemar { gained, lost }.exact()], &[exact], EXACT);
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
fn adjusted_p_values_are_those_of_statsmodels() {
    for case in reference().families {
        near(&holm(&case.p), &case.holm, EXACT);
        near(&benjamini_hochberg(&case.p), &case.benjamini_hochberg, EXACT);
    }
}

#[test]
fn a_mean_over_items_and_seeds_has_the_error_of_an_analysis_of_variance() {
    for case in reference().seeds {
        let found = Estimate::of_seeds(&case.values).unwrap();
        near(
            &[found.value, found.stderr, found.degrees],
            &[case.mean, case.stderr, case.degrees],
            EXACT,
        );
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
