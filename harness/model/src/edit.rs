//! Edits of a decoder that keep graph and parameters in step.

use std::collections::BTreeMap;

use prunebench_tensor::{DType, Tensor};

use crate::block::Delta;
use crate::graph::{BlockShape, Step};
use crate::{Decoder, LinearName, ModelError, Result};

impl Decoder {
    /// Removes blocks from the execution and, once nothing runs them, from storage. The blocks left are renumbered in order.
    pub fn remove_blocks(&mut self, removed: &[usize]) -> Result<()> {
        if let Some(block) = removed.iter().find(|&&block| block >= self.blocks.len()) {
            return Err(ModelError::Graph(format!(
                "block {block} can't be removed: there are {} blocks",
                self.blocks.len()
            )));
        }
        if let Some(block) = removed
            .iter()
            .find(|&&block| self.blocks[block].shortcuts().next().is_some())
        {
            return Err(ModelError::Graph(format!(
                "block {block} can't be removed: its shortcut leads the residual stream to the basis of the next one; remove \
                 blocks before the stream is sliced"
            )));
        }
        let kept: Vec<usize> = (0..self.blocks.len())
            .filter(|block| !removed.contains(block))
            .collect();
        if kept.is_empty() {
            return Err(ModelError::Graph(
                "every block would be removed; lower the ratio".to_string(),
            ));
        }
        let borrower = kept.iter().find_map(|&block| {
            let lender = self.graph.blocks[block].borrows?;
            removed.contains(&lender).then_some((block, lender))
        });
        if let Some((block, lender)) = borrower {
            return Err(ModelError::Graph(format!(
                "block {lender} can't be removed: block {block} borrows its linears; remove that one too, or keep both"
            )));
        }
        let renumber = |blocks: &[usize]| -> Vec<usize> {
            blocks
                .iter()
                .filter_map(|block| kept.iter().position(|k| k == block))
                .collect()
        };
        self.graph.steps = self
            .graph
            .steps
            .iter()
            .filter_map(|step| {
                let blocks = renumber(step.blocks());
                match (step, blocks.as_slice()) {
                    (_, []) => None,
                    (_, &[block]) => Some(Step::Block(block)),
                    (Step::ParallelSublayers(_), _) => Some(Step::ParallelSublayers(blocks)),
                    (Step::Average(_), _) => Some(Step::Average(blocks)),
                    (Step::Block(_) | Step::Parallel(_), _) => Some(Step::Parallel(blocks)),
                }
            })
            .collect();
        let kept_shapes = kept.iter().map(|&block| {
            let shape = self.graph.blocks[block].clone();
            let borrows = shape.borrows.and_then(|lender| kept.iter().position(|&k| k == lender));
            BlockShape { borrows, ..shape }
        });
        self.graph.blocks = kept_shapes.collect();
        self.blocks = kept.iter().map(|&block| self.blocks[block].clone()).collect();
        Ok(())
    }

