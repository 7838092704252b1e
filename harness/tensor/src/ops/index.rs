//! Reading by index, and sorting.

use crate::dispatch::binary;
use crate::error::shape_error;
use crate::tensor::Repr;
use crate::{Result, Tensor};

impl Tensor {
    /// The positions `ids` (i64 `[n]`) of dimension `dim`; an embedding look-up is `weight.index_select(0, ids)`.
    pub fn index_select(&self, dim: usize, ids: &Tensor) -> Result<Tensor> {
        const OP: &str = "index_select";
        self.check_dim(OP, dim)?;
        ids.check_indices(OP)?;
        if ids.rank() != 1 {
            return shape_error(
                OP,
                format!("indices of one dimension wanted, their shape is {:?}", ids.shape()),
            );
        }
        ids.check_index_range(OP, self.dim(dim)?)?;
        binary!(
            self,
            ids,
            OP,
            |t, ids| t.contiguous().and_then(|t| t.index_select(ids, dim)),
            |t, ids| t.f_index_select(dim as i64, ids)
        )
    }

    /// For each index in `ids` (i64, the shape of `self` but for dimension `dim`), the element there along `dim`.
    pub fn gather(&self, dim: usize, ids: &Tensor) -> Result<Tensor> {
        const OP: &str = "gather";
        self.check_dim(OP, dim)?;
        ids.check_indices(OP)?;
        self.check_alike_outside(OP, dim, ids)?;
        ids.check_index_range(OP, self.dim(dim)?)?;
        binary!(
            self,
            ids,
            OP,
            |t, ids| t.contiguous().and_then(|t| t.gather(&ids.contiguous()?, dim)),
            |t, ids| t.f_gather(dim as i64, ids, false)
        )
    }

    /// Sorts along the last dimension: the sorted elements, and their former positions (i64).
    pub fn sort(&self, descending: bool) -> Result<(Tensor, Tensor)> {
        const OP: &str = "sort";
        self.last_dim(OP)?;
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(t) => t
                .contiguous()
                .and_then(|t| {
                    let order = crate::candle::kernels::argsort(&t.detach(), descending)?;
                    Ok((t.gather(&order, candle_core::D::Minus1)?.into(), order.into()))
                })
                .map_err(|e| crate::candle::error(OP, e)),
            #[cfg(feature = "torch")]
            Repr::Torch(t) => t
                .f_sort_stable(true, -1, descending)
                .map(|(values, order)| (values.into(), order.into()))
                .map_err(|e| crate::torch::error(OP, e)),
        }
    }
}
