//! The share of a decoder that one rank holds.

use crate::block::{Attention, Block, Ffn, Linear};
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

/// Slices of a block's sublayers.
fn part(decoder: &Decoder, index: usize, attention: Option<Slice>, ffn: Slice) -> Result<(BlockShape, Block)> {
    let (shape, block) = (&decoder.graph.blocks[index], &decoder.blocks[index]);
    let attention = match (attention, &shape.attention, &block.attention) {
        (Some(slice), Some(shape), Some(attention)) => Some(slice.attention(index, shape, attention)?),
        _ => None,
    };
    let ffn = match (&shape.ffn, &block.ffn) {
        (Some(shape), Some(block)) => Some(ffn.ffn(index, shape, block)?),
        _ => None,
    };
    let ((attention_shape, attention), (ffn_shape, ffn)) = (attention.unzip(), ffn.unzip());
    let shape = BlockShape {
        attention: attention_shape,
        ffn: ffn_shape,
    };
    Ok((shape, Block { attention, ffn }))
}

impl Slice {
    fn attention(self, block: usize, shape: &AttentionShape, whole: &Attention) -> Result<(AttentionShape, Attention)> {
        let shape = self.attention_shape(block, shape)?;
        let attention = Attention {
            q: self.outputs(&whole.q)?,
            k: self.outputs(&whole.k)?,
            v: self.outputs(&whole.v)?,
            o: self.inputs(&whole.o)?,
            stacked: None,
            ..whole.clone()
        };
        Ok((shape, attention))
    }

    fn ffn(self, block: usize, shape: &FfnShape, whole: &Ffn) -> Result<(FfnShape, Ffn)> {
        let shape = self.ffn_shape(block, shape)?;
        let ffn = Ffn {
            gate: whole.gate.as_ref().map(|gate| self.outputs(gate)).transpose()?,
            up: self.outputs(&whole.up)?,
            down: self.inputs(&whole.down)?,
            stacked: None,
            ..whole.clone()
        };
        Ok((shape, ffn))
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
    fn outputs(self, linear: &Linear) -> Result<Linear> {
        let mut linear = merged(linear)?;
        let size = linear.weight.dim(0)? / self.of;
        linear.weight = linear.weight.narrow(0, self.index * size, size)?.contiguous()?;
        let bias = linear
            .bias
            .map(|bias| bias.narrow(0, self.index * size, size)?.contiguous());
        linear.bias = bias.transpose()?;
        Ok(linear)
    }

    /// Input features of a linear whose outputs are summed over the slices, so that one of them adds the bias.
    fn inputs(self, linear: &Linear) -> Result<Linear> {
        let mut linear = merged(linear)?;
        let size = linear.weight.dim(1)? / self.of;
        linear.weight = linear.weight.narrow(1, self.index * size, size)?.contiguous()?;
        linear.bias = linear.bias.filter(|_| self.index == 0);
        Ok(linear)
    }
}

fn merged(linear: &Linear) -> Result<Linear> {
    let mut linear = linear.clone();
    linear.merge()?;
    Ok(linear)
}
