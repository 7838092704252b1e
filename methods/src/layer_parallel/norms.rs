//! The norms before the FFNs of a pair.

use prunebench_model::{Decoder, Ffn, Linear};
use prunebench_tensor::Tensor;

use super::{CARD, Norms};
use crate::{Error, Result};

/// Lets the FFNs of a pair read through the norms that the variant wants. Each FFN's norm in front of gate and up is equivalent
/// to a norm without gain and projections whose columns have it.
pub(super) fn share(model: &mut Decoder, pair: &[usize], norms: Norms) -> Result<()> {
    let &[first, second] = pair else {
        return Ok(());
    };
    if norms == Norms::Own {
        return Ok(());
    }
    let ffn = |model: &Decoder, block: usize| {
        let ffn = model.blocks[block].ffn.clone();
        let own = ffn.filter(|ffn| ffn.norm.bias.is_none() && ffn.linears.is_some());
        own.filter(|_| !model.graph.lends(block)).ok_or_else(|| Error::Model {
            method: CARD.id,
            detail: format!("block {block} has no FFN of its own alone behind an RMSNorm; take `norm=own`"),
        })
    };
    let both = [ffn(model, first)?, ffn(model, second)?];
    let gains = [&both[0].norm.gain, &both[1].norm.gain];
    for (block, ffn) in [(first, &both[0]), (second, &both[1])] {
        model.blocks[block].ffn = Some(match norms {
            Norms::Own => return Ok(()),
            Norms::Avg => averaged(ffn, gains)?,
            Norms::RankMix => mixed(ffn, gains)?,
        });
    }
    Ok(())
}

fn averaged(ffn: &Ffn, gains: [&Tensor; 2]) -> Result<Ffn> {
    let mut ffn = ffn.clone();
    ffn.norm.gain = gains[0].add(gains[1])?.mul_scalar(0.5)?;
    Ok(ffn)
}

/// Neurons of the first half read through the first block's norm, those of the second half through the second's.
fn mixed(ffn: &Ffn, gains: [&Tensor; 2]) -> Result<Ffn> {
    let mut ffn = ffn.clone();
    let fold = |linear: &Linear| -> Result<Linear> {
        let width = linear.weight.dim(0)?;
        let half = width / 2;
        let halves = [
            prunebench_model::fold_gain(&linear.weight.narrow(0, 0, half)?, gains[0])?,
            prunebench_model::fold_gain(&linear.weight.narrow(0, half, width - half)?, gains[1])?,
        ];
        Ok(Linear {
            weight: Tensor::cat(&[&halves[0], &halves[1]], 0)?,
            ..linear.clone()
        })
    };
    if let Some(linears) = &mut ffn.linears {
        linears.up = fold(&linears.up)?;
        linears.gate = linears.gate.as_ref().map(fold).transpose()?;
    }
    ffn.norm.gain = Tensor::ones(&ffn.norm.gain.shape(), ffn.norm.gain.dtype(), &ffn.norm.gain.device())?;
    Ok(ffn)
}
