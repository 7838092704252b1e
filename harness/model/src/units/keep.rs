//! Cutting units out.

use prunebench_tensor::{Device, Tensor};

use super::{Half, Units, refuse};
use crate::block::{LinearName, Norm};
use crate::graph::BlockShape;
use crate::{Decoder, Result};

impl Decoder {
    /// Cuts out all units of a kind but those that `kept` names, in rising order: what is left computes exactly what it would with
    /// the others gated to 0. Blocks left without attention and FFN go.
    ///
    /// # Errors
    /// [`ModelError::Graph`] for units that are not there, none or not rising, and for linears that another block runs too.
    pub fn keep(&mut self, units: Units, kept: &[usize]) -> Result<()> {
        let count = self.units(units)?;
        if let Some(unit) = kept.iter().find(|&&unit| unit >= count) {
            return refuse(format!("{units}: {unit} to be kept of {count}"));
        }
        if kept.windows(2).any(|pair| pair[0] >= pair[1]) {
            return refuse(format!(
                "{units}: {kept:?} to be kept; each once and in rising order is wanted"
            ));
        }
        if kept.len() == count {
            return Ok(());
        }
        let lost = |block: &usize| !kept.contains(block);
        match units {
            Units::Blocks => self.remove_blocks(&(0..count).filter(lost).collect::<Vec<_>>()),
            Units::Attentions => self.drop_halves(Half::Attention, &(0..count).filter(lost).collect::<Vec<_>>()),
            Units::Ffns => self.drop_halves(Half::Ffn, &(0..count).filter(lost).collect::<Vec<_>>()),
            _ if kept.is_empty() => refuse(format!("none of the {units} would be left; lower the ratio")),
            Units::Stream => self.keep_stream(kept),
            Units::Heads(block) => self.keep_units(units, block, Half::Attention, kept),
            Units::Channels(block) => self.keep_units(units, block, Half::Ffn, kept),
        }
    }

    fn drop_halves(&mut self, half: Half, lost: &[usize]) -> Result<()> {
        let mut left = self.clone();
        for &block in lost {
            let shape = &mut left.graph.blocks[block];
            let of_half = |name: &LinearName| match half {
                Half::Attention => *name < LinearName::Gate,
                Half::Ffn => *name >= LinearName::Gate,
            };
            shape.deltas.retain(|name, _| !of_half(name));
            left.blocks[block].deltas.retain(|name, _| !of_half(name));
            match half {
                Half::Attention => (shape.attention, left.blocks[block].attention) = (None, None),
                Half::Ffn => (shape.ffn, left.blocks[block].ffn) = (None, None),
            }
        }
        let empty = |&block: &usize| {
            let shape = &left.graph.blocks[block];
            shape.attention.is_none() && shape.ffn.is_none()
        };
        let empty: Vec<usize> = lost.iter().copied().filter(empty).collect();
        if !empty.is_empty() {
            left.remove_blocks(&empty)?;
        }
        left.graph.validate()?;
        *self = left;
        Ok(())
    }

    fn keep_units(&mut self, units: Units, block: usize, half: Half, kept: &[usize]) -> Result<()> {
        if let Some(other) = self.shares_with(block) {
            return refuse(format!(
                "{units} can't be cut out: block {other} runs the same linears; gate them instead"
            ));
        }
        let shape = &mut self.graph.blocks[block];
        let (size, first) = match (half, &mut shape.attention, &mut shape.ffn) {
            (Half::Attention, Some(shape), _) => {
                let group = shape.heads / shape.kv_heads;
                let size = [
                    (LinearName::Q, group * shape.head_dim),
                    (LinearName::K, shape.head_dim),
                    (LinearName::V, shape.head_dim),
                ];
                (shape.heads, shape.kv_heads) = (group * kept.len(), kept.len());
                (group * shape.head_dim, size.to_vec())
            }
            (Half::Ffn, _, Some(shape)) => {
                shape.width = kept.len();
                (1, vec![(LinearName::Gate, 1), (LinearName::Up, 1)])
            }
            _ => return refuse(format!("there are no {units}")),
        };
        let device = self.device();
        let of_block = &mut self.blocks[block];
        for (name, size) in first {
            let rows = elements(kept, size, &device)?;
            for delta in of_block.deltas.get_mut(&name).into_iter().flatten() {
                delta.up = delta.up.index_select(0, &rows)?;
            }
            if let Some(linear) = of_block.linear_mut(name) {
                linear.weight = linear.weight.index_select(0, &rows)?;
                linear.bias = linear
                    .bias
                    .as_ref()
                    .map(|bias| bias.index_select(0, &rows))
                    .transpose()?;
            }
        }
        let columns = elements(kept, size, &device)?;
        for delta in of_block.deltas.get_mut(&half.last()).into_iter().flatten() {
            delta.down = delta.down.index_select(1, &columns)?;
        }
        if let Some(linear) = of_block.linear_mut(half.last()) {
            linear.weight = linear.weight.index_select(1, &columns)?;
        }
        if let Some(gates) = half.scales(of_block).and_then(|scales| scales.unit_gates.as_mut()) {
            *gates = gates.index_select(0, &elements(kept, 1, &device)?)?;
        }
        self.fit_ranks(block)
    }

