//! Keys and values of the positions already seen.

use prunebench_tensor::{DType, Device, Tensor};

use crate::graph::{AttentionShape, Graph};
use crate::rope::RopeTables;
use crate::{ModelError, Result};

/// Keys and values for each attention that a forward pass executes; a block that runs twice has two entries.
#[derive(Debug)]
pub struct KvCache {
    batch: usize,
    capacity: usize,
    length: usize,
    entries: Vec<(Tensor, Tensor)>,
    /// Of every position, so that a step copies nothing to the device.
    rope: RopeTables,
}

impl KvCache {
    /// An empty cache for `batch` sequences of up to `capacity` tokens.
    pub(crate) fn new(graph: &Graph, batch: usize, capacity: usize, dtype: DType, device: &Device) -> Result<Self> {
        let executed = graph.steps.iter().flat_map(|step| step.blocks());
        let entries = executed
            .filter_map(|&block| graph.blocks[block].attention.as_ref())
            .map(|AttentionShape { kv_heads, head_dim, .. }| {
                let shape = [batch, *kv_heads, capacity, *head_dim];
                Ok((
                    Tensor::zeros(&shape, dtype, device)?,
                    Tensor::zeros(&shape, dtype, device)?,
                ))
            })
            .collect::<Result<_>>()?;
        let positions: Vec<usize> = (0..capacity).collect();
        Ok(KvCache {
            batch,
            capacity,
            length: 0,
            entries,
            rope: RopeTables::new(graph, &positions, dtype, device)?,
        })
    }

    /// Tokens seen.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True before the first token.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets all but the first `length` tokens.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    pub(crate) fn check(&self, batch: usize, tokens: usize) -> Result<()> {
        if batch == self.batch && self.length + tokens <= self.capacity {
            return Ok(());
        }
        Err(ModelError::Graph(format!(
            "{tokens} tokens in a batch of {batch} don't fit a KV cache of batch {}, capacity {} that holds {}",
            self.batch, self.capacity, self.length
        )))
    }

    /// The rotary tables of the next `tokens` positions.
    pub(crate) fn rope(&self, tokens: usize) -> Result<RopeTables> {
        self.rope.narrow(self.length, tokens)
    }

    /// Stores the new keys and values of entry `index` and returns those of all positions so far.
    pub(crate) fn append(&self, index: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (keys, values) = &self.entries[index];
        let total = self.length + k.dim(2)?;
        keys.write_slice(2, self.length, k)?;
        values.write_slice(2, self.length, v)?;
        Ok((keys.narrow(2, 0, total)?, values.narrow(2, 0, total)?))
    }

    pub(crate) fn advance(&mut self, tokens: usize) {
        self.length += tokens;
    }
}
