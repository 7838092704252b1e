//! What a run is validated on.

use std::collections::BTreeMap;

use prunebench_model::Decoder;
use sha2::Sha256;

use crate::checkpoint::{hash_sequence, hexadecimal};
use crate::data::{Batch, Example};
use crate::gradient::{Loss, loss};
use crate::{Result, TrainError};

/// Sequences that are never trained on.
#[derive(Clone, Debug)]
pub struct Validation {
    /// Domain.
    pub name: String,
    /// Its sequences.
    pub examples: Vec<Example>,
    /// Whether they are cut at the settings' `length`, as examples are that are trained on. Windows of a text are scored whole.
    pub cut: bool,
}

impl Validation {
    /// The set as it is scored.
    ///
    /// # Errors
    /// [`TrainError::Data`] for a set without a prediction, or with a sequence beyond the model's context.
    pub(crate) fn prepared(mut self, length: usize, context: usize) -> Result<Self> {
        if self.cut {
            self.examples
                .iter_mut()
                .for_each(|example| example.tokens.truncate(length));
        }
        let reads = self
            .examples
            .iter()
            .map(|example| example.tokens.len().saturating_sub(1));
        if let Some(read) = reads.max().filter(|&read| read > context) {
            return Err(TrainError::Data(format!(
                "validation set `{}` has a sequence of {read} tokens, beyond the model's context of {context}; cut it",
                self.name
            )));
        }
        let is_learnt = |example: &Example| !example.learnt().is_empty();
        if !self.examples.iter().any(is_learnt) {
            let cure = match self.cut {
                true => format!("; its examples are cut at {length} tokens, so raise `length` or give it others"),
                false => "; give it text".to_owned(),
            };
            return Err(TrainError::Data(format!(
                "validation set `{}` predicts nothing{cure}",
                self.name
            )));
        }
        Ok(self)
    }

    /// Loss of all its sequences, so many in a forward pass.
    pub(crate) fn loss(&self, decoder: &Decoder, rows: usize) -> Result<Loss> {
        let mut sum = Loss::default();
        for part in self.examples.chunks(rows) {
            let batch = Batch::new(part, false);
            if batch.targets.is_empty() {
                continue;
            }
            let part = loss(decoder, &batch)?;
            sum.sum += part.sum;
            sum.predictions += part.predictions;
        }
        Ok(sum)
    }
}

/// Nats per prediction of all sets together.
pub(crate) fn mean(losses: &[(String, Loss)]) -> f64 {
    let sum = losses.iter().fold(Loss::default(), |sum, (_, loss)| Loss {
        sum: sum.sum + loss.sum,
        predictions: sum.predictions + loss.predictions,
    });
    sum.mean()
}

/// A hash of the sequences of each set, by its name.
pub(crate) fn fingerprints(sets: &[Validation]) -> BTreeMap<&str, String> {
    let mut hashes: BTreeMap<&str, Sha256> = BTreeMap::new();
    for set in sets {
        let hash = hashes.entry(&set.name).or_default();
        set.examples
            .iter()
            .for_each(|example| hash_sequence(hash, example.prompt, &example.tokens));
    }
    let hexadecimal = |(name, hash)| (name, hexadecimal(hash));
    hashes.into_iter().map(hexadecimal).collect()
}
