//! Fine-tuning of a pruned model that stays pruned.

use prunebench_tensor::Tensor;

use crate::Result;
use crate::trainer::Callback;
use crate::weights::Weights;

/// Sets weights that were zero when training began to zero after every step. Their gradients are not stopped.
#[derive(Default)]
pub struct KeepZeros {
    /// Of each parameter with zeros: 0 there, 1 elsewhere.
    masks: Vec<(String, Tensor)>,
}

impl KeepZeros {
    /// Masks of the zeros of parameters.
    pub fn of<'a>(parameters: impl IntoIterator<Item = (String, &'a Tensor)>) -> Result<Self> {
        let mut masks = Vec::new();
        for (name, tensor) in parameters {
            let zero = Tensor::zeros(&[1], tensor.dtype(), &tensor.device())?;
            let zeros = tensor.eq(&zero)?;
            if zeros.sum_all()?.to_f64()? > 0.0 {
                masks.push((name, zeros.neg()?.add_scalar(1.0)?.contiguous()?));
            }
        }
        Ok(Self { masks })
    }
}

impl Callback for KeepZeros {
    fn updated(&mut self, weights: &Weights) -> Result<()> {
        for (name, mask) in &self.masks {
            if let Some(master) = weights.masters().get(name) {
                master.mul_in_place(&mask.to_dtype(master.dtype())?)?;
            }
        }
        Ok(())
    }
}
