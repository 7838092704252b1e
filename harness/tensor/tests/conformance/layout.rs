//! How a tensor lies in memory: the same elements as a fresh tensor, a transposed view, or a part of a larger one.

use prunebench_tensor::{Result, Tensor};

use crate::array::Array;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layout {
    Contiguous,
    /// The last two dimensions are stored the other way round; a vector is a column of a matrix.
    Transposed,
    /// Cut out of a longer first dimension: row-major, but not from the start of the storage.
    Offset,
    /// Cut out of a longer last dimension.
    Window,
}

impl Layout {
    pub const ALL: [Layout; 4] = [Layout::Contiguous, Layout::Transposed, Layout::Offset, Layout::Window];

    /// What to store so that [`Layout::view`] of it has the elements of `array`.
    pub fn base(self, array: &Array) -> Array {
        let rank = array.rank();
        // What lies outside the view would spoil any result.
        let spoil = f64::NAN;
        let pad = |lane: &[f64]| [&[spoil], lane, &[spoil]].concat();
        match self {
            _ if rank == 0 => array.clone(),
            Layout::Contiguous => array.clone(),
            Layout::Transposed if rank == 1 => {
                Array::from_fn(
                    &[array.shape[0], 2],
                    |i| if i[1] == 1 { array.data[i[0]] } else { spoil },
                )
            }
            Layout::Transposed => array.transpose(rank - 2, rank - 1),
            Layout::Offset => array.lanes(0, pad),
            Layout::Window => array.lanes(rank - 1, pad),
        }
    }

    /// The view of the stored tensor, to be differentiated through.
    pub fn view(self, base: &Tensor, shape: &[usize]) -> Result<Tensor> {
        let rank = shape.len();
        match self {
            _ if rank == 0 => Ok(base.clone()),
            Layout::Contiguous => Ok(base.clone()),
            Layout::Transposed if rank == 1 => base.narrow(1, 1, 1)?.squeeze(1),
            Layout::Transposed => base.transpose(rank - 2, rank - 1),
            Layout::Offset => base.narrow(0, 1, shape[0]),
            Layout::Window => base.narrow(rank - 1, 1, shape[rank - 1]),
        }
    }
}
