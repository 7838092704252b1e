//! The training loop.

mod resume;

use std::collections::BTreeMap;
use std::time::Instant;

use prunebench_model::Decoder;
use prunebench_tensor::Tensor;
use serde_json::Value;

use crate::checkpoint::Checkpoints;
use crate::data::{Batch, Example, Mixture};
use crate::gradient::{Gradients, Loss, Tracked};
use crate::log::{Entry, Log};
use crate::optimiser::Optimiser;
use crate::validation::{Validation, mean};
use crate::weights::{Trainable, Weights, mix};
use crate::{Result, Settings, TrainError};

/// Added to the gradient's norm when clipping, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPS: f64 = 1e-6;

/// Acts while a model is trained. What it keeps goes into checkpoints.
pub trait Callback {
    /// The parameters were updated.
    fn updated(&mut self, weights: &Weights) -> Result<()> {
        let _ = weights;
        Ok(())
    }

    /// The losses on the validation sets are known; the mixture's proportions may be changed.
    fn validated(&mut self, losses: &[(String, Loss)], mixture: &mut Mixture) -> Result<()> {
        let _ = (losses, mixture);
        Ok(())
    }

    /// What it was configured with, under a name for messages: a run goes on only from a checkpoint that was made with the same.
    fn configuration(&self) -> Option<(&'static str, Value)> {
        None
    }

    /// What to put into a checkpoint.
    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        Ok(Vec::new())
    }

    /// Goes on from a checkpoint.
    fn restore(&mut self, state: BTreeMap<String, Tensor>) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

/// A training run.
pub struct Trainer<'a> {
    original: &'a Decoder,
    trainable: Trainable,
    settings: Settings,
    mixture: Mixture,
    /// Of the mixture before any callback changed them.
    shares: Vec<f64>,
    seed: u64,
    steps: u64,
    weights: Weights,
    optimiser: Optimiser,
    validation: Vec<Validation>,
    best: Option<Best>,
    track_best: bool,
    step: u64,
    tokens: u64,
    seconds: f64,
    last: Option<Entry>,
    log: Option<Log>,
    checkpoints: Option<Checkpoints>,
}

/// The weights of the lowest validation loss.
struct Best {
    step: u64,
    loss: f64,
    values: BTreeMap<String, Tensor>,
}

/// A trained model.
pub struct Trained {
    /// The model: after the last step, or with `keep_best` that of the lowest validation loss.
    pub decoder: Decoder,
    /// That of the lowest validation loss, if it was tracked.
    pub best: Option<BestModel>,
    /// Optimiser steps.
    pub steps: u64,
    /// Tokens read.
    pub tokens: u64,
    /// Parameters trained.
    pub trained_parameters: usize,
    /// The last step of this process.
    pub last: Option<Entry>,
}

/// The model of the lowest validation loss.
pub struct BestModel {
    /// The model.
    pub decoder: Decoder,
    /// Steps until then.
    pub step: u64,
    /// Nats per token of all validation sets together.
    pub loss: f64,
}

