//! A row-major f64 array with the few general forms every reference operation is written in.

use half::{bf16, f16};
use prunebench_tensor::DType;

/// Values in row-major order and the shape they fill. Integers are stored as f64, exact below 2^53.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

/// Row-major position to one index per dimension.
fn unravel(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (i, &size) in index.iter_mut().zip(shape).rev() {
        *i = position % size;
        position /= size;
    }
    index
}

/// The shape two operands broadcast to by numpy's rule.
fn broadcast_shape(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    (0..rank)
        .map(|i| match (size(a, i), size(b, i)) {
            (1, n) | (n, 1) => n,
            (n, m) => {
                assert_eq!(n, m, "the case itself does not broadcast: {a:?} with {b:?}");
                n
            }
        })
        .collect()
}

impl Array {
    pub fn new(shape: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            data.len(),
            "the case itself is malformed"
        );
        Array {
            shape: shape.to_vec(),
            data,
        }
    }

    pub fn scalar(value: f64) -> Self {
        Array::new(&[], vec![value])
    }

    pub fn from_fn(shape: &[usize], value: impl Fn(&[usize]) -> f64) -> Self {
        let count = shape.iter().product();
        Array::new(shape, (0..count).map(|at| value(&unravel(at, shape))).collect())
    }

    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The element at `index`; a size-1 dimension and a missing leading one answer for every index (broadcasting).
    pub fn at(&self, index: &[usize]) -> f64 {
        let index = &index[index.len() - self.rank()..];
        let position = index.iter().zip(&self.shape).fold(0, |position, (&i, &size)| {
            position * size + if size == 1 { 0 } else { i }
        });
        self.data[position]
    }

    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Array::new(&self.shape, self.data.iter().map(|&x| f(x)).collect())
    }

    /// `f` of each pair of elements after broadcasting.
    pub fn zip(&self, other: &Array, f: impl Fn(f64, f64) -> f64) -> Self {
        Array::from_fn(&broadcast_shape(&self.shape, &other.shape), |i| {
            f(self.at(i), other.at(i))
        })
    }

    /// Replaces each lane along `dim` by `f` of it, which may have another length.
    pub fn lanes(&self, dim: usize, f: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        let inner: usize = self.shape[dim + 1..].iter().product();
        let outer: usize = self.shape[..dim].iter().product();
        let size = self.shape[dim];
        let lane = |o: usize, i: usize| {
            f(&(0..size)
                .map(|k| self.data[(o * size + k) * inner + i])
                .collect::<Vec<_>>())
        };
        let lanes: Vec<Vec<f64>> = (0..outer * inner).map(|l| lane(l / inner, l % inner)).collect();
        let mut shape = self.shape.clone();
        shape[dim] = lanes[0].len();
        let length = shape[dim];
        let data = (0..outer * length * inner)
            .map(|at| lanes[at / (length * inner) * inner + at % inner][at / inner % length])
            .collect();
        Array::new(&shape, data)
    }

    /// Replaces each lane along `dim` by one number.
    pub fn reduce(&self, dim: usize, keepdim: bool, f: impl Fn(&[f64]) -> f64) -> Self {
        let mut out = self.lanes(dim, |lane| vec![f(lane)]);
        if !keepdim {
            out.shape.remove(dim);
        }
        out
    }

    pub fn reshape(&self, shape: &[usize]) -> Self {
        Array::new(shape, self.data.clone())
    }

    pub fn transpose(&self, a: usize, b: usize) -> Self {
        let mut shape = self.shape.clone();
        shape.swap(a, b);
        Array::from_fn(&shape, |i| {
            let mut i = i.to_vec();
            i.swap(a, b);
            self.at(&i)
        })
    }

    pub fn narrow(&self, dim: usize, start: usize, len: usize) -> Self {
        self.lanes(dim, |lane| lane[start..start + len].to_vec())
    }

    /// Every element rounded to the nearest value of `dtype`.
    pub fn rounded(&self, dtype: DType) -> Self {
        self.map(|x| match dtype {
            DType::F64 => x,
            DType::F32 => f64::from(x as f32),
            DType::BF16 => bf16::from_f64(x).to_f64(),
            DType::F16 => f16::from_f64(x).to_f64(),
            DType::I64 => x.round(),
        })
    }

    pub fn largest(&self) -> f64 {
        self.data.iter().fold(0.0, |largest, x| f64::max(largest, x.abs()))
    }

    pub fn dot(&self, other: &Array) -> f64 {
        assert_eq!(self.shape, other.shape);
        self.data.iter().zip(&other.data).map(|(a, b)| a * b).sum()
    }
}
