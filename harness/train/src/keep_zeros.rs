//! Fine-tuning of a pruned model that stays pruned.

use std::collections::BTreeMap;

use prunebench_tensor::Tensor;

use crate::Result;
use crate::callback::{Callback, Moment};
use crate::weights::Weights;

/// Sets weights that were zero when training began to zero after every step. Their gradients are not stopped.
#[derive(Default)]
pub struct KeepZeros {
    masks: BTreeMap<String, Tensor>,
}

impl KeepZeros {
    /// Masks of the zeros of parameters.
    pub fn of<'a>(parameters: impl IntoIterator<Item = (String, &'a Tensor)>) -> Result<Self> {
        let mut masks = BTreeMap::new();
        for (name, tensor) in parameters {
            let zero = Tensor::zeros(&[1], tensor.dtype(), &tensor.device())?;
            let zeros = tensor.eq(&zero)?;
            if zeros.sum_all()?.to_f64()? > 0.0 {
                masks.insert(name, zeros.neg()?.add_scalar(1.0)?.contiguous()?);
            }
        }
        Ok(Self { masks })
    }

    /// Of a parameter with zeros: 0 there, 1 elsewhere.
    pub fn mask(&self, parameter: &str) -> Option<&Tensor> {
        self.masks.get(parameter)
    }
}

impl Callback for KeepZeros {
    fn updated(&mut self, _: &Moment, weights: &Weights) -> Result<()> {
        for (name, mask) in &self.masks {
            if let Some(master) = weights.masters().get(name) {
                master.mul_in_place(&mask.to_dtype(master.dtype())?)?;
            }
        }
        Ok(())
    }
}
