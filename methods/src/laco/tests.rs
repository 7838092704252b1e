use prunebench_model::LinearName;
use prunebench_tensor::Device;

use super::*;
use crate::fixture::{BLOCKS, Outcome, adders, apply, apply_with, model, refusal, removed};

/// What each block left adds to the stream.
fn updates(outcome: &Outcome) -> Vec<Vec<f64>> {
    let down = |block: &prunebench_model::Block| block.linear(LinearName::Down).unwrap().bias.clone().unwrap();
    outcome
        .model
        .blocks
        .iter()
        .map(|block| down(block).to_f64_vec().unwrap())
        .collect()
}

fn similarities(outcome: &Outcome) -> Vec<f64> {
    let tried = outcome.report.details["tried"].as_array().unwrap();
    tried.iter().map(|try_| try_["similarity"].as_f64().unwrap()).collect()
}

const WINDOW: &[u32] = &[0, 1, 0];

#[test]
fn pairs_are_tried_from_the_top_and_merged_where_the_output_stays() {
    // The stream ends at (1, 6). Blocks 2 and 3 merge for free, then block 1 would cost (0, 1), then block 0 is free again.
    let updates_before = [[0.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 5.0], [0.0, 0.0]];
    for device in Device::available() {
        let model = adders(&device, [1.0, 0.0], &updates_before);
        let outcome = apply_with("laco(layers=2, threshold=0.9999)", &model, 0, &[WINDOW.to_vec()]).unwrap();
        assert_eq!(removed(&outcome), [3, 1]);
        assert_eq!(outcome.report.details["merged_into"], json!({ "2": [3], "0": [1] }));
        assert_eq!(updates(&outcome), [[0.0, 1.0], [0.0, 5.0], [0.0, 0.0]]);
        // (1, 6) with itself, with (1, 5), and with itself.
        let wanted = [1.0, 31.0 / (37.0_f64 * 26.0).sqrt(), 1.0];
        for (found, wanted) in similarities(&outcome).iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-6, "{found}, want {wanted}");
        }
        assert_eq!(outcome.report.achieved_ratio, 2.0 / 5.0);
    }
}

/// The down projections' biases 1, 2 and 5 merge to the last of them, or to 1 + (2 − 1) + (5 − 1).
#[test]
fn three_blocks_become_the_last_one_or_the_sum_of_differences() {
    let device = Device::available()[0];
    let model = adders(&device, [1.0, 0.0], &[[1.0, 0.0], [2.0, 0.0], [5.0, 0.0], [0.0, 0.0]]);
    for (rule, wanted) in [("telescoping", 5.0), ("sum", 6.0)] {
        let recipe = format!("laco(layers=3, threshold=0.5, rule={rule})");
        let outcome = apply_with(&recipe, &model, 0, &[WINDOW.to_vec()]).unwrap();
        assert_eq!(removed(&outcome), [1, 2]);
        assert_eq!(updates(&outcome), [[wanted, 0.0], [0.0, 0.0]], "{rule}");
    }
}

#[test]
fn every_linear_is_merged_and_every_norm_is_the_lowest_blocks() {
    for device in Device::available() {
        let mut before = model(&device);
        let gain = Tensor::full(&[crate::fixture::HIDDEN], 3.0, before.dtype(), &device).unwrap();
        before.blocks[3].ffn.as_mut().unwrap().norm.gain = gain.clone();
        for rule in [Rule::Telescoping, Rule::Sum] {
            let after = collapse(&before, 3, 5, rule).unwrap();
            assert_eq!(after.blocks.len(), BLOCKS - 2);
            let norm = &after.blocks[3].ffn.as_ref().unwrap().norm;
            assert_eq!(norm.gain.to_f64_vec().unwrap(), gain.to_f64_vec().unwrap());
            for name in LinearName::ALL {
                let values = |model: &Decoder, block: usize| {
                    model.blocks[block].linear(name).unwrap().weight.to_f64_vec().unwrap()
                };
                let (a, b, c) = (values(&before, 3), values(&before, 4), values(&before, 5));
                for (i, found) in values(&after, 3).into_iter().enumerate() {
                    let wanted = match rule {
                        Rule::Telescoping => c[i],
                        Rule::Sum => b[i] + c[i] - a[i],
                    };
                    assert!((found - wanted).abs() < 1e-6, "{name:?} {found}, want {wanted}");
                }
            }
        }
    }
}

