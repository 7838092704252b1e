//! What a run is validated on, and the weights that are best by it.

use prunebench_tensor::Tensor;

use super::*;
use crate::weights::Weights;

/// With one example that has nothing to predict.
fn validation() -> Vec<Validation> {
    vec![
        validated("first", &[&[1, 2, 3], &[5], &[4, 4, 9, 0]]),
        validated("second", &[&[7, 7]]),
    ]
}

#[test]
fn the_best_weights_are_those_of_the_lowest_validation_loss() {
    for device in devices() {
        let decoder = f32_decoder(&device);
        // Ascent: the first validation is the best.
        let ascent = |steps, keep_best| Settings {
            learning_rate: -1e-2,
            validate_every: Some(1),
            micro_batch: Some(1),
            keep_best,
            ..settings(steps)
        };
        let run = |settings: Settings, track: bool| {
            let mut trainer = Trainer::new(&decoder, Trainable::All, settings, mixture(3), validation(), 5).unwrap();
            if track {
                trainer.track_best();
            }
            let mut losses = Vec::new();
            trainer
                .train(&mut |entry| losses.push(entry.validation.clone()))
                .unwrap();
            (trainer.finish().unwrap(), losses)
        };
        let (first, _) = run(ascent(1, false), false);
        assert!(first.best.is_none());
        let (kept, losses) = run(ascent(4, true), false);
        assert_eq!(values(&kept.decoder), values(&first.decoder), "{device}");
        let best = kept.best.unwrap();
        assert_eq!(best.step, 1);
        // Five predictions in the first set, one in the second.
        assert_eq!(losses.len(), 4);
        let mean = (losses[0][0].1 * 5.0 + losses[0][1].1) / 6.0;
        assert!(
            (best.loss - mean).abs() < 1e-12,
            "{device}: {}, wanted {mean}",
            best.loss
        );
        let (last, _) = run(ascent(4, false), true);
        assert_eq!(values(&last.best.unwrap().decoder), values(&first.decoder), "{device}");
        assert_ne!(values(&last.decoder), values(&first.decoder), "{device}");
    }
}

