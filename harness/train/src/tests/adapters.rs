//! Low-rank adapters.

use prunebench_tensor::Tensor;

use super::*;

fn with_adapters(device: &Device, lora: &Lora) -> Decoder {
    let mut decoder = f32_decoder(device);
    lora.attach(&mut decoder, 2, true).unwrap();
    decoder
}

fn logits(decoder: &Decoder) -> Vec<f64> {
    let ids = decoder.ids(&SEQUENCES).unwrap();
    decoder.forward(&ids).unwrap().to_f64_vec().unwrap()
}

#[test]
fn adapters_start_as_no_change() {
    for device in devices() {
        let lora = Lora {
            dropout: 0.0,
            ..Lora::default()
        };
        assert_eq!(
            logits(&with_adapters(&device, &lora)),
            logits(&f32_decoder(&device)),
            "{device}"
        );
    }
}

#[test]
fn only_the_adapters_are_trained_and_every_one_is() {
    for device in devices() {
        let decoder = with_adapters(&device, &Lora::default());
        let before = values(&decoder);
        let outcome = trained(&decoder, Trainable::Adapters, settings(2), &mut []);
        let mut count = 0;
        for (name, after) in values(&outcome.decoder) {
            assert_eq!(after != before[&name], name.contains(".lora_"), "{device}: {name}");
            count += if name.contains(".lora_") { after.len() } else { 0 };
        }
        assert_eq!(outcome.trained_parameters, count);
        // Three blocks of seven linears, rank 8: inputs and outputs of each.
        assert_eq!(
            count,
            3 * 8 * ((8 + 16) + 2 * (8 + 8) + (16 + 8) + 2 * (8 + 12) + (12 + 8))
        );
    }
}

#[test]
fn a_merged_model_has_the_outputs_of_the_unmerged_one() {
    for device in devices() {
        let decoder = with_adapters(&device, &Lora::default());
        let mut outcome = trained(&decoder, Trainable::Adapters, settings(5), &mut []).decoder;
        let unmerged = logits(&outcome);
        outcome.merge_deltas().unwrap();
        assert_eq!(outcome.deltas_mut().count(), 0);
        for (merged, unmerged) in logits(&outcome).iter().zip(&unmerged) {
            assert!(
                (merged - unmerged).abs() < 1e-5,
                "{device}: {merged}, unmerged {unmerged}"
            );
        }
        let moved = unmerged
            .iter()
            .zip(logits(&decoder))
            .any(|(after, before)| (after - before).abs() > 1e-3);
        assert!(moved, "{device}: training changed nothing");
    }
}

#[test]
fn masked_adapters_leave_zeros_zero_and_merge_to_the_same_outputs() {
    for device in devices() {
        let mut pruned = f32_decoder(&device);
        let up = &mut pruned.blocks[1].linear_mut(LinearName::Up).unwrap().weight;
        let kept: Vec<f32> = (0..12 * 8).map(|i| f32::from(u8::from(i % 3 != 0))).collect();
        *up = up.mul(&Tensor::from_slice(&kept, &[12, 8], &device).unwrap()).unwrap();
        let lora = Lora {
            dropout: 0.0,
            ..Lora::default()
        };
        let after = |keep_zeros, bf16| {
            let mut decoder = pruned.clone();
            lora.attach(&mut decoder, 2, keep_zeros).unwrap();
            let settings = Settings { bf16, ..settings(5) };
            let mut outcome = trained(&decoder, Trainable::Adapters, settings, &mut []).decoder;
            let unmerged = logits(&outcome);
            outcome.merge_deltas().unwrap();
            for (merged, unmerged) in logits(&outcome).iter().zip(&unmerged) {
                assert!(
                    (merged - unmerged).abs() < 1e-5,
                    "{device}: {merged}, unmerged {unmerged}"
                );
            }
            outcome
        };
        let weights = |decoder: &Decoder| values(decoder)["model.layers.1.mlp.up_proj.weight"].clone();
        let before = weights(&pruned);
        for bf16 in [false, true] {
            for (before, after) in before.iter().zip(weights(&after(true, bf16))) {
                assert_eq!(*before == 0.0, after == 0.0, "{device}");
                assert!(after == 0.0 || after != *before, "{device}: what is no zero is trained");
            }
        }
        assert!(weights(&after(false, false)).iter().all(|&x| x != 0.0), "{device}");
    }
}

/// The bound is relative to the largest change of a weight; dropout zeroes the same elements on both.
#[test]
fn ten_steps_with_dropout_are_the_same_on_every_engine_to_1e_5() {
    let trained: Vec<_> = devices()
        .map(|device| {
            let decoder = with_adapters(&device, &Lora::default());
            let outcome = trained(&decoder, Trainable::Adapters, settings(10), &mut []);
            (values(&decoder), values(&outcome.decoder))
        })
        .collect();
    let (before, after) = &trained[0];
    let largest = largest_difference(before, after);
    assert!(largest > 0.05);
    for (start, end) in &trained[1..] {
        assert_eq!(start, before, "the adapters' draws do not depend on the engine");
        let difference = largest_difference(after, end) / largest;
        assert!(difference < 1e-5, "{difference}");
    }
}

