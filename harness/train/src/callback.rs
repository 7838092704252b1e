//! What may act while a model is trained.

use std::collections::BTreeMap;

use prunebench_tensor::Tensor;
use serde_json::Value;

use crate::Result;
use crate::data::{Example, Mixture};
use crate::gradient::Loss;
use crate::weights::Weights;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The optimiser step at work or just done, from 1; 0 before the first.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
}

/// A forward and backward pass: a part of a step's sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The step.
    pub at: Moment,
    /// Which of the step's passes, from 0.
    pub index: usize,
    /// Seed of what is drawn for it: another one for every run, step, pass and callback.
    pub seed: u64,
}

/// A learnt value that is no weight of the model, such as a mask's logit or a multiplier.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Its name, which no parameter of the model and no other leaf has.
    pub name: String,
    /// Where it starts, in f32; of any shape.
    pub value: Tensor,
    /// The name of its [`Rate`].
    pub group: &'static str,
}

/// How the leaves of a group learn. Betas, epsilon, clipping and the course of the rate are the run's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// The leaves' [`Leaf::group`].
    pub group: &'static str,
    /// Peak learning rate; a negative one ascends.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// Leaves by name, on the autograd graph.
pub type Leaves = BTreeMap<String, Tensor>;

/// Values of parameters of the model by name, of the parameters' shapes.
pub type Made = Vec<(String, Tensor)>;

/// Acts while a model is trained. Leaves and what [`Callback::state`] gives go into checkpoints.
///
/// Some parameters of the model may be *made*: they are no longer trained, and before each pass a callback gives their values as
/// a function of its leaves, through which the loss's gradients reach these.
pub trait Callback {
    /// Learnt values of its own, where they start.
    fn leaves(&self) -> Result<Vec<Leaf>> {
        Ok(Vec::new())
    }

    /// One rate for each group of its leaves.
    fn rates(&self) -> Vec<Rate> {
        Vec::new()
    }

    /// Names of the parameters of the model that it makes.
    fn makes(&self) -> Vec<String> {
        Vec::new()
    }

    /// A pass is about to begin. Gives what it makes, for this pass.
    fn before_pass(&mut self, pass: &Pass, leaves: &Leaves) -> Result<Made> {
        let _ = (pass, leaves);
        Ok(Vec::new())
    }

    /// A pass was made: its examples, each with the loss of what is learnt of it.
    fn passed(&mut self, pass: &Pass, losses: &[(&Example, Loss)]) -> Result<()> {
        let _ = (pass, losses);
        Ok(())
    }

    /// What is added to the mean loss of a step: a scalar on the graph of the leaves.
    fn penalty(&mut self, at: &Moment, leaves: &Leaves) -> Result<Option<Tensor>> {
        let _ = (at, leaves);
        Ok(None)
    }

    /// The parameters and the leaves were updated, and may be changed in place.
    fn updated(&mut self, at: &Moment, weights: &Weights) -> Result<()> {
        let _ = (at, weights);
        Ok(())
    }

    /// The model is about to be validated, or is finished. Gives what it makes, as it is outside training: the same whenever it is
    /// asked at one step.
    fn before_validation(&mut self, at: &Moment, leaves: &Leaves) -> Result<Made> {
        let _ = (at, leaves);
        Ok(Vec::new())
    }

    /// The losses on the validation sets are known; the mixture's proportions may be changed.
    fn validated(&mut self, at: &Moment, losses: &[(String, Loss)], mixture: &mut Mixture) -> Result<()> {
        let _ = (at, losses, mixture);
        Ok(())
    }

    /// What it was configured with, under a name for messages: a run goes on only from a checkpoint that was made with the same.
    fn configuration(&self) -> Option<(&'static str, Value)> {
        None
    }

    /// What to put into a checkpoint beside the leaves.
    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        Ok(Vec::new())
    }

    /// Goes on from a checkpoint.
    fn restore(&mut self, state: BTreeMap<String, Tensor>) -> Result<()> {
        let _ = state;
        Ok(())
    }
}
