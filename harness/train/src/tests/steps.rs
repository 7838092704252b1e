//! What optimiser steps do to the weights.

use prunebench_tensor::Tensor;

use super::*;
use crate::weights::Weights;

/// What one step adds to every parameter.
fn change(decoder: &Decoder, settings: Settings) -> BTreeMap<String, Vec<f64>> {
    let before = values(decoder);
    let mut after = values(&trained(decoder, Trainable::All, settings, &mut []).decoder);
    for (name, values) in &mut after {
        values
            .iter_mut()
            .zip(&before[name])
            .for_each(|(after, before)| *after -= before);
    }
    after
}

#[test]
fn the_parameters_that_are_not_named_stay_as_they_are() {
    for device in devices() {
        let decoder = f32_decoder(&device);
        let before = values(&decoder);
        let named = ["layers.1.", "model.norm"];
        let trainable = Trainable::Named(named.map(str::to_owned).to_vec());
        let outcome = trained(&decoder, trainable, settings(2), &mut []);
        assert_eq!(values(&decoder), before, "{device}: the original was touched");
        let mut count = 0;
        for (name, after) in values(&outcome.decoder) {
            let is_named = named.iter().any(|part| name.contains(part));
            assert_eq!(after != before[&name], is_named, "{device}: {name}");
            count += if is_named { after.len() } else { 0 };
        }
        assert_eq!(outcome.trained_parameters, count);
    }
}