#[test]
fn dropout_belongs_to_training_alone() {
    for device in devices() {
        let lora = |dropout| Lora {
            dropout,
            ..Lora::default()
        };
        let run = |dropout| {
            let decoder = with_adapters(&device, &lora(dropout));
            trained(&decoder, Trainable::Adapters, settings(3), &mut []).decoder
        };
        let (dropped, plain) = (run(0.5), run(0.0));
        assert_ne!(values(&dropped), values(&plain), "{device}: dropout did nothing");
        assert_eq!(logits(&dropped), logits(&dropped), "{device}");
        let mut dropped = dropped;
        assert!(dropped.deltas_mut().all(|delta| delta.dropout.is_none()));
    }
}

#[test]
fn targets_choose_the_linears() {
    let device = devices().next().unwrap();
    let lora = Lora {
        targets: vec![LinearName::Q, LinearName::Down],
        rank: 3,
        alpha: 6.0,
        dropout: 0.0,
    };
    let mut decoder = with_adapters(&device, &lora);
    assert!(decoder.deltas_mut().all(|delta| delta.shape.scale == 2.0));
    let adapters: Vec<_> = decoder
        .parameters()
        .into_iter()
        .filter(|(name, _)| name.contains(".lora_"))
        .collect();
    let shapes: Vec<_> = adapters[..2]
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.shape()))
        .collect();
    assert_eq!(adapters.len(), 12);
    assert_eq!(
        shapes,
        [
            ("model.layers.0.self_attn.q_proj.lora_A.weight", vec![3, 8]),
            ("model.layers.0.self_attn.q_proj.lora_B.weight", vec![16, 3])
        ]
    );
    let bound = 1.0 / 8f64.sqrt();
    let drawn: Vec<f64> = adapters
        .iter()
        .filter(|(name, _)| name.contains("q_proj.lora_A"))
        .flat_map(|(_, down)| down.to_f64_vec().unwrap())
        .collect();
    assert!(drawn.iter().all(|x| x.abs() <= bound));
    assert!(drawn.iter().any(|&x| x > 0.7 * bound) && drawn.iter().any(|&x| x < -0.7 * bound));
}

#[test]
fn settings_that_make_no_adapter_are_refused() {
    let device = devices().next().unwrap();
    for lora in [
        Lora {
            rank: 0,
            ..Lora::default()
        },
        Lora {
            dropout: 1.0,
            ..Lora::default()
        },
        Lora {
            alpha: f64::NAN,
            ..Lora::default()
        },
        Lora {
            targets: vec![],
            ..Lora::default()
        },
    ] {
        let error = lora.attach(&mut f32_decoder(&device), 0, true).unwrap_err().to_string();
        assert!(error.contains("a rank of at least 1"), "{error}");
    }
}

#[test]
fn blocks_that_borrow_are_fine_tuned_and_adapted_alike_on_every_engine() {
    let outcomes: Vec<_> = devices()
        .map(|device| {
            let plain = decoder(borrowing(), DType::F32, &device);
            let tuned = values(&trained(&plain, Trainable::All, settings(5), &mut []).decoder);
            for (name, before) in values(&plain) {
                assert_ne!(tuned[&name], before, "{device}: {name} was not trained");
            }
            let mut adapted = plain.clone();
            let lora = Lora {
                rank: 2,
                ..Lora::default()
            };
            lora.attach(&mut adapted, 2, false).unwrap();
            let start = values(&adapted);
            let outcome = trained(&adapted, Trainable::Adapters, settings(5), &mut []).decoder;
            for (name, after) in values(&outcome) {
                assert_eq!(after != start[&name], name.contains(".lora_"), "{device}: {name}");
            }
            // Blocks 1 and 2 got a delta for each linear, the first beside its own; slots keep those that they came with.
            assert_eq!(adapted.deltas_mut().count(), 2 + 7 + 2 * 7);
            let mut merged = outcome.clone();
            merged.merge_deltas().unwrap();
            assert_eq!(merged.deltas_mut().count(), 7);
            for (merged, unmerged) in logits(&merged).iter().zip(logits(&outcome)) {
                assert!((merged - unmerged).abs() < 1e-5, "{device}: {merged}, {unmerged}");
            }
            (tuned, values(&merged))
        })
        .collect();
    for (tuned, merged) in &outcomes[1..] {
        assert!(largest_difference(tuned, &outcomes[0].0) < 1e-4);
        assert!(largest_difference(merged, &outcomes[0].1) < 1e-4);
    }
}
