//! Tensors made piece by piece, so that loading holds one copy of the weights and not two.

use std::ops::Range;

use prunebench_tensor::{DType, Device, Tensor};

use crate::error::Result;

/// Elements of a piece: a MiB or two, which is little beside any model and much beside the cost of a copy.
const PIECE: usize = 1 << 18;

/// A tensor of `shape` and `dtype`, which `fill` writes range by range of the first dimension: in order, without gaps, each
/// range from a multiple of `step`.
pub(super) fn in_pieces(
    shape: &[usize],
    dtype: DType,
    device: &Device,
    step: usize,
    mut fill: impl FnMut(&Tensor, Range<usize>) -> Result<()>,
) -> Result<Tensor> {
    let count = shape.first().copied().unwrap_or(1);
    let width = shape.iter().skip(1).product::<usize>().max(1);
    let piece = (PIECE / width).max(1).next_multiple_of(step.max(1));
    let tensor = Tensor::zeros(shape, dtype, device)?;
    for start in (0..count).step_by(piece) {
        fill(&tensor, start..count.min(start + piece))?;
    }
    Ok(tensor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_same_tensor_as_one() {
        for device in Device::available() {
            let (rows, width) = (2 * PIECE / 1000, 1500);
            let values: Vec<f32> = (0..rows * width).map(|i| i as f32).collect();
            let mut asked = Vec::new();
            let tensor = in_pieces(&[rows, width], DType::BF16, &device, 64, |tensor, range| {
                asked.push(range.clone());
                let part = &values[range.start * width..range.end * width];
                Ok(tensor.write_le_bytes(range.start, bytemuck::cast_slice(part), DType::F32)?)
            })
            .unwrap();
            let whole = Tensor::from_slice(&values, &[rows, width], &device).unwrap();
            let wanted = whole.to_dtype(DType::BF16).unwrap().to_f64_vec().unwrap();
            assert_eq!(tensor.to_f64_vec().unwrap(), wanted);
            assert!(asked.len() > 2 && asked.iter().all(|range| range.start % 64 == 0));
        }
    }
}
