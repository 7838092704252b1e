//! A decoder from its parameters, and back, by Hugging Face name.

use prunebench_tensor::Tensor;

use crate::graph::{Activation, NormKind, Shortcut};
use crate::{Attention, Block, Decoder, Ffn, Graph, Linear, LinearName, Norm, Result};

/// Names of the matrices that the residual goes through, below `model.layers.N`.
const ATTENTION_SHORTCUT: &str = "self_attn.shortcut.weight";
const FFN_SHORTCUT: &str = "mlp.shortcut.weight";

/// Gives a parameter by its Hugging Face name and wanted shape.
type Source<'a> = &'a mut dyn FnMut(&str, &[usize]) -> Result<Tensor>;

fn norm(graph: &Graph, name: &str, width: usize, parameter: Source) -> Result<Norm> {
    let shape = [width];
    Ok(Norm {
        gain: parameter(&format!("{name}.weight"), &shape)?,
        bias: match graph.norm {
            NormKind::Rms => None,
            NormKind::Layer => Some(parameter(&format!("{name}.bias"), &shape)?),
        },
    })
}

impl Decoder {
    /// Builds a decoder from a graph and a function that gives each parameter by its Hugging Face name and wanted shape.
    pub fn from_parameters(graph: Graph, mut parameter: impl FnMut(&str, &[usize]) -> Result<Tensor>) -> Result<Self> {
        graph.validate()?;
        let hidden = graph.hidden_size;
        let embedded = graph.embedding_width();
        let embedding = parameter("model.embed_tokens.weight", &[graph.vocab_size, embedded])?;
        let positions = match graph.rope {
            Some(_) => None,
            None => Some(parameter(
                "model.embed_positions.weight",
                &[graph.max_position_embeddings, embedded],
            )?),
        };
        let mut blocks = Vec::with_capacity(graph.blocks.len());
        for (index, shape) in graph.blocks.iter().enumerate() {
            let at = |name: &str| format!("model.layers.{index}.{name}");
            let mut linear = |name: LinearName, out: usize, inner: usize, bias: bool| -> Result<Linear> {
                let name = at(name.hf_name());
                Ok(Linear {
                    weight: parameter(&format!("{name}.weight"), &[out, inner])?,
                    bias: bias.then(|| parameter(&format!("{name}.bias"), &[out])).transpose()?,
                    delta: None,
                })
            };
            let whole = Shortcut {
                from: hidden,
                to: hidden,
            };
            let around_attention = shape.attention.as_ref().and_then(|a| a.shortcut);
            let around_ffn = shape.ffn.as_ref().and_then(|f| f.shortcut);
            let attention = match &shape.attention {
                None => None,
                Some(a) => {
                    let (queries, keys) = (a.heads * a.head_dim, a.kv_heads * a.head_dim);
                    let Shortcut { from, to } = around_attention.unwrap_or(whole);
                    Some((
                        linear(LinearName::Q, queries, from, a.qkv_bias)?,
                        linear(LinearName::K, keys, from, a.qkv_bias)?,
                        linear(LinearName::V, keys, from, a.qkv_bias)?,
                        linear(LinearName::O, to, queries, a.o_bias)?,
                    ))
                }
            };
            let ffn = match &shape.ffn {
                None => None,
                Some(f) => {
                    let Shortcut { from, to } = around_ffn.unwrap_or(whole);
                    Some((
                        match f.activation {
                            Activation::Swiglu => Some(linear(LinearName::Gate, f.width, from, f.bias)?),
                            Activation::Relu => None,
                        },
                        linear(LinearName::Up, f.width, from, f.bias)?,
                        linear(LinearName::Down, to, f.width, f.bias)?,
                    ))
                }
            };
            let mut head_norm = |name: &str| match &shape.attention {
                Some(a) if a.qk_norm => parameter(&at(name), &[a.head_dim]).map(Some),
                _ => Ok(None),
            };
            let (q_norm, k_norm) = (
                head_norm("self_attn.q_norm.weight")?,
                head_norm("self_attn.k_norm.weight")?,
            );
            let mut shortcut = |name: &str, widths: Option<Shortcut>| {
                let matrix = widths.map(|Shortcut { from, to }| parameter(&at(name), &[to, from]));
                matrix.transpose()
            };
            let (attention_shortcut, ffn_shortcut) = (
                shortcut(ATTENTION_SHORTCUT, around_attention)?,
                shortcut(FFN_SHORTCUT, around_ffn)?,
            );
            let mut norm = |name: &str, widths: Option<Shortcut>| {
                norm(&graph, &at(name), widths.unwrap_or(whole).from, &mut parameter)
            };
            blocks.push(Block {
                attention: match attention {
                    None => None,
                    Some((q, k, v, o)) => Some(Attention {
                        norm: norm("input_layernorm", around_attention)?,
                        q,
                        k,
                        v,
                        o,
                        q_norm,
                        k_norm,
                        shortcut: attention_shortcut,
                        stacked: None,
                    }),
                },
                ffn: match ffn {
                    None => None,
                    Some((gate, up, down)) => Some(Ffn {
                        norm: norm("post_attention_layernorm", around_ffn)?,
                        gate,
                        up,
                        down,
                        shortcut: ffn_shortcut,
                        stacked: None,
                    }),
                },
            });
        }
        let final_norm = norm(&graph, "model.norm", hidden, &mut parameter)?;
        let head = match graph.tie_word_embeddings {
            true => None,
            false => Some(parameter("lm_head.weight", &[graph.vocab_size, hidden])?),
        };
        let head_bias = match graph.head_bias {
            true => Some(parameter("lm_head.bias", &[graph.vocab_size])?),
            false => None,
        };
        Ok(Decoder {
            graph,
            embedding,
            positions,
            blocks,
            final_norm,
            head,
            head_bias,
            group: None,
        })
    }

    /// Every stored parameter by its Hugging Face name; a tied head is stored once.
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
                named.norm(&at("input_layernorm"), &attention.norm);
                named.add(&at("self_attn.q_norm.weight"), attention.q_norm.as_ref());
                named.add(&at("self_attn.k_norm.weight"), attention.k_norm.as_ref());
                named.add(&at(ATTENTION_SHORTCUT), attention.shortcut.as_ref());
            }
            if let Some(ffn) = &block.ffn {
                named.norm(&at("post_attention_layernorm"), &ffn.norm);
                named.add(&at(FFN_SHORTCUT), ffn.shortcut.as_ref());
            }
        }
        named.norm("model.norm", &self.final_norm);
        named.add("lm_head.weight", self.head.as_ref());
        named.add("lm_head.bias", self.head_bias.as_ref());
        named.0
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
}
