//! Parallel sublayers as one wide block, by exact algebra.

use prunebench_tensor::{DType, Tensor};

use crate::block::{Attention, AttentionLinears, Block, Ffn, FfnLinears, Linear, Norm, Scales};
use crate::graph::{AttentionShape, BlockShape, FfnShape, NormKind, Step};
use crate::{Decoder, ModelError, Result};

impl Decoder {
    /// Replaces every step of [`Step::ParallelSublayers`] by one block that is as wide as all of its blocks together: the gains
    /// of their norms go into the projections behind them, projections from the stream are stacked, and those back to it stand
    /// side by side, so that each product sums over the blocks. Low-rank deltas are merged and gates folded first. The outputs are the
    /// same but for rounding.
    ///
    /// # Errors
    /// [`ModelError::Graph`] for blocks that no single block can be: LayerNorms, heads of other sizes or groups, other windows,
    /// different norms of query or key heads, linears that another block runs too, or outputs that are normalised one by one.
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
        let mut whole = self.clone();
        for &block in blocks {
            if let Some(other) = self.shares_with(block) {
                return refuse(
                    blocks,
                    &format!("block {other} runs the linears of block {block} too, and would lose or double them"),
                );
            }
            whole.merge_deltas_of(block)?;
            whole.fold_gates_of(block)?;
        }
        let of = |&block: &usize| (&whole.graph.blocks[block], &whole.blocks[block]);
        let attentions: Vec<_> = blocks
            .iter()
            .map(of)
            .filter_map(|(shape, block)| Some((shape.attention.as_ref()?, block.attention.as_ref()?)))
            .collect();
        let ffns: Vec<_> = blocks
            .iter()
            .map(of)
            .filter_map(|(shape, block)| Some((shape.ffn.as_ref()?, block.ffn.as_ref()?)))
            .collect();
        let normed =
            attentions.iter().any(|(shape, _)| shape.scales.norm) || ffns.iter().any(|(shape, _)| shape.scales.norm);
        if normed {
            return refuse(
                blocks,
                "their outputs are normalised before they are summed; run them as they are",
            );
        }
        let (attention_shape, attention) = fused_attention(blocks, &attentions)?.unzip();
        let (ffn_shape, ffn) = fused_ffn(blocks, &ffns)?.unzip();
        let shape = BlockShape {
            attention: attention_shape,
            ffn: ffn_shape,
            ..BlockShape::default()
        };
        let deltas = Default::default();
        Ok((shape, Block { attention, ffn, deltas }))
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
    let lent: Vec<(&AttentionLinears, &Norm)> = parts
        .iter()
        .filter_map(|(_, part)| Some((part.linears.as_ref()?, &part.norm)))
        .collect();
    let (Some(&(first_shape, _)), Some(&(first, norm))) = (parts.first(), lent.first()) else {
        return Ok(None);
    };
    for (shape, _) in parts {
        // All but the number of groups is that of the first.
        let alike = AttentionShape {
            heads: first_shape.heads,
            kv_heads: first_shape.kv_heads,
            ..(*shape).clone()
        };
        if alike != *first_shape || shape.heads * first_shape.kv_heads != first_shape.heads * shape.kv_heads {
            return refuse(blocks, "their heads differ in size, grouping, scale, window or bias");
        }
    }
    for (part, _) in &lent {
        if !same(part.q_norm.as_ref(), first.q_norm.as_ref())? || !same(part.k_norm.as_ref(), first.k_norm.as_ref())? {
            return refuse(
                blocks,
                "the norms of their query or key heads have different gains; run them as they are",
            );
        }
    }
    let with_gain = |of: fn(&AttentionLinears) -> &Linear| -> Result<Linear> {
        stacked(lent.iter().map(|(part, norm)| (of(part), Some(&norm.gain))))
    };
    let attention = Attention {
        norm: unit_norm(norm)?,
        linears: Some(AttentionLinears {
            q: with_gain(|part| &part.q)?,
            k: with_gain(|part| &part.k)?,
            v: with_gain(|part| &part.v)?,
            o: side_by_side(lent.iter().map(|(part, _)| &part.o))?,
            q_norm: first.q_norm.clone(),
            k_norm: first.k_norm.clone(),
            stacked: None,
        }),
        shortcut: None,
        scales: Scales::default(),
    };
    let shape = AttentionShape {
        heads: parts.iter().map(|(shape, _)| shape.heads).sum(),
        kv_heads: parts.iter().map(|(shape, _)| shape.kv_heads).sum(),
        ..first_shape.clone()
    };
    Ok(Some((shape, attention)))
}

fn fused_ffn(blocks: &[usize], parts: &[(&FfnShape, &Ffn)]) -> Result<Option<(FfnShape, Ffn)>> {
    let lent: Vec<(&FfnLinears, &Norm)> = parts
        .iter()
        .filter_map(|(_, part)| Some((part.linears.as_ref()?, &part.norm)))
        .collect();
    let (Some(&(first_shape, _)), Some(&(_, norm))) = (parts.first(), lent.first()) else {
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
    let gates: Vec<(&Linear, Option<&Tensor>)> = lent
        .iter()
        .filter_map(|(part, norm)| Some((part.gate.as_ref()?, Some(&norm.gain))))
        .collect();
    let ffn = Ffn {
        norm: unit_norm(norm)?,
        linears: Some(FfnLinears {
            gate: match gates.is_empty() {
                true => None,
                false => Some(stacked(gates.into_iter())?),
            },
            up: stacked(lent.iter().map(|(part, norm)| (&part.up, Some(&norm.gain))))?,
            down: side_by_side(lent.iter().map(|(part, _)| &part.down))?,
            stacked: None,
        }),
        shortcut: None,
        scales: Scales::default(),
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

/// weight · diag(gain), or any other product with a factor of fewer dimensions, in f32 or wider.
pub fn fold_gain(weight: &Tensor, gain: &Tensor) -> Result<Tensor> {
    let wide = match weight.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let product = weight.to_dtype(wide)?.mul(&gain.to_dtype(wide)?)?;
    Ok(product.to_dtype(weight.dtype())?)
}

/// Linears on one input: their outputs one after the other.
fn stacked<'a>(parts: impl Iterator<Item = (&'a Linear, Option<&'a Tensor>)> + Clone) -> Result<Linear> {
    let weights: Vec<Tensor> = parts
        .clone()
        .map(|(linear, gain)| gain.map_or(Ok(linear.weight.clone()), |gain| fold_gain(&linear.weight, gain)))
        .collect::<Result<_>>()?;
    let biases: Vec<&Tensor> = parts.filter_map(|(linear, _)| linear.bias.as_ref()).collect();
    Ok(Linear {
        weight: Tensor::cat(&weights.iter().collect::<Vec<_>>(), 0)?,
        bias: match biases.is_empty() {
            true => None,
            false => Some(Tensor::cat(&biases, 0)?),
        },
    })
}

/// Linears whose outputs are summed: their inputs one after the other.
fn side_by_side<'a>(parts: impl Iterator<Item = &'a Linear> + Clone) -> Result<Linear> {
    let weights: Vec<&Tensor> = parts.clone().map(|linear| &linear.weight).collect();
    let mut biases = parts.filter_map(|linear| linear.bias.as_ref());
    let first = biases.next().cloned();
    Ok(Linear {
        weight: Tensor::cat(&weights, 1)?,
        bias: first
            .map(|first| biases.try_fold(first, |sum, bias| sum.add(bias)))
            .transpose()?,
    })
}
