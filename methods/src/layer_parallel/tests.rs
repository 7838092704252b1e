//! On a small random model: the same numbers from the literal steps and the wide block, and ranges that are none.

use prunebench_model::graph::Step;
use prunebench_model::{Decoder, LinearName};
use prunebench_tensor::{Device, Tensor, no_grad};

use super::*;
use crate::Recipe;
use crate::fixture::{BLOCKS, adders, apply, apply_with, make_identity, model, refusal, windows};

fn logits(model: &Decoder) -> Vec<f64> {
    let windows = windows();
    let ids = model.ids(&[&windows[0]]).unwrap();
    no_grad(|| model.forward(&ids)).unwrap().to_f64_vec().unwrap()
}

fn assert_close(a: &[f64], b: &[f64], tolerance: f64) {
    let scale = b.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let off = a.iter().zip(b).fold(0.0_f64, |most, (x, y)| most.max((x - y).abs()));
    assert!(a.len() == b.len() && off <= tolerance * scale, "{off} of {scale}");
}

/// Logits of every position, one token at a time through the KV cache.
fn decoded(model: &Decoder) -> Vec<f64> {
    let window = windows()[0].clone();
    let mut cache = model.cache(1, window.len()).unwrap();
    let one = |token: &u32| {
        let ids = model.ids(&[&[*token]]).unwrap();
        let hidden = no_grad(|| model.hidden(&ids, Some(&mut cache), &mut |_, _| Ok(()))).unwrap();
        model.logits(&hidden).unwrap().to_f64_vec().unwrap()
    };
    window.iter().flat_map(one).collect()
}

/// With gains that differ, or norms could be mixed up unnoticed.
fn uneven(device: &Device) -> Decoder {
    let mut model = model(device);
    for (index, block) in model.blocks.iter_mut().enumerate() {
        let gain = |seed: usize| {
            let noise = Tensor::randn(
                &[crate::fixture::HIDDEN],
                seed as u64,
                prunebench_tensor::DType::F32,
                device,
            )
            .unwrap();
            noise.mul_scalar(0.3).unwrap().add_scalar(1.0).unwrap()
        };
        block.attention.as_mut().unwrap().norm.gain = gain(100 + index);
        block.ffn.as_mut().unwrap().norm.gain = gain(200 + index);
    }
    model
}

#[test]
fn the_wide_block_gives_what_the_two_blocks_give_with_every_norm_and_in_decoding() {
    for device in Device::available() {
        let dense = uneven(&device);
        for (norm, start) in [("own", 1), ("avg", 1), ("rank-mix", 1), ("own", 0), ("avg", 0)] {
            let recipe = format!("layer-parallel(start={start}, end={}, norm={norm}", start + 4);
            let literal = apply(&format!("{recipe})"), &dense, 0).unwrap().model;
            let fused = apply(&format!("{recipe}, fused=true)"), &dense, 0).unwrap().model;
            assert_eq!((literal.blocks.len(), fused.blocks.len()), (BLOCKS, BLOCKS - 2));
            assert_eq!(
                (literal.graph.steps.len(), fused.graph.steps.len()),
                (BLOCKS - 2, BLOCKS - 2)
            );
            assert!(fused.graph.steps.iter().all(|step| matches!(step, Step::Block(_))));
            fused.graph.validate().unwrap();
            assert_close(&logits(&fused), &logits(&literal), 1e-5);
            assert_close(&decoded(&literal), &logits(&literal), 1e-5);
            assert_close(&decoded(&fused), &logits(&literal), 1e-5);
        }
    }
}

#[test]
fn a_block_without_outputs_leaves_its_partner_alone() {
    for device in Device::available() {
        let mut dense = uneven(&device);
        make_identity(&mut dense, 3);
        let paired = apply("layer-parallel(start=2, end=4)", &dense, 0).unwrap().model;
        assert_close(&logits(&paired), &logits(&dense), 1e-6);
        let errors = pair_errors("start=2, end=4", &dense);
        assert_eq!(errors.len(), BLOCKS - 1);
        assert!(errors[2] < 1e-6 && errors[1] > 1e-3 && errors[4] > 1e-3, "{errors:?}");
    }
}

