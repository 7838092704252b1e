//! The decoder's graph as data: which blocks exist, their shapes, and the order in which they run.
//!
//! Depth pruning, width pruning and layer pairs are edits of this data; the forward pass knows no method by name. Fields that
//! a family leaves out are absent from the file as well, so files written before a field existed mean what they meant.

mod checks;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::LinearName;

/// A model family: it decides parameter names, which linears carry biases, and how a plain config is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Llama 1, 2 and 3, and models that share its graph (SmolLM2).
    Llama,
    /// Llama's graph with an optional sliding attention window.
    Mistral,
    /// Llama's graph with biases on the query, key and value projections.
    Qwen2,
    /// Llama's graph with an RMSNorm over each query and key head.
    Qwen3,
    /// Decoders that no plain config describes: learned positions, LayerNorm or ReLU.
    Gpt,
}

/// How the residual stream is normalised before each sublayer and before the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormKind {
    /// x / sqrt(mean(x²) + eps) · gain; eps counts hidden_size / width times on a stream narrowed to `width`, so that a gain of
    /// sqrt(hidden_size / width) gives the norm of the stream with the missing elements as zeros.
    #[default]
    Rms,
    /// (x − mean) / sqrt(variance + eps) · gain + bias.
    Layer,
}

/// What a feed-forward network does between its projections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// down(silu(gate(x)) · up(x)).
    #[default]
    Swiglu,
    /// down(max(up(x), 0)), without a gate.
    Relu,
}

/// Rotary position embedding: base frequency and how it is stretched beyond the trained context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rope {
    /// Base of the geometric series of wavelengths.
    pub theta: f64,
    /// Correction of the inverse frequencies.
    #[serde(default)]
    pub scaling: RopeScaling,
}

/// Correction of the inverse frequencies 1 / theta^(2i/D).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum RopeScaling {
    /// Frequencies as trained.
    #[default]
    None,
    /// Every frequency divided by `factor` (position interpolation).
    Linear {
        /// Divisor, at least 1.
        factor: f64,
    },
    /// Llama 3.1: long wavelengths divided by `factor`, short ones kept, a linear blend between.
    Llama3 {
        /// Divisor of the longest wavelengths.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided in full.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context length of the original training.
        original_max_position_embeddings: usize,
    },
    /// A divisor per frequency, as GGUF files store it (`rope_freqs.weight`).
    Factors {
        /// One divisor for each of the head_dim / 2 frequencies.
        factors: Vec<f64>,
    },
}

/// Shape of a block's attention.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Size of one head.
    pub head_dim: usize,
    /// Query, key and value projections carry a bias.
    pub qkv_bias: bool,
    /// An RMSNorm over each query and key head before RoPE.
    pub qk_norm: bool,
    /// A query sees only this many positions, itself included.
    pub window: Option<usize>,
    /// The output projection carries a bias.
    #[serde(default, skip_serializing_if = "is_default")]
    pub o_bias: bool,
    /// Factor of the scores; head_dim^(−1/2) if absent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scale: Option<f64>,
    /// The residual goes through a matrix.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shortcut: Option<Shortcut>,
    /// What the sublayer has beside its linears; a unit is a key head with the query heads that attend to it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scales: ScalesShape,
}

/// Shape of a block's feed-forward network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FfnShape {
    /// Rows of the up projection, and of the gate if there is one.
    pub width: usize,
    /// Between the projections.
    #[serde(default, skip_serializing_if = "is_default")]
    pub activation: Activation,
    /// Every projection carries a bias.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bias: bool,
    /// The residual goes through a matrix.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shortcut: Option<Shortcut>,
    /// What the sublayer has beside its linears; a unit is a channel between them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scales: ScalesShape,
}

/// Which vectors scale a sublayer: its units before the projection back to the stream, then what that projection gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScalesShape {
    /// Each unit is multiplied by a gate.
    #[serde(skip_serializing_if = "is_default")]
    pub unit_gates: bool,
    /// The output is normalised, (x − mean) / sqrt(variance + 1e-5) · gain over the width of the stream.
    #[serde(skip_serializing_if = "is_default")]
    pub norm: bool,
    /// The output is multiplied by one gate, after the norm.
    #[serde(skip_serializing_if = "is_default")]
    pub gate: bool,
}

/// A low-rank delta of a linear (LoRA, Hu et al. 2021): y gains scale · x Aᵀ Bᵀ with A `[rank, in]` and B `[out, rank]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaShape {
    /// Name among the linear's deltas. Tensors are named as PEFT saves them: `lora_A.weight` of the delta `default`,
    /// `lora_A.<name>.weight` of another.
    #[serde(default = "default_name", skip_serializing_if = "is_default_name")]
    pub name: String,
    /// Rows of A.
    pub rank: usize,
    /// Factor; alpha / rank.
    pub scale: f64,
    /// The delta is 0 where the weight is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keeps_zeros: bool,
}

/// Name of a linear's only delta.
pub const DEFAULT_DELTA: &str = "default";

fn default_name() -> String {
    DEFAULT_DELTA.to_owned()
}

fn is_default_name(name: &String) -> bool {
    name == DEFAULT_DELTA
}

/// Widths of the residual stream around a sublayer that reads and writes it in two bases, x ← shortcut · x + sublayer(x); both
/// are [`Graph::hidden_size`] for a sublayer without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shortcut {
    /// Before the sublayer.
    pub from: usize,
    /// After it.
    pub to: usize,
}

