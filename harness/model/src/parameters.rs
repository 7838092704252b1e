//! A decoder from its parameters, and back, by Hugging Face name.

use prunebench_tensor::Tensor;

use crate::{Attention, Block, Decoder, Ffn, Graph, Linear, LinearName, Result};

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
}
