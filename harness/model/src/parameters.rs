//! A decoder from its parameters, and back, by name: whatever decides an output is in this one list.

use std::collections::BTreeMap;

use prunebench_tensor::Tensor;

use crate::block::{AttentionLinears, Delta, FfnLinears, Scales};
use crate::graph::{Activation, BlockShape, DEFAULT_DELTA, DeltaShape, FfnShape, NormKind, ScalesShape, Shortcut};
use crate::{Attention, Block, Decoder, Ffn, Graph, Linear, LinearName, ModelError, Norm, Result};

/// Names of a sublayer's parameters below `model.layers.N`.
struct SublayerNames {
    norm: &'static str,
    shortcut: &'static str,
    unit_gates: &'static str,
    output_norm: &'static str,
    output_gate: &'static str,
}

const ATTENTION: SublayerNames = SublayerNames {
    norm: "input_layernorm",
    shortcut: "self_attn.shortcut.weight",
    unit_gates: "self_attn.head_gates",
    output_norm: "self_attn.output_norm.weight",
    output_gate: "self_attn.output_gate",
};
const FFN: SublayerNames = SublayerNames {
    norm: "post_attention_layernorm",
    shortcut: "mlp.shortcut.weight",
    unit_gates: "mlp.channel_gates",
    output_norm: "mlp.output_norm.weight",
    output_gate: "mlp.output_gate",
};
const Q_NORM: &str = "self_attn.q_norm.weight";
const K_NORM: &str = "self_attn.k_norm.weight";
/// Of every channel of the residual stream.
pub(crate) const STREAM_GATES: &str = "model.stream_gates";

/// Whether a parameter is a gate, which multiplies and does nothing at 1.
pub(crate) fn is_gate(name: &str) -> bool {
    name.ends_with("_gates") || name.ends_with("_gate")
}

/// Whether a parameter leads the residual stream from one basis to the next.
pub(crate) fn is_shortcut(name: &str) -> bool {
    name.ends_with(ATTENTION.shortcut) || name.ends_with(FFN.shortcut)
}

/// Whether a parameter is one of a low-rank delta.
pub fn is_delta(name: &str) -> bool {
    name.contains(".lora_")
}

/// Names of A and B of a delta of the linear `name` of block `block`, as PEFT saves them.
pub(crate) fn delta_names(block: usize, linear: LinearName, shape: &DeltaShape) -> [String; 2] {
    let part = match shape.name.as_str() {
        DEFAULT_DELTA => String::new(),
        name => format!("{name}."),
    };
    ["A", "B"].map(|side| format!("model.layers.{block}.{}.lora_{side}.{part}weight", linear.hf_name()))
}

