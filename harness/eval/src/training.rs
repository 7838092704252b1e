//! Speed of training steps.

use prunebench_model::Decoder;
use prunebench_results::{Samples, TrainedParameters, TrainingRequest, TrainingResult};
use prunebench_train::{Domain, Lora, Mixture, Settings, Source, Trainable, Trainer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Error, Result};

/// Tokens that sequences are cut from, at places drawn anew for each.
const RANDOM_TOKENS: usize = 1 << 20;

/// Speed of training `decoder` as `request` says, with `threads` as part of its name. `progress` hears the steps done, warm-up
/// included, and those in all.
///
/// A step reads `batch × tokens` tokens of a random text at places of its own, predicts the successor of each, and updates the parameters
/// with AdamW: its clock runs from drawing the sequences to the last update, with the device waited for.
///
/// # Errors
/// [`Error::Training`] for a request that trains nothing or exceeds the model's context, [`Error::Throughput`] for one that is
/// not warmed up.
pub fn training_throughput(
    decoder: &Decoder,
    request: &TrainingRequest,
    threads: usize,
    seed: u64,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<TrainingResult> {
    let &TrainingRequest {
        parameters,
        recompute,
        tokens,
        batch,
        micro_batch,
        repeats,
        warmup,
    } = request;
    if repeats == 0 || warmup == 0 {
        return Err(Error::Throughput {
            problem: format!(
                "repeats is {repeats} and warmup {warmup}, but a step must be timed, and the first one makes the optimiser's \
                 state and fills caches: at least 1 of each is wanted"
            ),
        });
    }
    let mut decoder = decoder.clone();
    let trainable = match parameters {
        TrainedParameters::Full => Trainable::All,
        TrainedParameters::Lora => {
            Lora::default().attach(&mut decoder, seed, false)?;
            Trainable::Adapters
        }
    };
    let total = warmup + repeats;
    let settings = Settings {
        steps: Some(total as u64),
        batch,
        micro_batch,
        length: tokens,
        recompute,
        ..Settings::default()
    };
    settings.validate()?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let vocabulary = decoder.graph.vocab_size as u32;
    let text = (0..RANDOM_TOKENS).map(|_| rng.random_range(0..vocabulary));
    let domain = Domain {
        name: "random".to_owned(),
        source: Source::Stream(text.collect()),
    };
    let mixture = Mixture::new(vec![domain], &[1.0], tokens, seed)?;
    let mut trainer = Trainer::new(&decoder, trainable, settings, mixture, Vec::new(), seed)?;
    progress(0, total);
    let (mut seconds, mut until) = (Vec::with_capacity(total), 0.0);
    trainer.train(&mut |entry| {
        seconds.push(entry.seconds - until);
        until = entry.seconds;
        progress(seconds.len(), total);
    })?;
    let timed = seconds.split_off(warmup);
    Ok(TrainingResult {
        parameters,
        recompute,
        trained_parameters: trainer.finish()?.trained_parameters,
        tokens,
        batch,
        micro_batch: micro_batch.unwrap_or(batch),
        threads,
        steps: Samples::new(batch * tokens, timed)?,
        first_call_s: seconds[0],
    })
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::Engine;

    use super::*;
    use crate::perplexity::tests::small_decoder;

    const REQUEST: TrainingRequest = TrainingRequest {
        parameters: TrainedParameters::Full,
        recompute: false,
        tokens: 6,
        batch: 2,
        micro_batch: None,
        repeats: 3,
        warmup: 1,
    };

    #[test]
    fn steps_after_the_warm_up_are_timed_and_the_model_stays_as_it_was() {
        for &engine in Engine::compiled() {
            let decoder = small_decoder(engine);
            let before = decoder.embedding.to_f64_vec().unwrap();
            let mut trained = Vec::new();
            for parameters in [TrainedParameters::Full, TrainedParameters::Lora] {
                let request = TrainingRequest {
                    parameters,
                    recompute: parameters == TrainedParameters::Lora,
                    micro_batch: Some(1),
                    ..REQUEST
                };
                let mut heard = Vec::new();
                let result =
                    training_throughput(&decoder, &request, 5, 0, &mut |done, all| heard.push((done, all))).unwrap();
                assert_eq!((result.steps.tokens, result.steps.seconds.len()), (12, 3));
                assert_eq!(
                    (result.tokens, result.batch, result.micro_batch, result.threads),
                    (6, 2, 1, 5)
                );
                assert!(result.first_call_s > 0.0);
                assert_eq!(heard, [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]);
                trained.push(result.trained_parameters);
            }
            let stored: usize = decoder.parameters().iter().map(|(_, tensor)| tensor.elem_count()).sum();
            assert_eq!(trained[0], stored);
            assert_ne!(trained[1], stored);
            assert_eq!(decoder.embedding.to_f64_vec().unwrap(), before, "{engine}");
        }
    }

    #[test]
    fn a_request_that_trains_nothing_is_refused_with_its_reason() {
        let decoder = small_decoder(Engine::compiled()[0]);
        for (request, wanted) in [
            (TrainingRequest { repeats: 0, ..REQUEST }, "repeats is 0"),
            (TrainingRequest { warmup: 0, ..REQUEST }, "warmup 0"),
            (TrainingRequest { batch: 0, ..REQUEST }, "`batch` = 0"),
            (TrainingRequest { tokens: 0, ..REQUEST }, "`length` = 0"),
            (
                TrainingRequest {
                    tokens: 100_000,
                    ..REQUEST
                },
                "context of 64",
            ),
        ] {
            let error = training_throughput(&decoder, &request, 1, 0, &mut |_, _| {})
                .unwrap_err()
                .to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
