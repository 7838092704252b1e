use prunebench_model::Decoder;
use prunebench_tensor::Device;
use prunebench_train::{Domain, Source};

use crate::fixture::{BLOCKS, HIDDEN, model, windows};
use crate::{Applied, Recipe, Recovery, Result, Run};

const RECOVERY: &str = "finetune(steps=2, batch=2, length=16)";
/// Leaves what it finds.
const NO_RECOVERY: &str = "finetune(steps=1, batch=2, length=16, learning_rate=0)";

fn apply(recipe: &[&str], device: &Device, seed: u64) -> Result<(Decoder, Applied, u64)> {
    let text = Domain {
        name: "a".to_owned(),
        source: Source::Stream((0..500).map(|t: u32| (t * t * 7 + t * 5) % 64).collect()),
    };
    let recovery = Recovery {
        domains: vec![(text, 1.0)],
        validation: Vec::new(),
    };
    let (dense, windows) = (model(device), windows());
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut run = Run::new(&dense, &windows, seed, &mut quiet).with(recovery, None);
    let applied = Recipe::parse(recipe)?.apply(&mut run)?;
    let tokens = run.budget().training_tokens;
    Ok((run.model, applied, tokens))
}

fn values(model: &Decoder) -> Vec<(String, Vec<f64>)> {
    let parameters = model.parameters().into_iter();
    parameters
        .map(|(name, tensor)| (name, tensor.to_f64_vec().unwrap()))
        .collect()
}

#[test]
fn the_shape_and_the_tokens_are_those_of_the_recipe_beside_it_and_no_weight_is() {
    for device in Device::available() {
        let (scratch, applied, tokens) = apply(&["shortgpt(blocks=2)", "from-scratch", RECOVERY], &device, 1).unwrap();
        let (tuned, beside, same_tokens) = apply(&["shortgpt(blocks=2)", RECOVERY], &device, 1).unwrap();
        assert_eq!(scratch.graph, tuned.graph);
        assert_eq!(scratch.blocks.len(), BLOCKS - 2);
        assert_eq!((tokens, applied.achieved_ratio), (same_tokens, beside.achieved_ratio));
        for ((name, scratch), (_, tuned)) in values(&scratch).into_iter().zip(values(&tuned)) {
            // Gains start at 1 in both.
            if !name.contains("norm") {
                assert!(scratch.iter().zip(&tuned).all(|(a, b)| a != b), "{device}: {name}");
            }
        }
    }
}

#[test]
fn weights_are_drawn_by_the_seed_alike_on_every_engine() {
    let drawn = |device: &Device, seed| values(&apply(&["from-scratch", NO_RECOVERY], device, seed).unwrap().0);
    let devices = Device::available();
    let first = drawn(&devices[0], 3);
    for device in &devices {
        assert_eq!(drawn(device, 3), first, "{device}");
    }
    assert_ne!(drawn(&devices[0], 4), first);
}

#[test]
fn zeros_of_a_mask_stay_and_no_others_come() {
    for device in Device::available() {
        let zeros = |recipe: &[&str]| -> Vec<Vec<bool>> {
            let (model, ..) = apply(recipe, &device, 0).unwrap();
            let is_zero = |values: Vec<f64>| values.into_iter().map(|x| x == 0.0).collect();
            values(&model).into_iter().map(|(_, values)| is_zero(values)).collect()
        };
        let masked = zeros(&["magnitude(ratio=0.5)", RECOVERY]);
        assert!(masked.iter().flatten().any(|&zero| zero));
        assert_eq!(
            zeros(&["magnitude(ratio=0.5)", "from-scratch", RECOVERY]),
            masked,
            "{device}"
        );
    }
}

#[test]
fn the_stream_of_a_sliced_model_starts_as_it_is() {
    let device = Device::available()[0];
    let (model, ..) = apply(&["slicegpt(ratio=0.25)", "from-scratch", NO_RECOVERY], &device, 0).unwrap();
    let shortcuts: Vec<_> = values(&model)
        .into_iter()
        .filter(|(name, _)| name.ends_with(".shortcut.weight"))
        .collect();
    assert!(!shortcuts.is_empty());
    let width = HIDDEN * 3 / 4;
    for (name, shortcut) in shortcuts {
        for (row, values) in shortcut.chunks(width).enumerate() {
            let wanted = (0..width).map(|column| f64::from(u8::from(column == row)));
            assert!(values.iter().copied().eq(wanted), "{name}");
        }
    }
}

#[test]
fn a_recipe_without_a_training_after_it_is_refused() {
    let device = Device::available()[0];
    for recipe in [
        &["from-scratch"][..],
        &["shortgpt(blocks=2)", "from-scratch"],
        &[RECOVERY, "from-scratch", "dense"],
        &["from-scratch", RECOVERY, "from-scratch"],
    ] {
        let refusal = Recipe::parse(recipe).unwrap().check().unwrap_err().to_string();
        assert!(
            refusal.contains("`from-scratch` leaves random weights") && refusal.contains("finetune"),
            "{refusal}"
        );
        assert_eq!(apply(recipe, &device, 0).err().unwrap().to_string(), refusal);
    }
    assert!(
        Recipe::parse(&["from-scratch", "lora(steps=1)"])
            .unwrap()
            .check()
            .is_ok()
    );
}
