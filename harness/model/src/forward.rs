//! The one forward pass that runs any graph.

use prunebench_tensor::{AttentionMask, Segment, Tensor};

use crate::block::Scales;
use crate::graph::{AttentionShape, NormKind, Step};
use crate::rope::RopeTables;
use crate::{Block, Decoder, Delta, KvCache, Linear, LinearName, ModelError, Norm, Place, Result, Tap, count_zeros};

/// Added to the variance where an output is normalised.
const OUTPUT_NORM_EPS: f64 = 1e-5;

/// What one forward pass carries along.
pub(crate) struct Pass<'a> {
    pub(crate) cache: Option<&'a KvCache>,
    /// Who attends to whom in packed sequences; absent if the tokens are those of whole sequences.
    pub(crate) segments: Option<&'a [Segment]>,
    pub(crate) tap: Tap<'a>,
    pub(crate) rope: RopeTables,
    pub(crate) stream: Option<Stream>,
    /// Attentions executed so far: the index of the next cache entry.
    pub(crate) attentions: usize,
}

/// Gates of the residual stream, and what norms need of them.
pub(crate) struct Stream {
    /// `[hidden]`.
    gates: Tensor,
    /// 0 where the gate is, 1 elsewhere, `[hidden]`.
    open: Tensor,
    /// Share of the gates that aren't 0.
    share: f64,
}

impl Stream {
    fn of(gates: &Tensor) -> Result<Self> {
        let zero = Tensor::zeros(&[1], gates.dtype(), &gates.device())?;
        let open = gates.detach()?.eq(&zero)?.neg()?.add_scalar(1.0)?;
        let closed = count_zeros(gates)?;
        let channels = gates.elem_count() as f64;
        if closed as f64 == channels {
            return Err(ModelError::Graph(
                "every gate of the residual stream is 0; a norm over no channel is nothing".to_owned(),
            ));
        }
        Ok(Self {
            gates: gates.clone(),
            open,
            share: 1.0 - closed as f64 / channels,
        })
    }
}

/// Updates of the residual stream in one step.
#[derive(Default)]
struct Updates {
    /// Still to be summed over the ranks of the group.
    parts: Option<Tensor>,
    /// The same on every rank.
    whole: Option<Tensor>,
}

fn sum(a: Option<Tensor>, b: Tensor) -> Result<Option<Tensor>> {
    Ok(Some(a.map_or(Ok(b.clone()), |a| a.add(&b))?))
}

impl Decoder {
    /// Runs the steps and the final norm on the residual stream before the first step.
    pub(crate) fn run(&self, mut x: Tensor, mut pass: Pass) -> Result<Tensor> {
        for (index, step) in self.graph.steps.iter().enumerate() {
            (pass.tap)(Place::Residual(index), &x)?;
            x = self.step(step, x, &mut pass)?;
        }
        (pass.tap)(Place::Residual(self.graph.steps.len()), &x)?;
        self.norm(&x, &self.final_norm, pass.stream.as_ref())
    }

    pub(crate) fn stream(&self) -> Result<Option<Stream>> {
        self.stream_gates.as_ref().map(Stream::of).transpose()
    }

    pub(crate) fn norm(&self, x: &Tensor, norm: &Norm, stream: Option<&Stream>) -> Result<Tensor> {
        let eps = self.graph.rms_norm_eps * (self.graph.hidden_size as f64 / norm.gain.elem_count() as f64);
        let y = match (self.graph.norm, stream) {
            // The mean over the open channels is that over all, with the others at 0, divided by the share of the open ones.
            (NormKind::Rms, Some(Stream { gates, open, share })) => {
                let gain = norm.gain.mul(gates)?.mul_scalar(share.sqrt())?;
                x.mul(open)?.rms_norm(&gain, eps * share)?
            }
            (NormKind::Rms, None) => x.rms_norm(&norm.gain, eps)?,
            (NormKind::Layer, _) => x.layer_norm(eps)?.mul(&norm.gain)?,
        };
        Ok(norm.bias.as_ref().map_or(Ok(y.clone()), |bias| y.add(bias))?)
    }

    /// The rotary tables of given positions.
    pub(crate) fn rope(&self, positions: &[usize]) -> Result<RopeTables> {
        RopeTables::new(&self.graph, positions, self.dtype(), &self.device())
    }

