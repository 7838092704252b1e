//! After a mask, on a small random model.

use prunebench_model::Decoder;
use prunebench_tensor::Device;
use prunebench_train::{Domain, Example, Source, Validation};

use crate::fixture::{model, windows, zeros};
use crate::{Recipe, Recovery, Result, Run};

const TRAINING: &str = "lora(steps=3, batch=2, length=16, learning_rate=1e-2";

fn tokens(count: u32) -> Vec<u32> {
    (0..count).map(|t| (t * t * 7 + t * 5) % 64).collect()
}

fn apply(recipe: &[&str], dense: &Decoder, validation: Vec<Validation>) -> Result<Decoder> {
    let text = Domain {
        name: "a".to_owned(),
        source: Source::Stream(tokens(500)),
    };
    let recovery = Recovery {
        domains: vec![(text, 1.0)],
        validation,
    };
    let (windows, mut quiet) = (windows(), |_: usize, _: usize, _: &str| {});
    let mut run = Run::new(dense, &windows, 0, &mut quiet).with(recovery, None);
    Recipe::parse(recipe)?.apply(&mut run)?;
    Ok(run.model)
}

#[test]
fn a_mask_is_the_same_after_training_and_every_other_weight_of_the_blocks_is_trained() {
    let training = format!("{TRAINING})");
    for device in Device::available() {
        let dense = model(&device);
        for mask in [
            "magnitude(ratio=0.5)",
            "wanda(ratio=0.5)",
            "random(ratio=0.5, unit=weights)",
        ] {
            let pruned = apply(&[mask], &dense, Vec::new()).unwrap();
            let tuned = apply(&[mask, &training], &dense, Vec::new()).unwrap();
            assert_eq!(zeros(&tuned), zeros(&pruned), "{device}: {mask}");
            for ((name, before), (_, after)) in pruned.parameters().into_iter().zip(tuned.parameters()) {
                let values = [before, after].map(|tensor| tensor.to_f64_vec().unwrap());
                let same = values[0].iter().zip(&values[1]).filter(|(a, b)| a == b).count();
                let masked = values[0].iter().filter(|&&value| value == 0.0).count();
                let wanted = match name.contains("_proj") {
                    true => masked..masked + values[0].len() / 20,
                    false => values[0].len()..values[0].len() + 1,
                };
                assert!(
                    wanted.contains(&same),
                    "{device}: {mask}: {name}: {same} unchanged, {masked} zero"
                );
            }
            assert_eq!(
                tuned.accounting().unwrap().mask_sparsity(),
                pruned.accounting().unwrap().mask_sparsity()
            );
        }
    }
}

#[test]
fn zeros_that_no_method_made_are_trained_like_other_weights() {
    let training = format!("{TRAINING})");
    for device in Device::available() {
        // Zeros of a mask that the model came with.
        let came_with = apply(&["magnitude(ratio=0.5)"], &model(&device), Vec::new()).unwrap();
        let tuned = apply(&[&training], &came_with, Vec::new()).unwrap();
        assert_eq!(tuned.accounting().unwrap().mask_sparsity(), 0.0, "{device}");
    }
}

#[test]
fn the_best_weights_can_only_be_kept_where_the_run_has_something_to_validate_on() {
    let dense = model(&Device::available()[0]);
    let training = format!("{TRAINING}, validate_every=1, keep_best=true)");
    let refusal = apply(&[&training], &dense, Vec::new()).err().unwrap().to_string();
    for part in [
        "lora needs data to validate on",
        "`validation = 100` under [recovery]",
        "leave `keep_best` out",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
    let set = Validation {
        name: "a".to_owned(),
        examples: vec![Example::new("a", 0, tokens(16), 0)],
        cut: false,
    };
    assert!(apply(&[&training], &dense, vec![set]).is_ok());
}
