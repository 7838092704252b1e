//! Reductions.

use crate::dispatch::unary;
use crate::{Result, Tensor};

macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident, $candle:ident, $candle_keep:ident, |$t:ident, $dim:ident, $keep:ident| $torch:expr;)*) => {
        $($(#[$doc])*
        pub fn $name(&self, dim: usize, keepdim: bool) -> Result<Tensor> {
            const OP: &str = stringify!($name);
            self.check_float(OP)?;
            self.check_dim(OP, dim)?;
            if OP != "sum" {
                self.check_some(OP, dim)?;
            }
            let ($dim, $keep) = (&[dim as i64][..], keepdim);
            let _ = ($dim, $keep);
            unary!(
                self,
                OP,
                |t| crate::candle::kernels::widened(t, |t| if keepdim { t.$candle_keep(dim) } else { t.$candle(dim) }),
                |$t| $torch
            )
        })*
    };
}

impl Tensor {
    reductions! {
        /// Sum over `dim`, which stays as 1 if `keepdim`.
        sum, sum, sum_keepdim, |t, dim, keep| t.f_sum_dim_intlist(dim, keep, None::<tch::Kind>);
        /// Mean over `dim`, which stays as 1 if `keepdim`.
        mean, mean, mean_keepdim, |t, dim, keep| t.f_mean_dim(dim, keep, None::<tch::Kind>);
        /// Largest element over `dim`, which stays as 1 if `keepdim`. Beside NaN the result is the engine's choice.
        max, max, max_keepdim, |t, dim, keep| t.f_amax(dim, keep);
        /// Smallest element over `dim`, which stays as 1 if `keepdim`. Beside NaN the result is the engine's choice.
        min, min, min_keepdim, |t, dim, keep| t.f_amin(dim, keep);
    }

    /// Index (i64) of the first largest element over `dim`, which is dropped.
    pub fn argmax(&self, dim: usize) -> Result<Tensor> {
        self.check_dim("argmax", dim)?;
        self.check_some("argmax", dim)?;
        unary!(self, "argmax", |t| crate::candle::on_gpu::argmax(t, dim), |t| t
            .f_argmax(dim as i64, false))
    }

    /// Sum of all elements, a scalar.
    pub fn sum_all(&self) -> Result<Tensor> {
        self.check_float("sum_all")?;
        unary!(
            self,
            "sum_all",
            |t| crate::candle::kernels::widened(t, |t| t.sum_all()),
            |t| t.f_sum(None::<tch::Kind>)
        )
    }

    /// Mean of all elements, a scalar.
    pub fn mean_all(&self) -> Result<Tensor> {
        self.check_float("mean_all")?;
        unary!(
            self,
            "mean_all",
            |t| crate::candle::kernels::widened(t, |t| t.mean_all()),
            |t| t.f_mean(None::<tch::Kind>)
        )
    }

    /// Largest of all elements, a scalar.
    pub fn max_all(&self) -> Result<Tensor> {
        self.reshape(&[self.elem_count()])?.max(0, false)
    }
}
