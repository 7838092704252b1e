use std::path::Path;

use prunebench_tensor::Device;
use prunebench_train::TrainingRun;

use super::*;
use crate::fixture::model;
use crate::{MethodReport, Recipe};

/// Applies a recipe to the fixture, whose run averaged to the weights of another fixture-like model: the fixture's own in
/// reverse order.
fn apply(recipe: &str, folder: &Path) -> Result<(Decoder, MethodReport)> {
    let model = model(&Device::available()[0]);
    let reversed: Vec<(String, Tensor)> = model
        .parameters()
        .into_iter()
        .map(|(name, tensor)| (format!("linear.{name}"), reversed(tensor)))
        .collect();
    let run_files = TrainingRun::of(folder);
    let named: Vec<_> = reversed.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    run_files.save_trajectory(&named).unwrap();
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut run = Run::new(&model, &[], 1, &mut quiet).with(Default::default(), TrainingRun::beside(folder));
    let report = Recipe::parse(&[recipe])?.apply(&mut run)?.methods.swap_remove(0);
    Ok((run.model, report))
}

fn reversed(tensor: &Tensor) -> Tensor {
    let mut values = tensor.to_vec::<f32>().unwrap();
    values.reverse();
    Tensor::from_slice(&values, &tensor.shape(), &tensor.device()).unwrap()
}

fn values(model: &Decoder) -> BTreeMap<String, Vec<f32>> {
    model
        .parameters()
        .into_iter()
        .map(|(name, tensor)| (name, tensor.to_vec::<f32>().unwrap()))
        .collect()
}

#[test]
fn the_average_decides_and_the_final_weights_stay() {
    let folder = tempfile::tempdir().unwrap();
    let dense = values(&model(&Device::available()[0]));
    let (pruned, report) = apply("weight-evolution(k=1.0)", folder.path()).unwrap();
    for (name, pruned) in values(&pruned) {
        let dense = &dense[&name];
        let average: Vec<f32> = dense.iter().rev().map(|w| w.abs()).collect();
        let threshold = deviation(&average) as f32;
        for ((pruned, dense), average) in pruned.iter().zip(dense).zip(&average) {
            let want = if *average >= threshold || threshold == 0.0 {
                *dense
            } else {
                0.0
            };
            assert_eq!(*pruned, want, "{name}");
        }
    }
    assert_eq!(report.basis, "stored parameters");
    assert_eq!(report.details["k"], 1.0);
    assert!(report.achieved_ratio > 0.3, "{}", report.achieved_ratio);
}

#[test]
fn a_target_is_met_by_every_score_and_scope() {
    let folder = tempfile::tempdir().unwrap();
    for score in ["trajectory", "final", "random"] {
        for scope in ["all", "matrices"] {
            for ratio in [0.1, 0.6, 0.943] {
                let recipe = format!("weight-evolution(ratio={ratio}, score={score}, scope={scope})");
                let (_, report) = apply(&recipe, folder.path()).unwrap();
                assert!(
                    (report.achieved_ratio - ratio).abs() < 1e-3,
                    "{recipe}: {}",
                    report.achieved_ratio
                );
            }
        }
    }
}

#[test]
fn masks_grow_with_k() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = |k: f64| -> Vec<bool> {
        let (pruned, _) = apply(&format!("weight-evolution(k={k})"), folder.path()).unwrap();
        values(&pruned).into_values().flatten().map(|w| w == 0.0).collect()
    };
    let mut before = zeros(0.0);
    assert!(before.iter().all(|zero| !zero), "k = 0 prunes nothing");
    for k in [0.247, 1.01, 1.9, 3.2] {
        let now = zeros(k);
        assert!(before.iter().zip(&now).all(|(before, now)| now >= before), "k = {k}");
        assert!(
            now.iter().filter(|&&zero| zero).count() > before.iter().filter(|&&zero| zero).count(),
            "k = {k}"
        );
        before = now;
    }
}

#[test]
fn matrices_alone_leave_embeddings_and_norms() {
    let folder = tempfile::tempdir().unwrap();
    let dense = values(&model(&Device::available()[0]));
    let (pruned, report) = apply("weight-evolution(ratio=0.5, scope=matrices)", folder.path()).unwrap();
    for (name, values) in values(&pruned) {
        let changed = values != dense[&name];
        assert_eq!(changed, name.ends_with("_proj.weight"), "{name}");
    }
    assert_eq!(report.basis, "prunable weights");
}

#[test]
fn rows_beyond_the_share_go_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (masked, before) = apply("weight-evolution(ratio=0.6)", folder.path()).unwrap();
    let (pruned, report) = apply("weight-evolution(ratio=0.6, rows=0.65)", folder.path()).unwrap();
    assert!(report.achieved_ratio > before.achieved_ratio + 0.01);
    assert!((report.details["sparsity_before_rows"].as_f64().unwrap() - before.achieved_ratio).abs() < 1e-9);
    for ((name, masked), (_, pruned)) in masked.parameters().into_iter().zip(pruned.parameters()) {
        let width = masked.shape().iter().skip(1).product::<usize>().max(1);
        let (masked, pruned) = (masked.to_vec::<f32>().unwrap(), pruned.to_vec::<f32>().unwrap());
        for (masked, pruned) in masked.chunks(width).zip(pruned.chunks(width)) {
            let share = masked.iter().filter(|&&w| w == 0.0).count() as f64 / width as f64;
            match share > 0.65 {
                true => assert!(pruned.iter().all(|&w| w == 0.0), "{name}"),
                false => assert_eq!(masked, pruned, "{name}"),
            }
        }
    }
}

#[test]
fn the_deviation_is_that_of_n_minus_1() {
    assert_eq!(deviation(&[1.0, 3.0]), 2f64.sqrt());
    assert_eq!(deviation(&[5.0]), 0.0);
}

#[test]
fn what_is_missing_or_contradictory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (recipe, part) in [
        ("weight-evolution", "one of the keys `ratio` and `k`"),
        ("weight-evolution(ratio=0.5, k=1.0)", "one of the keys `ratio` and `k`"),
        ("weight-evolution(k=1.0, score=random)", "give a `ratio`"),
        ("weight-evolution(k=-1.0)", "0 or more"),
        ("weight-evolution(ratio=0.5, rows=1.0)", "below 1"),
        ("weight-evolution(ratio=0.5, weighting=ema)", "kept no `ema` average"),
    ] {
        let error = apply(recipe, folder.path()).err().unwrap().to_string();
        assert!(error.contains(part), "{recipe}: {error}");
    }
    let model = model(&Device::available()[0]);
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut run = Run::new(&model, &[], 1, &mut quiet);
    let error = Recipe::parse(&["weight-evolution(ratio=0.5)"])
        .unwrap()
        .apply(&mut run)
        .unwrap_err();
    assert!(error.to_string().contains("prunebench pretrain"), "{error}");
}
