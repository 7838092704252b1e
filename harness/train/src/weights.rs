//! The parameters being trained: leaves of the autograd graph in a working decoder, and their masters in full precision.

use std::collections::BTreeMap;

use prunebench_model::{Decoder, ModelError, is_delta};
use prunebench_tensor::{DType, Tensor};

use crate::gradient::Leaves;
use crate::{Result, TrainError};

/// Which parameters are trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trainable {
    /// All of them.
    All,
    /// Those whose names have one of these parts, such as `layers.7.` or `norm`.
    Named(Vec<String>),
    /// The low-rank deltas.
    Adapters,
}

impl Trainable {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(parts) => parts.iter().any(|part| name.contains(part.as_str())),
            Self::Adapters => is_delta(name),
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
        let mut leaf = |name: &str, tensor: &Tensor| -> prunebench_model::Result<Tensor> {
            let leaf = tensor.to_dtype(compute)?.param()?;
            let master = match leaf.dtype() {
                DType::BF16 | DType::F16 => tensor.to_dtype(DType::F32)?.param()?,
                _ => leaf.clone(),
            };
            leaves.insert(name.to_owned(), leaf.clone());
            masters.insert(name.to_owned(), master.detach()?);
            Ok(leaf)
        };
        let mut tracked = decoder.map_parameters(|name, tensor| match trainable.has(name) {
            true => leaf(name, tensor),
            false => Ok(tensor.to_dtype(compute)?.detach()?),
        })?;
        let originals = decoder.blocks.iter().flat_map(|block| block.deltas.values().flatten());
        for (delta, original) in tracked.deltas_mut().zip(originals) {
            delta.dropout = original.dropout;
        }
        if leaves.is_empty() {
            return Err(TrainError::Settings(match trainable {
                Trainable::Adapters => "the model has no adapter to train; attach some first".to_owned(),
                _ => format!(
                    "no parameter is trainable by {trainable:?}; names are like `{}`",
                    decoder.parameters().first().map_or("", |(name, _)| name)
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
        Ok(self.decoder.map_parameters(|_, tensor| Ok(tensor.detach()?))?)
    }

    /// The trained decoder in the element type of `like`, which lends the parameters that were not trained.
    pub(crate) fn finish(self, like: &Decoder) -> Result<Decoder> {
        Ok(like.map_parameters(|name, tensor| match self.masters.get(name) {
            Some(master) => Ok(master.to_dtype(tensor.dtype())?),
            None => Ok(tensor.clone()),
        })?)
    }

    /// Gives every adapter's dropout its seed for one forward pass.
    pub(crate) fn draw_dropout(&mut self, seed: u64) {
        for (index, delta) in self.decoder.deltas_mut().enumerate() {
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
