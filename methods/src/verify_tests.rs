//! Lies, planted one by one, and the same edits told honestly.

use prunebench_model::Decoder;
use prunebench_tensor::{Device, Tensor};
use prunebench_train::{Domain, Example, Source};
use serde_json::{Value, json};

use super::*;
use crate::fixture::model;
use crate::weights::{apply_mask, prunable};
use crate::{Recovery, Run};

/// What is counted of an edit of the fixture's model, told so.
fn told(basis: Basis, nominal: Option<f64>, details: Value, edit: impl Fn(&mut Run)) -> Result<f64> {
    told_after(&model(&Device::available()[0]), basis, nominal, details, edit)
}

fn told_after(
    model: &Decoder,
    basis: Basis,
    nominal: Option<f64>,
    details: Value,
    edit: impl Fn(&mut Run),
) -> Result<f64> {
    let example = Example::new("questions", 0, vec![1; 5], 2);
    let domain = Domain {
        name: "questions".to_owned(),
        source: Source::Examples(vec![example; 3]),
    };
    let recovery = Recovery {
        domains: vec![(domain, 1.0)],
        validation: Vec::new(),
    };
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut run = Run::new(model, &[], 0, &mut quiet).with(recovery, None);
    let count = |run: &Run| Census::of(&run.model, &run.recovery).unwrap();
    let before = count(&run);
    edit(&mut run);
    achieved("m", &Report::of(basis, nominal, details), &before, &count(&run))
}

fn honest(basis: Basis, nominal: f64, edit: impl Fn(&mut Run)) -> f64 {
    told(basis, Some(nominal), json!({}), edit).unwrap()
}

#[track_caller]
fn refused(basis: Basis, nominal: Option<f64>, edit: impl Fn(&mut Run), part: &str) {
    refused_with(basis, nominal, json!({}), edit, part);
}

#[track_caller]
fn refused_with(basis: Basis, nominal: Option<f64>, details: Value, edit: impl Fn(&mut Run), part: &str) {
    let error = told(basis, nominal, details, edit).unwrap_err();
    assert!(matches!(error, Error::NotAchieved { method: "m", .. }));
    assert!(error.to_string().contains(part), "{error}");
}

/// Zeroes every second weight of the matrices that are chosen.
fn halve(run: &mut Run, chosen: impl Fn(usize, LinearName) -> bool) {
    mask(run, |block, name, i| chosen(block, name) && i % 2 == 1);
}

fn mask(run: &mut Run, zeroed: impl Fn(usize, LinearName, usize) -> bool) {
    for (block, name) in prunable(&run.model) {
        let weights = run.model.blocks[block].linear(name).unwrap().weight.elem_count();
        let keep = |i: usize| f32::from(u8::from(!zeroed(block, name, i)));
        let mask: Vec<f32> = (0..weights).map(keep).collect();
        apply_mask(&mut run.model, block, name, &mask).unwrap();
    }
}

fn everywhere(_: usize, _: LinearName) -> bool {
    true
}

#[test]
fn masks_told_honestly_pass_with_the_ratio_that_is_counted() {
    let half = |run: &mut Run| halve(run, everywhere);
    assert_eq!(honest(Basis::EachMatrix, 0.5, half), 0.5);
    assert_eq!(honest(Basis::Weights, 0.5, half), 0.5);
    // A share of all weights may be of some blocks alone.
    let some = |run: &mut Run| mask(run, |block, _, _| block < 3);
    assert_eq!(honest(Basis::Weights, 0.5, some), 0.5);
    // Less than a weight of a row of 48 is rounding.
    assert_eq!(honest(Basis::EachMatrix, 0.52, half), 0.5);
    // Every stored parameter counts, here half of an embedding of 64 · 32.
    let embedding = |run: &mut Run| {
        let keep: Vec<f32> = (0..64 * 32).map(|i| f32::from(u8::from(i % 2 == 1))).collect();
        let keep = Tensor::from_slice(&keep, &[64, 32], &run.model.embedding.device()).unwrap();
        run.model.embedding = run.model.embedding.mul(&keep).unwrap();
    };
    let stored = model(&Device::available()[0]).accounting().unwrap().stored_parameters;
    let share = 1024.0 / stored as f64;
    assert_eq!(honest(Basis::Parameters, share, embedding), share);
}

