//! AdamW over all that is trained, by name.

use std::collections::BTreeMap;

use prunebench_tensor::{AdamW, Tensor};

use crate::gradient::Gradients;
use crate::weights::Weights;
use crate::{Result, Settings};

/// The moments of every trained parameter and leaf.
pub(crate) struct Optimiser {
    moments: BTreeMap<String, (Tensor, Tensor)>,
}

impl Optimiser {
    pub(crate) fn new(weights: &Weights) -> Result<Self> {
        let zeros = |tensor: &Tensor| Tensor::zeros(&tensor.shape(), tensor.dtype(), &tensor.device());
        let moments = weights
            .trained()
            .map(|(name, tensor)| Ok((name.clone(), (zeros(tensor)?, zeros(tensor)?))))
            .collect::<Result<_>>()?;
        Ok(Self { moments })
    }

    /// One step, its learning rates scaled by `factor`. A parameter that the loss did not reach has a gradient of zeros.
    pub(crate) fn step(
        &mut self,
        weights: &Weights,
        gradients: &Gradients,
        settings: &Settings,
        step: u64,
        factor: f64,
        gradient_scale: f64,
    ) -> Result<()> {
        for (name, tensor) in weights.trained() {
            let (learning_rate, weight_decay) = match weights.rate(name) {
                Some(rate) => (rate.learning_rate, rate.weight_decay),
                None => settings.of(name),
            };
            let hyper = AdamW {
                learning_rate: learning_rate * factor,
                betas: settings.betas,
                eps: settings.eps,
                weight_decay,
                step,
                gradient_scale,
            };
            let (first, second) = &self.moments[name];
            match gradients.get(name) {
                Some(gradient) => tensor.adamw_in_place(gradient, first, second, &hyper)?,
                None => {
                    let nothing = Tensor::zeros(&tensor.shape(), tensor.dtype(), &tensor.device())?;
                    tensor.adamw_in_place(&nothing, first, second, &hyper)?;
                }
            }
        }
        weights.publish()
    }

    /// The moments, named after what they are of.
    pub(crate) fn tensors(&self) -> Vec<(String, &Tensor)> {
        self.moments
            .iter()
            .flat_map(|(name, (first, second))| [(format!("first.{name}"), first), (format!("second.{name}"), second)])
            .collect()
    }
}