fn pair_errors(arguments: &str, dense: &Decoder) -> Vec<f64> {
    let outcome = apply(&format!("layer-parallel({arguments}, diagnose=true)"), dense, 0).unwrap();
    serde_json::from_value(outcome.report.details["pair_errors"].clone()).unwrap()
}

#[test]
fn the_errors_of_pairs_are_those_of_the_norms_that_are_set() {
    for device in Device::available() {
        let mut dense = uneven(&device);
        // Its partner runs as by itself, unless it reads through a norm that is not its own.
        make_identity(&mut dense, 3);
        let of = |norm: &str| pair_errors(&format!("start=0, end=2, norm={norm}"), &dense);
        let (own, avg, mix) = (of("own"), of("avg"), of("rank-mix"));
        assert!(
            own[2] < 1e-6 && avg[2] > 1e-3 && mix[2] > 1e-3,
            "{own:?} {avg:?} {mix:?}"
        );
        // Where all gains are alike, so are the variants.
        let even = model(&device);
        let of = |norm: &str| pair_errors(&format!("start=0, end=2, norm={norm}"), &even);
        assert_close(&of("avg"), &of("own"), 1e-5);
    }
}

#[test]
fn a_pair_of_blocks_that_do_nothing_has_no_error() {
    for device in Device::available() {
        let mut dense = uneven(&device);
        [3, 4].iter().for_each(|&block| make_identity(&mut dense, block));
        let errors = pair_errors("start=1, end=3", &dense);
        assert_eq!(errors[3], 0.0);
        assert!(errors[0] > 1e-3, "{errors:?}");
    }
}

#[test]
fn an_error_that_is_no_number_is_null() {
    let mut dense = uneven(&Device::available()[0]);
    let up = dense.blocks[4].linear_mut(LinearName::Up).unwrap();
    up.weight = up.weight.mul_scalar(f64::NAN).unwrap();
    let outcome = apply("layer-parallel(start=1, end=3, diagnose=true)", &dense, 0).unwrap();
    let errors = outcome.report.details["pair_errors"].as_array().unwrap();
    let known: Vec<bool> = errors.iter().map(|error| error.is_number()).collect();
    assert_eq!(known, [true, true, true, false, false], "{errors:?}");
}

#[test]
fn the_errors_of_pairs_are_on_the_budget() {
    let dense = model(&Device::available()[0]);
    let outcome = apply("layer-parallel(start=1, end=3, diagnose=true)", &dense, 0).unwrap();
    // Each block by itself, and five pairs of six blocks.
    let passes = windows().len() as f64 * (1.0 + 10.0 / 6.0);
    assert_eq!(outcome.budget.forward_passes, passes.round() as u64);
    let read: usize = windows().iter().map(Vec::len).sum();
    assert_eq!(outcome.budget.calibration_tokens, read as u64);
}

#[test]
fn the_norms_of_the_variants_differ() {
    let dense = uneven(&Device::available()[0]);
    let of = |norm: &str| {
        let recipe = format!("layer-parallel(start=1, end=3, norm={norm})");
        logits(&apply(&recipe, &dense, 0).unwrap().model)
    };
    let (own, avg, mix) = (of("own"), of("avg"), of("rank-mix"));
    assert!(own != avg && own != mix && avg != mix);
}

#[test]
fn the_end_is_that_of_the_lowest_loss() {
    let mut dense = uneven(&Device::available()[0]);
    [3, 4].iter().for_each(|&block| make_identity(&mut dense, block));
    let outcome = apply("layer-parallel(pairs=1)", &dense, 0).unwrap();
    let losses = outcome.report.details["loss_by_end"].as_object().unwrap();
    assert_eq!(losses.len(), BLOCKS - 2);
    let lowest = losses
        .values()
        .map(|loss| loss.as_f64().unwrap())
        .fold(f64::INFINITY, f64::min);
    let end = outcome.report.details["end"].to_string();
    assert_eq!(losses[&end].as_f64().unwrap(), lowest);
    // A pass over each window for each of the ends, and none for the result.
    assert_eq!(outcome.budget.forward_passes as usize, 4 * windows().len());
    let deeper = apply("layer-parallel(depth=5)", &dense, 0).unwrap();
    assert_eq!(deeper.report.details["end"], outcome.report.details["end"]);
    assert_eq!(deeper.report.details["effective_depth"], 5);
    let error = apply_with("layer-parallel(pairs=1)", &dense, 0, &[])
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("calibration text"), "{error}");
}