#[test]
fn a_mask_that_skips_blocks_or_a_matrix_is_refused() {
    let odd_blocks = |run: &mut Run| halve(run, |block, _| block % 2 == 1);
    refused(
        Basis::EachMatrix,
        Some(0.5),
        odd_blocks,
        "model.layers.0.self_attn.q_proj.weight: a ratio of 0.5 asked for, 0 achieved",
    );
    refused(
        Basis::Weights,
        Some(0.5),
        odd_blocks,
        "prunable weights: a ratio of 0.5 asked for, 0.25 achieved",
    );
    let but_one = |run: &mut Run| halve(run, |block, name| (block, name) != (4, LinearName::Up));
    refused(
        Basis::EachMatrix,
        Some(0.5),
        but_one,
        "model.layers.4.mlp.up_proj.weight: a ratio of 0.5 asked for, 0 achieved",
    );
    let uneven = |run: &mut Run| mask(run, |block, _, i| block < 2 || block < 4 && i % 2 == 1);
    refused(
        Basis::EachMatrix,
        Some(0.5),
        uneven,
        "model.layers.0.self_attn.q_proj.weight: a ratio of 0.5 asked for, 1 achieved",
    );
    refused(
        Basis::Parameters,
        Some(0.5),
        |_| (),
        "stored parameters: a ratio of 0.5 asked for, 0 achieved",
    );
}

#[test]
fn a_mask_that_zeroes_too_much_is_refused() {
    let half = |run: &mut Run| halve(run, everywhere);
    for basis in [Basis::EachMatrix, Basis::Weights] {
        refused(basis, Some(0.4), half, "a ratio of 0.4 asked for, 0.5 achieved");
    }
    // Rounding explains what the method says, and no more.
    let rounded = |rounding: f64| Report {
        rounding,
        ..Report::of(Basis::Weights, Some(0.4), json!({}))
    };
    let model = model(&Device::available()[0]);
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut run = Run::new(&model, &[], 0, &mut quiet);
    let before = Census::of(&run.model, &run.recovery).unwrap();
    half(&mut run);
    let after = Census::of(&run.model, &run.recovery).unwrap();
    assert_eq!(achieved("m", &rounded(0.11), &before, &after).unwrap(), 0.5);
    assert!(achieved("m", &rounded(0.09), &before, &after).is_err());
}

#[test]
fn zeros_that_were_there_count_as_far_as_the_ratio_takes_them_and_must_stay() {
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let dense = model(&Device::available()[0]);
    let mut run = Run::new(&dense, &[], 0, &mut quiet);
    mask(&mut run, |_, _, i| i % 4 == 0);
    let quarter = run.model;
    let of = |basis, nominal, edit: fn(&mut Run)| told_after(&quarter, basis, nominal, json!({}), edit);
    let beside: fn(&mut Run) = |run| halve(run, everywhere);
    let within: fn(&mut Run) = |run| mask(run, |_, _, i| i % 2 == 0);
    for basis in [Basis::EachMatrix, Basis::Weights] {
        assert_eq!(of(basis, Some(0.5), beside).unwrap(), 0.5, "{basis:?}");
        assert_eq!(of(basis, Some(0.5), within).unwrap(), 0.5, "{basis:?}");
        assert_eq!(of(basis, None, within).unwrap(), 0.25, "{basis:?}");
        assert!(of(basis, Some(0.4), beside).is_err(), "{basis:?}");
        assert!(of(basis, Some(0.8), beside).is_err(), "{basis:?}");
    }
    let filled: fn(&mut Run) = |run| {
        let linear = run.model.blocks[1].linear_mut(LinearName::K).unwrap();
        linear.weight = linear.weight.add_scalar(1.0).unwrap();
    };
    for basis in [Basis::Values, Basis::EachMatrix, Basis::Weights, Basis::Parameters] {
        let error = of(basis, None, filled).unwrap_err().to_string();
        let part = "model.layers.1.self_attn.k_proj.weight had 128 zeros, and not all of them still are";
        assert!(error.contains(part), "{basis:?}: {error}");
    }
    assert!(of(Basis::Nothing, None, filled).is_err());
    assert_eq!(of(Basis::Refilled, None, filled).unwrap(), 0.0);
    // Training may make a zero.
    assert_eq!(of(Basis::Values, None, beside).unwrap(), 0.0);
}

