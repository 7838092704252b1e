//! Projections of one input as one matrix, for a model that is only run.

use prunebench_tensor::Tensor;

use crate::block::{AttentionLinears, FfnLinears, Linear};
use crate::{Block, Decoder, LinearName, Result};

impl Decoder {
    /// Stacks the query, key and value projections of every attention into one matrix, and the gate and up projections of every
    /// FFN, so that a pass makes one product of each where it made three and two. The projections become views of the stack, and
    /// every block lets go of its old weights as it gets its new ones. The outputs are the same, but for rounding where a product
    /// of another shape sums in another order.
    ///
    /// Projections that have low-rank deltas, and attentions with norms of query or key heads, stay as they are, and a block with
    /// deltas of its own on borrowed projections runs those apart. Whatever changes a projection through its block ends that block's
    /// stacks.
    pub fn stack_projections(&mut self) -> Result<()> {
        let stacks = |deltas: &[LinearName], block: &Block| deltas.iter().all(|&name| block.deltas(name).is_empty());
        for block in &mut self.blocks {
            let qkv = stacks(&[LinearName::Q, LinearName::K, LinearName::V], block);
            let gate_up = stacks(&[LinearName::Gate, LinearName::Up], block);
            let attention = block
                .attention
                .as_mut()
                .and_then(|attention| attention.linears.as_mut());
            if let Some(AttentionLinears {
                q,
                k,
                v,
                q_norm: None,
                k_norm: None,
                stacked,
                ..
            }) = attention.filter(|_| qkv)
            {
                *stacked = stack([q, k, v])?;
            }
            let ffn = block.ffn.as_mut().and_then(|ffn| ffn.linears.as_mut());
            if let Some(FfnLinears {
                gate: Some(gate),
                up,
                stacked,
                ..
            }) = ffn.filter(|_| gate_up)
            {
                *stacked = stack([gate, up])?;
            }
        }
        Ok(())
    }
}