/// Shape of one block; either half may be absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockShape {
    /// Attention, if the block has it.
    pub attention: Option<AttentionShape>,
    /// Feed-forward network, if the block has it.
    pub ffn: Option<FfnShape>,
    /// The block whose linears, deltas and norms of heads this one runs with, for it has none. Its other norms, gates and further
    /// deltas are its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub borrows: Option<usize>,
    /// Low-rank deltas, by linear.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deltas: BTreeMap<LinearName, Vec<DeltaShape>>,
}

/// One step of the forward pass over the residual stream x. Blocks are named by their index in [`Graph::blocks`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// x ← x + attention(x), then x ← x + ffn(x).
    Block(usize),
    /// Whole blocks on one input: x ← x + Σ_b (block_b(x) − x).
    Parallel(Vec<usize>),
    /// Sublayers in parallel: x ← x + Σ_b attention_b(x), then x ← x + Σ_b ffn_b(x) on that sum.
    ParallelSublayers(Vec<usize>),
    /// The mean of whole blocks on one input: x ← mean_b block_b(x).
    Average(Vec<usize>),
}

impl Step {
    /// The blocks that the step runs, in order.
    pub fn blocks(&self) -> &[usize] {
        match self {
            Step::Block(block) => std::slice::from_ref(block),
            Step::Parallel(blocks) | Step::ParallelSublayers(blocks) | Step::Average(blocks) => blocks,
        }
    }
}

/// Everything about a decoder but its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// Family.
    pub architecture: Architecture,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream where it reaches the final norm, and wherever no [`Shortcut`] narrows it.
    pub hidden_size: usize,
    /// Epsilon of every norm.
    pub rms_norm_eps: f64,
    /// Positions the model was trained for, in tokens; the rows of learned positions.
    pub max_position_embeddings: usize,
    /// The output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Token that begins a text, if the model has one.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
    /// Rotary position embedding; a model without one has learned positions.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rope: Option<Rope>,
    /// Norms of the residual stream.
    #[serde(default, skip_serializing_if = "is_default")]
    pub norm: NormKind,
    /// The output head carries a bias.
    #[serde(default, skip_serializing_if = "is_default")]
    pub head_bias: bool,
    /// Each channel of the stream has a gate that multiplies what sublayers add to it and what norms make of it; norms are over
    /// the channels whose gate is not 0. The embedding is not gated.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stream_gates: bool,
    /// Shapes of the stored blocks.
    pub blocks: Vec<BlockShape>,
    /// What runs, in order.
    pub steps: Vec<Step>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl BlockShape {
    /// The shortcut of each sublayer that the block has.
    pub fn shortcuts(&self) -> impl Iterator<Item = Option<Shortcut>> {
        let attention = self.attention.as_ref().map(|a| a.shortcut);
        attention.into_iter().chain(self.ffn.as_ref().map(|f| f.shortcut))
    }

    /// `[out, in]` of the linear of that role, if the block runs one, in a model whose stream is `hidden` wide.
    pub(crate) fn linear(&self, name: LinearName, hidden: usize) -> Option<[usize; 2]> {
        let whole = Shortcut {
            from: hidden,
            to: hidden,
        };
        match name {
            LinearName::Q | LinearName::K | LinearName::V | LinearName::O => {
                let a = self.attention.as_ref()?;
                let Shortcut { from, to } = a.shortcut.unwrap_or(whole);
                let (queries, keys) = (a.heads * a.head_dim, a.kv_heads * a.head_dim);
                Some(match name {
                    LinearName::Q => [queries, from],
                    LinearName::O => [to, queries],
                    _ => [keys, from],
                })
            }
            LinearName::Gate | LinearName::Up | LinearName::Down => {
                let f = self.ffn.as_ref()?;
                let Shortcut { from, to } = f.shortcut.unwrap_or(whole);
                match name {
                    LinearName::Gate if f.activation == Activation::Relu => None,
                    LinearName::Down => Some([to, f.width]),
                    _ => Some([f.width, from]),
                }
            }
        }
    }

    /// Whether the block normalises the output of its attention or its FFN.
    pub fn normalises(&self) -> bool {
        let attention = self.attention.as_ref().is_some_and(|attention| attention.scales.norm);
        attention || self.ffn.as_ref().is_some_and(|ffn| ffn.scales.norm)
    }

    /// Whether the linear of that role has a bias.
    pub(crate) fn has_bias(&self, name: LinearName) -> bool {
        match name {
            LinearName::Q | LinearName::K | LinearName::V => self.attention.as_ref().is_some_and(|a| a.qkv_bias),
            LinearName::O => self.attention.as_ref().is_some_and(|a| a.o_bias),
            LinearName::Gate | LinearName::Up | LinearName::Down => self.ffn.as_ref().is_some_and(|f| f.bias),
        }
    }
}

impl Graph {
    /// The block whose linears block `block` runs: itself, if it borrows none.
    pub fn lender(&self, block: usize) -> usize {
        self.blocks[block].borrows.unwrap_or(block)
    }

    /// Whether another block runs the linears of `block`.
    pub fn lends(&self, block: usize) -> bool {
        self.blocks.iter().any(|shape| shape.borrows == Some(block))
    }

    /// Width of the embedding: that of the stream before the first sublayer.
    pub fn embedding_width(&self) -> usize {
        let executed = self.steps.iter().flat_map(|step| step.blocks());
        let mut shortcuts = executed
            .filter_map(|&b| self.blocks.get(b))
            .flat_map(BlockShape::shortcuts);
        shortcuts
            .next()
            .flatten()
            .map_or(self.hidden_size, |shortcut| shortcut.from)
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
