//! Edits of a decoder that keep graph and parameters in step.

use std::collections::BTreeMap;

use prunebench_tensor::{DType, Tensor};

use crate::graph::Step;
use crate::{Decoder, ModelError, Result};

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
        self.graph.blocks = kept.iter().map(|&block| self.graph.blocks[block].clone()).collect();
        self.blocks = kept.iter().map(|&block| self.blocks[block].clone()).collect();
        Ok(())
    }

    /// Replaces `blocks`, which must have one shape, by the first of them with the element-wise mean of all their parameters.
    pub fn merge_blocks(&mut self, blocks: &[usize]) -> Result<()> {
        let (Some(&first), rest) = (blocks.first(), blocks.get(1..).unwrap_or_default()) else {
            return Ok(());
        };
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
        let group = self.group.clone();
        *self = Self::from_parameters(self.graph.clone(), |name, _| match name.starts_with(&prefix(first)) {
            true => mean(name),
            false => all
                .get(name)
                .cloned()
                .ok_or_else(|| ModelError::Graph(format!("the graph wants `{name}`, which the decoder lacks"))),
        })?;
        self.group = group;
        self.remove_blocks(rest)
    }
}
