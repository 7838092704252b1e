//! The parameters being trained: leaves of the autograd graph in a working decoder, and their masters in full precision; and what
//! callbacks learn beside them.

use std::collections::{BTreeMap, BTreeSet};

use prunebench_model::{Decoder, ModelError, is_delta};
use prunebench_tensor::{DType, Tensor};

use crate::callback::{Leaves, Made, Rate};
use crate::learnt::Learnt;
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
    /// What the loss has gradients of: parameters that are trained, and those that callbacks make.
    pub(crate) leaves: Leaves,
    /// In f32 where the leaves are halves; else the leaves' own storage.
    masters: BTreeMap<String, Tensor>,
    /// Parameters that callbacks make, which have no masters.
    made: BTreeSet<String>,
    /// Of each callback.
    pub(crate) learnt: Vec<Learnt>,
}

impl Weights {
    /// Makes copies of the trainable parameters of `decoder` and of those that callbacks make; the others are shared with it.
    pub(crate) fn new(decoder: &Decoder, trainable: &Trainable, bf16: bool, learnt: Vec<Learnt>) -> Result<Self> {
        let compute = if bf16 { DType::BF16 } else { decoder.dtype() };
        let made: BTreeSet<String> = learnt.iter().flat_map(Learnt::makes).cloned().collect();
        let mut leaves = Leaves::new();
        let mut masters = BTreeMap::new();
        let mut leaf = |name: &str, tensor: &Tensor| -> prunebench_model::Result<Tensor> {
            let leaf = tensor.to_dtype(compute)?.param()?;
            leaves.insert(name.to_owned(), leaf.clone());
            if !made.contains(name) {
                let master = match leaf.dtype() {
                    DType::BF16 | DType::F16 => tensor.to_dtype(DType::F32)?.param()?,
                    _ => leaf.clone(),
                };
                masters.insert(name.to_owned(), master.detach()?);
            }
            Ok(leaf)
        };
        let mut tracked = decoder.map_parameters(|name, tensor| match trainable.has(name) || made.contains(name) {
            true => leaf(name, tensor),
            false => Ok(tensor.to_dtype(compute)?.detach()?),
        })?;
        let originals = decoder.blocks.iter().flat_map(|block| block.deltas.values().flatten());
        for (delta, original) in tracked.deltas_mut().zip(originals) {
            delta.dropout = original.dropout;
        }
        if masters.is_empty() && learnt.iter().all(|learnt| learnt.leaves().is_empty()) {
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
            made,
            learnt,
        })
    }

    /// The trained parameters by name: Hugging Face's, or PEFT's of adapters. A callback may update
    /// them in place.
    pub fn masters(&self) -> &BTreeMap<String, Tensor> {
        &self.masters
    }

    /// The leaves of all callbacks by name, outside the graph. A callback may update its own in place.
    pub fn leaves(&self) -> BTreeMap<&str, &Tensor> {
        let of_all = self.learnt.iter().flat_map(Learnt::values);
        of_all.map(|(name, value)| (name.as_str(), value)).collect()
    }

    /// Parameters being trained.
    pub fn count(&self) -> usize {
        self.masters.values().map(Tensor::elem_count).sum()
    }

    /// All that the optimiser updates.
    pub(crate) fn trained(&self) -> impl Iterator<Item = (&String, &Tensor)> {
        self.masters.iter().chain(self.learnt.iter().flat_map(Learnt::values))
    }

    /// How a callback's leaf learns, if it is one.
    pub(crate) fn rate(&self, leaf: &str) -> Option<&Rate> {
        self.learnt.iter().find_map(|learnt| learnt.rate(leaf))
    }

    /// Copies the masters to where the forward pass reads them, if that is another place.
    pub(crate) fn publish(&self) -> Result<()> {
        for (name, master) in &self.masters {
            let leaf = &self.leaves[name];
            if leaf.dtype() != master.dtype() {
                leaf.write_slice(0, 0, &master.to_dtype(leaf.dtype())?)?;
            }
        }
        Ok(())
    }

    /// Puts the values that a callback made where the forward pass reads them.
    pub(crate) fn put(&self, made: &Made) -> Result<()> {
        for (name, value) in made {
            let leaf = &self.leaves[name];
            leaf.write_slice(0, 0, &value.detach()?.to_dtype(leaf.dtype())?)?;
        }
        Ok(())
    }

    /// Overwrites all that the optimiser updates.
    pub(crate) fn set(&self, values: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, tensor) in self.trained() {
            let value = values
                .get(name)
                .ok_or_else(|| ModelError::Graph(format!("`{name}` is trained, and the values to set lack it")))?;
            tensor.write_slice(0, 0, &value.to_dtype(tensor.dtype())?)?;
        }
        self.publish()
    }

    /// All that the run decides: trained parameters, those that callbacks make as they are now, and the callbacks' leaves.
    pub(crate) fn values(&self) -> Result<BTreeMap<String, Tensor>> {
        let made = self.made.iter().map(|name| (name, &self.leaves[name]));
        let detached = |(name, tensor): (&String, &Tensor)| Ok((name.clone(), tensor.detach()?));
        self.trained().chain(made).map(detached).collect()
    }

    /// Copies of [`Weights::values`].
    pub(crate) fn copies(&self) -> Result<BTreeMap<String, Tensor>> {
        let copy = |(name, value): (String, Tensor)| Ok((name, value.param()?.detach()?));
        self.values()?.into_iter().map(copy).collect()
    }

    /// The decoder as it is now, outside autograd and without dropout. It shares the storage of what is trained.
    pub(crate) fn view(&self) -> Result<Decoder> {
        Ok(self.decoder.map_parameters(|_, tensor| Ok(tensor.detach()?))?)
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

/// `like` with these values of parameters, in its element type; the others are its own.
pub(crate) fn with_values(like: &Decoder, values: &BTreeMap<String, Tensor>) -> Result<Decoder> {
    Ok(like.map_parameters(|name, tensor| match values.get(name) {
        Some(value) => Ok(value.to_dtype(tensor.dtype())?),
        None => Ok(tensor.clone()),
    })?)
}

/// A seed of its own for each number.
pub(crate) fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    z ^ (z >> 32)
}
