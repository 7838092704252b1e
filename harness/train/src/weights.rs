//! The parameters being trained: leaves of the autograd graph in a working decoder, and their masters in full precision.

use std::collections::BTreeMap;

use prunebench_model::{Decoder, ModelError};
use prunebench_tensor::{DType, Tensor};

use crate::gradient::Leaves;
use crate::lora::adapters;
use crate::{Result, TrainError};

/// Which parameters are trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trainable {
    /// All stored ones.
    All,
    /// Those whose names have one of these parts, such as `layers.7.` or `norm`.
    Named(Vec<String>),
    /// The low-rank adapters.
    Adapters,
}

impl Trainable {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(parts) => parts.iter().any(|part| name.contains(part.as_str())),
            Self::Adapters => false,
        }
    }
}

/// A decoder and those of its parameters that are trained.
pub struct Weights {
    pub(crate) decoder: Decoder,
    pub(crate) leaves: Leaves,
    /// In f32 where the leaves are halves; else the leaves' own storage.
    masters: BTreeMap<String, Tensor>,
}

impl Weights {
    /// Makes copies of the trainable parameters of `decoder`; the others are shared with it.
    pub(crate) fn new(decoder: &Decoder, trainable: &Trainable, bf16: bool) -> Result<Self> {
        let compute = if bf16 { DType::BF16 } else { decoder.dtype() };
        let mut leaves = Leaves::new();
        let mut masters = BTreeMap::new();
        let mut leaf = |name: &str, tensor: &Tensor| -> Result<Tensor> {
            let leaf = tensor.to_dtype(compute)?.param()?;
            let master = match leaf.dtype() {
                DType::BF16 | DType::F16 => tensor.to_dtype(DType::F32)?.param()?,
                _ => leaf.clone(),
            };
            leaves.insert(name.to_owned(), leaf.clone());
            masters.insert(name.to_owned(), master.detach()?);
            Ok(leaf)
        };
        let mut working = BTreeMap::new();
        for (name, tensor) in decoder.parameters() {
            let tensor = match trainable.has(&name) {
                true => leaf(&name, tensor)?,
                false => tensor.to_dtype(compute)?.detach()?,
            };
            working.insert(name, tensor);
        }
        let mut tracked = with_parameters(decoder, &working)?;
        for (down, up, delta) in adapters(&mut tracked) {
            if *trainable == Trainable::Adapters {
                (delta.down, delta.up) = (leaf(&down, &delta.down)?, leaf(&up, &delta.up)?);
            } else {
                (delta.down, delta.up) = (delta.down.to_dtype(compute)?, delta.up.to_dtype(compute)?);
            }
            delta.mask = delta.mask.take().map(|mask| mask.to_dtype(compute)).transpose()?;
        }
        if leaves.is_empty() {
            return Err(TrainError::Settings(match trainable {
                Trainable::Adapters => "the model has no adapter to train; attach some first".to_owned(),
                _ => format!(
                    "no parameter is trainable by {trainable:?}; names are like `{}`",
                    working.keys().next().map_or("", String::as_str)
                ),
            }));
        }
        Ok(Self {
            decoder: tracked,
            leaves,
            masters,
        })
    }

    /// The trained parameters by name: Hugging Face's, or PEFT's of adapters. A callback may update
    /// them in place.
    pub fn masters(&self) -> &BTreeMap<String, Tensor> {
        &self.masters
    }

    /// Parameters being trained.
    pub fn count(&self) -> usize {
        self.masters.values().map(Tensor::elem_count).sum()
    }

    /// Copies the masters to where the forward pass reads them, if that is another place.
    pub(crate) fn publish(&self) -> Result<()> {
        for (name, leaf) in &self.leaves {
            let master = &self.masters[name];
            if leaf.dtype() != master.dtype() {
                leaf.write_slice(0, 0, &master.to_dtype(leaf.dtype())?)?;
            }
        }
        Ok(())
    }

    /// Overwrites the trained parameters.
    pub(crate) fn set(&self, values: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, master) in &self.masters {
            let value = values
                .get(name)
                .ok_or_else(|| ModelError::Graph(format!("`{name}` is trained, and the values to set lack it")))?;
            master.write_slice(0, 0, &value.to_dtype(master.dtype())?)?;
        }
        self.publish()
    }

    /// Copies of the trained parameters.
    pub(crate) fn copies(&self) -> Result<BTreeMap<String, Tensor>> {
        let copy = |(name, master): (&String, &Tensor)| Ok((name.clone(), master.param()?.detach()?));
        self.masters.iter().map(copy).collect()
    }

    /// The decoder as it is now, outside autograd and without dropout. It shares the storage of what is trained.
    pub(crate) fn view(&self) -> Result<Decoder> {
        let mut values = BTreeMap::new();
        for (name, tensor) in self.decoder.parameters() {
            values.insert(name, tensor.detach()?);
        }
        let mut view = with_parameters(&self.decoder, &values)?;
        for (_, _, delta) in adapters(&mut view) {
            (delta.down, delta.up) = (delta.down.detach()?, delta.up.detach()?);
            delta.dropout = None;
        }
        Ok(view)
    }

    /// The trained decoder in the element type of `like`, which lends the parameters that were not trained.
    pub(crate) fn finish(self, like: &Decoder) -> Result<Decoder> {
        let mut values = BTreeMap::new();
        for (name, tensor) in like.parameters() {
            let value = match self.masters.get(&name) {
                Some(master) => master.to_dtype(tensor.dtype())?,
                None => tensor.clone(),
            };
            values.insert(name, value);
        }
        let mut decoder = with_parameters(like, &values)?;
        for (down, up, delta) in adapters(&mut decoder) {
            for (name, tensor) in [(&down, &mut delta.down), (&up, &mut delta.up)] {
                if let Some(master) = self.masters.get(name) {
                    *tensor = master.to_dtype(tensor.dtype())?;
                }
            }
            delta.dropout = None;
        }
        Ok(decoder)
    }

    /// Gives every adapter's dropout its seed for one forward pass.
    pub(crate) fn draw_dropout(&mut self, seed: u64) {
        for (index, (_, _, delta)) in adapters(&mut self.decoder).enumerate() {
            if let Some(dropout) = &mut delta.dropout {
                dropout.seed = mix(seed, index as u64);
            }
        }
    }
}

/// A seed of its own for each number.
pub(crate) fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    z ^ (z >> 32)
}

/// `like` with other parameters, and with its adapters.
fn with_parameters(like: &Decoder, values: &BTreeMap<String, Tensor>) -> Result<Decoder> {
    let mut decoder = Decoder::from_parameters(like.graph.clone(), |name, _| {
        values
            .get(name)
            .cloned()
            .ok_or_else(|| ModelError::Graph(format!("the graph wants `{name}`, which the decoder lacks")))
    })?;
    for (block, original) in decoder.blocks.iter_mut().zip(&like.blocks) {
        for (name, linear) in block.linears_mut() {
            linear.delta = original.linear(name).and_then(|linear| linear.delta.clone());
        }
    }
    Ok(decoder)
}
