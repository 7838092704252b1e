//! Reverse-mode differentiation.

use crate::dispatch::unary;
use crate::tensor::Repr;
use crate::{Error, Result, Tensor};

/// Runs `f` without recording a graph on libtorch. candle records only what depends on a parameter.
pub fn no_grad<T>(f: impl FnOnce() -> T) -> T {
    #[cfg(feature = "torch")]
    let _guard = tch::no_grad_guard();
    f()
}

impl Tensor {
    /// A leaf with the same elements, of which [`Tensor::backward`] can give the gradient.
    pub fn param(&self) -> Result<Tensor> {
        if !self.dtype().is_float() {
            return Err(Error::DType {
                op: "param",
                detail: format!("gradients need floats, the tensor is {}", self.dtype()),
            });
        }
        unary!(
            self,
            "param",
            |t| t
                .detach()
                .copy()
                .and_then(|t| candle_core::Var::from_tensor(&t))
                .map(|v| v.into_inner()),
            |t| t
                .f_detach()
                .and_then(|t| t.f_empty_like().and_then(|mut leaf| leaf.f_copy_(&t).map(|()| leaf)))
                .and_then(|t| t.f_set_requires_grad(true))
        )
    }

    /// Gradients of the one-element `loss` with respect to each of `params`, in their order and shapes. A parameter that the
    /// loss does not depend on has a gradient of zeros.
    pub fn backward(loss: &Tensor, params: &[&Tensor]) -> Result<Vec<Tensor>> {
        const OP: &str = "backward";
        if loss.elem_count() != 1 {
            return crate::error::shape_error(OP, format!("the loss has shape {:?}, one element wanted", loss.shape()));
        }
        for param in params {
            if param.device() != loss.device() {
                return Err(Error::EngineMismatch {
                    op: OP,
                    lhs: loss.device(),
                    rhs: param.device(),
                });
            }
        }
        match &loss.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(native) => {
                let store = native.backward().map_err(|e| crate::candle::error(OP, e))?;
                params
                    .iter()
                    .map(|param| {
                        let found = match &param.repr {
                            Repr::Candle(p) => store.get(p).cloned(),
                            #[allow(unreachable_patterns)]
                            _ => None,
                        };
                        match found {
                            Some(gradient) => Ok(gradient.into()),
                            None => Tensor::zeros(&param.shape(), param.dtype(), &param.device()),
                        }
                    })
                    .collect()
            }
            #[cfg(feature = "torch")]
            Repr::Torch(native) => crate::torch::backward(native, params),
        }
    }
}
