//! Edits of a decoder that keep graph and parameters in step.

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
                    (Step::Block(_) | Step::Parallel(_), _) => Some(Step::Parallel(blocks)),
                }
            })
            .collect();
        self.graph.blocks = kept.iter().map(|&block| self.graph.blocks[block].clone()).collect();
        self.blocks = kept.iter().map(|&block| self.blocks[block].clone()).collect();
        Ok(())
    }
}
