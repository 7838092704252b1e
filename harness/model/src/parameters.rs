//! A decoder from its parameters, and back, by Hugging Face name.

use prunebench_tensor::Tensor;

use crate::graph::{Activation, NormKind};
use crate::{Attention, Block, Decoder, Ffn, Graph, Linear, LinearName, Norm, Result};

/// Gives a parameter by its Hugging Face name and wanted shape.
type Source<'a> = &'a mut dyn FnMut(&str, &[usize]) -> Result<Tensor>;

fn norm(graph: &Graph, name: &str, parameter: Source) -> Result<Norm> {
    let shape = [graph.hidden_size];
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
        let embedding = parameter("model.embed_tokens.weight", &[graph.vocab_size, hidden])?;
        let positions = match graph.rope {
            Some(_) => None,
            None => Some(parameter(
                "model.embed_positions.weight",
                &[graph.max_position_embeddings, hidden],
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
            let attention = match &shape.attention {
                None => None,
                Some(a) => {
                    let (queries, keys) = (a.heads * a.head_dim, a.kv_heads * a.head_dim);
                    Some((
                        linear(LinearName::Q, queries, hidden, a.qkv_bias)?,
                        linear(LinearName::K, keys, hidden, a.qkv_bias)?,
                        linear(LinearName::V, keys, hidden, a.qkv_bias)?,
                        linear(LinearName::O, hidden, queries, a.o_bias)?,
                    ))
                }
            };
            let ffn = match &shape.ffn {
                None => None,
                Some(f) => Some((
                    match f.activation {
                        Activation::Swiglu => Some(linear(LinearName::Gate, f.width, hidden, f.bias)?),
                        Activation::Relu => None,
                    },
                    linear(LinearName::Up, f.width, hidden, f.bias)?,
                    linear(LinearName::Down, hidden, f.width, f.bias)?,
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
            let mut norm = |name: &str| norm(&graph, &at(name), &mut parameter);
            blocks.push(Block {
                attention: match attention {
                    None => None,
                    Some((q, k, v, o)) => Some(Attention {
                        norm: norm("input_layernorm")?,
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
                        norm: norm("post_attention_layernorm")?,
                        gate,
                        up,
                        down,
                    }),
                },
            });
        }
        let final_norm = norm(&graph, "model.norm", &mut parameter)?;
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
            }
            if let Some(ffn) = &block.ffn {
                named.norm(&at("post_attention_layernorm"), &ffn.norm);
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
