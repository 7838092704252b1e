//! AdamW over named parameters.

use std::collections::BTreeMap;

use prunebench_tensor::{AdamW, Tensor};

use crate::gradient::Gradients;
use crate::weights::Weights;
use crate::{Result, Settings};

/// The moments of every trained parameter.
pub(crate) struct Optimiser {
    moments: BTreeMap<String, (Tensor, Tensor)>,
}

impl Optimiser {
    pub(crate) fn new(weights: &Weights) -> Result<Self> {
        let zeros = |tensor: &Tensor| Tensor::zeros(&tensor.shape(), tensor.dtype(), &tensor.device());
        let moments = weights
            .masters()
            .iter()
            .map(|(name, master)| Ok((name.clone(), (zeros(master)?, zeros(master)?))))
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
        for (name, master) in weights.masters() {
            let (learning_rate, weight_decay) = settings.of(name);
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
                Some(gradient) => master.adamw_in_place(gradient, first, second, &hyper)?,
                None => {
                    let nothing = Tensor::zeros(&master.shape(), master.dtype(), &master.device())?;
                    master.adamw_in_place(&nothing, first, second, &hyper)?;
                }
            }
        }
        weights.publish()
    }

    /// The moments, named after their parameters.
    pub(crate) fn tensors(&self) -> Vec<(String, &Tensor)> {
        self.moments
            .iter()
            .flat_map(|(name, (first, second))| [(format!("first.{name}"), first), (format!("second.{name}"), second)])
            .collect()
    }
}