#[test]
fn a_method_that_reports_nothing_must_remove_nothing() {
    assert_eq!(told(Basis::Nothing, None, json!({}), |_| ()).unwrap(), 0.0);
    refused(
        Basis::Nothing,
        None,
        |run| halve(run, everywhere),
        "nothing reported, but prunable weights that are zero went from 0 to ",
    );
    let shorter = |run: &mut Run| run.model.remove_blocks(&[2]).unwrap();
    refused(
        Basis::Nothing,
        None,
        shorter,
        "nothing reported, but heads went from 24 to 20",
    );
    for basis in [Basis::Values, Basis::Refilled, Basis::Weights, Basis::Parameters] {
        refused(basis, None, shorter, "the stored tensors were 56, and are 47");
    }
    let narrower = |run: &mut Run| {
        let linear = run.model.blocks[3].linear_mut(LinearName::Gate).unwrap();
        linear.weight = linear.weight.narrow(0, 0, 40).unwrap();
    };
    refused(Basis::Nothing, None, narrower, "prunable weights went from");
    refused(
        Basis::Refilled,
        None,
        narrower,
        "model.layers.3.mlp.gate_proj.weight had 1536 elements in rows of 32, and",
    );
}

#[test]
fn blocks_that_become_part_of_others_are_nothing_gone() {
    use prunebench_model::graph::Step;
    let fused = |run: &mut Run| {
        run.model
            .graph
            .steps
            .splice(1..3, [Step::ParallelSublayers(vec![1, 2])]);
        run.model.fuse_parallel_sublayers().unwrap();
        assert_eq!(run.model.blocks.len(), 5);
    };
    assert_eq!(told(Basis::Nothing, None, json!({}), fused).unwrap(), 0.0);
}

#[test]
fn blocks_reported_removed_must_be_gone() {
    let two = |run: &mut Run| run.model.remove_blocks(&[1, 4]).unwrap();
    for nominal in [None, Some(0.4), Some(2.0 / 6.0)] {
        let achieved = told(Basis::Blocks, nominal, json!({ "removed_blocks": [1, 4] }), two).unwrap();
        assert_eq!(achieved, 2.0 / 6.0);
    }
    refused_with(
        Basis::Blocks,
        None,
        json!({ "removed_blocks": [1] }),
        two,
        "1 of 6 blocks reported removed, but 4 are left",
    );
    refused(
        Basis::Blocks,
        Some(1.0 / 6.0),
        |_| (),
        "blocks: a ratio of 0.16666666666666666 asked for, 0 achieved",
    );
    refused(
        Basis::Blocks,
        Some(0.5),
        two,
        "0.3333333333333333 achieved; rounding explains less than 0.16666666666666666",
    );
}

#[test]
fn a_block_that_is_stored_but_never_run_is_refused() {
    let skip = |run: &mut Run| drop(run.model.graph.steps.remove(3));
    for basis in [Basis::Nothing, Basis::Refilled, Basis::Blocks, Basis::Weights] {
        refused(basis, None, skip, "1 blocks are stored but never run");
    }
}

#[test]
fn a_stream_reported_narrower_must_be_narrower_everywhere() {
    let narrow = |tensor: &Tensor| tensor.narrow(1, 0, 16).unwrap();
    let embedding = |run: &mut Run| run.model.embedding = narrow(&run.model.embedding);
    let all = |run: &mut Run| {
        embedding(run);
        for (name, linear) in run.model.blocks.iter_mut().flat_map(|block| block.linears_mut()) {
            if !matches!(name, LinearName::O | LinearName::Down) {
                linear.weight = narrow(&linear.weight);
            }
        }
    };
    assert_eq!(honest(Basis::Width, 0.5, all), 0.5);
    refused(
        Basis::Width,
        Some(0.5),
        embedding,
        "q_proj.weight reads 32 directions of the stream, and the embedding has 16",
    );
    refused(
        Basis::Width,
        Some(0.5),
        |_| (),
        "hidden width: a ratio of 0.5 asked for, 0 achieved",
    );
    refused(Basis::Width, Some(0.2), all, "a ratio of 0.2 asked for, 0.5 achieved");
    let shorter = |run: &mut Run| {
        all(run);
        run.model.remove_blocks(&[0]).unwrap();
    };
    refused(Basis::Width, Some(0.5), shorter, "blocks went from 6 to 5");
}

#[test]
fn a_method_that_thins_the_training_data_is_refused() {
    let thin = |run: &mut Run| {
        let Source::Examples(examples) = &mut run.recovery.domains[0].0.source else {
            panic!("examples");
        };
        examples.pop();
    };
    refused(
        Basis::Refilled,
        None,
        thin,
        "the data to train on was `questions` with 15 tokens in 3 examples, and is `questions` with 10 tokens in 2 examples",
    );
}
