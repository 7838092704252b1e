//! The settings of a training run.

use serde::{Deserialize, Serialize};

use crate::schedule::{Course, Schedule};
use crate::{Result, TrainError};

/// What decides a training run beside model, data and seed. The length is one of `steps`, `tokens` and `epochs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Optimiser steps.
    pub steps: Option<u64>,
    /// Tokens read in all; fractions of a step are left out.
    pub tokens: Option<f64>,
    /// Passes over all examples.
    pub epochs: Option<f64>,
    /// Sequences in a step.
    pub batch: usize,
    /// Sequences in one forward and backward pass; all of a step's if absent. The gradient is that of the whole step's mean
    /// loss, however it is divided.
    pub micro_batch: Option<usize>,
    /// Tokens that a sequence may have. Of a stream every sequence has as many; an example is cut at its end, whether it is trained
    /// or validated on.
    pub length: usize,
    /// Short examples share a row, in which they do not see each other, instead of being padded.
    pub packed: bool,
    /// Peak learning rate; a negative one ascends.
    pub learning_rate: f64,
    /// Steps in which the learning rate rises; as many as the run has at most.
    pub warmup: u64,
    /// Course of the learning rate after them.
    pub schedule: Course,
    /// Where the course ends, as a share of the peak.
    pub floor: f64,
    /// Decay rates of Adam's moments.
    pub betas: (f64, f64),
    /// Adam's epsilon.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest norm of the whole gradient; a longer one is scaled down to it.
    pub clip: Option<f64>,
    /// Parameters with settings of their own; the first group that names a parameter counts.
    pub groups: Vec<Group>,
    /// Recompute activations in the backward pass instead of keeping them: less memory, a third more time.
    pub recompute: bool,
    /// Forward and backward pass in bf16; the parameters are kept and updated in f32.
    pub bf16: bool,
    /// Steps between validations; only at the end if absent.
    pub validate_every: Option<u64>,
    /// End with the weights of the lowest validation loss, which a run without validation sets has not.
    pub keep_best: bool,
}

/// Parameters with settings of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Parts of parameter names, such as `norm` or `layers.3.`.
    pub names: Vec<String>,
    /// Peak learning rate.
    #[serde(default)]
    pub learning_rate: Option<f64>,
    /// Decoupled weight decay.
    #[serde(default)]
    pub weight_decay: Option<f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            steps: None,
            tokens: None,
            epochs: None,
            batch: 16,
            micro_batch: None,
            length: 256,
            packed: false,
            learning_rate: 1e-4,
            warmup: 0,
            schedule: Course::Constant,
            floor: 0.0,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            clip: None,
            groups: Vec::new(),
            recompute: false,
            bf16: false,
            validate_every: None,
            keep_best: false,
        }
    }
}