#[test]
fn a_number_of_blocks_stops_the_merging_and_cuts_the_last_run() {
    let model = model(&Device::available()[0]);
    let of = |recipe: &str| apply(recipe, &model, 0).unwrap();
    // Every candidate is accepted: blocks 2, 3 and 4 first, then 1 with one more.
    let outcome = of("laco(layers=3, threshold=-1, blocks=3)");
    assert_eq!(removed(&outcome), [3, 4, 2]);
    assert_eq!(outcome.report.nominal_ratio, Some(0.5));
    assert_eq!(removed(&of("laco(layers=3, threshold=-1, ratio=0.34)")), [3, 4]);
    // The model itself, and two candidates of 4 and 3 blocks, over three windows.
    assert_eq!(
        outcome.budget.forward_passes,
        (3.0_f64 * (1.0 + 4.0 / 6.0 + 3.0 / 4.0)).ceil() as u64
    );
    assert_eq!(outcome.budget.calibration_tokens, 48);
}

#[test]
fn range_and_interval_say_where_runs_begin() {
    let model = model(&Device::available()[0]);
    let tried = |recipe: &str| -> Vec<Vec<usize>> {
        let outcome = apply(recipe, &model, 0).unwrap();
        let tried = outcome.report.details["tried"].as_array().unwrap();
        tried
            .iter()
            .map(|try_| serde_json::from_value(try_["blocks"].clone()).unwrap())
            .collect()
    };
    assert_eq!(
        tried("laco(layers=2, threshold=-1, lowest=1)"),
        [[3, 4], [2, 3], [1, 2]]
    );
    assert_eq!(
        tried("laco(layers=2, threshold=-1, highest=4, interval=2)"),
        [[2, 3], [0, 1]]
    );
}

#[test]
fn a_number_of_blocks_that_the_threshold_forbids_is_an_error() {
    let error = refusal("laco(layers=2, threshold=0.999999, blocks=4)");
    assert!(error.contains("and 4 are wanted; lower `threshold`"), "{error}");
    let error = refusal("laco(layers=2, threshold=0.999999)");
    assert!(error.contains("and 1 are wanted; lower `threshold`"), "{error}");
}

#[test]
fn a_configuration_that_merges_nothing_is_refused() {
    for (recipe, part) in [
        ("laco(layers=1, threshold=0.5)", "key `layers`: 1 merges nothing"),
        (
            "laco(layers=2, threshold=1.0)",
            "key `threshold`: 1 is no cosine to be exceeded",
        ),
        ("laco(layers=2, threshold=nan)", "key `threshold`: NaN"),
        (
            "laco(layers=2, threshold=0.5, interval=0)",
            "key `interval`: 0 never moves on",
        ),
        ("laco(layers=2, threshold=0.5, ratio=0.1, blocks=2)", "both are given"),
        (
            "laco(layers=6, threshold=0.5)",
            "6 layers from 0 to 5 asked for, of 6 blocks",
        ),
        (
            "laco(layers=2, threshold=0.5, highest=6)",
            "2 layers from 0 to 6 asked for, of 6 blocks",
        ),
        (
            "laco(layers=2, threshold=0.5, lowest=4)",
            "2 layers from 4 to 5 asked for, of 6 blocks",
        ),
        ("laco(layers=2, threshold=0.5, blocks=6)", "removes everything"),
    ] {
        let error = refusal(recipe);
        assert!(error.contains(part), "{recipe}: {error}");
    }
}

#[test]
fn blocks_of_different_shapes_are_not_merged() {
    let mut model = model(&Device::available()[0]);
    model.blocks[4].ffn = None;
    model.graph.blocks[4].ffn = None;
    let error = apply("laco(layers=2, threshold=-1)", &model, 0)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("blocks 3 and 4 have different shapes"), "{error}");
}

#[test]
fn an_output_that_overflows_is_an_error() {
    let model = adders(&Device::available()[0], [1.0, 0.0], &[[f32::INFINITY, 0.0]; 4]);
    let error = apply_with("laco(layers=2, threshold=0.5)", &model, 0, &[WINDOW.to_vec()])
        .err()
        .unwrap();
    assert!(error.to_string().contains("zero or not finite"), "{error}");
}
