//! Parallel sublayers as one wide block, by exact algebra.

use prunebench_tensor::{DType, Tensor};

use crate::block::{Attention, Block, Ffn, Linear, Norm};
use crate::graph::{AttentionShape, BlockShape, FfnShape, NormKind, Step};
use crate::{Decoder, ModelError, Result};

impl Decoder {
    /// Replaces every step of [`Step::ParallelSublayers`] by one block that is as wide as all of its blocks together: the gains
    /// of their norms go into the projections behind them, projections from the stream are stacked, and those back to it stand
    /// side by side, so that each product sums over the blocks. The outputs are the same but for rounding.
    ///
    /// # Errors
    /// [`ModelError::Graph`] for blocks that no single block can be: LayerNorms, heads of other sizes or groups, other windows,
    /// different norms of query or key heads, or adapters that were not merged.
    pub fn fuse_parallel_sublayers(&mut self) -> Result<()> {
        let mut fused = Vec::new();
        for step in &self.graph.steps {
            if let Step::ParallelSublayers(blocks) = step {
                fused.push((blocks.clone(), self.fused(blocks)?));
            }
        }
        for (blocks, (shape, block)) in fused {
            let (Some(&kept), rest) = (blocks.first(), blocks.get(1..).unwrap_or_default()) else {
                continue;
            };
            let used = |step: &&Step| rest.iter().any(|block| step.blocks().contains(block));
            if self.graph.steps.iter().filter(used).count() > 1 {
                return Err(ModelError::Graph(format!(
                    "blocks {rest:?} run in another step as well, and can't become part of block {kept}"
                )));
            }
            let step = Step::ParallelSublayers(blocks.clone());
            for found in self.graph.steps.iter_mut().filter(|found| **found == step) {
                *found = Step::Block(kept);
            }
            (self.graph.blocks[kept], self.blocks[kept]) = (shape, block);
        }
        let idle: Vec<usize> = (0..self.blocks.len())
            .filter(|block| !self.graph.steps.iter().any(|step| step.blocks().contains(block)))
            .collect();
        if idle.is_empty() {
            return Ok(());
        }
        self.remove_blocks(&idle)
    }

    fn fused(&self, blocks: &[usize]) -> Result<(BlockShape, Block)> {
        if self.graph.norm != NormKind::Rms {
            return Err(ModelError::Graph(
                "blocks with LayerNorms can't be fused; only gains of an RMSNorm go into a projection".to_owned(),
            ));
        }
        let shapes: Vec<&BlockShape> = blocks.iter().map(|&block| &self.graph.blocks[block]).collect();
        let attentions: Vec<(&AttentionShape, &Attention)> = blocks
            .iter()
            .zip(&shapes)
            .filter_map(|(&block, shape)| Some((shape.attention.as_ref()?, self.blocks[block].attention.as_ref()?)))
            .collect();
        let ffns: Vec<(&FfnShape, &Ffn)> = blocks
            .iter()
            .zip(&shapes)
            .filter_map(|(&block, shape)| Some((shape.ffn.as_ref()?, self.blocks[block].ffn.as_ref()?)))
            .collect();
        let (attention_shape, attention) = fused_attention(blocks, &attentions)?.unzip();
        let (ffn_shape, ffn) = fused_ffn(blocks, &ffns)?.unzip();
        let shape = BlockShape {
            attention: attention_shape,
            ffn: ffn_shape,
        };
        Ok((shape, Block { attention, ffn }))
    }
}

fn refuse<T>(blocks: &[usize], detail: &str) -> Result<T> {
    Err(ModelError::Graph(format!(
        "blocks {blocks:?} can't be one block: {detail}"
    )))
}

fn fused_attention(
    blocks: &[usize],
    parts: &[(&AttentionShape, &Attention)],
) -> Result<Option<(AttentionShape, Attention)>> {
    let Some(&(first_shape, first)) = parts.first() else {
        return Ok(None);
    };
    for (shape, attention) in parts {
        // All but the number of groups is that of the first.
        let alike = AttentionShape {
            heads: first_shape.heads,
            kv_heads: first_shape.kv_heads,
            ..(*shape).clone()
        };
        if alike != *first_shape || shape.heads * first_shape.kv_heads != first_shape.heads * shape.kv_heads {
            return refuse(blocks, "their heads differ in size, grouping, scale, window or bias");
        }
        if !same(attention.q_norm.as_ref(), first.q_norm.as_ref())?
            || !same(attention.k_norm.as_ref(), first.k_norm.as_ref())?
        {
            return refuse(
                blocks,
                "the norms of their query or key heads have different gains; run them as they are",
            );
        }
    }
    let with_gain = |of: fn(&Attention) -> &Linear| -> Result<Linear> {
        stacked(blocks, parts.iter().map(|(_, part)| (of(part), Some(&part.norm.gain))))
    };
    let attention = Attention {
        norm: unit_norm(&first.norm)?,
        q: with_gain(|part| &part.q)?,
        k: with_gain(|part| &part.k)?,
        v: with_gain(|part| &part.v)?,
        o: side_by_side(blocks, parts.iter().map(|(_, part)| &part.o))?,
        q_norm: first.q_norm.clone(),
        k_norm: first.k_norm.clone(),
        shortcut: None,
        stacked: None,
    };
    let shape = AttentionShape {
        heads: parts.iter().map(|(shape, _)| shape.heads).sum(),
        kv_heads: parts.iter().map(|(shape, _)| shape.kv_heads).sum(),
        ..first_shape.clone()
    };
    Ok(Some((shape, attention)))
}