impl<'a> Trainer<'a> {
    /// A run that has not begun, with the sets on which it validates at the intervals of the settings and at the end.
    ///
    /// # Errors
    /// Settings that make no run, sequences beyond the model's context, nothing to train, a validation set without a prediction,
    /// or none where the settings want the best of them.
    pub fn new(
        decoder: &'a Decoder,
        trainable: Trainable,
        settings: Settings,
        mixture: Mixture,
        validation: Vec<Validation>,
        seed: u64,
    ) -> Result<Self> {
        settings.validate()?;
        if settings.keep_best && validation.is_empty() {
            return Err(TrainError::Settings(
                "`keep_best` chooses by the validation loss, and there is no validation set; give `validation` under [recovery], a \
                 [[validation]] text in a pretraining file, or leave `keep_best` out"
                    .to_owned(),
            ));
        }
        let context = decoder.graph.max_position_embeddings;
        if settings.length > context {
            return Err(TrainError::Settings(format!(
                "`length` = {} is beyond the model's context of {context} tokens; lower it",
                settings.length
            )));
        }
        if settings.length != mixture.length() {
            return Err(TrainError::Settings(format!(
                "`length` = {}, and the data was cut for {} tokens; give both the same",
                settings.length,
                mixture.length()
            )));
        }
        let steps = settings.run_length(mixture.tokens_per_sequence(), mixture.examples())?;
        let prepared = |set: Validation| set.prepared(settings.length, context);
        let validation = validation.into_iter().map(prepared).collect::<Result<_>>()?;
        let weights = Weights::new(decoder, &trainable, settings.bf16)?;
        Ok(Self {
            optimiser: Optimiser::new(&weights)?,
            original: decoder,
            track_best: settings.keep_best,
            trainable,
            settings,
            shares: mixture.proportions().to_vec(),
            mixture,
            seed,
            steps,
            weights,
            validation,
            best: None,
            step: 0,
            tokens: 0,
            seconds: 0.0,
            last: None,
            log: None,
            checkpoints: None,
        })
    }

    /// Keeps the weights of the lowest validation loss beside the last ones.
    pub fn track_best(&mut self) {
        self.track_best = true;
    }

    /// Writes a line for each step.
    pub fn log_to(&mut self, log: Log) {
        self.log = Some(log);
    }

    /// Writes checkpoints.
    pub fn checkpoint_to(&mut self, checkpoints: Checkpoints) {
        self.checkpoints = Some(checkpoints);
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Trains to the last step. `observe` hears of each step.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] before a step that is no number would reach the weights, and whatever a file or an operation
    /// refuses.
    pub fn train(&mut self, callbacks: &mut [&mut dyn Callback], observe: &mut dyn FnMut(&Entry)) -> Result<()> {
        let schedule = self.settings.schedule(self.steps);
        while self.step < self.steps {
            let started = Instant::now();
            let step = self.step + 1;
            let factor = schedule.factor(step);
            let (loss, gradients, tokens) = self.gradients(step)?;
            let squares = gradients
                .values()
                .map(Tensor::square_sum)
                .collect::<prunebench_tensor::Result<Vec<_>>>()?;
            let norm = squares.iter().sum::<f64>().sqrt();
            for (what, value) in [("loss", loss.mean()), ("gradient norm", norm)] {
                if !value.is_finite() {
                    return Err(TrainError::Diverged {
                        step,
                        what,
                        value,
                        learning_rate: self.settings.learning_rate * factor,
                        kept: self.checkpoints.as_ref().and_then(Checkpoints::newest),
                    });
                }
            }
            let scale = self
                .settings
                .clip
                .map_or(1.0, |clip| (clip / (norm + CLIP_EPS)).min(1.0));
            self.optimiser
                .step(&self.weights, &gradients, &self.settings, step, factor, scale)?;
            drop(gradients);
            for callback in callbacks.iter_mut() {
                callback.updated(&self.weights)?;
            }
            self.weights.publish()?;
            self.original.device().sync()?;
            let seconds = started.elapsed().as_secs_f64();
            (self.step, self.tokens, self.seconds) = (step, self.tokens + tokens, self.seconds + seconds);

            let due = self
                .settings
                .validate_every
                .is_some_and(|every| step.is_multiple_of(every));
            let validation = match due || step == self.steps {
                true => self.validate(callbacks)?,
                false => Vec::new(),
            };
            let entry = Entry {
                step,
                tokens: self.tokens,
                seconds: self.seconds,
                tokens_per_second: tokens as f64 / seconds,
                loss: loss.mean(),
                learning_rate: self.settings.learning_rate * factor,
                gradient_norm: norm,
                validation,
            };
            if let Some(log) = &mut self.log {
                log.write(&entry)?;
            }
            self.last = Some(entry.clone());
            if self
                .checkpoints
                .as_ref()
                .is_some_and(|checkpoints| checkpoints.is_due(step, self.steps))
            {
                self.save(callbacks)?;
            }
            observe(&entry);
        }
        Ok(())
    }

