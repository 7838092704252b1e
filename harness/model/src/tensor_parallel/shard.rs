//! The share of a decoder that one rank holds.

use crate::block::{Attention, AttentionLinears, Block, Ffn, FfnLinears, Linear, LinearName, Scales};
use crate::graph::{AttentionShape, BlockShape, FfnShape, Graph, Step};
use crate::{Decoder, ModelError, Result};

/// One of several equal slices of a sublayer.
#[derive(Clone, Copy)]
struct Slice {
    index: usize,
    of: usize,
}

/// The decoder of rank `rank` of `ranks`, see [`super::run`].
pub(super) fn shard(decoder: &Decoder, rank: usize, ranks: usize) -> Result<Decoder> {
    if ranks == 1 {
        return Ok(decoder.clone());
    }
    let everywhere = Slice { index: rank, of: ranks };
    let mut shard = decoder.clone();
    (shard.graph.blocks, shard.blocks) = (Vec::new(), Vec::new());
    for (index, step) in shard.graph.steps.iter_mut().enumerate() {
        // What each of the step's blocks has here of its attention.
        let attentions = match step {
            Step::Block(_) => vec![Some(everywhere)],
            Step::ParallelSublayers(pair) if pair.len() == 2 => {
                check_pair(decoder, index, pair, ranks)?;
                let half = ranks / 2;
                let slice = Slice {
                    index: rank % half,
                    of: half,
                };
                (0..2).map(|block| (rank / half == block).then_some(slice)).collect()
            }
            other => {
                return Err(ModelError::Graph(format!(
                    "step {index} runs the blocks {:?} in a form that can't be split over {ranks} ranks; only single blocks can, \
                     and pairs whose sublayers are summed",
                    other.blocks()
                )));
            }
        };
        let (shapes, blocks) = (&mut shard.graph.blocks, &mut shard.blocks);
        let first = blocks.len();
        for (&block, attention) in step.blocks().iter().zip(attentions) {
            let (shape, block) = part(decoder, block, attention, everywhere)?;
            shapes.push(shape);
            blocks.push(block);
        }
        *step = match step {
            Step::Block(_) => Step::Block(first),
            _ => Step::ParallelSublayers((first..blocks.len()).collect()),
        };
    }
    Ok(shard)
}

/// Whether the ranks divide the sizes of every block that a step runs by itself.
pub(super) fn check_blocks(graph: &Graph, ranks: usize) -> Result<()> {
    let slice = Slice { index: 0, of: ranks };
    for step in &graph.steps {
        let &Step::Block(index) = step else { continue };
        let shape = &graph.blocks[index];
        if let Some(shape) = &shape.attention {
            slice.attention_shape(index, shape)?;
        }
        if let Some(shape) = &shape.ffn {
            slice.ffn_shape(index, shape)?;
        }
    }
    Ok(())
}

fn check_pair(decoder: &Decoder, step: usize, pair: &[usize], ranks: usize) -> Result<()> {
    let refuse = |why: &str| {
        Err(ModelError::Graph(format!(
            "step {step} runs the blocks {pair:?} as a pair, which can't be split over {ranks} ranks: {why}"
        )))
    };
    if !ranks.is_multiple_of(2) {
        return refuse("each block's attention goes to half of them, so take an even number");
    }
    let attends = |block: &usize| decoder.blocks[*block].attention.is_some();
    if pair.iter().any(attends) && !pair.iter().all(attends) {
        return refuse("only one of the blocks has an attention");
    }
    Ok(())
}