    pub(crate) fn step(&self, step: &Step, x: Tensor, pass: &mut Pass) -> Result<Tensor> {
        match step {
            Step::Block(_) | Step::ParallelSublayers(_) => {
                let shortcut = |block: &Block| block.attention.as_ref()?.shortcut.clone();
                let x = self.plus_updates(Self::attention, shortcut, step.blocks(), x, pass)?;
                let shortcut = |block: &Block| block.ffn.as_ref()?.shortcut.clone();
                self.plus_updates(Self::ffn, shortcut, step.blocks(), x, pass)
            }
            Step::Parallel(blocks) => blocks.iter().try_fold(x.clone(), |after, &block| {
                let mut attention = Updates::default();
                self.attention(block, &x, pass, &mut attention)?;
                let attention = self.reduced(attention)?;
                let plus =
                    |x: &Tensor, update: &Option<Tensor>| update.as_ref().map_or(Ok(x.clone()), |update| x.add(update));
                let mut ffn = Updates::default();
                self.ffn(block, &plus(&x, &attention)?, pass, &mut ffn)?;
                Ok(plus(&plus(&after, &attention)?, &self.reduced(ffn)?)?)
            }),
            Step::Average(blocks) => {
                let sum = self.step(&Step::Parallel(blocks.clone()), x.clone(), pass)?;
                Ok(x.add(&sum.sub(&x)?.mul_scalar(1.0 / blocks.len() as f64)?)?)
            }
        }
    }

    /// x, or what the sublayer's shortcut makes of it, and the updates that one sublayer of each block makes of x, summed over
    /// all ranks.
    fn plus_updates(
        &self,
        sublayer: fn(&Self, usize, &Tensor, &mut Pass, &mut Updates) -> Result<()>,
        shortcut: fn(&Block) -> Option<Tensor>,
        blocks: &[usize],
        x: Tensor,
        pass: &mut Pass,
    ) -> Result<Tensor> {
        let mut updates = Updates::default();
        for &block in blocks {
            sublayer(self, block, &x, pass, &mut updates)?;
        }
        // A graph with a shortcut runs its block alone.
        let shortcut = blocks.iter().find_map(|&block| shortcut(&self.blocks[block]));
        let x = shortcut.map_or(Ok(x.clone()), |shortcut| x.linear(&shortcut, None))?;
        Ok(match self.reduced(updates)? {
            None => x,
            Some(update) => x.add(&update)?,
        })
    }

    /// The updates summed, over the ranks as well.
    fn reduced(&self, updates: Updates) -> Result<Option<Tensor>> {
        let parts = match (updates.parts, &self.group) {
            (Some(parts), Some(group)) => Some(group.all_reduce_sum(&parts)?),
            (parts, _) => parts,
        };
        match (parts, updates.whole) {
            (Some(parts), Some(whole)) => Ok(Some(parts.add(&whole)?)),
            (parts, whole) => Ok(parts.or(whole)),
        }
    }

    /// Adds the output of a sublayer to the updates, normalised and gated as it wants.
    fn scaled(&self, output: Tensor, scales: &Scales, pass: &Pass, updates: &mut Updates) -> Result<()> {
        let gated = |mut y: Tensor| -> Result<Tensor> {
            if let Some(gate) = &scales.output_gate {
                y = y.mul(gate)?;
            }
            Ok(match &pass.stream {
                Some(stream) => y.mul(&stream.gates)?,
                None => y,
            })
        };
        match &scales.output_norm {
            None => updates.parts = sum(updates.parts.take(), gated(output)?)?,
            Some(gain) => {
                // What is normalised has to be whole.
                let whole = match &self.group {
                    Some(group) => group.all_reduce_sum(&output)?,
                    None => output,
                };
                let normed = whole.layer_norm(OUTPUT_NORM_EPS)?.mul(gain)?;
                updates.whole = sum(updates.whole.take(), gated(normed)?)?;
            }
        }
        Ok(())
    }

    /// The deltas of a linear that block `index` runs: the lender's, then its own.
    pub(crate) fn deltas(&self, index: usize, name: LinearName) -> impl Iterator<Item = &Delta> {
        let lender = self.graph.lender(index);
        let own = match lender == index {
            true => &[],
            false => self.blocks[index].deltas(name),
        };
        self.blocks[lender].deltas(name).iter().chain(own)
    }

    /// Applies a linear that block `index` runs, with its deltas.
    fn project(&self, index: usize, name: LinearName, linear: &Linear, x: &Tensor) -> Result<Tensor> {
        linear.forward_with(self.deltas(index, name), x)
    }

    /// Whether none of these linears has a delta where block `index` runs them.
    fn are_plain(&self, index: usize, names: &[LinearName]) -> bool {
        names.iter().all(|&name| self.deltas(index, name).next().is_none())
    }