#[test]
fn names_that_no_parameter_has_are_refused() {
    let decoder = f32_decoder(&devices().next().unwrap());
    let refusal = |trainable| {
        Trainer::new(&decoder, trainable, settings(1), mixture(0), Vec::new(), 0)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(
        refusal(Trainable::Named(vec!["layer.1.".to_owned()])).contains("names are like `lm_head")
            || refusal(Trainable::Named(vec!["layer.1.".to_owned()])).contains("names are like `model.")
    );
    assert!(refusal(Trainable::Adapters).contains("attach"));
}

#[test]
fn groups_have_their_own_rates_and_decays_and_a_negative_rate_turns_the_step_around() {
    for device in devices() {
        let decoder = decoder(rotary(), DType::F64, &device);
        let before = values(&decoder);
        let plain = change(&decoder, settings(1));
        let group = |name: &str, learning_rate, weight_decay| Group {
            names: vec![name.to_owned()],
            learning_rate,
            weight_decay,
        };
        let groups = vec![
            group("q_proj", Some(0.0), None),
            group("mlp", Some(-1e-2), None),
            group("embed", Some(3e-2), None),
            group("layers.2.self_attn", None, Some(0.5)),
        ];
        let grouped = change(&decoder, Settings { groups, ..settings(1) });
        for (name, grouped) in grouped {
            for ((got, plain), before) in grouped.iter().zip(&plain[&name]).zip(&before[&name]) {
                let wanted = match name.as_str() {
                    name if name.contains("q_proj") => 0.0,
                    name if name.contains("mlp") => -plain,
                    name if name.contains("embed") => 3.0 * plain,
                    name if name.contains("layers.2.self_attn") => plain - 1e-2 * 0.5 * before,
                    _ => *plain,
                };
                assert!((got - wanted).abs() < 1e-14, "{device}: {name}: {got}, wanted {wanted}");
            }
        }
    }
}

#[test]
fn a_positive_rate_lowers_the_loss_and_a_negative_one_raises_it() {
    for device in devices() {
        let decoder = f32_decoder(&device);
        let losses = |learning_rate| {
            let settings = Settings {
                learning_rate,
                // Every step has all examples.
                batch: 9,
                ..settings(8)
            };
            let mut data = mixture(0);
            data.set_proportions(&[0.0, 1.0]).unwrap();
            let mut trainer = Trainer::new(&decoder, Trainable::All, settings, data, Vec::new(), 0).unwrap();
            let mut losses = Vec::new();
            trainer.train(&mut |entry| losses.push(entry.loss)).unwrap();
            losses
        };
        assert!(losses(1e-2).is_sorted_by(|a, b| a > b), "{device}");
        assert!(losses(-1e-2).is_sorted_by(|a, b| a < b), "{device}");
    }
}

/// With so large an epsilon the first change is almost the gradient, g / (|g| + 1), from which it can be had again.
#[test]
fn clipping_scales_the_whole_gradient_to_its_norm() {
    for device in devices() {
        let decoder = decoder(rotary(), DType::F64, &device);
        let wide = |clip| Settings {
            clip,
            eps: 1.0,
            learning_rate: 1.0,
            ..settings(1)
        };
        let gradient: BTreeMap<String, Vec<f64>> = change(&decoder, wide(None))
            .into_iter()
            .map(|(name, change)| (name, change.into_iter().map(|c| -c / (1.0 - c.abs())).collect()))
            .collect();
        let norm = gradient.values().flatten().map(|g| g * g).sum::<f64>().sqrt();
        let outcome = trained(&decoder, Trainable::All, wide(Some(norm / 3.0)), &mut []);
        let logged = outcome.entries.last().unwrap().gradient_norm;
        assert!(
            (logged - norm).abs() < 1e-9 * norm,
            "{device}: {logged} before clipping, wanted {norm}"
        );
        let before = values(&decoder);
        for (name, after) in values(&outcome.decoder) {
            for ((after, before), g) in after.iter().zip(&before[&name]).zip(&gradient[&name]) {
                let clipped = g / 3.0;
                let wanted = before - clipped / (clipped.abs() + 1.0);
                assert!(
                    (after - wanted).abs() < 1e-6,
                    "{device}: {name}: {after}, wanted {wanted}"
                );
            }
        }
        assert_eq!(
            change(&decoder, wide(Some(2.0 * norm))),
            change(&decoder, wide(None)),
            "{device}"
        );
    }
}

/// The bound is absolute, where the step changes weights by 0.1: its first one is steep in the gradients next to 0.
#[test]
fn an_adamw_step_is_the_same_on_every_engine_to_1e_5() {
    let step = Settings {
        learning_rate: 0.1,
        weight_decay: 0.1,
        clip: Some(0.5),
        ..settings(1)
    };
    for graph in [rotary(), gpt()] {
        let length = graph.max_position_embeddings.min(6);
        let step = Settings { length, ..step.clone() };
        let changes: Vec<_> = devices()
            .map(|device| change(&decoder(graph.clone(), DType::F32, &device), step.clone()))
            .collect();
        for other in &changes[1..] {
            let difference = largest_difference(&changes[0], other);
            assert!(difference < 1e-5, "{difference}");
        }
    }
}

#[test]
fn half_precision_passes_update_full_precision_masters() {
    struct Masters;
    impl Callback for Masters {
        fn updated(&mut self, _: &Moment, weights: &Weights) -> Result<()> {
            for (name, master) in weights.masters() {
                assert_eq!(master.dtype(), DType::F32, "{name}");
                assert_eq!(weights.leaves[name].dtype(), DType::BF16, "{name}");
            }
            Ok(())
        }
    }
    for device in devices() {
        let decoder = f32_decoder(&device);
        // Steps of a size that bf16 weights would round away.
        let small = Settings {
            learning_rate: 1e-5,
            bf16: true,
            ..settings(3)
        };
        let half = trained(&decoder, Trainable::All, small.clone(), &mut [&mut Masters]);
        let full = trained(&decoder, Trainable::All, Settings { bf16: false, ..small }, &mut []);
        assert_eq!(half.decoder.dtype(), DType::F32);
        let before = values(&decoder);
        let (half, full) = (values(&half.decoder), values(&full.decoder));
        let (mut alike, mut all) = (0, 0);
        for (name, before) in &before {
            for ((half, full), before) in half[name].iter().zip(&full[name]).zip(before) {
                assert!((half - before).abs() < 4e-5, "{device}: {name}");
                alike += usize::from((half - before) * (full - before) > 0.0);
                all += 1;
            }
        }
        assert!(
            alike > all * 9 / 10,
            "{device}: {alike} of {all} weights move as in full precision"
        );
    }
}

#[test]
fn pruned_weights_stay_zero_where_they_are_kept() {
    for device in devices() {
        let mut decoder = f32_decoder(&device);
        let pruned = |decoder: &Decoder| values(decoder)["model.layers.1.mlp.up_proj.weight"].clone();
        let kept: Vec<f32> = (0..12 * 8).map(|i| f32::from(u8::from(i % 3 != 0))).collect();
        let mask = Tensor::from_slice(&kept, &[12, 8], &device).unwrap();
        let up = decoder.blocks[1].linear_mut(LinearName::Up).unwrap();
        up.weight = up.weight.mul(&mask).unwrap();
        let before = pruned(&decoder);
        let free = trained(&decoder, Trainable::All, settings(3), &mut []);
        assert!(pruned(&free.decoder).iter().all(|&x| x != 0.0), "{device}");
        let mut keep = KeepZeros::of(decoder.parameters()).unwrap();
        let held = trained(&decoder, Trainable::All, settings(3), &mut [&mut keep]);
        for (before, after) in before.iter().zip(pruned(&held.decoder)) {
            assert_eq!(*before == 0.0, after == 0.0, "{device}");
            assert!(after == 0.0 || after != *before, "{device}: what is no zero is trained");
        }
    }
}

/// Every parameter after every step.
#[derive(Default)]
struct Recorder(Vec<BTreeMap<String, Vec<f64>>>);

impl Callback for Recorder {
    fn updated(&mut self, _: &Moment, weights: &Weights) -> Result<()> {
        let masters = weights.masters().iter();
        self.0.push(
            masters
                .map(|(name, master)| Ok((name.clone(), master.to_f64_vec()?)))
                .collect::<Result<_>>()?,
        );
        Ok(())
    }
}

#[test]
fn streamed_averages_equal_their_closed_forms() {
    use Weighting::{Ema, Linear, Magnitude, Sqrt, Uniform};
    let steps = 12;
    let share = |weighting, t: f64| match weighting {
        Linear | Magnitude => t,
        Uniform => 1.0,
        Sqrt => t.sqrt(),
        Ema if t == 1.0 => 0.99f64.powi(steps as i32 - 1),
        Ema => 0.01 * 0.99f64.powf(steps as f64 - t),
    };
    for device in devices() {
        let decoder = f32_decoder(&device);
        let mut trajectory = Trajectory::new(&[Linear, Uniform, Sqrt, Magnitude, Ema]);
        let mut recorder = Recorder::default();
        trained(
            &decoder,
            Trainable::All,
            settings(steps),
            &mut [&mut trajectory, &mut recorder],
        );
        let averages: BTreeMap<String, Vec<f64>> = trajectory
            .tensors()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.to_f64_vec().unwrap()))
            .collect();
        assert_eq!(averages.len(), 5 * decoder.parameters().len());
        for weighting in [Linear, Uniform, Sqrt, Magnitude, Ema] {
            let shares: Vec<f64> = (1..=steps).map(|t| share(weighting, t as f64)).collect();
            let total: f64 = shares.iter().sum();
            for name in recorder.0[0].keys() {
                for (index, got) in averages[&format!("{}.{name}", weighting.name())].iter().enumerate() {
                    let value = |weights: &BTreeMap<String, Vec<f64>>| match weighting {
                        Magnitude => weights[name][index].abs(),
                        _ => weights[name][index],
                    };
                    let sum: f64 = recorder
                        .0
                        .iter()
                        .zip(&shares)
                        .map(|(weights, share)| share * value(weights))
                        .sum();
                    assert!(
                        (got - sum / total).abs() < 1e-6,
                        "{device}: {weighting:?} of {name}: {got}, wanted {}",
                        sum / total
                    );
                }
            }
        }
    }
}

#[test]
fn a_sequence_longer_than_the_context_is_refused() {
    let decoder = f32_decoder(&devices().next().unwrap());
    let long = Settings {
        length: 33,
        ..settings(1)
    };
    let refusal = |settings, mixture| {
        Trainer::new(&decoder, Trainable::All, settings, mixture, Vec::new(), 0)
            .err()
            .unwrap()
            .to_string()
    };
    let error = refusal(long, mixture_of(33, 0));
    assert!(
        error.contains("`length` = 33") && error.contains("context of 32"),
        "{error}"
    );
    let error = refusal(settings(1), mixture_of(33, 0));
    assert!(error.contains("`length` = 6, and the data was cut for 33"), "{error}");
}
