//! Views and rearrangements.

use crate::dispatch::unary;
use crate::error::shape_error;
use crate::tensor::Repr;
use crate::{DType, Result, Tensor};

impl Tensor {
    /// The same elements in row-major order under another shape.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor> {
        if shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim)) != Some(self.elem_count()) {
            return shape_error(
                "reshape",
                format!("{:?} can't become {shape:?}: the element counts differ", self.shape()),
            );
        }
        unary!(self, "reshape", |t| t.reshape(shape), |t| t
            .f_reshape(crate::torch::size(shape)))
    }

    /// Swaps two dimensions.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Tensor> {
        self.check_dim("transpose", a)?;
        self.check_dim("transpose", b)?;
        unary!(self, "transpose", |t| t.transpose(a, b), |t| t
            .f_transpose(a as i64, b as i64))
    }

    /// Inserts a dimension of extent 1 before `dim`.
    pub fn unsqueeze(&self, dim: usize) -> Result<Tensor> {
        if dim > self.rank() {
            return shape_error(
                "unsqueeze",
                format!("no place {dim} in a tensor of shape {:?}", self.shape()),
            );
        }
        unary!(self, "unsqueeze", |t| t.unsqueeze(dim), |t| t.f_unsqueeze(dim as i64))
    }

    /// Removes dimension `dim`, whose extent must be 1.
    pub fn squeeze(&self, dim: usize) -> Result<Tensor> {
        if self.dim(dim)? != 1 {
            return shape_error("squeeze", format!("dimension {dim} of {:?} is not 1", self.shape()));
        }
        unary!(self, "squeeze", |t| t.squeeze(dim), |t| t.f_squeeze_dim(dim as i64))
    }

    /// Repeats dimensions of extent 1, and adds leading ones, to reach `shape` without copying.
    pub fn expand(&self, shape: &[usize]) -> Result<Tensor> {
        if crate::ops::broadcast_shape("expand", &self.shape(), shape)? != shape {
            return shape_error("expand", format!("{:?} does not expand to {shape:?}", self.shape()));
        }
        unary!(self, "expand", |t| t.broadcast_as(shape), |t| t
            .f_expand(crate::torch::size(shape), false))
    }

    /// The `len` positions of `dim` from `start`.
    pub fn narrow(&self, dim: usize, start: usize, len: usize) -> Result<Tensor> {
        self.check_range("narrow", dim, start, len)?;
        unary!(self, "narrow", |t| t.narrow(dim, start, len), |t| t.f_narrow(
            dim as i64,
            start as i64,
            len as i64
        ))
    }

    fn check_range(&self, op: &'static str, dim: usize, start: usize, len: usize) -> Result<()> {
        let extent = self.dim(dim)?;
        if start.checked_add(len).is_some_and(|end| end <= extent) {
            return Ok(());
        }
        shape_error(
            op,
            format!("{len} positions from {start} asked of dimension {dim}, which has {extent}"),
        )
    }

    /// Joins tensors along `dim`; their other dimensions agree.
    pub fn cat(tensors: &[&Tensor], dim: usize) -> Result<Tensor> {
        const OP: &str = "cat";
        let Some((first, rest)) = tensors.split_first() else {
            return shape_error(OP, "no tensors given");
        };
        first.check_dim(OP, dim)?;
        for other in rest {
            first.check_same(OP, other)?;
            first.check_alike_outside(OP, dim, other)?;
        }
        match &first.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(_) => candle_core::Tensor::cat(&crate::candle::all(tensors), dim)
                .map(Tensor::from)
                .map_err(|e| crate::candle::error(OP, e)),
            #[cfg(feature = "torch")]
            Repr::Torch(_) => tch::Tensor::f_cat(&crate::torch::all(tensors), dim as i64)
                .map(Tensor::from)
                .map_err(|e| crate::torch::error(OP, e)),
        }
    }

    /// Overwrites the positions of `dim` from `start` with `src`, in place and outside autograd. Every clone that shares the
    /// storage sees it. `self` is contiguous.
    pub fn write_slice(&self, dim: usize, start: usize, src: &Tensor) -> Result<()> {
        const OP: &str = "write_slice";
        self.check_same(OP, src)?;
        self.check_range(OP, dim, start, src.dim(dim)?)?;
        let mut wanted = self.shape();
        wanted[dim] = src.dim(dim)?;
        if wanted != src.shape() {
            return shape_error(
                OP,
                format!("a slice of shape {wanted:?} wanted, {:?} given", src.shape()),
            );
        }
        match (&self.repr, &src.repr) {
            #[cfg(feature = "candle")]
            (Repr::Candle(target), Repr::Candle(src)) => src
                .contiguous()
                .and_then(|src| target.slice_set(&src, dim, start))
                .map_err(|e| crate::candle::error(OP, e)),
            #[cfg(feature = "torch")]
            (Repr::Torch(target), Repr::Torch(src)) => tch::no_grad(|| {
                target
                    .f_narrow(dim as i64, start as i64, src.size()[dim])
                    .and_then(|mut slice| slice.f_copy_(src))
                    .map_err(|e| crate::torch::error(OP, e))
            }),
            #[allow(unreachable_patterns)]
            _ => unreachable!("the operands were checked to live on one engine"),
        }
    }

    /// Overwrites `self` from position `start` of its first dimension, in place and outside autograd, with elements of `dtype`
    /// given as little-endian bytes in row-major order, whole positions of that dimension. They are converted to the tensor's
    /// own dtype as by [`Tensor::to_dtype`], and need no alignment.
    pub fn write_le_bytes(&self, start: usize, bytes: &[u8], dtype: DType) -> Result<()> {
        const OP: &str = "write_le_bytes";
        let mut shape = self.shape();
        let Some((first, rest)) = shape.split_first_mut() else {
            return shape_error(OP, "a tensor of one dimension or more is wanted");
        };
        let position = rest.iter().product::<usize>() * dtype.size_in_bytes();
        let count = bytes.len().checked_div(position).unwrap_or(0);
        if count * position != bytes.len() {
            return shape_error(
                OP,
                format!("{} bytes given, but a position takes {position}", bytes.len()),
            );
        }
        self.check_range(OP, 0, start, count)?;
        *first = count;
        match &self.repr {
            #[cfg(feature = "torch")]
            Repr::Torch(target) => crate::torch::write_le_bytes(target, start, bytes, dtype, &shape),
            #[allow(unreachable_patterns)]
            _ => {
                let part = Tensor::from_le_bytes(bytes, dtype, &shape, &self.device())?;
                self.write_slice(0, start, &part.to_dtype(self.dtype())?)
            }
        }
    }
}