    /// A delta whose rank exceeds what is left of its matrix becomes one of the full rank that is left: A and B are replaced by the
    /// product and the identity, whichever is smaller.
    fn fit_ranks(&mut self, block: usize) -> Result<()> {
        let hidden = self.graph.hidden_size;
        let shape = self.graph.blocks[block].clone();
        for (&name, deltas) in &mut self.blocks[block].deltas {
            let Some([out, inner]) = shape.linear(name, hidden) else {
                continue;
            };
            for (delta, described) in deltas
                .iter_mut()
                .zip(self.graph.blocks[block].deltas.entry(name).or_default())
            {
                if delta.shape.rank <= out.min(inner) {
                    continue;
                }
                let product = delta.up.matmul(&delta.down)?;
                (delta.up, delta.down) = match out <= inner {
                    true => (identity(out, &product)?, product),
                    false => {
                        let identity = identity(inner, &product)?;
                        (product, identity)
                    }
                };
                delta.shape.rank = out.min(inner);
                described.rank = delta.shape.rank;
            }
        }
        Ok(())
    }

    fn keep_stream(&mut self, kept: &[usize]) -> Result<()> {
        let shortcut = |shape: &BlockShape| shape.shortcuts().flatten().next().is_some();
        if let Some(block) = self.graph.blocks.iter().position(shortcut) {
            return refuse(format!(
                "channels of the stream can't be cut out: block {block} leads it through a shortcut matrix to another basis; cut before \
                 the stream is sliced"
            ));
        }
        let device = self.device();
        let index = elements(kept, 1, &device)?;
        let select = |tensor: &mut Tensor, dim: usize| -> Result<()> {
            *tensor = tensor.index_select(dim, &index)?;
            Ok(())
        };
        let select_norm = |norm: &mut Norm| -> Result<()> {
            select(&mut norm.gain, 0)?;
            norm.bias.as_mut().map_or(Ok(()), |bias| select(bias, 0))
        };
        select(&mut self.embedding, 1)?;
        for tensor in [&mut self.positions, &mut self.head].into_iter().flatten() {
            select(tensor, 1)?;
        }
        if let Some(gates) = &mut self.stream_gates {
            select(gates, 0)?;
        }
        select_norm(&mut self.final_norm)?;
        for block in &mut self.blocks {
            for half in Half::BOTH {
                if let Some(norm) = half.norm(block) {
                    select_norm(norm)?;
                }
                if let Some(gain) = half.scales(block).and_then(|scales| scales.output_norm.as_mut()) {
                    select(gain, 0)?;
                }
            }
            for (name, linear) in block.linears_mut() {
                match name {
                    LinearName::O | LinearName::Down => {
                        select(&mut linear.weight, 0)?;
                        linear.bias.as_mut().map_or(Ok(()), |bias| select(bias, 0))?;
                    }
                    _ => select(&mut linear.weight, 1)?,
                }
            }
            for (name, deltas) in &mut block.deltas {
                for delta in deltas {
                    match name {
                        LinearName::O | LinearName::Down => select(&mut delta.up, 0)?,
                        _ => select(&mut delta.down, 1)?,
                    }
                }
            }
        }
        self.graph.hidden_size = kept.len();
        if let Some(gates) = &self.stream_gates
            && gates.to_f64_vec()?.iter().all(|&gate| gate == 1.0)
        {
            (self.graph.stream_gates, self.stream_gates) = (false, None);
        }
        (0..self.blocks.len()).try_for_each(|block| self.fit_ranks(block))
    }
}

/// Indices of the elements of some units of `size` elements each.
fn elements(units: &[usize], size: usize, device: &Device) -> Result<Tensor> {
    let all: Vec<i64> = units
        .iter()
        .flat_map(|unit| (unit * size..(unit + 1) * size).map(|element| element as i64))
        .collect();
    Ok(Tensor::from_slice(&all, &[all.len()], device)?)
}

/// The identity matrix, of the type and on the device of `like`.
fn identity(size: usize, like: &Tensor) -> Result<Tensor> {
    let numbers: Vec<f32> = (0..size * size).map(|i| f32::from(i % (size + 1) == 0)).collect();
    Ok(Tensor::from_slice(&numbers, &[size, size], &like.device())?.to_dtype(like.dtype())?)
}
