//! The training loop.

mod resume;

use std::collections::BTreeMap;
use std::time::Instant;

use prunebench_model::Decoder;
use prunebench_tensor::Tensor;

use crate::callback::{Callback, Made, Moment, Pass};
use crate::checkpoint::Checkpoints;
use crate::data::{Batch, Example, Mixture};
use crate::gradient::{Gradients, Loss, Tracked};
use crate::learnt::Learnt;
use crate::log::{Entry, Log};
use crate::optimiser::Optimiser;
use crate::validation::{Validation, mean};
use crate::weights::{Trainable, Weights, mix, with_values};
use crate::{Result, Settings, TrainError};

/// Added to the gradient's norm when clipping, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPS: f64 = 1e-6;

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
    callbacks: Vec<&'a mut dyn Callback>,
    validation: Vec<Validation>,
    best: Option<Best>,
    track_best: bool,
    step: u64,
    tokens: u64,
    seconds: f64,
    entries: Vec<Entry>,
    log: Option<Log>,
    checkpoints: Option<Checkpoints>,
}

/// What the lowest validation loss was reached with.
struct Best {
    step: u64,
    loss: f64,
    /// As [`Weights::values`] has them.
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
    /// The leaves of callbacks by name, as they were with this model.
    pub leaves: BTreeMap<String, Tensor>,
    /// The first step, those after which it was validated, and the last.
    pub entries: Vec<Entry>,
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
        let weights = Weights::new(decoder, &trainable, settings.bf16, Vec::new())?;
        Ok(Self {
            optimiser: Optimiser::new(&weights)?,
            callbacks: Vec::new(),
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
            entries: Vec::new(),
            log: None,
            checkpoints: None,
        })
    }

    /// Keeps the weights of the lowest validation loss beside the last ones.
    pub fn track_best(&mut self) {
        self.track_best = true;
    }

    /// Lets `callback` act, after those that were added before it. A run has its callbacks before it goes on from a checkpoint.
    ///
    /// # Errors
    /// [`TrainError::Callback`] if what it learns or makes does not fit the model and the other callbacks.
    pub fn call(&mut self, callback: &'a mut dyn Callback) -> Result<()> {
        let learnt = Learnt::of(callback, self.original, &self.weights.learnt)?;
        let adds_nothing = learnt.is_empty();
        self.weights.learnt.push(learnt);
        if !adds_nothing {
            let learnt = std::mem::take(&mut self.weights.learnt);
            self.weights = Weights::new(self.original, &self.trainable, self.settings.bf16, learnt)?;
            self.optimiser = Optimiser::new(&self.weights)?;
        }
        self.callbacks.push(callback);
        Ok(())
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
    pub fn train(&mut self, observe: &mut dyn FnMut(&Entry)) -> Result<()> {
        let schedule = self.settings.schedule(self.steps);
        while self.step < self.steps {
            let started = Instant::now();
            let step = self.step + 1;
            let at = self.moment(step);
            let factor = schedule.factor(step);
            let (loss, mut gradients, tokens) = self.gradients(&at)?;
            let penalty = self.penalty(&at, &mut gradients)?;
            let squares = gradients
                .values()
                .map(Tensor::square_sum)
                .collect::<prunebench_tensor::Result<Vec<_>>>()?;
            let norm = squares.iter().sum::<f64>().sqrt();
            let numbers = [
                ("loss", loss.mean()),
                ("penalty", penalty.unwrap_or_default()),
                ("gradient norm", norm),
            ];
            for (what, value) in numbers {
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
            for callback in &mut self.callbacks {
                callback.updated(&at, &self.weights)?;
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
                true => self.validate()?,
                false => Vec::new(),
            };
            let entry = Entry {
                step,
                tokens: self.tokens,
                seconds: self.seconds,
                tokens_per_second: tokens as f64 / seconds,
                loss: loss.mean(),
                penalty,
                learning_rate: self.settings.learning_rate * factor,
                gradient_norm: norm,
                validation,
            };
            if let Some(log) = &mut self.log {
                log.write(&entry)?;
            }
            self.keep(entry.clone());
            if self
                .checkpoints
                .as_ref()
                .is_some_and(|checkpoints| checkpoints.is_due(step, self.steps))
            {
                self.save()?;
            }
            observe(&entry);
        }
        self.settle()
    }

    /// Of the steps before, keeps the first and those with a validation.
    fn keep(&mut self, entry: Entry) {
        let is_passed_over = |last: &Entry| last.step > 1 && last.validation.is_empty();
        if self.entries.last().is_some_and(is_passed_over) {
            self.entries.pop();
        }
        self.entries.push(entry);
    }

    fn moment(&self, step: u64) -> Moment {
        Moment {
            step,
            steps: self.steps,
        }
    }

    /// Loss and gradients of one step's sequences, and the tokens read.
    fn gradients(&mut self, at: &Moment) -> Result<(Loss, Gradients, u64)> {
        let step = at.step;
        let mut examples: Vec<Example> = (0..self.settings.batch).map(|_| self.mixture.next_sequence()).collect();
        // Alike lengths side by side need little padding; the sum does not depend on the order.
        examples.sort_by_key(|example| std::cmp::Reverse(example.tokens.len()));
        let micro = self.settings.micro_batch.unwrap_or(self.settings.batch);
        let passes: Vec<(&[Example], Batch)> = examples
            .chunks(micro)
            .map(|part| (part, Batch::new(part, self.settings.packed)))
            .collect();
        let predictions: usize = passes.iter().map(|(_, batch)| batch.targets.len()).sum();
        if predictions == 0 {
            return Err(TrainError::Data(format!(
                "none of the {} examples of step {step} has a token to learn within {} tokens; raise `length` or `batch`",
                self.settings.batch, self.settings.length
            )));
        }
        let (mut total, mut gradients, mut tokens) = (Loss::default(), Gradients::default(), 0);
        for (index, (examples, batch)) in passes.iter().enumerate() {
            if batch.targets.is_empty() {
                continue;
            }
            let seed = mix(mix(self.seed, step), index as u64);
            self.weights.draw_dropout(seed);
            let made = self.make(at, index, seed)?;
            let tracked = Tracked {
                decoder: &self.weights.decoder,
                leaves: &self.weights.leaves,
                recompute: self.settings.recompute,
            };
            let (loss, of_targets) = tracked.backward(batch, 1.0 / predictions as f64, &mut gradients)?;
            for (learnt, (_, made)) in self.weights.learnt.iter().zip(&made) {
                learnt.pull(made, &mut gradients)?;
            }
            let losses = of_examples(examples, &of_targets);
            for (callback, (pass, _)) in self.callbacks.iter_mut().zip(&made) {
                callback.passed(pass, &losses)?;
            }
            total.sum += loss.sum;
            total.predictions += loss.predictions;
            tokens += batch.tokens;
        }
        Ok((total, gradients, tokens))
    }

    /// Lets each callback make its parameters for a pass.
    fn make(&mut self, at: &Moment, index: usize, seed: u64) -> Result<Vec<(Pass, Made)>> {
        let mut all = Vec::with_capacity(self.callbacks.len());
        for (number, callback) in self.callbacks.iter_mut().enumerate() {
            // Seeds of dropouts count up from 0.
            let seed = mix(seed, u64::MAX - number as u64);
            let pass = Pass { at: *at, index, seed };
            let learnt = &self.weights.learnt[number];
            let made = callback.before_pass(&pass, learnt.leaves())?;
            learnt.check(&made, &self.weights.leaves)?;
            self.weights.put(&made)?;
            all.push((pass, made));
        }
        Ok(all)
    }

    /// The sum of the callbacks' penalties, if there is one, whose gradients it adds.
    fn penalty(&mut self, at: &Moment, gradients: &mut Gradients) -> Result<Option<f64>> {
        let mut sum = None;
        for (callback, learnt) in self.callbacks.iter_mut().zip(&self.weights.learnt) {
            if let Some(penalty) = callback.penalty(at, learnt.leaves())? {
                learnt.add_gradients(&penalty, gradients)?;
                *sum.get_or_insert(0.0) += penalty.to_f64()?;
            }
        }
        Ok(sum)
    }

    /// Gives the parameters that callbacks make the values that they have outside training.
    fn settle(&mut self) -> Result<()> {
        let at = self.moment(self.step);
        for (callback, learnt) in self.callbacks.iter_mut().zip(&self.weights.learnt) {
            let made = callback.before_validation(&at, learnt.leaves())?;
            learnt.check(&made, &self.weights.leaves)?;
            self.weights.put(&made)?;
        }
        Ok(())
    }

    /// Scores the validation sets, and remembers the weights if no finite loss was lower so far.
    fn validate(&mut self) -> Result<Vec<(String, f64)>> {
        if self.validation.is_empty() {
            return Ok(Vec::new());
        }
        self.settle()?;
        let view = self.weights.view()?;
        let rows = self.settings.micro_batch.unwrap_or(self.settings.batch);
        let loss = |set: &Validation| Ok((set.name.clone(), set.loss(&view, rows)?));
        let losses: Vec<(String, Loss)> = self.validation.iter().map(loss).collect::<Result<_>>()?;
        let at = self.moment(self.step);
        for callback in &mut self.callbacks {
            callback.validated(&at, &losses, &mut self.mixture)?;
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
        let values = self.weights.values()?;
        let (best, best_values) = match self.best {
            Some(best) => {
                let model = BestModel {
                    decoder: with_values(self.original, &best.values)?,
                    step: best.step,
                    loss: best.loss,
                };
                (Some(model), Some(best.values))
            }
            None => (None, None),
        };
        let (decoder, mut values) = match (self.settings.keep_best, &best, best_values) {
            (true, Some(best), Some(values)) => (best.decoder.clone(), values),
            (true, ..) => return Err(TrainError::NoBest),
            (false, ..) => (with_values(self.original, &values)?, values),
        };
        let leaves = self.weights.leaves();
        values.retain(|name, _| leaves.contains_key(name.as_str()));
        Ok(Trained {
            decoder,
            best,
            steps: self.step,
            tokens: self.tokens,
            trained_parameters: self.weights.count(),
            leaves: values,
            entries: self.entries,
        })
    }
}

/// The loss of what is learnt of each example, from the losses of a batch's targets.
fn of_examples<'a>(examples: &'a [Example], of_targets: &[f64]) -> Vec<(&'a Example, Loss)> {
    let mut left = of_targets.iter();
    let loss = |example: &'a Example| {
        let predictions = example.learnt().len();
        let sum = left.by_ref().take(predictions).sum();
        let predictions = predictions as u64;
        (example, Loss { sum, predictions })
    };
    examples.iter().map(loss).collect()
}
