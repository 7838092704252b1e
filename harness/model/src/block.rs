//! Parameters of a block, by role.

use std::collections::BTreeMap;

use prunebench_tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::graph::DeltaShape;
use crate::{Place, Result};

/// y = x weightᵀ + bias.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
}

/// A low-rank delta of a linear, see [`DeltaShape`].
#[derive(Clone, Debug)]
pub struct Delta {
    /// What it is beside its numbers.
    pub shape: DeltaShape,
    /// `[rank, in]`, called A.
    pub down: Tensor,
    /// `[out, rank]`, called B.
    pub up: Tensor,
    /// Dropout of the delta's input, while training.
    pub dropout: Option<Dropout>,
}

/// Which elements a dropout zeroes: the same ones for the same seed, so that a forward pass can be repeated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share of the elements.
    pub rate: f64,
    /// Seed of the draw.
    pub seed: u64,
}

/// Parameters of a norm of the residual stream.
#[derive(Clone, Debug)]
pub struct Norm {
    /// `[hidden]`.
    pub gain: Tensor,
    /// `[hidden]`; only a LayerNorm has one.
    pub bias: Option<Tensor>,
}

/// What scales a sublayer, see [`crate::graph::ScalesShape`].
#[derive(Clone, Debug, Default)]
pub struct Scales {
    /// A gate for each unit: `[kv_heads]` of an attention, `[width]` of an FFN.
    pub unit_gates: Option<Tensor>,
    /// Gain of the norm of the output, `[hidden]`.
    pub output_norm: Option<Tensor>,
    /// Gate of the output, `[1]`.
    pub output_gate: Option<Tensor>,
}

/// Parameters of a block's attention.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Before it.
    pub norm: Norm,
    /// Absent where the block borrows another's.
    pub linears: Option<AttentionLinears>,
    /// What the residual goes through, `[stream after, stream before]`.
    pub shortcut: Option<Tensor>,
    /// Gates, and the norm of the output.
    pub scales: Scales,
}

/// What an attention can lend to another.
#[derive(Clone, Debug)]
pub struct AttentionLinears {
    /// Query projection.
    pub q: Linear,
    /// Key projection.
    pub k: Linear,
    /// Value projection.
    pub v: Linear,
    /// Output projection.
    pub o: Linear,
    /// Gain of the RMSNorm over each query head, `[head_dim]`.
    pub q_norm: Option<Tensor>,
    /// Gain of the RMSNorm over each key head, `[head_dim]`.
    pub k_norm: Option<Tensor>,
    /// The first three, see [`Decoder::stack_projections`](crate::Decoder::stack_projections).
    pub(crate) stacked: Option<Linear>,
}

/// Parameters of a block's feed-forward network, see [`crate::graph::Activation`].
#[derive(Clone, Debug)]
pub struct Ffn {
    /// Before it.
    pub norm: Norm,
    /// Absent where the block borrows another's.
    pub linears: Option<FfnLinears>,
    /// What the residual goes through, `[stream after, stream before]`.
    pub shortcut: Option<Tensor>,
    /// Gates, and the norm of the output.
    pub scales: Scales,
}

/// What an FFN can lend to another.
#[derive(Clone, Debug)]
pub struct FfnLinears {
    /// Gate projection, if the activation is gated.
    pub gate: Option<Linear>,
    /// Up projection.
    pub up: Linear,
    /// Down projection.
    pub down: Linear,
    /// Gate and up projection, see [`Decoder::stack_projections`](crate::Decoder::stack_projections).
    pub(crate) stacked: Option<Linear>,
}

/// Parameters of a block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Attention, if the graph gives the block one.
    pub attention: Option<Attention>,
    /// Feed-forward network, if the graph gives the block one.
    pub ffn: Option<Ffn>,
    /// Low-rank deltas of its linears, its own and those it borrows, in the order of the graph.
    pub deltas: BTreeMap<LinearName, Vec<Delta>>,
}

/// A linear of a block by its role, in the order of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum LinearName {
    #[serde(rename = "q_proj")]
    Q,
    #[serde(rename = "k_proj")]
    K,
    #[serde(rename = "v_proj")]
    V,
    #[serde(rename = "o_proj")]
    O,
    #[serde(rename = "gate_proj")]
    Gate,
    #[serde(rename = "up_proj")]
    Up,
    #[serde(rename = "down_proj")]
    Down,
}

impl LinearName {
    /// Every role, in the order of execution.
    pub const ALL: [LinearName; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// Where a tap sees the linear's input, in block `block`.
    pub fn input(self, block: usize) -> Place {
        match self {
            Self::Q | Self::K | Self::V => Place::AttentionInput(block),
            Self::O => Place::AttentionOutput(block),
            Self::Gate | Self::Up => Place::FfnInput(block),
            Self::Down => Place::FfnHidden(block),
        }
    }

    /// The name in Hugging Face checkpoints, below `model.layers.N`.
    pub fn hf_name(self) -> &'static str {
        match self {
            Self::Q => "self_attn.q_proj",
            Self::K => "self_attn.k_proj",
            Self::V => "self_attn.v_proj",
            Self::O => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }
}

impl Block {
    /// The linear of that role, if the block has one of its own.
    pub fn linear(&self, name: LinearName) -> Option<&Linear> {
        let attention = || self.attention.as_ref()?.linears.as_ref();
        let ffn = || self.ffn.as_ref()?.linears.as_ref();
        match name {
            LinearName::Q => attention().map(|a| &a.q),
            LinearName::K => attention().map(|a| &a.k),
            LinearName::V => attention().map(|a| &a.v),
            LinearName::O => attention().map(|a| &a.o),
            LinearName::Gate => ffn().and_then(|f| f.gate.as_ref()),
            LinearName::Up => ffn().map(|f| &f.up),
            LinearName::Down => ffn().map(|f| &f.down),
        }
    }