impl Graph {
    /// Name and shape of every tensor that decides an output, in the order in which they are drawn for a new model. Names are Hugging
    /// Face's where it has one, PEFT's of low-rank deltas. Each is there once, under the block that has it, whoever borrows it.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, embedded) = (self.hidden_size, self.embedding_width());
        let mut list = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocab_size, embedded])];
        if self.rope.is_none() {
            let shape = vec![self.max_position_embeddings, embedded];
            list.push(("model.embed_positions.weight".to_owned(), shape));
        }
        for index in 0..self.blocks.len() {
            self.list_block(index, &mut list);
        }
        self.list_norm("model.norm", hidden, &mut list);
        if !self.tie_word_embeddings {
            list.push(("lm_head.weight".to_owned(), vec![self.vocab_size, hidden]));
        }
        if self.head_bias {
            list.push(("lm_head.bias".to_owned(), vec![self.vocab_size]));
        }
        if self.stream_gates {
            list.push((STREAM_GATES.to_owned(), vec![hidden]));
        }
        list
    }

    fn list_norm(&self, name: &str, width: usize, list: &mut Vec<(String, Vec<usize>)>) {
        list.push((format!("{name}.weight"), vec![width]));
        if self.norm == NormKind::Layer {
            list.push((format!("{name}.bias"), vec![width]));
        }
    }

    fn list_block(&self, index: usize, list: &mut Vec<(String, Vec<usize>)>) {
        let (shape, hidden) = (&self.blocks[index], self.hidden_size);
        let at = |name: &str| format!("model.layers.{index}.{name}");
        if shape.borrows.is_none() {
            for name in LinearName::ALL {
                let Some([out, inner]) = shape.linear(name, hidden) else {
                    continue;
                };
                list.push((format!("{}.weight", at(name.hf_name())), vec![out, inner]));
                if shape.has_bias(name) {
                    list.push((format!("{}.bias", at(name.hf_name())), vec![out]));
                }
            }
            if let Some(a) = shape.attention.as_ref().filter(|a| a.qk_norm) {
                list.extend([Q_NORM, K_NORM].map(|name| (at(name), vec![a.head_dim])));
            }
        }
        let attention = shape
            .attention
            .as_ref()
            .map(|a| (&ATTENTION, a.shortcut, a.scales, a.kv_heads));
        let ffn = shape.ffn.as_ref().map(|f| (&FFN, f.shortcut, f.scales, f.width));
        let sublayers = || attention.into_iter().chain(ffn);
        for (names, shortcut, ..) in sublayers() {
            list.extend(shortcut.map(|Shortcut { from, to }| (at(names.shortcut), vec![to, from])));
        }
        for (names, shortcut, ..) in sublayers() {
            let width = shortcut.map_or(hidden, |shortcut| shortcut.from);
            self.list_norm(&at(names.norm), width, list);
        }
        for (names, shortcut, output, units) in sublayers() {
            let width = shortcut.map_or(hidden, |shortcut| shortcut.to);
            let ScalesShape { unit_gates, norm, gate } = output;
            list.extend(unit_gates.then(|| (at(names.unit_gates), vec![units])));
            list.extend(norm.then(|| (at(names.output_norm), vec![width])));
            list.extend(gate.then(|| (at(names.output_gate), vec![1])));
        }
        for (&name, deltas) in &shape.deltas {
            let Some([out, inner]) = shape.linear(name, hidden) else {
                continue;
            };
            for delta in deltas {
                let [down, up] = delta_names(index, name, delta);
                list.extend([(down, vec![delta.rank, inner]), (up, vec![out, delta.rank])]);
            }
        }
    }
}

impl Graph {
    /// What the names of the parameters begin with that step `index` reads: those of its blocks, of the blocks whose linears they
    /// borrow, and of the whole stream.
    pub fn read_by_step(&self, index: usize) -> Vec<String> {
        let blocks = self.steps.get(index).map_or(&[][..], |step| step.blocks());
        let read = blocks.iter().flat_map(|&block| [block, self.lender(block)]);
        let mut names: Vec<String> = read.map(|block| format!("model.layers.{block}.")).collect();
        names.push(STREAM_GATES.to_owned());
        names
    }
}

/// Parameters that wait for their place.
struct Parts(BTreeMap<String, Tensor>);

impl Parts {
    fn take(&mut self, name: &str) -> Option<Tensor> {
        self.0.remove(name)
    }

    fn need(&mut self, name: &str) -> Result<Tensor> {
        self.take(name).ok_or_else(|| missing(name))
    }

    fn norm(&mut self, name: &str) -> Result<Norm> {
        Ok(Norm {
            gain: self.need(&format!("{name}.weight"))?,
            bias: self.take(&format!("{name}.bias")),
        })
    }

    fn linear(&mut self, at: &str, name: LinearName) -> Result<Linear> {
        let name = format!("{at}{}", name.hf_name());
        Ok(Linear {
            weight: self.need(&format!("{name}.weight"))?,
            bias: self.take(&format!("{name}.bias")),
        })
    }

