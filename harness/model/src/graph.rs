//! The decoder's graph as data: which blocks exist, their shapes, and the order in which they run.
//!
//! Depth pruning, width pruning and layer pairs are edits of this data; the forward pass knows no method by name. Fields that
//! a family leaves out are absent from the file as well, so files written before a field existed mean what they meant.

use serde::{Deserialize, Serialize};

use crate::{ModelError, Result};

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockShape {
    /// Attention, if the block has it.
    pub attention: Option<AttentionShape>,
    /// Feed-forward network, if the block has it.
    pub ffn: Option<FfnShape>,
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

    /// Weights of the block's linears, norms and shortcuts; `None` if they are more than can be counted.
    fn weights(&self, hidden: usize) -> Option<usize> {
        let attention = match &self.attention {
            None => 0,
            Some(a) => {
                let (queries, keys) = (a.heads.checked_mul(a.head_dim)?, a.kv_heads.checked_mul(a.head_dim)?);
                let projections = queries.checked_add(keys)?.checked_mul(2)?.checked_mul(hidden)?;
                projections.checked_add(hidden)?.checked_add(queries)?
            }
        };
        let ffn = match &self.ffn {
            None => 0,
            Some(f) => f.width.checked_mul(hidden)?.checked_mul(3)?.checked_add(hidden)?,
        };
        let shortcuts = self.shortcuts().flatten().try_fold(0_usize, |sum, shortcut| {
            sum.checked_add(shortcut.from.checked_mul(shortcut.to)?)
        })?;
        attention.checked_add(ffn)?.checked_add(shortcuts)
    }
}

impl Graph {
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

    /// Checks that the stream that each sublayer leaves is as wide as the next one wants.
    fn validate_widths(&self) -> Result<()> {
        let whole = Shortcut {
            from: self.hidden_size,
            to: self.hidden_size,
        };
        let mut width = self.embedding_width();
        for (index, step) in self.steps.iter().enumerate() {
            for &block in step.blocks() {
                for shortcut in self.blocks[block].shortcuts() {
                    if shortcut.is_some() && !matches!(step, Step::Block(_)) {
                        return Err(ModelError::Graph(format!(
                            "step {index} runs block {block} beside others, but it has a shortcut matrix; blocks with one run \
                             one after another"
                        )));
                    }
                    let Shortcut { from, to } = shortcut.unwrap_or(whole);
                    if from != width || [from, to].iter().any(|width| !(1..=self.hidden_size).contains(width)) {
                        return Err(ModelError::Graph(format!(
                            "step {index}: block {block} takes a stream of {from} to one of {to}; the stream is {width} wide there, \
                             and 1 to {} is wanted after it",
                            self.hidden_size
                        )));
                    }
                    width = to;
                }
            }
        }
        if width != self.hidden_size {
            return Err(ModelError::Graph(format!(
                "the last step leaves a stream of width {width}; hidden_size {} is wanted",
                self.hidden_size
            )));
        }
        if self.tie_word_embeddings && self.embedding_width() != self.hidden_size {
            return Err(ModelError::Graph(format!(
                "an embedding of width {} can't be the output head, which is {} wide; tie_word_embeddings must be false",
                self.embedding_width(),
                self.hidden_size
            )));
        }
        Ok(())
    }

    /// Checks that the graph is consistent and that its sizes fit in memory's address range.
    pub fn validate(&self) -> Result<()> {
        let require = |holds: bool, detail: &dyn Fn() -> String| {
            if holds {
                Ok(())
            } else {
                Err(ModelError::Graph(detail()))
            }
        };
        require(self.vocab_size > 0 && self.hidden_size > 0, &|| {
            format!(
                "vocab_size {} and hidden_size {} must be positive",
                self.vocab_size, self.hidden_size
            )
        })?;
        if let Some(rope) = &self.rope {
            require(rope.theta > 0.0 && rope.theta.is_finite(), &|| {
                format!("rope theta {} must be a positive number", rope.theta)
            })?;
        }
        let learned = if self.rope.is_none() {
            self.max_position_embeddings
        } else {
            0
        };
        require(self.rope.is_some() || learned > 0, &|| {
            "max_position_embeddings is 0; a model without RoPE has a learned vector for each position".to_string()
        })?;
        let rows = self
            .vocab_size
            .checked_mul(2)
            .and_then(|rows| rows.checked_add(learned));
        let mut weights = rows.and_then(|rows| rows.checked_mul(self.hidden_size));
        for (index, block) in self.blocks.iter().enumerate() {
            if let Some(a) = &block.attention {
                require(
                    a.kv_heads > 0 && a.heads > 0 && a.heads.is_multiple_of(a.kv_heads),
                    &|| {
                        format!(
                            "block {index}: {} key heads must divide {} query heads",
                            a.kv_heads, a.heads
                        )
                    },
                )?;
                let halves = self.rope.is_none() || a.head_dim.is_multiple_of(2);
                require(a.head_dim > 0 && halves, &|| {
                    format!(
                        "block {index}: head_dim {} must be positive, and even for RoPE",
                        a.head_dim
                    )
                })?;
                if let Some(scale) = a.scale {
                    require(scale > 0.0 && scale.is_finite(), &|| {
                        format!("block {index}: attention scale {scale} must be a positive number")
                    })?;
                }
                require(a.window != Some(0), &|| {
                    format!("block {index}: an attention window of 0 sees nothing")
                })?;
            }
            if let Some(f) = &block.ffn {
                require(f.width > 0, &|| {
                    format!("block {index}: an FFN of width 0; leave the FFN out instead")
                })?;
            }
            weights = weights.and_then(|n| n.checked_add(block.weights(self.hidden_size)?));
        }
        require(weights.is_some_and(|n| n < isize::MAX as usize / 8), &|| {
            "the sizes multiply to more parameters than memory can address".to_string()
        })?;
        for (index, step) in self.steps.iter().enumerate() {
            require(!step.blocks().is_empty(), &|| format!("step {index} runs no block"))?;
            for &block in step.blocks() {
                require(block < self.blocks.len(), &|| {
                    format!(
                        "step {index} runs block {block}, but there are {} blocks",
                        self.blocks.len()
                    )
                })?;
            }
        }
        self.validate_widths()
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
