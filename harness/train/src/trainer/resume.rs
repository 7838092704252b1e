//! Going on from a checkpoint: what it holds of a run, and what the two must have in common.

use std::collections::BTreeMap;

use prunebench_tensor::Tensor;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Best, Callback, Trainer};
use crate::checkpoint::{State, fingerprint, hexadecimal};
use crate::validation::fingerprints;
use crate::{Result, TrainError};

impl Trainer<'_> {
    /// Goes on from the last checkpoint, if there is one: weights, moments, the position in the data and every draw are those
    /// that the run had there.
    ///
    /// # Errors
    /// [`TrainError::OtherRun`] for a checkpoint of another model, other settings, data, shares, validation sets, callbacks or
    /// seed.
    pub fn resume(&mut self, callbacks: &mut [&mut dyn Callback]) -> Result<bool> {
        let Some(checkpoints) = &self.checkpoints else {
            return Ok(false);
        };
        let Some((state, tensors)) = checkpoints.latest(&self.identity(callbacks)?, &self.original.device())? else {
            return Ok(false);
        };
        let part = |prefix: &str| -> BTreeMap<String, Tensor> {
            let strip =
                |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()));
            tensors.iter().filter_map(strip).collect()
        };
        self.weights.set(&part("weight."))?;
        for (name, moment) in self.optimiser.tensors() {
            let saved = tensors.get(&name).ok_or_else(|| TrainError::File {
                path: checkpoints.folder().to_path_buf(),
                detail: format!("the checkpoint lacks `{name}`"),
            })?;
            moment.write_slice(0, 0, saved)?;
        }
        for (index, callback) in callbacks.iter_mut().enumerate() {
            callback.restore(part(&format!("callback.{index}.")))?;
        }
        self.best = state.best.map(|(step, loss)| Best {
            step,
            loss,
            values: part("best."),
        });
        self.mixture.restore(state.mixture)?;
        (self.step, self.tokens, self.seconds) = (state.step, state.tokens, state.seconds);
        Ok(true)
    }

    /// What a checkpoint must agree on, each with its name.
    fn identity(&self, callbacks: &[&mut dyn Callback]) -> Result<BTreeMap<String, Value>> {
        // Sums tell weights apart at a fraction of a hash's cost, which every checkpoint would bear.
        let mut weights = Sha256::new();
        for (_, tensor) in self.original.parameters() {
            weights.update(tensor.square_sum()?.to_le_bytes());
        }
        let mut data = Sha256::new();
        for domain in self.mixture.domains() {
            fingerprint(domain, &mut data);
        }
        let of_run = [
            ("model", json!(self.original.graph)),
            ("weights", json!(hexadecimal(weights))),
            (
                "trained parameters",
                json!(self.weights.masters().keys().collect::<Vec<_>>()),
            ),
            ("settings", json!(self.settings)),
            ("seed", json!(self.seed)),
            ("data", json!(hexadecimal(data))),
            ("shares", json!(self.shares)),
            ("validation", json!(fingerprints(&self.validation))),
        ];
        let of_callbacks = callbacks.iter().filter_map(|callback| callback.configuration());
        let named = |(name, value): (&str, Value)| (name.to_owned(), value);
        Ok(of_run.into_iter().chain(of_callbacks).map(named).collect())
    }

    pub(super) fn save(&self, callbacks: &[&mut dyn Callback]) -> Result<()> {
        let Some(checkpoints) = &self.checkpoints else {
            return Ok(());
        };
        let state = State {
            step: self.step,
            tokens: self.tokens,
            seconds: self.seconds,
            mixture: self.mixture.state().clone(),
            best: self.best.as_ref().map(|best| (best.step, best.loss)),
            identity: self.identity(callbacks)?,
        };
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        let named = |prefix: &str, (name, tensor): (&String, &Tensor)| (format!("{prefix}{name}"), tensor.clone());
        tensors.extend(self.weights.masters().iter().map(|entry| named("weight.", entry)));
        tensors.extend(
            self.optimiser
                .tensors()
                .into_iter()
                .map(|(name, tensor)| (name, tensor.clone())),
        );
        tensors.extend(
            self.best
                .iter()
                .flat_map(|best| &best.values)
                .map(|entry| named("best.", entry)),
        );
        for (index, callback) in callbacks.iter().enumerate() {
            let own = callback.state()?.into_iter();
            tensors.extend(own.map(|(name, tensor)| (format!("callback.{index}.{name}"), tensor)));
        }
        checkpoints.save(&state, &tensors)
    }
}
