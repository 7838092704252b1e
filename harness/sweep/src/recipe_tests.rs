use prunebench_model::source::ModelSource;
use prunebench_tensor::{DType, Device, Tensor};

use super::*;

fn tiny() -> LoadedModel {
    let source: ModelSource = "tiny".parse().unwrap();
    source
        .resolve()
        .unwrap()
        .load(&Device::available()[0], DType::F32)
        .unwrap()
}

/// A recipe on a model, which trains on the sample of the synthetic world if it trains.
fn compressed(model: &LoadedModel, recipe: &[&str]) -> Compressed {
    let recipe: Vec<String> = recipe.iter().map(ToString::to_string).collect();
    let recovery = Recovery {
        texts: vec!["world/train-sample".into()],
        ..Recovery::default()
    };
    let supplies = Supplies {
        calibration: None,
        recovery: Some(&recovery),
        places: &Places::from_env(None),
        planned: None,
        sharing: None,
        keeping: None,
    };
    compress(model, &recipe, supplies, 0, &mut |_, _, _| {}).unwrap()
}

#[test]
fn what_training_fills_again_is_not_removed() {
    let model = tiny();
    let train = |more: &str| format!("finetune(steps=1, batch=2, length=32, learning_rate=1e-3{more})");
    let ratios = |recipe: &[&str]| {
        let of = compressed(&model, recipe).compression;
        (of.nominal_ratio, of.achieved_ratio, of.method_reports[0].achieved)
    };
    let (nominal, achieved, at_first) = ratios(&["magnitude(ratio=0.5)", &train(", keep_zeros=false")]);
    assert_eq!((nominal, at_first), (Some(0.5), 0.5));
    assert!(achieved < 0.01, "{achieved}");
    assert_eq!(ratios(&["magnitude(ratio=0.5)", &train("")]), (Some(0.5), 0.5, 0.5));
    assert_eq!(ratios(&["prune-range(start=3, end=5)"]).1, 0.25);
}

#[test]
fn zeros_count_wherever_they_are_stored() {
    let mut model = tiny();
    let before = compressed(&model, &["dense"]).accounting;
    let embedding = &model.decoder.embedding;
    let (rows, width) = (embedding.dim(0).unwrap(), embedding.dim(1).unwrap());
    let mut values = embedding.to_vec::<f32>().unwrap();
    values[..3 * width].fill(0.0);
    model.decoder.embedding = Tensor::from_slice(&values, &[rows, width], &embedding.device()).unwrap();
    let gain = &mut model.decoder.final_norm.gain;
    *gain = gain.mul_scalar(0.0).unwrap();
    let after = compressed(&model, &["dense"]).accounting;
    assert_eq!(after.stored_parameters, before.stored_parameters);
    assert_eq!(before.nonzero_parameters - after.nonzero_parameters, 4 * width as u64);
}
