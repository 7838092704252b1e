//! Units of a decoder, softly and exactly: gates multiply them, folding puts gates into weights, keeping cuts units out.

mod keep;

use prunebench_tensor::Tensor;

use crate::block::{LinearName, Norm, Scales};
use crate::graph::ScalesShape;
use crate::{Block, Decoder, ModelError, Result, fold_gain};

/// A kind of unit, and the block it is in where each has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Units {
    /// Channels of the residual stream.
    Stream,
    /// Blocks, by index.
    Blocks,
    /// Attentions, by the index of their block.
    Attentions,
    /// Feed-forward networks, by the index of their block.
    Ffns,
    /// Key heads of a block, each with the query heads that attend to it.
    Heads(usize),
    /// Channels between the projections of a block's FFN.
    Channels(usize),
}

impl std::fmt::Display for Units {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stream => f.write_str("channels of the residual stream"),
            Self::Blocks => f.write_str("blocks"),
            Self::Attentions => f.write_str("attentions"),
            Self::Ffns => f.write_str("FFNs"),
            Self::Heads(block) => write!(f, "key heads of block {block}"),
            Self::Channels(block) => write!(f, "FFN channels of block {block}"),
        }
    }
}

/// The two halves of a block.
#[derive(Clone, Copy)]
enum Half {
    Attention,
    Ffn,
}

impl Half {
    const BOTH: [Self; 2] = [Self::Attention, Self::Ffn];

    /// The linear that writes into the stream.
    fn last(self) -> LinearName {
        match self {
            Self::Attention => LinearName::O,
            Self::Ffn => LinearName::Down,
        }
    }

    fn scales(self, block: &mut Block) -> Option<&mut Scales> {
        match self {
            Self::Attention => block.attention.as_mut().map(|attention| &mut attention.scales),
            Self::Ffn => block.ffn.as_mut().map(|ffn| &mut ffn.scales),
        }
    }

    fn norm(self, block: &mut Block) -> Option<&mut Norm> {
        match self {
            Self::Attention => block.attention.as_mut().map(|attention| &mut attention.norm),
            Self::Ffn => block.ffn.as_mut().map(|ffn| &mut ffn.norm),
        }
    }
}

fn refuse<T>(detail: String) -> Result<T> {
    Err(ModelError::Graph(detail))
}

impl Decoder {
    /// How many units of that kind there are.
    ///
    /// # Errors
    /// [`ModelError::Graph`] for a block that is not there, and a kind that the model or the block lacks.
    pub fn units(&self, units: Units) -> Result<usize> {
        let blocks = self.blocks.len();
        if let Units::Heads(block) | Units::Channels(block) = units
            && block >= blocks
        {
            return refuse(format!("{units}: there are {blocks} blocks"));
        }
        let shapes = &self.graph.blocks;
        let count = match units {
            Units::Stream => Some(self.graph.hidden_size),
            Units::Blocks => Some(blocks),
            Units::Attentions => shapes.iter().any(|shape| shape.attention.is_some()).then_some(blocks),
            Units::Ffns => shapes.iter().any(|shape| shape.ffn.is_some()).then_some(blocks),
            Units::Heads(block) => shapes[block].attention.as_ref().map(|shape| shape.kv_heads),
            Units::Channels(block) => shapes[block].ffn.as_ref().map(|shape| shape.width),
        };
        count.map_or_else(|| refuse(format!("there are no {units}")), Ok)
    }

    /// Multiplies units by gates, `[units]`, which take the place of gates that were there. Gates of blocks are those of both their
    /// halves.
    ///
    /// # Errors
    /// [`ModelError::Graph`] for units that are not there, another number of gates, and gates that the graph can't have.
    pub fn gate(&mut self, units: Units, gates: &Tensor) -> Result<()> {
        let count = self.units(units)?;
        if gates.shape() != [count] {
            return refuse(format!(
                "gates of shape {:?} for {units}; [{count}] is wanted",
                gates.shape()
            ));
        }
        let gates = gates.to_dtype(self.dtype())?;
        let before = self.clone();
        self.put_gates(units, gates)?;
        let checked = self.graph.validate();
        if checked.is_err() {
            *self = before;
        }
        checked
    }

