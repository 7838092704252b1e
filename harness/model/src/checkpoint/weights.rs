//! Checks of stored weights that every format shares.

use std::path::Path;

use half::{bf16, f16};
use prunebench_tensor::DType;

use crate::error::{ModelError, Result};

/// Elements looked at in one go; large enough for the compiler to vectorise the test, small enough to stay in cache.
const BLOCK: usize = 4096;

/// A stored tensor must have the shape that the graph wants.
pub(super) fn check_shape(path: &Path, name: &str, found: &[usize], wanted: &[usize]) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(ModelError::TensorShape {
        path: path.to_path_buf(),
        name: name.to_owned(),
        found: found.to_vec(),
        wanted: wanted.to_vec(),
    })
}

/// Every stored weight must be a finite number, and stay one in the dtype that the model is loaded as. The first of these is
/// element `start` of its tensor.
pub(super) fn check_finite(
    path: &Path,
    name: &str,
    start: usize,
    bytes: &[u8],
    stored: DType,
    loaded: DType,
) -> Result<()> {
    // The smallest magnitude that rounds to infinity.
    let limit = match loaded {
        DType::F16 => 65_520.0,
        DType::BF16 => f64::from(f32::from_bits(0x7f7f_8000)),
        DType::F32 => (2.0 - 2f64.powi(-24)) * 2f64.powi(127),
        DType::F64 | DType::I64 => f64::INFINITY,
    };
    let found = match stored {
        DType::F64 => first_beyond::<8>(bytes, limit, f64::from_le_bytes),
        DType::F32 => first_beyond::<4>(bytes, limit, |b| f32::from_le_bytes(b).into()),
        DType::BF16 => first_beyond::<2>(bytes, limit, |b| bf16::from_le_bytes(b).into()),
        DType::F16 => first_beyond::<2>(bytes, limit, |b| f16::from_le_bytes(b).into()),
        DType::I64 => None,
    };
    match found {
        None => Ok(()),
        Some((index, value)) => Err(ModelError::NonFinite {
            path: path.to_path_buf(),
            name: name.to_owned(),
            index: start + index,
            value,
            dtype: loaded,
        }),
    }
}

fn first_beyond<const N: usize>(bytes: &[u8], limit: f64, decode: impl Fn([u8; N]) -> f64) -> Option<(usize, f64)> {
    let (values, _) = bytes.as_chunks::<N>();
    let beyond = |value: f64| value.is_nan() || value.abs() >= limit;
    values.chunks(BLOCK).enumerate().find_map(|(block, values)| {
        if !values.iter().fold(false, |any, &value| any | beyond(decode(value))) {
            return None;
        }
        let within = values.iter().position(|&value| beyond(decode(value)))?;
        Some((block * BLOCK + within, decode(values[within])))
    })
}