/// The linears one after another, of which they become views; `None` if they can't be stacked.
fn stack<const N: usize>(mut linears: [&mut Linear; N]) -> Result<Option<Linear>> {
    let biases: Vec<&Tensor> = linears.iter().filter_map(|linear| linear.bias.as_ref()).collect();
    if !biases.is_empty() && biases.len() != N {
        return Ok(None);
    }
    let bias = match biases.is_empty() {
        true => None,
        false => Some(Tensor::cat(&biases, 0)?),
    };
    let weights: Vec<&Tensor> = linears.iter().map(|linear| &linear.weight).collect();
    let weight = Tensor::cat(&weights, 0)?;
    let mut start = 0;
    for linear in &mut linears {
        let rows = linear.weight.dim(0)?;
        linear.weight = weight.narrow(0, start, rows)?;
        if let Some(bias) = &bias {
            linear.bias = Some(bias.narrow(0, start, rows)?);
        }
        start += rows;
    }
    Ok(Some(Linear { weight, bias }))
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::{DType, Device, Engine, no_grad};

    use super::*;
    use crate::Initialisation;
    use crate::block::Delta;
    use crate::graph::{
        Architecture, AttentionShape, BlockShape, DEFAULT_DELTA, DeltaShape, FfnShape, Graph, NormKind, Rope,
        RopeScaling, Step,
    };

    /// Two blocks that differ in what lies between the projections and the heads.
    fn decoder(engine: Engine) -> Decoder {
        let block = |qk_norm| BlockShape {
            attention: Some(AttentionShape {
                heads: 4,
                kv_heads: 2,
                head_dim: 8,
                qkv_bias: true,
                qk_norm,
                ..AttentionShape::default()
            }),
            ffn: Some(FfnShape {
                width: 48,
                ..FfnShape::default()
            }),
            ..BlockShape::default()
        };
        let graph = Graph {
            architecture: Architecture::Qwen2,
            vocab_size: 64,
            hidden_size: 32,
            rms_norm_eps: 1e-5,
            max_position_embeddings: 32,
            tie_word_embeddings: true,
            bos_token_id: None,
            eos_token_ids: vec![],
            rope: Some(Rope {
                theta: 1e4,
                scaling: RopeScaling::None,
            }),
            norm: NormKind::Rms,
            head_bias: false,
            stream_gates: false,
            blocks: vec![block(false), block(true)],
            steps: vec![Step::Block(0), Step::Block(1)],
        };
        Decoder::initialise(graph, Initialisation::Pytorch, 1, DType::F32, &Device::cpu(engine)).unwrap()
    }

    fn logits(decoder: &Decoder, batch: usize) -> Vec<f64> {
        let prompt: Vec<u32> = (0..7).map(|token| token * 5 % 64).collect();
        let last: &[u32] = &[3];
        no_grad(|| {
            let mut cache = decoder.cache(batch, 8).unwrap();
            let mut of = |ids: &[u32]| {
                let ids = decoder.ids(&vec![ids; batch]).unwrap();
                let hidden = decoder.hidden(&ids, Some(&mut cache), &mut |_, _| Ok(())).unwrap();
                decoder.logits(&hidden).unwrap().to_f64_vec().unwrap()
            };
            [of(&prompt), of(last)].concat()
        })
    }

    #[test]
    fn stacked_projections_give_the_same_logits_from_the_same_parameters() {
        for &engine in Engine::compiled() {
            for batch in [1, 3] {
                let plain = decoder(engine);
                let mut stacked = plain.clone();
                stacked.stack_projections().unwrap();
                let attention = |block: usize| {
                    let linears = stacked.blocks[block].attention.as_ref().unwrap().linears.as_ref();
                    linears.unwrap().stacked.is_some()
                };
                assert_eq!(
                    [attention(0), attention(1)],
                    [true, false],
                    "norms of heads come between"
                );
                for (found, wanted) in logits(&stacked, batch).iter().zip(logits(&plain, batch)) {
                    assert!((found - wanted).abs() < 1e-5, "{engine}: {found}, {wanted}");
                }
                for ((name, found), (_, wanted)) in stacked.parameters().iter().zip(plain.parameters()) {
                    assert_eq!(found.to_f64_vec().unwrap(), wanted.to_f64_vec().unwrap(), "{name}");
                }
            }
        }
    }

    #[test]
    fn a_changed_projection_counts_after_stacking_and_an_adapter_is_not_stacked_away() {
        let mut decoder = decoder(Engine::compiled()[0]);
        decoder.stack_projections().unwrap();
        let before = logits(&decoder, 1);
        let up = decoder.blocks[0].linear_mut(LinearName::Up).unwrap();
        up.weight = up.weight.mul_scalar(0.0).unwrap();
        let changed = logits(&decoder, 1);
        assert_ne!(changed, before);
        let device = decoder.device();
        let delta = Delta {
            shape: DeltaShape {
                name: DEFAULT_DELTA.to_owned(),
                rank: 1,
                scale: 1.0,
                keeps_zeros: false,
            },
            down: Tensor::ones(&[1, 32], DType::F32, &device).unwrap(),
            up: Tensor::ones(&[48, 1], DType::F32, &device).unwrap(),
            dropout: None,
        };
        decoder.add_delta(0, LinearName::Up, delta).unwrap();
        let adapted = logits(&decoder, 1);
        assert_ne!(adapted, changed);
        decoder.stack_projections().unwrap();
        for (found, wanted) in logits(&decoder, 1).iter().zip(adapted) {
            assert!(
                (found - wanted).abs() < 1e-4 * wanted.abs().max(1.0),
                "{found}, {wanted}"
            );
        }
        let ffn = decoder.blocks[0].ffn.as_ref().unwrap();
        assert!(ffn.linears.as_ref().unwrap().stacked.is_none());
    }
}
