//! Low-rank adapters (LoRA, Hu et al. 2021).

use prunebench_model::graph::{DEFAULT_DELTA, DeltaShape};
use prunebench_model::{Decoder, Delta, Dropout, LinearName};
use serde::{Deserialize, Serialize};

use crate::{Result, TrainError};

/// Shape and start of the adapters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lora {
    /// Rank of each delta.
    pub rank: usize,
    /// The delta's factor times the rank.
    pub alpha: f64,
    /// Share of an adapter's inputs that is zeroed while training.
    pub dropout: f64,
    /// Linears that get an adapter.
    pub targets: Vec<LinearName>,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            dropout: 0.05,
            targets: LinearName::ALL.to_vec(),
        }
    }
}

impl Lora {
    /// Gives every target linear that a block has of its own an adapter that starts as no change, see [`Delta::start`]. With
    /// `keep_zeros` weights that are zero stay zero when it is merged.
    ///
    /// # Errors
    /// [`TrainError::Settings`] for a rank, a dropout or targets that make no adapter, and [`TrainError::Model`] for a rank that a
    /// target has not.
    pub fn attach(&self, decoder: &mut Decoder, seed: u64, keep_zeros: bool) -> Result<()> {
        if self.rank == 0 || !self.alpha.is_finite() || !(0.0..1.0).contains(&self.dropout) || self.targets.is_empty() {
            return Err(TrainError::Settings(format!(
                "adapters of rank {}, alpha {}, dropout {} on {} targets; a rank of at least 1, a dropout in [0, 1) and a target \
                 are wanted",
                self.rank,
                self.alpha,
                self.dropout,
                self.targets.len()
            )));
        }
        let mut draw = seed;
        for block in 0..decoder.blocks.len() {
            for &target in &self.targets {
                let of_block = &decoder.blocks[block];
                let Some(linear) = of_block.linear(target) else {
                    continue;
                };
                let before = of_block.deltas(target).len();
                let shape = DeltaShape {
                    name: match before {
                        0 => DEFAULT_DELTA.to_owned(),
                        _ => (before + 1).to_string(),
                    },
                    rank: self.rank,
                    scale: self.alpha / self.rank as f64,
                    keeps_zeros: keep_zeros && linear.zero_weights()? > 0,
                };
                let size = [linear.weight.dim(0)?, linear.weight.dim(1)?];
                let mut delta = Delta::start(shape, size, draw, linear.weight.dtype(), &linear.weight.device())?;
                draw = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
                delta.dropout = (self.dropout > 0.0).then_some(Dropout {
                    rate: self.dropout,
                    seed: 0,
                });
                decoder.add_delta(block, target, delta)?;
            }
        }
        Ok(())
    }
}
