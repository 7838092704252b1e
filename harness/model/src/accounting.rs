//! Size and work of a decoder, each figure counted from its graph and stored parameters.

use std::collections::HashMap;

use prunebench_tensor::{DType, Tensor};

use crate::graph::BlockShape;
use crate::{Decoder, Delta, Linear, LinearName, Result};

/// Size and work of a decoder. Stored, executed and non-zero parameters are three figures; none is inferred from another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accounting {
    /// Parameters stored, a tied or shared tensor once.
    pub stored_parameters: u64,
    /// Parameters read by a forward pass, a block that runs twice counted twice, and what one lends for each borrower; the head counts even when tied, the
    /// embedding and learned positions as the one row of each that a token reads.
    pub executed_parameters: u64,
    /// Stored parameters that are zero, wherever they are.
    pub zero_parameters: u64,
    /// Weights of the blocks' linears: what unstructured pruning can zero.
    pub prunable_weights: u64,
    /// Prunable weights that are zero.
    pub zero_weights: u64,
    /// Bytes of the stored parameters in their dtype.
    pub stored_bytes: u64,
    /// Floating-point operations of one token at an empty context: 2 per multiply-add of every executed linear,
    /// low-rank delta and shortcut and the head.
    pub flops_per_token: u64,
    /// Floating-point operations that each earlier position adds to a token: scores and mixing.
    pub flops_per_token_and_position: u64,
    /// Bytes that one token adds to the KV cache.
    pub kv_bytes_per_token: u64,
    /// Sequential steps: the depth that latency sees.
    pub effective_depth: u64,
    /// All-reduces that a tensor-parallel run needs per token: one after each sublayer of a step.
    pub collectives_per_token: u64,
}

impl Accounting {
    /// Stored parameters that aren't zero.
    pub fn nonzero_parameters(&self) -> u64 {
        self.stored_parameters - self.zero_parameters
    }

    /// Share of the prunable weights that are zero.
    pub fn mask_sparsity(&self) -> f64 {
        self.zero_weights as f64 / self.prunable_weights.max(1) as f64
    }
}