fn fused_ffn(blocks: &[usize], parts: &[(&FfnShape, &Ffn)]) -> Result<Option<(FfnShape, Ffn)>> {
    let Some(&(first_shape, first)) = parts.first() else {
        return Ok(None);
    };
    for (shape, _) in parts {
        let alike = FfnShape {
            width: first_shape.width,
            ..(*shape).clone()
        };
        if alike != *first_shape {
            return refuse(blocks, "their FFNs differ in activation or bias");
        }
    }
    let gates: Vec<(&Linear, Option<&Tensor>)> = parts
        .iter()
        .filter_map(|(_, part)| Some((part.gate.as_ref()?, Some(&part.norm.gain))))
        .collect();
    let ffn = Ffn {
        norm: unit_norm(&first.norm)?,
        gate: match gates.is_empty() {
            true => None,
            false => Some(stacked(blocks, gates.into_iter())?),
        },
        up: stacked(blocks, parts.iter().map(|(_, part)| (&part.up, Some(&part.norm.gain))))?,
        down: side_by_side(blocks, parts.iter().map(|(_, part)| &part.down))?,
        shortcut: None,
        stacked: None,
    };
    let shape = FfnShape {
        width: parts.iter().map(|(shape, _)| shape.width).sum(),
        ..first_shape.clone()
    };
    Ok(Some((shape, ffn)))
}

fn unit_norm(norm: &Norm) -> Result<Norm> {
    let gain = &norm.gain;
    Ok(Norm {
        gain: Tensor::ones(&gain.shape(), gain.dtype(), &gain.device())?,
        bias: None,
    })
}

fn same(a: Option<&Tensor>, b: Option<&Tensor>) -> Result<bool> {
    Ok(match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.shape() == b.shape() && a.to_f64_vec()? == b.to_f64_vec()?,
        _ => false,
    })
}

/// weight · diag(gain), the product in f32 or wider.
pub fn fold_gain(weight: &Tensor, gain: &Tensor) -> Result<Tensor> {
    let wide = match weight.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let product = weight.to_dtype(wide)?.mul(&gain.to_dtype(wide)?)?;
    Ok(product.to_dtype(weight.dtype())?)
}

/// Linears on one input: their outputs one after the other.
fn stacked<'a>(
    blocks: &[usize],
    parts: impl Iterator<Item = (&'a Linear, Option<&'a Tensor>)> + Clone,
) -> Result<Linear> {
    let linears = parts.clone().map(|(linear, _)| linear);
    let weights: Vec<Tensor> = parts
        .map(|(linear, gain)| gain.map_or(Ok(linear.weight.clone()), |gain| fold_gain(&linear.weight, gain)))
        .collect::<Result<_>>()?;
    let biases: Vec<&Tensor> = linears.clone().filter_map(|linear| linear.bias.as_ref()).collect();
    unmerged(blocks, linears)?;
    Ok(Linear {
        weight: Tensor::cat(&weights.iter().collect::<Vec<_>>(), 0)?,
        bias: match biases.is_empty() {
            true => None,
            false => Some(Tensor::cat(&biases, 0)?),
        },
        delta: None,
    })
}

/// Linears whose outputs are summed: their inputs one after the other.
fn side_by_side<'a>(blocks: &[usize], parts: impl Iterator<Item = &'a Linear> + Clone) -> Result<Linear> {
    let weights: Vec<&Tensor> = parts.clone().map(|linear| &linear.weight).collect();
    let mut biases = parts.clone().filter_map(|linear| linear.bias.as_ref());
    unmerged(blocks, parts.clone())?;
    let first = biases.next().cloned();
    Ok(Linear {
        weight: Tensor::cat(&weights, 1)?,
        bias: first
            .map(|first| biases.try_fold(first, |sum, bias| sum.add(bias)))
            .transpose()?,
        delta: None,
    })
}

fn unmerged<'a>(blocks: &[usize], mut linears: impl Iterator<Item = &'a Linear>) -> Result<()> {
    match linears.any(|linear| linear.delta.is_some()) {
        true => refuse(blocks, "a linear has an adapter; merge it first"),
        false => Ok(()),
    }
}
