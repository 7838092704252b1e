//! Parameters of a block, by role.

use prunebench_tensor::Tensor;

use crate::{Place, Result};

/// y = x weightᵀ + bias.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
}

/// Parameters of a block's attention.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Gain of the RMSNorm before it, `[hidden]`.
    pub norm: Tensor,
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
}

/// Parameters of a block's gated feed-forward network: down(silu(gate(x)) · up(x)).
#[derive(Clone, Debug)]
pub struct Ffn {
    /// Gain of the RMSNorm before it, `[hidden]`.
    pub norm: Tensor,
    /// Gate projection.
    pub gate: Linear,
    /// Up projection.
    pub up: Linear,
    /// Down projection.
    pub down: Linear,
}

/// Parameters of a block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Attention, if the graph gives the block one.
    pub attention: Option<Attention>,
    /// Feed-forward network, if the graph gives the block one.
    pub ffn: Option<Ffn>,
}

/// A linear of a block by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum LinearName {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
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
    /// The linear of that role, if the block has it.
    pub fn linear(&self, name: LinearName) -> Option<&Linear> {
        let (attention, ffn) = (self.attention.as_ref(), self.ffn.as_ref());
        match name {
            LinearName::Q => attention.map(|a| &a.q),
            LinearName::K => attention.map(|a| &a.k),
            LinearName::V => attention.map(|a| &a.v),
            LinearName::O => attention.map(|a| &a.o),
            LinearName::Gate => ffn.map(|f| &f.gate),
            LinearName::Up => ffn.map(|f| &f.up),
            LinearName::Down => ffn.map(|f| &f.down),
        }
    }

    /// [`Block::linear`], to be changed.
    pub fn linear_mut(&mut self, name: LinearName) -> Option<&mut Linear> {
        let (attention, ffn) = (self.attention.as_mut(), self.ffn.as_mut());
        match name {
            LinearName::Q => attention.map(|a| &mut a.q),
            LinearName::K => attention.map(|a| &mut a.k),
            LinearName::V => attention.map(|a| &mut a.v),
            LinearName::O => attention.map(|a| &mut a.o),
            LinearName::Gate => ffn.map(|f| &mut f.gate),
            LinearName::Up => ffn.map(|f| &mut f.up),
            LinearName::Down => ffn.map(|f| &mut f.down),
        }
    }
}

impl Linear {
    /// Applies the linear to `[..., in]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.linear(&self.weight, self.bias.as_ref())?)
    }
}
