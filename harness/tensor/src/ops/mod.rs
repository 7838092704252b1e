//! The operations, by kind.

pub(crate) mod attention;
mod elementwise;
mod index;
mod likelihood;
mod linalg;
mod nn;
mod reduce;
mod shape;
pub(crate) mod update;

use crate::error::shape_error;
use crate::{DeviceKind, Error, Result, Tensor};

impl Tensor {
    /// The tensor's rank exceeds `dim`, or an error naming both.
    fn check_dim(&self, op: &'static str, dim: usize) -> Result<()> {
        if dim < self.rank() {
            return Ok(());
        }
        shape_error(
            op,
            format!("dimension {dim} asked of a tensor of shape {:?}", self.shape()),
        )
    }

    /// The tensor holds floats.
    fn check_float(&self, op: &'static str) -> Result<()> {
        if self.dtype().is_float() {
            return Ok(());
        }
        Err(Error::DType {
            op,
            detail: format!("floats wanted, the tensor is {}", self.dtype()),
        })
    }

    /// The tensor holds i64 indices.
    fn check_indices(&self, op: &'static str) -> Result<()> {
        if !self.dtype().is_float() {
            return Ok(());
        }
        Err(Error::DType {
            op,
            detail: format!("i64 indices wanted, the tensor is {}", self.dtype()),
        })
    }

    /// Every index lies below `extent`. Not asked of a GPU: the answer would wait for all that is queued there.
    fn check_index_range(&self, op: &'static str, extent: usize) -> Result<()> {
        if self.device().kind != DeviceKind::Cpu {
            return Ok(());
        }
        match self
            .to_vec::<i64>()?
            .iter()
            .find(|&&index| index < 0 || index as usize >= extent)
        {
            None => Ok(()),
            Some(index) => shape_error(op, format!("index {index} is outside 0..{extent}")),
        }
    }

    /// Dimension `dim` has an element to choose from or to average.
    fn check_some(&self, op: &'static str, dim: usize) -> Result<()> {
        if self.dim(dim)? > 0 {
            return Ok(());
        }
        shape_error(op, format!("dimension {dim} of {:?} has no element", self.shape()))
    }

    /// Both tensors live in one place and hold one dtype.
    fn check_same(&self, op: &'static str, other: &Tensor) -> Result<()> {
        self.check_same_device(op, other)?;
        if self.dtype() == other.dtype() {
            return Ok(());
        }
        Err(Error::DType {
            op,
            detail: format!("{} meets {}; convert one with to_dtype", self.dtype(), other.dtype()),
        })
    }

    fn check_same_device(&self, op: &'static str, other: &Tensor) -> Result<()> {
        if self.device() == other.device() {
            return Ok(());
        }
        Err(Error::EngineMismatch {
            op,
            lhs: self.device(),
            rhs: other.device(),
        })
    }

    /// `other` has the same shape but for dimension `dim`.
    fn check_alike_outside(&self, op: &'static str, dim: usize, other: &Tensor) -> Result<()> {
        let (mut lhs, mut rhs) = (self.shape(), other.shape());
        if lhs.len() == rhs.len() {
            (lhs[dim], rhs[dim]) = (0, 0);
        }
        if lhs == rhs {
            return Ok(());
        }
        shape_error(
            op,
            format!(
                "{:?} and {:?} differ outside dimension {dim}",
                self.shape(),
                other.shape()
            ),
        )
    }

    /// Extent of the last dimension; a scalar has none.
    fn last_dim(&self, op: &'static str) -> Result<usize> {
        self.shape().last().copied().map_or_else(
            || shape_error(op, "a tensor of at least one dimension is wanted, this is a scalar"),
            Ok,
        )
    }
}

/// The numpy broadcast of two shapes, or an error.
fn broadcast_shape(op: &'static str, lhs: &[usize], rhs: &[usize]) -> Result<Vec<usize>> {
    let rank = lhs.len().max(rhs.len());
    let extent = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|i| match (extent(lhs, i), extent(rhs, i)) {
            (a, b) if a == b || b == 1 => Ok(a),
            (1, b) => Ok(b),
            _ => shape_error(op, format!("shapes {lhs:?} and {rhs:?} don't broadcast")),
        })
        .collect()
}
