//! Parameters of a block, by role.

use prunebench_tensor::Tensor;

use crate::{Place, Result};

/// y = x weightᵀ + bias, and what a low-rank delta adds.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
    /// Low-rank adapter.
    pub delta: Option<LowRank>,
}

/// A low-rank delta of a linear (LoRA, Hu et al. 2021): y gains scale · dropout(x) downᵀ upᵀ.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// `[rank, in]`, called A.
    pub down: Tensor,
    /// `[out, rank]`, called B.
    pub up: Tensor,
    /// Factor of the delta; alpha / rank.
    pub scale: f64,
    /// Dropout of the delta's input, while training.
    pub dropout: Option<Dropout>,
    /// 0 where the delta is held at 0, 1 elsewhere, `[out, in]`; for a weight whose zeros stay.
    pub mask: Option<Tensor>,
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

/// Parameters of a block's attention.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Before it.
    pub norm: Norm,
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
    /// What the residual goes through, `[stream after, stream before]`.
    pub shortcut: Option<Tensor>,
    /// All three projections, see [`Decoder::stack_projections`](crate::Decoder::stack_projections).
    pub(crate) stacked: Option<Linear>,
}

/// Parameters of a block's feed-forward network, see [`crate::graph::Activation`].
#[derive(Clone, Debug)]
pub struct Ffn {
    /// Before it.
    pub norm: Norm,
    /// Gate projection, if the activation is gated.
    pub gate: Option<Linear>,
    /// Up projection.
    pub up: Linear,
    /// Down projection.
    pub down: Linear,
    /// What the residual goes through, `[stream after, stream before]`.
    pub shortcut: Option<Tensor>,
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
            LinearName::Gate => ffn.and_then(|f| f.gate.as_ref()),
            LinearName::Up => ffn.map(|f| &f.up),
            LinearName::Down => ffn.map(|f| &f.down),
        }
    }

    /// The matrices that the residual goes through in the block.
    pub fn shortcuts(&self) -> impl Iterator<Item = &Tensor> {
        let attention = self.attention.as_ref().and_then(|a| a.shortcut.as_ref());
        let ffn = self.ffn.as_ref().and_then(|f| f.shortcut.as_ref());
        attention.into_iter().chain(ffn)
    }

    /// Linears that may change are no longer those of a stack.
    fn unstack(&mut self) {
        self.attention.iter_mut().for_each(|attention| attention.stacked = None);
        self.ffn.iter_mut().for_each(|ffn| ffn.stacked = None);
    }

    /// [`Block::linear`], to be changed.
    pub fn linear_mut(&mut self, name: LinearName) -> Option<&mut Linear> {
        self.unstack();
        let (attention, ffn) = (self.attention.as_mut(), self.ffn.as_mut());
        match name {
            LinearName::Q => attention.map(|a| &mut a.q),
            LinearName::K => attention.map(|a| &mut a.k),
            LinearName::V => attention.map(|a| &mut a.v),
            LinearName::O => attention.map(|a| &mut a.o),
            LinearName::Gate => ffn.and_then(|f| f.gate.as_mut()),
            LinearName::Up => ffn.map(|f| &mut f.up),
            LinearName::Down => ffn.map(|f| &mut f.down),
        }
    }
}

impl Block {
    /// Every linear by its role, in the order of execution, to be changed.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = (LinearName, &mut Linear)> {
        self.unstack();
        let attention = self.attention.iter_mut().flat_map(|a| {
            let (q, k, v, o) = (&mut a.q, &mut a.k, &mut a.v, &mut a.o);
            [
                (LinearName::Q, q),
                (LinearName::K, k),
                (LinearName::V, v),
                (LinearName::O, o),
            ]
        });
        let ffn = self.ffn.iter_mut().flat_map(|f| {
            let gate = f.gate.iter_mut().map(|gate| (LinearName::Gate, gate));
            gate.chain([(LinearName::Up, &mut f.up), (LinearName::Down, &mut f.down)])
        });
        attention.chain(ffn)
    }
}

impl Linear {
    /// Applies the linear to `[..., in]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.linear(&self.weight, self.bias.as_ref())?;
        let Some(delta) = &self.delta else {
            return Ok(y);
        };
        let dropout = |Dropout { rate, seed }| x.dropout(rate, seed);
        let x = delta.dropout.map_or(Ok(x.clone()), dropout)?;
        let update = match &delta.mask {
            None => x
                .linear(&delta.down, None)?
                .mul_scalar(delta.scale)?
                .linear(&delta.up, None)?,
            Some(_) => x.linear(&delta.matrix()?, None)?,
        };
        Ok(y.add(&update)?)
    }

    /// Adds the low-rank delta to the weight, which from then on gives the same outputs alone.
    pub fn merge(&mut self) -> Result<()> {
        if let Some(delta) = self.delta.take() {
            self.weight = self.weight.add(&delta.matrix()?)?;
        }
        Ok(())
    }
}

impl LowRank {
    /// What it adds to the weight, `[out, in]`.
    fn matrix(&self) -> Result<Tensor> {
        let product = self.up.matmul(&self.down)?.mul_scalar(self.scale)?;
        Ok(self
            .mask
            .as_ref()
            .map_or(Ok(product.clone()), |mask| product.mul(mask))?)
    }
}