#[test]
fn validation_that_predicts_nothing_or_exceeds_the_context_is_refused() {
    let decoder = f32_decoder(&devices().next().unwrap());
    let refusal = |tokens: Vec<u32>| {
        let sets = vec![validated("poems", &[&tokens])];
        Trainer::new(&decoder, Trainable::All, settings(1), mixture(0), sets, 0)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(refusal(vec![1]).contains("`poems` predicts nothing"));
    assert!(
        refusal(vec![1; 34]).contains("`poems` has a sequence of 33 tokens"),
        "{}",
        refusal(vec![1; 34])
    );
}

#[test]
fn examples_are_cut_to_be_validated_on_as_they_are_to_be_trained_on() {
    let device = devices().next().unwrap();
    let decoder = f32_decoder(&device);
    let losses = |set: Validation| {
        let mut trainer = Trainer::new(&decoder, Trainable::All, settings(1), mixture(0), vec![set], 0)?;
        let mut losses = Vec::new();
        trainer.train(&mut |entry| losses.push(entry.validation.clone()))?;
        Ok::<_, TrainError>(losses)
    };
    // Beyond the context of 32 tokens as well as the length of 6.
    let long: Vec<u32> = (0..40).map(|i| i * i % 11).collect();
    let cut = |set: Validation| Validation { cut: true, ..set };
    let by_hand = losses(validated("a", &[&long[..6], &[1, 2]])).unwrap();
    assert_eq!(losses(cut(validated("a", &[&long, &[1, 2]]))).unwrap(), by_hand);
    let refusal = losses(validated("a", &[&long])).unwrap_err().to_string();
    assert!(refusal.contains("a sequence of 39 tokens"), "{refusal}");
    let mut given = cut(validated("a", &[&long]));
    given.examples[0].prompt = 6;
    let refusal = losses(given).unwrap_err().to_string();
    assert!(
        refusal.contains("predicts nothing") && refusal.contains("raise `length`"),
        "{refusal}"
    );
}

#[test]
fn the_best_can_only_be_kept_where_something_is_validated_on() {
    let decoder = f32_decoder(&devices().next().unwrap());
    let kept = Settings {
        keep_best: true,
        ..settings(1)
    };
    let new = |sets| Trainer::new(&decoder, Trainable::All, kept.clone(), mixture(0), sets, 0);
    let refusal = new(Vec::new()).err().unwrap().to_string();
    for part in ["`keep_best`", "no validation set", "[recovery]", "[[validation]]"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    assert!(new(validation()).is_ok());
}

/// Makes a weight no number after some of the steps, for as long as the validation takes.
struct Spoil {
    steps: u64,
    step: u64,
    weight: Option<(Tensor, Tensor)>,
}

impl Spoil {
    fn first(steps: u64) -> Self {
        Self {
            steps,
            step: 0,
            weight: None,
        }
    }
}

impl Callback for Spoil {
    fn updated(&mut self, _: &Moment, weights: &Weights) -> Result<()> {
        self.step += 1;
        if self.step <= self.steps {
            let weight = &weights.masters()["model.norm.weight"];
            self.weight = Some((weight.clone(), weight.param()?.detach()?));
            weight.write_slice(0, 0, &Tensor::full(&[8], f64::NAN, DType::F32, &weight.device())?)?;
        }
        Ok(())
    }

    fn validated(&mut self, _: &Moment, _: &[(String, Loss)], _: &mut Mixture) -> Result<()> {
        match self.weight.take() {
            Some((weight, before)) => Ok(weight.write_slice(0, 0, &before)?),
            None => Ok(()),
        }
    }
}

#[test]
fn a_loss_that_is_no_number_is_never_the_best_though_it_comes_first() {
    for device in devices() {
        let decoder = f32_decoder(&device);
        let run = |spoilt| {
            let settings = Settings {
                validate_every: Some(1),
                keep_best: true,
                ..settings(4)
            };
            let mut spoil = Spoil::first(spoilt);
            let mut trainer = Trainer::new(&decoder, Trainable::All, settings, mixture(3), validation(), 5).unwrap();
            let mut losses = Vec::new();
            trainer.call(&mut spoil).unwrap();
            trainer.train(&mut |entry| losses.push(entry.validation[0].1)).unwrap();
            (losses, trainer.finish())
        };
        let (losses, trained) = run(2);
        assert!(
            losses[0].is_nan() && losses[1].is_nan() && losses[2].is_finite(),
            "{losses:?}"
        );
        let best = trained.unwrap().best.unwrap();
        assert!(
            best.step > 2 && best.loss.is_finite(),
            "{device}: {} at {}",
            best.loss,
            best.step
        );
        let (_, trained) = run(4);
        let error = trained.err().unwrap();
        assert!(matches!(error, TrainError::NoBest), "{device}: {error}");
    }
}

#[test]
fn a_warm_up_longer_than_the_run_is_refused_with_what_fits() {
    let decoder = f32_decoder(&devices().next().unwrap());
    let warm = |warmup, settings: Settings| {
        let settings = Settings { warmup, ..settings };
        Trainer::new(&decoder, Trainable::All, settings, mixture(0), Vec::new(), 0).err()
    };
    // Four sequences of the mixture have about 19 tokens.
    let by_tokens = Settings {
        steps: None,
        tokens: Some(60.0),
        ..settings(1)
    };
    for (settings, steps) in [(settings(3), 3), (by_tokens, 3)] {
        assert!(warm(steps, settings.clone()).is_none());
        let refusal = warm(steps + 1, settings).unwrap().to_string();
        for part in [
            format!("`warmup` = {}", steps + 1),
            format!("the run has {steps}"),
            format!("{steps} at most"),
            format!("{} steps and more", steps + 1),
        ] {
            assert!(refusal.contains(&part), "{part}: {refusal}");
        }
    }
    let known = Settings {
        warmup: 5,
        ..settings(4)
    };
    assert!(known.validate().is_err(), "before there is a model");
}