    fn scales(&mut self, at: &str, names: &SublayerNames) -> Scales {
        let mut take = |name: &str| self.take(&format!("{at}{name}"));
        Scales {
            unit_gates: take(names.unit_gates),
            output_norm: take(names.output_norm),
            output_gate: take(names.output_gate),
        }
    }

    fn attention(&mut self, at: &str, borrows: bool) -> Result<Attention> {
        let linears = match borrows {
            true => None,
            false => Some(AttentionLinears {
                q: self.linear(at, LinearName::Q)?,
                k: self.linear(at, LinearName::K)?,
                v: self.linear(at, LinearName::V)?,
                o: self.linear(at, LinearName::O)?,
                q_norm: self.take(&format!("{at}{Q_NORM}")),
                k_norm: self.take(&format!("{at}{K_NORM}")),
                stacked: None,
            }),
        };
        Ok(Attention {
            norm: self.norm(&format!("{at}{}", ATTENTION.norm))?,
            linears,
            shortcut: self.take(&format!("{at}{}", ATTENTION.shortcut)),
            scales: self.scales(at, &ATTENTION),
        })
    }

    fn ffn(&mut self, at: &str, shape: &FfnShape, borrows: bool) -> Result<Ffn> {
        let linears = match borrows {
            true => None,
            false => Some(FfnLinears {
                gate: match shape.activation {
                    Activation::Swiglu => Some(self.linear(at, LinearName::Gate)?),
                    Activation::Relu => None,
                },
                up: self.linear(at, LinearName::Up)?,
                down: self.linear(at, LinearName::Down)?,
                stacked: None,
            }),
        };
        Ok(Ffn {
            norm: self.norm(&format!("{at}{}", FFN.norm))?,
            linears,
            shortcut: self.take(&format!("{at}{}", FFN.shortcut)),
            scales: self.scales(at, &FFN),
        })
    }

    fn block(&mut self, index: usize, shape: &BlockShape) -> Result<Block> {
        let (at, borrows) = (format!("model.layers.{index}."), shape.borrows.is_some());
        let attention = shape.attention.as_ref().map(|_| self.attention(&at, borrows));
        let ffn = shape.ffn.as_ref().map(|shape| self.ffn(&at, shape, borrows));
        let mut deltas = BTreeMap::new();
        for (&name, shapes) in &shape.deltas {
            let of_linear = shapes.iter().map(|shape| {
                let [down, up] = delta_names(index, name, shape);
                Ok(Delta {
                    shape: shape.clone(),
                    down: self.need(&down)?,
                    up: self.need(&up)?,
                    dropout: None,
                })
            });
            deltas.insert(name, of_linear.collect::<Result<_>>()?);
        }
        Ok(Block {
            attention: attention.transpose()?,
            ffn: ffn.transpose()?,
            deltas,
        })
    }
}

fn missing(name: &str) -> ModelError {
    ModelError::Graph(format!("the graph wants `{name}`, which the decoder lacks"))
}

impl Decoder {
    /// Builds a decoder from a graph and a function that gives each parameter by its name and wanted shape, see
    /// [`Graph::parameters`].
    pub fn from_parameters(graph: Graph, mut parameter: impl FnMut(&str, &[usize]) -> Result<Tensor>) -> Result<Self> {
        graph.validate()?;
        let mut parts = BTreeMap::new();
        for (name, shape) in graph.parameters() {
            let tensor = parameter(&name, &shape)?;
            parts.insert(name, tensor);
        }
        let mut parts = Parts(parts);
        let blocks = graph.blocks.iter().enumerate();
        Ok(Decoder {
            embedding: parts.need("model.embed_tokens.weight")?,
            positions: parts.take("model.embed_positions.weight"),
            blocks: blocks
                .map(|(index, shape)| parts.block(index, shape))
                .collect::<Result<_>>()?,
            final_norm: parts.norm("model.norm")?,
            head: parts.take("lm_head.weight"),
            head_bias: parts.take("lm_head.bias"),
            stream_gates: parts.take(STREAM_GATES),
            graph,
            group: None,
        })
    }

