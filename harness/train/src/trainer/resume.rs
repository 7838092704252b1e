//! Going on from a checkpoint: what it holds of a run, and what the two must have in common.

use std::collections::BTreeMap;

use prunebench_tensor::Tensor;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Best, Trainer};
use crate::checkpoint::{State, fingerprint, hexadecimal};
use crate::learnt::Learnt;
use crate::validation::fingerprints;
use crate::{Result, TrainError};

impl Trainer<'_> {
    /// Goes on from the last checkpoint, if there is one: weights, moments, the position in the data and every draw are those
    /// that the run had there.
    ///
    /// # Errors
    /// [`TrainError::OtherRun`] for a checkpoint of another model, other settings, data, shares, validation sets, callbacks or
    /// seed, and [`TrainError::File`] for one that can't be read: the run is then still at its start.
    pub fn resume(&mut self) -> Result<bool> {
        let Some(checkpoints) = &self.checkpoints else {
            return Ok(false);
        };
        let Some((state, tensors)) = checkpoints.latest(&self.identity()?, &self.original.device())? else {
            return Ok(false);
        };
        let part = |prefix: &str| -> BTreeMap<String, Tensor> {
            let strip =
                |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()));
            tensors.iter().filter_map(strip).collect()
        };
        let moments = self.optimiser.tensors();
        let weights = self.weights.trained().map(|(name, _)| format!("weight.{name}"));
        let mut wanted = weights.chain(moments.iter().map(|(name, _)| name.clone()));
        // Before anything of this run is changed.
        if let Some(name) = wanted.find(|name| !tensors.contains_key(name)) {
            return Err(TrainError::File {
                path: checkpoints.folder().to_path_buf(),
                detail: format!("the checkpoint lacks `{name}`"),
            });
        }
        self.weights.set(&part("weight."))?;
        for (name, moment) in moments {
            moment.write_slice(0, 0, &tensors[&name])?;
        }
        for (index, callback) in self.callbacks.iter_mut().enumerate() {
            callback.restore(part(&format!("callback.{index}.")))?;
        }
        self.best = state.best.map(|(step, loss)| Best {
            step,
            loss,
            values: part("best."),
        });
        self.mixture.restore(state.mixture)?;
        (self.step, self.tokens, self.seconds) = (state.step, state.tokens, state.seconds);
        self.entries = state.entries;
        Ok(true)
    }

    /// What a checkpoint must agree on, each with its name.
    fn identity(&self) -> Result<BTreeMap<String, Value>> {
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
        let of_callbacks = self.callbacks.iter().filter_map(|callback| callback.configuration());
        let learnt: Vec<Value> = self.weights.learnt.iter().filter_map(Learnt::identity).collect();
        let learnt = (!learnt.is_empty()).then(|| ("learnt values", json!(learnt)));
        let named = |(name, value): (&str, Value)| (name.to_owned(), value);
        Ok(of_run
            .into_iter()
            .chain(of_callbacks)
            .chain(learnt)
            .map(named)
            .collect())
    }

    pub(super) fn save(&mut self) -> Result<()> {
        let state = State {
            step: self.step,
            tokens: self.tokens,
            seconds: self.seconds,
            mixture: self.mixture.state().clone(),
            best: self.best.as_ref().map(|best| (best.step, best.loss)),
            entries: self.entries.clone(),
            identity: self.identity()?,
        };
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        let named = |prefix: &str, (name, tensor): (&String, &Tensor)| (format!("{prefix}{name}"), tensor.clone());
        tensors.extend(self.weights.trained().map(|entry| named("weight.", entry)));
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
        for (index, callback) in self.callbacks.iter().enumerate() {
            let own = callback.state()?.into_iter();
            tensors.extend(own.map(|(name, tensor)| (format!("callback.{index}.{name}"), tensor)));
        }
        match &mut self.checkpoints {
            Some(checkpoints) => checkpoints.save(&state, &tensors),
            None => Ok(()),
        }
    }
}
