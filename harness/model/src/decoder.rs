//! The decoder: parameters arranged by the graph, and the one forward pass that runs any graph.

use std::collections::{HashMap, hash_map::Entry};

use prunebench_tensor::{AttentionMask, DType, Device, Tensor};

use crate::graph::{AttentionShape, Graph, Step};
use crate::{KvCache, ModelError, Result, rope};

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

/// A place in the forward pass whose activation a [`Tap`] can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The residual stream `[B, T, hidden]` before the step; the number of steps names the stream after the last, before the
    /// final norm.
    Residual(usize),
    /// Input of a block's query, key and value projections, `[B, T, hidden]`.
    AttentionInput(usize),
    /// Input of a block's output projection, `[B, T, heads · head_dim]`.
    AttentionOutput(usize),
    /// Input of a block's gate and up projections, `[B, T, hidden]`.
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
    /// Token embedding, `[vocab, hidden]`.
    pub embedding: Tensor,
    /// Stored blocks, in the order of [`Graph::blocks`].
    pub blocks: Vec<Block>,
    /// Gain of the RMSNorm after the last step, `[hidden]`.
    pub final_norm: Tensor,
    /// Output head, `[vocab, hidden]`; absent if the embedding serves.
    pub head: Option<Tensor>,
}

/// What one forward pass carries along.
struct Pass<'a> {
    cache: Option<&'a KvCache>,
    tap: Tap<'a>,
    /// Cosines and sines by head size.
    rope: HashMap<usize, (Tensor, Tensor)>,
    /// Attentions executed so far: the index of the next cache entry.
    attentions: usize,
}

impl Decoder {
    /// Builds a decoder from a graph and a function that gives each parameter by its Hugging Face name and wanted shape.
    pub fn from_parameters(graph: Graph, mut parameter: impl FnMut(&str, &[usize]) -> Result<Tensor>) -> Result<Self> {
        graph.validate()?;
        let hidden = graph.hidden_size;
        let embedding = parameter("model.embed_tokens.weight", &[graph.vocab_size, hidden])?;
        let mut blocks = Vec::with_capacity(graph.blocks.len());
        for (index, shape) in graph.blocks.iter().enumerate() {
            let at = |name: &str| format!("model.layers.{index}.{name}");
            let mut linear = |name: LinearName, out: usize, inner: usize, bias: bool| -> Result<Linear> {
                let name = at(name.hf_name());
                Ok(Linear {
                    weight: parameter(&format!("{name}.weight"), &[out, inner])?,
                    bias: bias.then(|| parameter(&format!("{name}.bias"), &[out])).transpose()?,
                })
            };
            let attention = match &shape.attention {
                None => None,
                Some(a) => {
                    let (queries, keys) = (a.heads * a.head_dim, a.kv_heads * a.head_dim);
                    Some((
                        linear(LinearName::Q, queries, hidden, a.qkv_bias)?,
                        linear(LinearName::K, keys, hidden, a.qkv_bias)?,
                        linear(LinearName::V, keys, hidden, a.qkv_bias)?,
                        linear(LinearName::O, hidden, queries, false)?,
                    ))
                }
            };
            let ffn = match &shape.ffn {
                None => None,
                Some(f) => Some((
                    linear(LinearName::Gate, f.width, hidden, false)?,
                    linear(LinearName::Up, f.width, hidden, false)?,
                    linear(LinearName::Down, hidden, f.width, false)?,
                )),
            };
            let mut head_norm = |name: &str| match &shape.attention {
                Some(a) if a.qk_norm => parameter(&at(name), &[a.head_dim]).map(Some),
                _ => Ok(None),
            };
            let (q_norm, k_norm) = (
                head_norm("self_attn.q_norm.weight")?,
                head_norm("self_attn.k_norm.weight")?,
            );
            blocks.push(Block {
                attention: match attention {
                    None => None,
                    Some((q, k, v, o)) => Some(Attention {
                        norm: parameter(&at("input_layernorm.weight"), &[hidden])?,
                        q,
                        k,
                        v,
                        o,
                        q_norm,
                        k_norm,
                    }),
                },
                ffn: match ffn {
                    None => None,
                    Some((gate, up, down)) => Some(Ffn {
                        norm: parameter(&at("post_attention_layernorm.weight"), &[hidden])?,
                        gate,
                        up,
                        down,
                    }),
                },
            });
        }
        let final_norm = parameter("model.norm.weight", &[hidden])?;
        let head = match graph.tie_word_embeddings {
            true => None,
            false => Some(parameter("lm_head.weight", &[graph.vocab_size, hidden])?),
        };
        Ok(Decoder {
            graph,
            embedding,
            blocks,
            final_norm,
            head,
        })
    }