/// Its block 2 overflows unless block 1 acted before it.
fn overflows_beside_block_1(device: &Device) -> Decoder {
    let updates = [[0.0, 0.0], [0.0, -1.0], [0.5, 0.0], [0.0, 0.5], [0.0, 0.0]];
    let mut dense = adders(device, [1.0, 1.0], &updates);
    let ffn = dense.blocks[2].ffn.as_mut().unwrap();
    ffn.norm.gain = Tensor::from_slice(&[1.0f32, 3e38], &[2], device).unwrap();
    dense.blocks[2].linear_mut(LinearName::Up).unwrap().weight =
        Tensor::from_slice(&[0.0f32, 10.0], &[1, 2], device).unwrap();
    dense
}

#[test]
fn a_range_whose_loss_is_no_number_is_not_the_best_though_it_comes_first() {
    for device in Device::available() {
        let dense = overflows_beside_block_1(&device);
        let outcome = apply_with("layer-parallel(pairs=1)", &dense, 0, &[vec![0, 1, 0, 0]]).unwrap();
        let losses = outcome.report.details["loss_by_end"].as_object().unwrap();
        let known: Vec<(&str, bool)> = losses
            .iter()
            .map(|(end, loss)| (end.as_str(), loss.is_number()))
            .collect();
        assert_eq!(known, [("3", false), ("4", true), ("5", true)], "{device}: {losses:?}");
        assert!(outcome.report.details["end"].as_u64().unwrap() > 3, "{device}");
    }
}

#[test]
fn the_search_leaves_block_0_out_and_a_range_that_is_named_may_have_it() {
    let dense = uneven(&Device::available()[0]);
    for recipe in [
        "layer-parallel(start=0, end=2)",
        "layer-parallel(pairs=1, end=2)",
        "layer-parallel(depth=5, end=2)",
        "layer-parallel(depth=3, end=6)",
    ] {
        let outcome = apply_with(recipe, &dense, 0, &[]).unwrap();
        assert_eq!(outcome.report.details["start"], 0, "{recipe}");
        let first = &outcome.model.graph.steps[0];
        assert_eq!(*first, Step::ParallelSublayers(vec![0, 1]), "{recipe}");
    }
    for recipe in ["layer-parallel(pairs=3)", "layer-parallel(depth=3)"] {
        let message = refusal(recipe);
        assert!(
            message.contains("the search leaves block 0 out; name `end`"),
            "{message}"
        );
    }
}

#[test]
fn ranges_that_are_no_pairs_are_refused_with_the_cure() {
    for (recipe, words) in [
        ("layer-parallel(start=1, end=4)", ["3 blocks", "move one end"]),
        ("layer-parallel(start=4, end=2)", ["4 to 2", "below the end"]),
        ("layer-parallel(start=5, end=7)", ["key `end`: 7", "6 blocks"]),
        ("layer-parallel(pairs=3)", ["3 pairs of 6 blocks", "at most 2"]),
        ("layer-parallel(pairs=2, end=3)", ["2 pairs", "before the first block"]),
        ("layer-parallel(depth=3)", ["3 steps", "4 to 5"]),
        ("layer-parallel(depth=2, end=6)", ["2 steps", "3 to 5"]),
        ("layer-parallel(start=1)", ["`start` and `end`", "`pairs` and `depth`"]),
        (
            "layer-parallel(start=1, end=3, mode=par, fused=true)",
            ["mode=par", "fused"],
        ),
    ] {
        let message = refusal(recipe);
        for word in words {
            assert!(message.contains(word), "{recipe}: {word}: {message}");
        }
    }
    let twice = Recipe::parse(&["layer-parallel(start=1, end=3)", "layer-parallel(start=2, end=4)"]).unwrap();
    let dense = model(&Device::available()[0]);
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let message = twice
        .apply(&mut Run::new(&dense, &[], 0, &mut quiet))
        .err()
        .unwrap()
        .to_string();
    assert!(message.contains("block 2") && message.contains("overlap"), "{message}");
}