    /// The attention's update of the residual stream.
    fn attention(&self, index: usize, x: &Tensor, pass: &mut Pass, updates: &mut Updates) -> Result<()> {
        let (Some(attention), Some(shape)) = (&self.blocks[index].attention, &self.graph.blocks[index].attention)
        else {
            return Ok(());
        };
        let lender = self.blocks[self.graph.lender(index)].attention.as_ref();
        let Some(linears) = lender.and_then(|lender| lender.linears.as_ref()) else {
            return Err(self.nothing_lent(index));
        };
        let AttentionShape {
            heads,
            kv_heads,
            head_dim,
            window,
            scale,
            ..
        } = *shape;
        let (batch, tokens) = (x.dim(0)?, x.dim(1)?);
        let x = self.norm(x, &attention.norm, pass.stream.as_ref())?;
        (pass.tap)(Place::AttentionInput(index), &x)?;
        let heads_of = |y: Tensor, heads: usize, norm: Option<&Tensor>| -> Result<Tensor> {
            let y = y.reshape(&[batch, tokens, heads, head_dim])?;
            let y = norm.map_or(Ok(y.clone()), |norm| y.rms_norm(norm, self.graph.rms_norm_eps))?;
            Ok(y.transpose(1, 2)?)
        };
        let split = |name: LinearName, linear: &Linear, heads: usize, norm: Option<&Tensor>| {
            heads_of(self.project(index, name, linear, &x)?, heads, norm)
        };
        let stacked = linears.stacked.as_ref();
        let stacked = stacked.filter(|_| self.are_plain(index, &[LinearName::Q, LinearName::K, LinearName::V]));
        let (q, k, v) = match stacked {
            Some(stacked) => {
                let turned = heads + kv_heads;
                let all = heads_of(stacked.forward(&x)?, turned + kv_heads, None)?;
                let qk = pass.rope.apply(all.narrow(1, 0, turned)?)?;
                let v = all.narrow(1, turned, kv_heads)?;
                (qk.narrow(1, 0, heads)?, qk.narrow(1, heads, kv_heads)?, v)
            }
            None => (
                pass.rope
                    .apply(split(LinearName::Q, &linears.q, heads, linears.q_norm.as_ref())?)?,
                pass.rope
                    .apply(split(LinearName::K, &linears.k, kv_heads, linears.k_norm.as_ref())?)?,
                split(LinearName::V, &linears.v, kv_heads, None)?,
            ),
        };
        let (k, v) = match pass.cache {
            Some(cache) => cache.append(pass.attentions, &k, &v)?,
            None => (k, v),
        };
        pass.attentions += 1;
        let scale = scale.unwrap_or(1.0 / (head_dim as f64).sqrt());
        let mixed = match pass.segments {
            Some(segments) => Tensor::segment_attention(&q, &k, &v, segments, window, scale)?,
            None => Tensor::attention(&q, &k, &v, &AttentionMask { causal: true, window }, scale)?,
        };
        let mut mixed = mixed.transpose(1, 2)?.reshape(&[batch, tokens, heads * head_dim])?;
        if let Some(gates) = &attention.scales.unit_gates {
            // The query heads of a group are side by side.
            let group = heads / kv_heads * head_dim;
            let groups = mixed.reshape(&[batch, tokens, kv_heads, group])?;
            mixed = groups.mul(&gates.reshape(&[kv_heads, 1])?)?.reshape(&mixed.shape())?;
        }
        (pass.tap)(Place::AttentionOutput(index), &mixed)?;
        let output = self.project(index, LinearName::O, &linears.o, &mixed)?;
        self.scaled(output, &attention.scales, pass, updates)
    }

    /// The feed-forward network's update of the residual stream.
    fn ffn(&self, index: usize, x: &Tensor, pass: &mut Pass, updates: &mut Updates) -> Result<()> {
        let Some(ffn) = &self.blocks[index].ffn else {
            return Ok(());
        };
        let lender = self.blocks[self.graph.lender(index)].ffn.as_ref();
        let Some(linears) = lender.and_then(|lender| lender.linears.as_ref()) else {
            return Err(self.nothing_lent(index));
        };
        let x = self.norm(x, &ffn.norm, pass.stream.as_ref())?;
        (pass.tap)(Place::FfnInput(index), &x)?;
        let stacked = linears.stacked.as_ref();
        let stacked = stacked.filter(|_| self.are_plain(index, &[LinearName::Gate, LinearName::Up]));
        let up = || self.project(index, LinearName::Up, &linears.up, &x);
        let mut hidden = match (stacked, &linears.gate) {
            (Some(stacked), _) => {
                let both = stacked.forward(&x)?;
                let (last, width) = (both.rank() - 1, linears.up.weight.dim(0)?);
                both.narrow(last, 0, width)?.swiglu(&both.narrow(last, width, width)?)?
            }
            (None, Some(gate)) => self.project(index, LinearName::Gate, gate, &x)?.swiglu(&up()?)?,
            (None, None) => up()?.relu()?,
        };
        if let Some(gates) = &ffn.scales.unit_gates {
            hidden = hidden.mul(gates)?;
        }
        (pass.tap)(Place::FfnHidden(index), &hidden)?;
        let output = self.project(index, LinearName::Down, &linears.down, &hidden)?;
        self.scaled(output, &ffn.scales, pass, updates)
    }

    fn nothing_lent(&self, index: usize) -> ModelError {
        ModelError::Graph(format!(
            "block {index} wants linears of block {}, which has none",
            self.graph.lender(index)
        ))
    }
}