    /// Every tensor that decides an output, by the names of [`Graph::parameters`].
    pub fn parameters(&self) -> Vec<(String, &Tensor)> {
        let mut named = Named(Vec::new());
        named.add("model.embed_tokens.weight", Some(&self.embedding));
        named.add("model.embed_positions.weight", self.positions.as_ref());
        for (index, block) in self.blocks.iter().enumerate() {
            let at = |name: &str| format!("model.layers.{index}.{name}");
            for name in LinearName::ALL {
                if let Some(linear) = block.linear(name) {
                    named.pair(&at(name.hf_name()), &linear.weight, linear.bias.as_ref());
                }
            }
            if let Some(attention) = &block.attention {
                let linears = attention.linears.as_ref();
                named.norm(&at(ATTENTION.norm), &attention.norm);
                named.add(&at(Q_NORM), linears.and_then(|linears| linears.q_norm.as_ref()));
                named.add(&at(K_NORM), linears.and_then(|linears| linears.k_norm.as_ref()));
                named.add(&at(ATTENTION.shortcut), attention.shortcut.as_ref());
                named.scales(index, &ATTENTION, &attention.scales);
            }
            if let Some(ffn) = &block.ffn {
                named.norm(&at(FFN.norm), &ffn.norm);
                named.add(&at(FFN.shortcut), ffn.shortcut.as_ref());
                named.scales(index, &FFN, &ffn.scales);
            }
            for (&name, delta) in block
                .deltas
                .iter()
                .flat_map(|(name, deltas)| deltas.iter().map(move |d| (name, d)))
            {
                let [down, up] = delta_names(index, name, &delta.shape);
                named.add(&down, Some(&delta.down));
                named.add(&up, Some(&delta.up));
            }
        }
        named.norm("model.norm", &self.final_norm);
        named.add("lm_head.weight", self.head.as_ref());
        named.add("lm_head.bias", self.head_bias.as_ref());
        named.add(STREAM_GATES, self.stream_gates.as_ref());
        named.0
    }

    /// The decoder of the same graph whose parameters `replace` makes of this one's.
    ///
    /// # Errors
    /// What `replace` refuses, and [`ModelError::Graph`](crate::ModelError::Graph) if the graph wants a parameter that the decoder
    /// lacks.
    pub fn map_parameters(&self, mut replace: impl FnMut(&str, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let own: BTreeMap<String, &Tensor> = self.parameters().into_iter().collect();
        let mut rebuilt = Self::from_parameters(self.graph.clone(), |name, _| match own.get(name) {
            Some(tensor) => replace(name, tensor),
            None => Err(missing(name)),
        })?;
        rebuilt.group = self.group.clone();
        Ok(rebuilt)
    }
}

struct Named<'a>(Vec<(String, &'a Tensor)>);

impl<'a> Named<'a> {
    fn add(&mut self, name: &str, tensor: Option<&'a Tensor>) {
        self.0.extend(tensor.map(|tensor| (name.to_string(), tensor)));
    }

    fn pair(&mut self, name: &str, weight: &'a Tensor, bias: Option<&'a Tensor>) {
        self.add(&format!("{name}.weight"), Some(weight));
        self.add(&format!("{name}.bias"), bias);
    }

    fn norm(&mut self, name: &str, norm: &'a Norm) {
        self.pair(name, &norm.gain, norm.bias.as_ref());
    }

    fn scales(&mut self, block: usize, names: &SublayerNames, scales: &'a Scales) {
        let at = |name: &str| format!("model.layers.{block}.{name}");
        self.add(&at(names.unit_gates), scales.unit_gates.as_ref());
        self.add(&at(names.output_norm), scales.output_norm.as_ref());
        self.add(&at(names.output_gate), scales.output_gate.as_ref());
    }
}
