//! Low-rank adapters (LoRA, Hu et al. 2021).

use prunebench_model::{Decoder, Dropout, LinearName, LowRank};
use prunebench_tensor::{DType, Tensor};
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
    pub targets: Vec<Target>,
}

/// A linear by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Target {
    QProj,
    KProj,
    VProj,
    OProj,
    GateProj,
    UpProj,
    DownProj,
}

impl From<Target> for LinearName {
    fn from(target: Target) -> Self {
        match target {
            Target::QProj => Self::Q,
            Target::KProj => Self::K,
            Target::VProj => Self::V,
            Target::OProj => Self::O,
            Target::GateProj => Self::Gate,
            Target::UpProj => Self::Up,
            Target::DownProj => Self::Down,
        }
    }
}

impl Default for Lora {
    fn default() -> Self {
        use Target::{DownProj, GateProj, KProj, OProj, QProj, UpProj, VProj};
        Self {
            rank: 8,
            alpha: 16.0,
            dropout: 0.05,
            targets: vec![QProj, KProj, VProj, OProj, GateProj, UpProj, DownProj],
        }
    }
}

impl Lora {
    /// Gives every target linear an adapter that starts as no change: A from U(±1/√in), which is Kaiming's uniform draw with
    /// a = √5, and B zero. With `keep_zeros` weights that are zero stay zero when it is merged.
    ///
    /// # Errors
    /// [`TrainError::Settings`] for a rank, a dropout or targets that make no adapter.
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
        for block in &mut decoder.blocks {
            for &target in &self.targets {
                let Some(linear) = block.linear_mut(target.into()) else {
                    continue;
                };
                let (out, inner) = (linear.weight.dim(0)?, linear.weight.dim(1)?);
                let (dtype, device) = (linear.weight.dtype(), linear.weight.device());
                let zero = Tensor::zeros(&[1], dtype, &device)?;
                let mask = match keep_zeros && linear.zero_weights()? > 0 {
                    false => None,
                    true => Some(linear.weight.eq(&zero)?.neg()?.add_scalar(1.0)?),
                };
                let bound = 1.0 / (inner as f64).sqrt();
                let down = Tensor::rand(&[self.rank, inner], draw, DType::F32, &device)?;
                let down = down.mul_scalar(2.0 * bound)?.add_scalar(-bound)?.to_dtype(dtype)?;
                draw = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
                linear.delta = Some(LowRank {
                    down,
                    up: Tensor::zeros(&[out, self.rank], dtype, &device)?,
                    scale: self.alpha / self.rank as f64,
                    dropout: (self.dropout > 0.0).then_some(Dropout {
                        rate: self.dropout,
                        seed: 0,
                    }),
                    mask,
                });
            }
        }
        Ok(())
    }
}

/// The adapters' linears, with the names of A and B.
pub(crate) fn adapters(decoder: &mut Decoder) -> impl Iterator<Item = (String, String, &mut LowRank)> {
    decoder.blocks.iter_mut().enumerate().flat_map(|(index, block)| {
        block.linears_mut().filter_map(move |(name, linear)| {
            let at = |part: &str| format!("model.layers.{index}.{}.lora_{part}.weight", name.hf_name());
            Some((at("A"), at("B"), linear.delta.as_mut()?))
        })
    })
}