    /// Loss and gradients of one step's sequences, and the tokens read.
    fn gradients(&mut self, step: u64) -> Result<(Loss, Gradients, u64)> {
        let mut examples: Vec<Example> = (0..self.settings.batch).map(|_| self.mixture.next_sequence()).collect();
        // Alike lengths side by side need little padding; the sum does not depend on the order.
        examples.sort_by_key(|example| std::cmp::Reverse(example.tokens.len()));
        let micro = self.settings.micro_batch.unwrap_or(self.settings.batch);
        let batches: Vec<Batch> = examples
            .chunks(micro)
            .map(|part| Batch::new(part, self.settings.packed))
            .collect();
        let predictions: usize = batches.iter().map(|batch| batch.targets.len()).sum();
        if predictions == 0 {
            return Err(TrainError::Data(format!(
                "none of the {} examples of step {step} has a token to learn within {} tokens; raise `length` or `batch`",
                self.settings.batch, self.settings.length
            )));
        }
        let (mut total, mut gradients, mut tokens) = (Loss::default(), Gradients::default(), 0);
        for (index, batch) in batches.iter().enumerate() {
            if batch.targets.is_empty() {
                continue;
            }
            self.weights.draw_dropout(mix(mix(self.seed, step), index as u64));
            let tracked = Tracked {
                decoder: &self.weights.decoder,
                leaves: &self.weights.leaves,
                recompute: self.settings.recompute,
            };
            let loss = tracked.backward(batch, 1.0 / predictions as f64, &mut gradients)?;
            total.sum += loss.sum;
            total.predictions += loss.predictions;
            tokens += batch.tokens;
        }
        Ok((total, gradients, tokens))
    }

    /// Scores the validation sets, and remembers the weights if no finite loss was lower so far.
    fn validate(&mut self, callbacks: &mut [&mut dyn Callback]) -> Result<Vec<(String, f64)>> {
        if self.validation.is_empty() {
            return Ok(Vec::new());
        }
        let view = self.weights.view()?;
        let rows = self.settings.micro_batch.unwrap_or(self.settings.batch);
        let loss = |set: &Validation| Ok((set.name.clone(), set.loss(&view, rows)?));
        let losses: Vec<(String, Loss)> = self.validation.iter().map(loss).collect::<Result<_>>()?;
        for callback in callbacks.iter_mut() {
            callback.validated(&losses, &mut self.mixture)?;
        }
        let mean = mean(&losses);
        // Nothing is lower than a loss that is no number.
        let is_best = mean.is_finite() && self.best.as_ref().is_none_or(|best| mean < best.loss);
        if self.track_best && is_best {
            self.best = Some(Best {
                step: self.step,
                loss: mean,
                values: self.weights.copies()?,
            });
        }
        Ok(losses.into_iter().map(|(name, loss)| (name, loss.mean())).collect())
    }

    /// The trained model.
    ///
    /// # Errors
    /// [`TrainError::NoBest`] if the settings want the best weights, and no validation loss was finite.
    pub fn finish(self) -> Result<Trained> {
        let last = self.last.clone();
        let (steps, tokens) = (self.step, self.tokens);
        let trained_parameters = self.weights.count();
        let final_decoder = |values: &BTreeMap<String, Tensor>| -> Result<Decoder> {
            let weights = Weights::new(self.original, &self.trainable, false)?;
            weights.set(values)?;
            weights.finish(self.original)
        };
        let best = match &self.best {
            Some(best) => Some(BestModel {
                decoder: final_decoder(&best.values)?,
                step: best.step,
                loss: best.loss,
            }),
            None => None,
        };
        let decoder = match &best {
            Some(best) if self.settings.keep_best => best.decoder.clone(),
            None if self.settings.keep_best => return Err(TrainError::NoBest),
            _ => self.weights.finish(self.original)?,
        };
        Ok(Trained {
            decoder,
            best,
            steps,
            tokens,
            trained_parameters,
            last,
        })
    }
}
