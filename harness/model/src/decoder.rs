//! The decoder: parameters arranged by the graph, and what it is asked.

use std::sync::Arc;

use prunebench_tensor::{DType, Device, Tensor};

use crate::forward::Pass;
use crate::graph::Graph;
use crate::tensor_parallel::Collective;
use crate::{Block, KvCache, ModelError, Norm, Packed, Result, Rows};

/// A place in the forward pass whose activation a [`Tap`] can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The residual stream `[B, T, hidden]` before the step, narrower where a shortcut made it so; the number of steps names the stream after the last, before the
    /// final norm.
    Residual(usize),
    /// Input of a block's query, key and value projections, `[B, T, hidden]`.
    AttentionInput(usize),
    /// Input of a block's output projection, `[B, T, heads · head_dim]`.
    AttentionOutput(usize),
    /// Input of a block's up projection, and of its gate if there is one, `[B, T, hidden]`.
    FfnInput(usize),
    /// Input of a block's down projection, `[B, T, width]`.
    FfnHidden(usize),
}

/// Reads activations as the forward pass makes them.
pub type Tap<'a> = &'a mut dyn FnMut(Place, &Tensor) -> Result<()>;

/// A decoder-only language model: a graph and its parameters.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// Shapes and order of execution.
    pub graph: Graph,
    /// Token embedding, `[vocab, hidden]`; as wide as [`Graph::embedding_width`] says.
    pub embedding: Tensor,
    /// Learned positions, `[max_position_embeddings, hidden]`; absent if the model has RoPE.
    pub positions: Option<Tensor>,
    /// Stored blocks, in the order of [`Graph::blocks`].
    pub blocks: Vec<Block>,
    /// After the last step.
    pub final_norm: Norm,
    /// Output head, `[vocab, hidden]`; absent if the embedding serves.
    pub head: Option<Tensor>,
    /// Bias of the output head, `[vocab]`.
    pub head_bias: Option<Tensor>,
    /// Gates of the residual stream's channels, `[hidden]`.
    pub stream_gates: Option<Tensor>,
    /// The group over which updates of the residual stream are summed, if the blocks are one rank's share of a model.
    pub group: Option<Arc<dyn Collective>>,
}

impl Decoder {
    /// Engine and hardware that hold the parameters.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// Element type of the parameters.
    pub fn dtype(&self) -> DType {
        self.embedding.dtype()
    }

    /// An empty KV cache for `batch` sequences of up to `capacity` tokens.
    pub fn cache(&self, batch: usize, capacity: usize) -> Result<KvCache> {
        KvCache::new(&self.graph, batch, capacity, self.dtype(), &self.device())
    }