    fn put_gates(&mut self, units: Units, gates: Tensor) -> Result<()> {
        match units {
            Units::Stream => {
                self.graph.stream_gates = true;
                self.stream_gates = Some(gates);
            }
            Units::Heads(block) => self.put_unit_gates(block, Half::Attention, gates),
            Units::Channels(block) => self.put_unit_gates(block, Half::Ffn, gates),
            Units::Blocks | Units::Attentions | Units::Ffns => {
                for block in 0..self.blocks.len() {
                    for half in Half::BOTH {
                        let wanted = match half {
                            Half::Attention => units != Units::Ffns,
                            Half::Ffn => units != Units::Attentions,
                        };
                        if let Some(scales) = half.scales(&mut self.blocks[block]).filter(|_| wanted) {
                            scales.output_gate = Some(gates.narrow(0, block, 1)?.contiguous()?);
                            self.set_scales(block, half, |scales| scales.gate = true);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn put_unit_gates(&mut self, block: usize, half: Half, gates: Tensor) {
        if let Some(scales) = half.scales(&mut self.blocks[block]) {
            scales.unit_gates = Some(gates);
            self.set_scales(block, half, |scales| scales.unit_gates = true);
        }
    }

    fn set_scales(&mut self, block: usize, half: Half, set: impl Fn(&mut ScalesShape)) {
        let shape = &mut self.graph.blocks[block];
        match half {
            Half::Attention => shape.attention.iter_mut().for_each(|shape| set(&mut shape.scales)),
            Half::Ffn => shape.ffn.iter_mut().for_each(|shape| set(&mut shape.scales)),
        }
    }

    /// The block that shares linears with `block`, as lender or borrower.
    pub(crate) fn shares_with(&self, block: usize) -> Option<usize> {
        let shapes = &self.graph.blocks;
        shapes[block]
            .borrows
            .or_else(|| shapes.iter().position(|shape| shape.borrows == Some(block)))
    }

    /// Puts all gates into the weights, which from then on give the same outputs without them, but for rounding. Of gates of the
    /// stream those that are 0 stay, and the others become 1: a norm must still know which channels count, until
    /// [`Decoder::keep`] cuts them out.
    ///
    /// # Errors
    /// [`ModelError::Graph`] for gates that would go into linears which another block runs with other gates.
    pub fn fold_gates(&mut self) -> Result<()> {
        let mut folded = self.clone();
        for block in 0..folded.blocks.len() {
            folded.fold_gates_of(block)?;
        }
        if let Some(gates) = folded.stream_gates.take() {
            folded.fold_stream_gates(&gates)?;
        }
        *self = folded;
        Ok(())
    }

    /// [`Decoder::fold_gates`] of one block, without those of the stream.
    pub(crate) fn fold_gates_of(&mut self, block: usize) -> Result<()> {
        for half in Half::BOTH {
            let Some(scales) = half.scales(&mut self.blocks[block]) else {
                continue;
            };
            let (units, gate) = (scales.unit_gates.take(), scales.output_gate.take());
            // After a norm of the output its gain takes the gate.
            let gate = match (&mut scales.output_norm, gate) {
                (Some(gain), Some(gate)) => {
                    *gain = fold_gain(gain, &gate)?;
                    None
                }
                (_, gate) => gate,
            };
            if let Some(other) = self.shares_with(block).filter(|_| units.is_some() || gate.is_some()) {
                return refuse(format!(
                    "the gates of block {block} can't go into its linears, which block {other} runs too; leave them gates"
                ));
            }
            if let Some(units) = units {
                let [_, inputs] = self.last_shape(block, half);
                let units = repeated(&units, inputs)?;
                self.scale_inputs(block, half.last(), &units)?;
            }
            if let Some(gate) = gate {
                self.scale_outputs(block, half.last(), &gate)?;
            }
            self.set_scales(block, half, |scales| (scales.unit_gates, scales.gate) = (false, false));
        }
        Ok(())
    }

    fn fold_stream_gates(&mut self, gates: &Tensor) -> Result<()> {
        if let Some((block, other)) = (0..self.blocks.len()).find_map(|block| Some((block, self.shares_with(block)?))) {
            return refuse(format!(
                "the gates of the stream can't go into the linears of block {block}, which it shares with block {other}; leave them \
                 gates, or keep the channels that are open"
            ));
        }
        for block in 0..self.blocks.len() {
            for half in Half::BOTH {
                if let Some(norm) = half.norm(&mut self.blocks[block]) {
                    norm.gain = fold_gain(&norm.gain, gates)?;
                    self.scale_outputs(block, half.last(), gates)?;
                }
            }
        }
        self.final_norm.gain = fold_gain(&self.final_norm.gain, gates)?;
        let values = gates.to_f64_vec()?;
        self.graph.stream_gates = values.contains(&0.0);
        if self.graph.stream_gates {
            let open: Vec<f32> = values.iter().map(|&gate| f32::from(gate != 0.0)).collect();
            let open = Tensor::from_slice(&open, &[open.len()], &gates.device())?;
            self.stream_gates = Some(open.to_dtype(gates.dtype())?);
        }
        Ok(())
    }

    /// `[out, in]` of the linear that writes into the stream.
    fn last_shape(&self, block: usize, half: Half) -> [usize; 2] {
        let shape = self.graph.blocks[block].linear(half.last(), self.graph.hidden_size);
        shape.unwrap_or_default()
    }

    /// W · diag(factor), and so every delta's A.
    fn scale_inputs(&mut self, block: usize, name: LinearName, factor: &Tensor) -> Result<()> {
        let block = &mut self.blocks[block];
        for delta in block.deltas.get_mut(&name).into_iter().flatten() {
            delta.down = fold_gain(&delta.down, factor)?;
        }
        if let Some(linear) = block.linear_mut(name) {
            linear.weight = fold_gain(&linear.weight, factor)?;
        }
        Ok(())
    }

    /// diag(factor) · W, and so the bias and every delta's B; a factor of one element is that of every row.
    fn scale_outputs(&mut self, block: usize, name: LinearName, factor: &Tensor) -> Result<()> {
        let rows = factor.reshape(&[factor.elem_count(), 1])?;
        let block = &mut self.blocks[block];
        for delta in block.deltas.get_mut(&name).into_iter().flatten() {
            delta.up = fold_gain(&delta.up, &rows)?;
        }
        if let Some(linear) = block.linear_mut(name) {
            linear.weight = fold_gain(&linear.weight, &rows)?;
            linear.bias = linear.bias.as_ref().map(|bias| fold_gain(bias, factor)).transpose()?;
        }
        Ok(())
    }
}

/// Each element as often as makes `length` of them.
fn repeated(units: &Tensor, length: usize) -> Result<Tensor> {
    let (count, device) = (units.elem_count(), units.device());
    let index: Vec<i64> = (0..length).map(|element| (element * count / length) as i64).collect();
    Ok(units.index_select(0, &Tensor::from_slice(&index, &[length], &device)?)?)
}