impl Settings {
    /// Checks the values, and what they add up to.
    ///
    /// # Errors
    /// [`TrainError::Settings`], which names the key.
    pub fn validate(&self) -> Result<()> {
        let refuse = |detail: String| Err(TrainError::Settings(detail));
        let lengths = [self.steps.is_some(), self.tokens.is_some(), self.epochs.is_some()];
        if lengths.iter().filter(|&&given| given).count() != 1 {
            return refuse("exactly one of `steps`, `tokens` and `epochs` says how long to train".to_owned());
        }
        let amounts = self.steps.map(|steps| steps as f64).or(self.tokens).or(self.epochs);
        if amounts.is_some_and(|amount| !amount.is_finite() || amount <= 0.0) {
            return refuse("`steps`, `tokens` or `epochs` must be positive".to_owned());
        }
        for (key, value) in [
            ("batch", self.batch),
            ("length", self.length),
            ("micro_batch", self.micro_batch.unwrap_or(1)),
        ] {
            if value == 0 {
                return refuse(format!("`{key}` = 0 trains on nothing; at least 1 is wanted"));
            }
        }
        if self.length < 2 {
            return refuse("`length` = 1 leaves nothing to predict; at least 2 is wanted".to_owned());
        }
        if self.micro_batch.is_some_and(|micro| micro > self.batch) {
            return refuse(format!(
                "`micro_batch` = {} is more than `batch` = {}",
                self.micro_batch.unwrap_or_default(),
                self.batch
            ));
        }
        let rates = self.groups.iter().filter_map(|group| group.learning_rate);
        if rates.chain([self.learning_rate]).any(|rate| !rate.is_finite()) {
            return refuse("`learning_rate` must be finite".to_owned());
        }
        for (key, value) in [("betas", self.betas.0), ("betas", self.betas.1), ("floor", self.floor)] {
            let last = key == "floor" && value == 1.0;
            if !(0.0..1.0).contains(&value) && !last {
                return refuse(format!("`{key}`: {value} is not in [0, 1)"));
            }
        }
        let decays = self.groups.iter().filter_map(|group| group.weight_decay);
        if decays.chain([self.weight_decay]).any(|decay| !(0.0..).contains(&decay)) {
            return refuse("`weight_decay` must be 0 or more".to_owned());
        }
        if self.clip.is_some_and(|clip| clip.is_nan() || clip <= 0.0) || self.eps.is_nan() || self.eps <= 0.0 {
            return refuse("`clip` and `eps` must be positive".to_owned());
        }
        if self.validate_every == Some(0) {
            return refuse("`validate_every` = 0; leave it out to validate at the end only".to_owned());
        }
        if let Some(group) = self.groups.iter().find(|group| group.names.is_empty()) {
            return refuse(format!("a group names no parameter: {group:?}"));
        }
        self.steps.map_or(Ok(()), |steps| self.check_warmup(steps))
    }

    fn check_warmup(&self, steps: u64) -> Result<()> {
        match self.warmup <= steps {
            true => Ok(()),
            false => Err(TrainError::Settings(format!(
                "`warmup` = {} steps, and the run has {steps}; {steps} at most are wanted, or a run of {} steps and more",
                self.warmup, self.warmup
            ))),
        }
    }

    /// Learning rate and weight decay of a parameter.
    pub(crate) fn of(&self, parameter: &str) -> (f64, f64) {
        let group = self
            .groups
            .iter()
            .find(|group| group.names.iter().any(|part| parameter.contains(part.as_str())));
        (
            group
                .and_then(|group| group.learning_rate)
                .unwrap_or(self.learning_rate),
            group.and_then(|group| group.weight_decay).unwrap_or(self.weight_decay),
        )
    }

    /// Steps of the run, where a sequence has so many tokens on average and there are so many examples, if they can be counted.
    pub(crate) fn run_length(&self, tokens_per_sequence: f64, examples: Option<usize>) -> Result<u64> {
        let steps = match (self.steps, self.tokens, self.epochs) {
            (Some(steps), ..) => steps as f64,
            (_, Some(tokens), _) => tokens / (self.batch as f64 * tokens_per_sequence),
            (.., Some(epochs)) => match examples {
                Some(examples) => (epochs * examples as f64 / self.batch as f64).ceil(),
                None => {
                    return Err(TrainError::Settings(
                        "`epochs` counts examples, and the data is a stream of text; give `steps` or `tokens`"
                            .to_owned(),
                    ));
                }
            },
            (None, None, None) => 0.0,
        };
        if steps < 1.0 {
            return Err(TrainError::Settings(format!(
                "not one step: a batch of {} sequences has about {:.0} tokens; lower `batch` or raise `tokens`",
                self.batch,
                self.batch as f64 * tokens_per_sequence
            )));
        }
        let steps = steps as u64;
        self.check_warmup(steps)?;
        Ok(steps)
    }

    pub(crate) fn schedule(&self, steps: u64) -> Schedule {
        Schedule {
            warmup: self.warmup,
            course: self.schedule,
            floor: self.floor,
            steps,
        }
    }
}