    /// Replaces `blocks`, which must have one shape, by the first of them with the element-wise mean of all their parameters; low-rank
    /// deltas are merged first.
    ///
    /// # Errors
    /// [`ModelError::Graph`] for blocks of different shapes, and for one that borrows its linears: the mean needs some of its own.
    pub fn merge_blocks(&mut self, blocks: &[usize]) -> Result<()> {
        let (Some(&first), rest) = (blocks.first(), blocks.get(1..).unwrap_or_default()) else {
            return Ok(());
        };
        for &block in blocks {
            if block >= self.blocks.len() {
                continue;
            }
            if let Some(lender) = self.graph.blocks[block].borrows {
                return Err(ModelError::Graph(format!(
                    "block {block} can't be averaged with others: its linears are those of block {lender}"
                )));
            }
            self.merge_deltas_of(block)?;
        }
        if let Some(block) = blocks
            .iter()
            .find(|&&block| self.graph.blocks.get(block) != self.graph.blocks.get(first))
        {
            return Err(ModelError::Graph(format!(
                "blocks {first} and {block} can't be averaged: they differ in shape, or there is no such block"
            )));
        }
        let prefix = |block: usize| format!("model.layers.{block}.");
        let all: BTreeMap<String, Tensor> = self
            .parameters()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.clone()))
            .collect();
        let mean = |name: &str| -> Result<Tensor> {
            let part = name.strip_prefix(&prefix(first)).unwrap_or(name);
            let parts: Vec<&Tensor> = blocks
                .iter()
                .filter_map(|&block| all.get(&format!("{}{part}", prefix(block))))
                .collect();
            let dtype = parts[0].dtype();
            let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
            let start = parts[0].to_dtype(wide)?;
            let sum = parts[1..]
                .iter()
                .try_fold(start, |sum, part| sum.add(&part.to_dtype(wide)?))?;
            Ok(sum.mul_scalar(1.0 / blocks.len() as f64)?.to_dtype(dtype)?)
        };
        *self = self.map_parameters(|name, tensor| match name.starts_with(&prefix(first)) {
            true => mean(name),
            false => Ok(tensor.clone()),
        })?;
        self.remove_blocks(rest)
    }

    /// Gives a linear of block `block` a low-rank delta beside those it has: `down` is A `[rank, in]`, `up` is B `[out, rank]`.
    ///
    /// # Errors
    /// [`ModelError::Graph`] if the block has no such linear, or the delta does not fit it.
    pub fn add_delta(&mut self, block: usize, linear: LinearName, delta: Delta) -> Result<()> {
        let Delta { shape, down, up, .. } = &delta;
        let count = self.blocks.len();
        let Some(of_block) = self.graph.blocks.get_mut(block) else {
            return Err(ModelError::Graph(format!(
                "a low-rank delta for block {block} of {count}"
            )));
        };
        let before = of_block.clone();
        of_block.deltas.entry(linear).or_default().push(shape.clone());
        let wanted = before
            .linear(linear, self.graph.hidden_size)
            .map(|[out, inner]| [vec![shape.rank, inner], vec![out, shape.rank]]);
        let checked = self.graph.validate().and_then(|()| match wanted {
            Some(wanted) if wanted != [down.shape(), up.shape()] => Err(ModelError::Graph(format!(
                "block {block} {}: a low-rank delta of {:?} and {:?}; {:?} and {:?} are wanted",
                linear.hf_name(),
                down.shape(),
                up.shape(),
                wanted[0],
                wanted[1]
            ))),
            _ => Ok(()),
        });
        match checked {
            Ok(()) => self.blocks[block].deltas.entry(linear).or_default().push(delta),
            Err(_) => self.graph.blocks[block] = before,
        }
        checked
    }

    /// Every low-rank delta, block by block and linear by linear; their shapes are the graph's, and stay.
    pub fn deltas_mut(&mut self) -> impl Iterator<Item = &mut Delta> {
        self.blocks
            .iter_mut()
            .flat_map(|block| block.deltas.values_mut().flatten())
    }

    /// Adds low-rank deltas to the weights that they belong to, which from then on give the same outputs alone. The deltas that a block
    /// has on borrowed linears stay, for the weights are others' too.
    pub fn merge_deltas(&mut self) -> Result<()> {
        let own = (0..self.blocks.len()).filter(|&block| self.graph.blocks[block].borrows.is_none());
        own.collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|block| self.merge_deltas_of(block))
    }

    pub(crate) fn merge_deltas_of(&mut self, block: usize) -> Result<()> {
        self.graph.blocks[block].deltas.clear();
        let deltas = std::mem::take(&mut self.blocks[block].deltas);
        for (name, deltas) in &deltas {
            if let Some(linear) = self.blocks[block].linear_mut(*name) {
                *linear = linear.merged(deltas)?;
            }
        }
        Ok(())
    }
}