    /// [`Block::linear`], to be changed.
    pub fn linear_mut(&mut self, name: LinearName) -> Option<&mut Linear> {
        self.linears_mut()
            .find(|(found, _)| *found == name)
            .map(|(_, linear)| linear)
    }

    /// Every linear of its own by its role, in the order of execution, to be changed.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = (LinearName, &mut Linear)> {
        let attention = self
            .attention
            .iter_mut()
            .filter_map(|a| a.linears.as_mut())
            .flat_map(|a| {
                // Linears that may change are no longer those of a stack.
                a.stacked = None;
                [
                    (LinearName::Q, &mut a.q),
                    (LinearName::K, &mut a.k),
                    (LinearName::V, &mut a.v),
                    (LinearName::O, &mut a.o),
                ]
            });
        let ffn = self.ffn.iter_mut().filter_map(|f| f.linears.as_mut()).flat_map(|f| {
            f.stacked = None;
            let gate = f.gate.iter_mut().map(|gate| (LinearName::Gate, gate));
            gate.chain([(LinearName::Up, &mut f.up), (LinearName::Down, &mut f.down)])
        });
        attention.chain(ffn)
    }

    /// The matrices that the residual goes through in the block.
    pub fn shortcuts(&self) -> impl Iterator<Item = &Tensor> {
        let attention = self.attention.as_ref().and_then(|a| a.shortcut.as_ref());
        let ffn = self.ffn.as_ref().and_then(|f| f.shortcut.as_ref());
        attention.into_iter().chain(ffn)
    }

    /// The deltas of the linear of that role.
    pub fn deltas(&self, name: LinearName) -> &[Delta] {
        self.deltas.get(&name).map_or(&[], Vec::as_slice)
    }
}

impl Linear {
    /// Applies the linear to `[..., in]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.linear(&self.weight, self.bias.as_ref())?)
    }

    /// Applies the linear with low-rank deltas, in their order.
    pub(crate) fn forward_with<'a>(&self, deltas: impl IntoIterator<Item = &'a Delta>, x: &Tensor) -> Result<Tensor> {
        let y = self.forward(x)?;
        deltas
            .into_iter()
            .try_fold(y, |y, delta| Ok(y.add(&delta.forward(&self.weight, x)?)?))
    }

    /// The linear that alone gives the outputs of this one with the deltas.
    pub(crate) fn merged<'a>(&self, deltas: impl IntoIterator<Item = &'a Delta>) -> Result<Self> {
        let mut merged = self.clone();
        for delta in deltas {
            merged.weight = merged.weight.add(&delta.matrix(&self.weight)?)?;
        }
        Ok(merged)
    }
}

impl Delta {
    /// A delta of a linear `[out, in]` that starts as no change (Hu et al. 2021): A from U(±1/√in), which is Kaiming's uniform draw
    /// with a = √5, and B zero.
    pub fn start(
        shape: DeltaShape,
        [out, inner]: [usize; 2],
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        Ok(Self {
            down: kaiming(&[shape.rank, inner], seed, dtype, device)?,
            up: Tensor::zeros(&[out, shape.rank], dtype, device)?,
            shape,
            dropout: None,
        })
    }

    /// What it adds to the output `[..., out]` of a linear with that weight, of the input `[..., in]`.
    fn forward(&self, weight: &Tensor, x: &Tensor) -> Result<Tensor> {
        let dropout = |Dropout { rate, seed }| x.dropout(rate, seed);
        let x = self.dropout.map_or(Ok(x.clone()), dropout)?;
        Ok(match self.shape.keeps_zeros {
            false => x
                .linear(&self.down, None)?
                .mul_scalar(self.shape.scale)?
                .linear(&self.up, None)?,
            true => x.linear(&self.matrix(weight)?, None)?,
        })
    }

    /// What it adds to `weight`, `[out, in]`.
    pub(crate) fn matrix(&self, weight: &Tensor) -> Result<Tensor> {
        let product = self.up.matmul(&self.down)?.mul_scalar(self.shape.scale)?;
        if !self.shape.keeps_zeros {
            return Ok(product);
        }
        let zero = Tensor::zeros(&[1], weight.dtype(), &weight.device())?;
        let kept = weight.detach()?.eq(&zero)?.neg()?.add_scalar(1.0)?;
        Ok(product.mul(&kept)?)
    }
}

/// Uniform in ±1/√in, `[.., in]`.
pub(crate) fn kaiming(shape: &[usize], seed: u64, dtype: DType, device: &Device) -> Result<Tensor> {
    let bound = 1.0 / (shape.last().copied().unwrap_or(1) as f64).sqrt();
    let unit = Tensor::rand(shape, seed, DType::F32, device)?;
    Ok(unit.mul_scalar(2.0 * bound)?.add_scalar(-bound)?.to_dtype(dtype)?)
}