/// Slices of a block's sublayers, with linears of its own where the block borrows them, and without deltas.
fn part(decoder: &Decoder, index: usize, attention: Option<Slice>, ffn: Slice) -> Result<(BlockShape, Block)> {
    let (shape, block) = (&decoder.graph.blocks[index], &decoder.blocks[index]);
    let lender = &decoder.blocks[decoder.graph.lender(index)];
    let whole = |name: LinearName, linear: &Linear| linear.merged(decoder.deltas(index, name));
    let lent = lender.attention.as_ref().and_then(|lender| lender.linears.as_ref());
    let attention = match (attention, &shape.attention, &block.attention, lent) {
        (Some(slice), Some(shape), Some(attention), Some(lent)) => {
            let linears = AttentionLinears {
                q: slice.outputs(whole(LinearName::Q, &lent.q)?)?,
                k: slice.outputs(whole(LinearName::K, &lent.k)?)?,
                v: slice.outputs(whole(LinearName::V, &lent.v)?)?,
                o: slice.inputs(whole(LinearName::O, &lent.o)?)?,
                stacked: None,
                ..lent.clone()
            };
            let attention = Attention {
                linears: Some(linears),
                scales: slice.scales(&attention.scales)?,
                ..attention.clone()
            };
            Some((slice.attention_shape(index, shape)?, attention))
        }
        _ => None,
    };
    let lent = lender.ffn.as_ref().and_then(|lender| lender.linears.as_ref());
    let ffn = match (&shape.ffn, &block.ffn, lent) {
        (Some(shape), Some(block), Some(lent)) => {
            let gate = lent
                .gate
                .as_ref()
                .map(|gate| ffn.outputs(whole(LinearName::Gate, gate)?));
            let linears = FfnLinears {
                gate: gate.transpose()?,
                up: ffn.outputs(whole(LinearName::Up, &lent.up)?)?,
                down: ffn.inputs(whole(LinearName::Down, &lent.down)?)?,
                stacked: None,
            };
            let part = Ffn {
                linears: Some(linears),
                scales: ffn.scales(&block.scales)?,
                ..block.clone()
            };
            Some((ffn.ffn_shape(index, shape)?, part))
        }
        _ => None,
    };
    let ((attention_shape, attention), (ffn_shape, ffn)) = (attention.unzip(), ffn.unzip());
    let shape = BlockShape {
        attention: attention_shape,
        ffn: ffn_shape,
        ..BlockShape::default()
    };
    let deltas = Default::default();
    Ok((shape, Block { attention, ffn, deltas }))
}

impl Slice {
    /// Gates of the slice's units; what comes after the sum over the slices is everybody's.
    fn scales(self, whole: &Scales) -> Result<Scales> {
        let gates = whole.unit_gates.as_ref().map(|gates| {
            let size = gates.elem_count() / self.of;
            gates.narrow(0, self.index * size, size)?.contiguous()
        });
        Ok(Scales {
            unit_gates: gates.transpose()?,
            ..whole.clone()
        })
    }

    fn attention_shape(self, block: usize, shape: &AttentionShape) -> Result<AttentionShape> {
        Ok(AttentionShape {
            heads: self.share(block, "query heads", shape.heads)?,
            kv_heads: self.share(block, "key heads", shape.kv_heads)?,
            ..shape.clone()
        })
    }

    fn ffn_shape(self, block: usize, shape: &FfnShape) -> Result<FfnShape> {
        Ok(FfnShape {
            width: self.share(block, "FFN columns", shape.width)?,
            ..shape.clone()
        })
    }

    fn share(self, block: usize, what: &str, size: usize) -> Result<usize> {
        if size.is_multiple_of(self.of) {
            return Ok(size / self.of);
        }
        Err(ModelError::Graph(format!(
            "the {size} {what} of block {block} can't be split evenly over {} ranks; take a number of ranks that divides them",
            self.of
        )))
    }

    /// Output features of a linear, of weight and bias.
    fn outputs(self, mut linear: Linear) -> Result<Linear> {
        let size = linear.weight.dim(0)? / self.of;
        linear.weight = linear.weight.narrow(0, self.index * size, size)?.contiguous()?;
        let bias = linear
            .bias
            .map(|bias| bias.narrow(0, self.index * size, size)?.contiguous());
        linear.bias = bias.transpose()?;
        Ok(linear)
    }

    /// Input features of a linear whose outputs are summed over the slices, so that one of them adds the bias.
    fn inputs(self, mut linear: Linear) -> Result<Linear> {
        let size = linear.weight.dim(1)? / self.of;
        linear.weight = linear.weight.narrow(1, self.index * size, size)?.contiguous()?;
        linear.bias = linear.bias.filter(|_| self.index == 0);
        Ok(linear)
    }
}