impl Decoder {
    /// Counts size and work. Zeros are counted on the device, so this reads every parameter once.
    pub fn accounting(&self) -> Result<Accounting> {
        let parameters = self.parameters();
        let stored_parameters: u64 = parameters.iter().map(|(_, t)| t.elem_count() as u64).sum();
        let zeros = parameters
            .iter()
            .map(|(name, tensor)| Ok((name.as_str(), count_zeros(tensor)?)));
        let zeros: HashMap<&str, u64> = zeros.collect::<Result<_>>()?;
        let head = (self.graph.vocab_size * self.graph.hidden_size) as u64;
        let below = |prefix: &str| -> u64 {
            parameters
                .iter()
                .filter(|(name, _)| name.starts_with(prefix))
                .map(|(_, t)| t.elem_count() as u64)
                .sum()
        };
        let embedded_rows = 1 + u64::from(self.positions.is_some());
        let head_bias = self.head_bias.as_ref().map_or(0, |bias| bias.elem_count() as u64);
        let linears = |index: usize| {
            LinearName::ALL
                .into_iter()
                .filter_map(move |name| Some((name, self.blocks[index].linear(name)?)))
        };
        let executed: Vec<usize> = self
            .graph
            .steps
            .iter()
            .flat_map(|step| step.blocks())
            .copied()
            .collect();
        let shapes = || executed.iter().map(|&block| &self.graph.blocks[block]);
        let attention_sum = |size: fn(&crate::graph::AttentionShape) -> usize| -> u64 {
            shapes()
                .filter_map(|shape| shape.attention.as_ref())
                .map(|a| size(a) as u64)
                .sum()
        };
        let mut prunable_weights = 0;
        let mut zero_weights = 0;
        for index in 0..self.blocks.len() {
            for (name, linear) in linears(index) {
                prunable_weights += linear.weight.elem_count() as u64;
                zero_weights += zeros[format!("model.layers.{index}.{}.weight", name.hf_name()).as_str()];
            }
        }
        // Of a block that borrows, the lender's.
        let run = |index: usize| {
            let lender = &self.blocks[self.graph.lender(index)];
            let shape = &self.graph.blocks[index];
            let runs = move |name: &LinearName| shape.linear(*name, self.graph.hidden_size).is_some();
            let linears = LinearName::ALL.into_iter().filter(runs);
            linears.filter_map(move |name| Some((name, lender.linear(name)?)))
        };
        let size = |tensor: &Tensor| tensor.elem_count() as u64;
        let of_deltas = |deltas: &mut dyn Iterator<Item = &Delta>| -> u64 {
            deltas.map(|delta| size(&delta.down) + size(&delta.up)).sum()
        };
        let executed_linears: u64 = executed
            .iter()
            .flat_map(|&block| run(block).map(move |(name, linear)| (block, name, linear)))
            .map(|(block, name, linear)| size(&linear.weight) + of_deltas(&mut self.deltas(block, name)))
            .sum();
        let borrowed = |index: usize| -> u64 {
            let Some(lender) = self.graph.blocks[index].borrows else {
                return 0;
            };
            let of_linears = run(index).map(|(name, linear)| {
                let bias = linear.bias.as_ref().map_or(0, size);
                size(&linear.weight) + bias + of_deltas(&mut self.blocks[lender].deltas(name).iter())
            });
            let norms = self.blocks[lender]
                .attention
                .as_ref()
                .and_then(|lender| lender.linears.as_ref());
            let norms = norms.filter(|_| self.blocks[index].attention.is_some());
            let norms = norms
                .into_iter()
                .flat_map(|lent| lent.q_norm.iter().chain(&lent.k_norm));
            of_linears.sum::<u64>() + norms.map(size).sum::<u64>()
        };
        let executed_shortcuts: u64 = executed
            .iter()
            .flat_map(|&b| self.blocks[b].shortcuts())
            .map(|shortcut| shortcut.elem_count() as u64)
            .sum();
        let sublayers = |shape: &BlockShape| [shape.attention.is_some(), shape.ffn.is_some()];
        Ok(Accounting {
            stored_parameters,
            executed_parameters: executed
                .iter()
                .map(|&block| below(&format!("model.layers.{block}.")) + borrowed(block))
                .sum::<u64>()
                + head
                + head_bias
                + below("model.norm.")
                + below("model.stream_gates")
                + embedded_rows * self.graph.embedding_width() as u64,
            zero_parameters: zeros.values().sum(),
            prunable_weights,
            zero_weights,
            stored_bytes: stored_parameters * self.dtype().size_in_bytes() as u64,
            flops_per_token: 2 * (executed_linears + executed_shortcuts + head),
            flops_per_token_and_position: attention_sum(|a| 4 * a.heads * a.head_dim),
            kv_bytes_per_token: attention_sum(|a| 2 * a.kv_heads * a.head_dim) * self.dtype().size_in_bytes() as u64,
            effective_depth: self.graph.steps.len() as u64,
            collectives_per_token: self
                .graph
                .steps
                .iter()
                .map(|step| {
                    let has = |half: usize| step.blocks().iter().any(|&b| sublayers(&self.graph.blocks[b])[half]);
                    u64::from(has(0)) + u64::from(has(1))
                })
                .sum(),
        })
    }
}

impl Linear {
    /// Weights that are zero.
    pub fn zero_weights(&self) -> Result<u64> {
        count_zeros(&self.weight)
    }
}

/// Elements that are zero, counted on the device. Rows are summed apart: an f32 sum of ones stops being exact at 2^24.
pub fn count_zeros(tensor: &Tensor) -> Result<u64> {
    let width = tensor.shape().last().copied().unwrap_or(1).max(1);
    let zero = Tensor::zeros(&[1], tensor.dtype(), &tensor.device())?;
    let rows = tensor.reshape(&[tensor.elem_count() / width, width])?;
    let rows = rows.eq(&zero)?.to_dtype(DType::F32)?.sum(1, false)?;
    Ok(rows.to_f64_vec()?.iter().sum::<f64>() as u64)
}
