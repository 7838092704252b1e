//! Where candle's CUDA kernels answer otherwise than those of the host, or not at all. On the host each function here is candle's own.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Layout, Result, Tensor};

/// In another dtype. No CUDA kernel leads from half precision to integers or back.
pub(crate) fn to_dtype(x: &Tensor, dtype: DType) -> Result<Tensor> {
    let half = |dtype| matches!(dtype, DType::BF16 | DType::F16);
    let apart = (half(x.dtype()) && dtype == DType::I64) || (x.dtype() == DType::I64 && half(dtype));
    match apart && !x.device().is_cpu() {
        true => x.to_dtype(DType::F64)?.to_dtype(dtype),
        false => x.to_dtype(dtype),
    }
}

/// An operand that candle hands to cuBLAS.
pub(crate) fn dense(x: &Tensor) -> Result<Tensor> {
    match x.device().is_cpu() || is_dense(x.layout()) {
        true => Ok(x.clone()),
        false => x.contiguous(),
    }
}

/// Whether the rows, or the columns, of each matrix lie one behind the other, and all matrices at one distance.
fn is_dense(layout: &Layout) -> bool {
    let ([outer @ .., rows, columns], [steps @ .., row, column]) = (layout.dims(), layout.stride()) else {
        return false;
    };
    let by_rows = (*column == 1 || *columns == 1) && (row == columns || *rows == 1);
    let by_columns = (column == rows || *columns == 1) && (*row == 1 || *rows == 1);
    let evenly = match (outer, steps) {
        ([], _) | ([_], _) => true,
        ([many, few], [far, near]) => *far == near * few || *many == 1 || *few == 1,
        _ => false,
    };
    (by_rows || by_columns) && evenly
}

/// The larger of two elements, NaN where one is.
pub(crate) fn maximum(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let larger = a.broadcast_maximum(b)?;
    with_nan(&with_nan(&larger, a)?, b)
}

/// The smaller of two elements, NaN where one is.
pub(crate) fn minimum(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let smaller = a.broadcast_minimum(b)?;
    with_nan(&with_nan(&smaller, a)?, b)
}

/// x limited to a range, NaN where it is.
pub(crate) fn clamp(x: &Tensor, min: f64, max: f64) -> Result<Tensor> {
    with_nan(&x.clamp(min, max)?, x)
}

/// `y`, but NaN where `x` is: CUDA's fmax and fmin, for f32 and f64, pass over it.
fn with_nan(y: &Tensor, x: &Tensor) -> Result<Tensor> {
    match x.device().is_cpu() || !matches!(x.dtype(), DType::F32 | DType::F64) {
        true => Ok(y.clone()),
        false => restore_nan(y, x),
    }
}

fn restore_nan(y: &Tensor, x: &Tensor) -> Result<Tensor> {
    let x = x.broadcast_as(y.shape())?;
    x.eq(&x)?.where_cond(y, &x)
}

/// Index (i64) of the first largest element over `dim`. The CUDA kernel takes any of several.
pub(crate) fn argmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    match x.device().is_cpu() {
        true => x.argmax(dim)?.to_dtype(DType::I64),
        false => first_largest(x, dim),
    }
}

/// The first of the largest elements has the most elements from it to the end.
fn first_largest(x: &Tensor, dim: usize) -> Result<Tensor> {
    let count = x.dim(dim)?;
    let mut shape = vec![1; x.rank()];
    shape[dim] = count;
    let largest = x.broadcast_eq(&x.max_keepdim(dim)?)?.to_dtype(DType::F32)?;
    let from_there = largest
        .broadcast_mul(&countdown(count, x.device())?.reshape(shape)?)?
        .max(dim)?;
    // Among NaN there may be no largest.
    let index = from_there.affine(-1.0, count as f64)?.clamp(0.0, count as f64 - 1.0)?;
    index.to_dtype(DType::I64)
}

/// `count`, …, 2, 1 in f32, which counts to 2^24. Kept for the next call, because making it waits for the device.
fn countdown(count: usize, device: &Device) -> Result<Tensor> {
    static LAST: Mutex<Option<Tensor>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = last.as_ref()
        && kept.elem_count() == count
        && kept.device().same_device(device)
    {
        return Ok(kept.clone());
    }
    let numbers: Vec<f32> = (1..=count).rev().map(|number| number as f32).collect();
    let made = Tensor::from_vec(numbers, count, device)?;
    *last = Some(made.clone());
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_elements_is_the_largest_over_every_dimension() {
        let x: Vec<f32> = (0..3 * 5 * 7).map(|i| ((i * 37) % 11) as f32).collect();
        let x = Tensor::from_vec(x, (3, 5, 7), &Device::Cpu).unwrap();
        for dtype in [DType::F32, DType::BF16, DType::I64] {
            let x = x.to_dtype(dtype).unwrap();
            for dim in 0..3 {
                let [found, wanted] = [first_largest(&x, dim).unwrap(), argmax(&x, dim).unwrap()]
                    .map(|index| index.flatten_all().unwrap().to_vec1::<i64>().unwrap());
                assert_eq!(found, wanted, "{dtype:?} over {dim}");
            }
        }
    }

    #[test]
    fn a_part_of_a_cache_is_dense_and_a_part_of_each_row_is_not() {
        let cache = Tensor::zeros((2, 3, 8, 4), DType::F32, &Device::Cpu).unwrap();
        let is_dense = |x: Tensor| is_dense(x.layout());
        let part = cache.narrow(2, 0, 5).unwrap();
        assert!(is_dense(cache.clone()) && is_dense(part.clone()) && is_dense(part.t().unwrap()));
        assert!(!is_dense(cache.narrow(3, 0, 2).unwrap()));
        assert!(!is_dense(cache.transpose(1, 2).unwrap()));
        assert!(!is_dense(cache.narrow(1, 0, 2).unwrap()));
        assert!(is_dense(cache.narrow(1, 0, 2).unwrap().get(1).unwrap()));
    }

    #[test]
    fn among_nan_the_largest_is_an_element() {
        let x = Tensor::full(f32::NAN, (2, 3), &Device::Cpu).unwrap();
        let found = first_largest(&x, 1).unwrap().to_vec1::<i64>().unwrap();
        assert!(found.iter().all(|index| (0..3).contains(index)), "{found:?}");
    }

    #[test]
    fn nan_is_put_back_where_an_operand_has_it() {
        let x = Tensor::new(&[f32::NAN, 1.0, f32::INFINITY], &Device::Cpu).unwrap();
        let y = Tensor::new(&[[7f32, 8.0, 9.0]; 2], &Device::Cpu).unwrap();
        for row in restore_nan(&y, &x).unwrap().to_vec2::<f32>().unwrap() {
            assert!(row[0].is_nan());
            assert_eq!(row[1..], [8.0, 9.0]);
        }
    }
}