    /// Token ids `[B, T]` of sequences of one length.
    pub fn ids(&self, sequences: &[&[u32]]) -> Result<Tensor> {
        let length = sequences.first().map_or(0, |s| s.len());
        if length == 0 || sequences.iter().any(|s| s.len() != length) {
            return Err(ModelError::Graph(
                "a batch needs sequences of one length, at least 1".to_string(),
            ));
        }
        let ids: Vec<i64> = sequences
            .iter()
            .flat_map(|s| s.iter().map(|&id| i64::from(id)))
            .collect();
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.graph.vocab_size) {
            return Err(ModelError::Graph(format!(
                "token id {id} is outside the vocabulary of {}; the tokenizer belongs to another model",
                self.graph.vocab_size
            )));
        }
        Ok(Tensor::from_slice(&ids, &[sequences.len(), length], &self.device())?)
    }

    /// Logits `[B, T, vocab]` of token ids `[B, T]`.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        self.logits(&self.hidden(ids, None, &mut |_, _| Ok(()))?)
    }

    /// Logits of final hidden states `[..., hidden]`.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        Ok(hidden.linear(head, self.head_bias.as_ref())?)
    }

    /// The residual stream `[B, T, hidden]` before the first step, of token ids `[B, T]`.
    pub fn embed(&self, ids: &Tensor, rows: &Rows) -> Result<Tensor> {
        self.embed_at(ids, &rows.positions)
    }

    /// The residual stream before the first step, of token ids `[B, T]` at T positions.
    fn embed_at(&self, ids: &Tensor, positions: &[usize]) -> Result<Tensor> {
        let (batch, tokens) = (ids.dim(0)?, ids.dim(1)?);
        let rows = self.embedding.index_select(0, &ids.reshape(&[batch * tokens])?)?;
        let x = rows.reshape(&[batch, tokens, self.embedding.dim(1)?])?;
        let Some(learned) = &self.positions else {
            return Ok(x);
        };
        let context = self.graph.max_position_embeddings;
        if let Some(position) = positions.iter().find(|&&position| position >= context) {
            return Err(ModelError::Graph(format!(
                "position {position} lies outside the context of {context} tokens that the model has learned; shorten the text"
            )));
        }
        let in_a_row = positions.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let rows = match positions.first() {
            Some(&first) if in_a_row => learned.narrow(0, first, tokens)?,
            _ => {
                let positions: Vec<i64> = positions.iter().map(|&position| position as i64).collect();
                learned.index_select(0, &Tensor::from_slice(&positions, &[tokens], &self.device())?)?
            }
        };
        Ok(x.add(&rows)?)
    }

    /// Final hidden states `[B, T, hidden]`, after the last norm, of token ids `[B, T]`. With a cache the ids continue the
    /// sequences it holds, and are added to it.
    pub fn hidden(&self, ids: &Tensor, cache: Option<&mut KvCache>, tap: Tap) -> Result<Tensor> {
        let (batch, tokens) = (ids.dim(0)?, ids.dim(1)?);
        if let Some(cache) = &cache {
            cache.check(batch, tokens)?;
        }
        let start = cache.as_deref().map_or(0, KvCache::len);
        let positions: Vec<usize> = (start..start + tokens).collect();
        let x = self.embed_at(ids, &positions)?;
        let pass = Pass {
            cache: cache.as_deref(),
            segments: None,
            tap,
            rope: match &cache {
                Some(cache) => cache.rope(tokens)?,
                None => self.rope(&positions)?,
            },
            stream: self.stream()?,
            attentions: 0,
        };
        let hidden = self.run(x, pass)?;
        if let Some(cache) = cache {
            cache.advance(tokens);
        }
        Ok(hidden)
    }

    /// Final hidden states `[1, rows, hidden]`, after the last norm, of packed sequences: those that continue what the cache
    /// holds, or whole ones without a cache. The cache keeps what it holds, and needs room for the rows besides.
    pub fn hidden_packed(&self, packed: &Packed, prefix: Option<&KvCache>) -> Result<Tensor> {
        if let Some(cache) = prefix {
            cache.check(1, packed.ids.len())?;
        }
        let held = prefix.map_or(0, KvCache::len);
        if held != packed.prefix {
            return Err(ModelError::Graph(format!(
                "sequences packed without their first {} tokens don't fit a KV cache that holds {held}",
                packed.prefix
            )));
        }
        let tap: Tap = &mut |_, _| Ok(());
        let x = self.embed_at(&self.ids(&[&packed.ids])?, &packed.positions)?;
        let pass = Pass {
            cache: prefix,
            segments: Some(&packed.segments),
            tap,
            rope: self.rope(&packed.positions)?,
            stream: self.stream()?,
            attentions: 0,
        };
        self.run(x, pass)
    }

    /// Final hidden states `[..., hidden]` of the residual stream after the last step.
    pub fn final_normed(&self, x: &Tensor) -> Result<Tensor> {
        self.norm(x, &self.final_norm, self.stream()?.as_ref())
    }

    /// The residual stream after step `index` alone, from the stream `[B, T, hidden]` before it.
    pub fn run_step(&self, index: usize, x: &Tensor, rows: &Rows, tap: Tap) -> Result<Tensor> {
        let Some(step) = self.graph.steps.get(index) else {
            return Err(ModelError::Graph(format!(
                "step {index} asked of {}",
                self.graph.steps.len()
            )));
        };
        let mut pass = Pass {
            cache: None,
            segments: rows.segments.as_deref(),
            tap,
            rope: self.rope(&rows.positions)?,
            stream: self.stream()?,
            attentions: 0,
        };
        self.step(step, x.clone(), &mut pass)
    }
}