    /// Every stored parameter by its Hugging Face name; a tied head is stored once.
    pub fn parameters(&self) -> Vec<(String, &Tensor)> {
        let mut named = vec![("model.embed_tokens.weight".to_string(), &self.embedding)];
        for (index, block) in self.blocks.iter().enumerate() {
            let at = |name: &str| format!("model.layers.{index}.{name}");
            for name in LinearName::ALL {
                if let Some(linear) = block.linear(name) {
                    named.push((at(&format!("{}.weight", name.hf_name())), &linear.weight));
                    named.extend(
                        linear
                            .bias
                            .as_ref()
                            .map(|bias| (at(&format!("{}.bias", name.hf_name())), bias)),
                    );
                }
            }
            if let Some(attention) = &block.attention {
                named.push((at("input_layernorm.weight"), &attention.norm));
                named.extend(
                    attention
                        .q_norm
                        .as_ref()
                        .map(|norm| (at("self_attn.q_norm.weight"), norm)),
                );
                named.extend(
                    attention
                        .k_norm
                        .as_ref()
                        .map(|norm| (at("self_attn.k_norm.weight"), norm)),
                );
            }
            if let Some(ffn) = &block.ffn {
                named.push((at("post_attention_layernorm.weight"), &ffn.norm));
            }
        }
        named.push(("model.norm.weight".to_string(), &self.final_norm));
        named.extend(self.head.as_ref().map(|head| ("lm_head.weight".to_string(), head)));
        named
    }

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
        Ok(hidden.linear(self.head.as_ref().unwrap_or(&self.embedding), None)?)
    }

    /// The residual stream `[B, T, hidden]` before the first step, of token ids `[B, T]`.
    pub fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        let (batch, tokens) = (ids.dim(0)?, ids.dim(1)?);
        let rows = self.embedding.index_select(0, &ids.reshape(&[batch * tokens])?)?;
        Ok(rows.reshape(&[batch, tokens, self.graph.hidden_size])?)
    }

    /// Final hidden states `[B, T, hidden]`, after the last norm, of token ids `[B, T]`. With a cache the ids continue the
    /// sequences it holds, and are added to it.
    pub fn hidden(&self, ids: &Tensor, cache: Option<&mut KvCache>, tap: Tap) -> Result<Tensor> {
        let (batch, tokens) = (ids.dim(0)?, ids.dim(1)?);
        if let Some(cache) = &cache {
            cache.check(batch, tokens)?;
        }
        let mut pass = self.pass(tokens, cache.as_deref(), tap)?;
        let mut x = self.embed(ids)?;
        for (index, step) in self.graph.steps.iter().enumerate() {
            (pass.tap)(Place::Residual(index), &x)?;
            x = self.step(step, x, &mut pass)?;
        }
        (pass.tap)(Place::Residual(self.graph.steps.len()), &x)?;
        if let Some(cache) = cache {
            cache.advance(tokens);
        }
        Ok(x.rms_norm(&self.final_norm, self.graph.rms_norm_eps)?)
    }

    /// The residual stream after step `index` alone, from the stream `[B, T, hidden]` before it.
    pub fn run_step(&self, index: usize, x: &Tensor, tap: Tap) -> Result<Tensor> {
        let Some(step) = self.graph.steps.get(index) else {
            return Err(ModelError::Graph(format!(
                "step {index} asked of {}",
                self.graph.steps.len()
            )));
        };
        self.step(step, x.clone(), &mut self.pass(x.dim(1)?, None, tap)?)
    }

    fn pass<'a>(&self, tokens: usize, cache: Option<&'a KvCache>, tap: Tap<'a>) -> Result<Pass<'a>> {
        let start = cache.map_or(0, KvCache::len);
        let mut rope = HashMap::new();
        for shape in self.graph.blocks.iter().filter_map(|block| block.attention.as_ref()) {
            if let Entry::Vacant(entry) = rope.entry(shape.head_dim) {
                let (dtype, device) = (self.dtype(), self.device());
                entry.insert(rope::tables(
                    &self.graph.rope,
                    shape.head_dim,
                    start,
                    tokens,
                    dtype,
                    &device,
                )?);
            }
        }
        Ok(Pass {
            cache,
            tap,
            rope,
            attentions: 0,
        })
    }

    fn step(&self, step: &Step, x: Tensor, pass: &mut Pass) -> Result<Tensor> {
        let plus = |x: &Tensor, update: Option<Tensor>| update.map_or(Ok(x.clone()), |update| x.add(&update));
        match step {
            Step::Block(block) => {
                let x = plus(&x, self.attention(*block, &x, pass)?)?;
                Ok(plus(&x, self.ffn(*block, &x, pass)?)?)
            }
            Step::Parallel(blocks) => blocks.iter().try_fold(x.clone(), |sum, &block| {
                let attention = self.attention(block, &x, pass)?;
                let inner = plus(&x, attention.clone())?;
                Ok(plus(&plus(&sum, attention)?, self.ffn(block, &inner, pass)?)?)
            }),
            Step::ParallelSublayers(blocks) => {
                let middle = blocks.iter().try_fold(x.clone(), |sum, &block| -> Result<Tensor> {
                    Ok(plus(&sum, self.attention(block, &x, pass)?)?)
                })?;
                blocks.iter().try_fold(middle.clone(), |sum, &block| {
                    Ok(plus(&sum, self.ffn(block, &middle, pass)?)?)
                })
            }
        }
    }

    /// The attention's update of the residual stream.
    fn attention(&self, index: usize, x: &Tensor, pass: &mut Pass) -> Result<Option<Tensor>> {
        let (Some(attention), Some(shape)) = (&self.blocks[index].attention, &self.graph.blocks[index].attention)
        else {
            return Ok(None);
        };
        let AttentionShape {
            heads,
            kv_heads,
            head_dim,
            window,
            ..
        } = *shape;
        let (batch, tokens) = (x.dim(0)?, x.dim(1)?);
        let x = x.rms_norm(&attention.norm, self.graph.rms_norm_eps)?;
        (pass.tap)(Place::AttentionInput(index), &x)?;
        let split = |linear: &Linear, heads: usize, norm: Option<&Tensor>| -> Result<Tensor> {
            let y = linear.forward(&x)?.reshape(&[batch, tokens, heads, head_dim])?;
            let y = norm.map_or(Ok(y.clone()), |norm| y.rms_norm(norm, self.graph.rms_norm_eps))?;
            Ok(y.transpose(1, 2)?)
        };
        let (cos, sin) = &pass.rope[&head_dim];
        let q = split(&attention.q, heads, attention.q_norm.as_ref())?.rope(cos, sin)?;
        let k = split(&attention.k, kv_heads, attention.k_norm.as_ref())?.rope(cos, sin)?;
        let v = split(&attention.v, kv_heads, None)?;
        let (k, v) = match pass.cache {
            Some(cache) => cache.append(pass.attentions, &k, &v)?,
            None => (k, v),
        };
        pass.attentions += 1;
        let mask = AttentionMask { causal: true, window };
        let mixed = Tensor::attention(&q, &k, &v, &mask, 1.0 / (head_dim as f64).sqrt())?;
        let mixed = mixed.transpose(1, 2)?.reshape(&[batch, tokens, heads * head_dim])?;
        (pass.tap)(Place::AttentionOutput(index), &mixed)?;
        attention.o.forward(&mixed).map(Some)
    }

    /// The feed-forward network's update of the residual stream.
    fn ffn(&self, index: usize, x: &Tensor, pass: &mut Pass) -> Result<Option<Tensor>> {
        let Some(ffn) = &self.blocks[index].ffn else {
            return Ok(None);
        };
        let x = x.rms_norm(&ffn.norm, self.graph.rms_norm_eps)?;
        (pass.tap)(Place::FfnInput(index), &x)?;
        let hidden = ffn.gate.forward(&x)?.swiglu(&ffn.up.forward(&x)?)?;
        (pass.tap)(Place::FfnHidden(index), &hidden)?;
        ffn.down.forward(&hidden).map(Some)
    }
}

impl Linear {
    /// Applies the linear to `[..., in]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.linear(&self.weight, self.bias.as_ref())?)
    }
}
