//! The tensor itself: creation, inspection, and moves between dtypes and devices.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::dispatch::unary;
use crate::error::shape_error;
use crate::{DType, Device, Element, Engine, Error, Result};

/// An n-dimensional array held by one engine on one device. Cloning shares the storage.
pub struct Tensor {
    pub(crate) repr: Repr,
}

pub(crate) enum Repr {
    #[cfg(feature = "candle")]
    Candle(candle_core::Tensor),
    #[cfg(feature = "torch")]
    Torch(tch::Tensor),
}

#[cfg(feature = "candle")]
impl From<candle_core::Tensor> for Tensor {
    fn from(tensor: candle_core::Tensor) -> Self {
        Tensor {
            repr: Repr::Candle(tensor),
        }
    }
}

#[cfg(feature = "torch")]
impl From<tch::Tensor> for Tensor {
    fn from(tensor: tch::Tensor) -> Self {
        Tensor {
            repr: Repr::Torch(tensor),
        }
    }
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(tensor) => tensor.clone().into(),
            #[cfg(feature = "torch")]
            Repr::Torch(tensor) => tensor.shallow_clone().into(),
        }
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({:?}, {}, {})", self.shape(), self.dtype(), self.device())
    }
}

/// Number of elements of a shape, or an error if it overflows.
fn checked_count(op: &'static str, shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1usize, |count, &dim| count.checked_mul(dim))
        .filter(|&count| count <= isize::MAX as usize / 8)
        .map_or_else(
            || {
                shape_error(
                    op,
                    format!("the shape {shape:?} has more elements than memory can hold"),
                )
            },
            Ok,
        )
}

impl Tensor {
    /// A tensor of `shape` from its elements in row-major order.
    pub fn from_slice<T: Element>(data: &[T], shape: &[usize], device: &Device) -> Result<Self> {
        Self::from_le_bytes(bytemuck::cast_slice(data), <T as Element>::DTYPE, shape, device)
    }

    /// A tensor from little-endian bytes in row-major order; the bytes need no alignment and are copied once.
    pub fn from_le_bytes(bytes: &[u8], dtype: DType, shape: &[usize], device: &Device) -> Result<Self> {
        let count = checked_count("from_le_bytes", shape)?;
        if bytes.len() != count * dtype.size_in_bytes() {
            return shape_error(
                "from_le_bytes",
                format!(
                    "{} bytes given, but {shape:?} of {dtype} takes {}",
                    bytes.len(),
                    count * dtype.size_in_bytes()
                ),
            );
        }
        device.is_available()?;
        match device.engine {
            #[cfg(feature = "candle")]
            Engine::Candle => crate::candle::from_le_bytes(bytes, dtype, shape, device.kind),
            #[cfg(feature = "torch")]
            Engine::Torch => crate::torch::from_le_bytes(bytes, dtype, shape, device.kind),
            #[allow(unreachable_patterns)]
            _ => unreachable!("is_available refuses an engine that is not compiled in"),
        }
    }

    /// A tensor whose every element is `value`.
    pub fn full(shape: &[usize], value: f64, dtype: DType, device: &Device) -> Result<Self> {
        checked_count("full", shape)?;
        device.is_available()?;
        match device.engine {
            #[cfg(feature = "candle")]
            Engine::Candle => crate::candle::full(shape, value, dtype, device.kind),
            #[cfg(feature = "torch")]
            Engine::Torch => crate::torch::full(shape, value, dtype, device.kind),
            #[allow(unreachable_patterns)]
            _ => unreachable!("is_available refuses an engine that is not compiled in"),
        }
    }

    /// Zeros.
    pub fn zeros(shape: &[usize], dtype: DType, device: &Device) -> Result<Self> {
        Self::full(shape, 0.0, dtype, device)
    }

    /// Ones.
    pub fn ones(shape: &[usize], dtype: DType, device: &Device) -> Result<Self> {
        Self::full(shape, 1.0, dtype, device)
    }

    /// The integers 0 to n − 1.
    pub fn arange(n: usize, device: &Device) -> Result<Self> {
        Self::from_slice(&(0..n as i64).collect::<Vec<_>>(), &[n], device)
    }

    /// Standard normal numbers. They are drawn on the host, so a seed gives the same numbers on every engine and device.
    pub fn randn(shape: &[usize], seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = checked_count("randn", shape)?;
        let mut values = Vec::with_capacity(count + 1);
        // Box-Muller: two uniforms give two independent normals.
        while values.len() < count {
            let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
            let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
            values.extend([(radius * cos) as f32, (radius * sin) as f32]);
        }
        values.truncate(count);
        Self::from_slice(&values, shape, device)?.to_dtype(dtype)
    }

    /// Uniform numbers in [0, 1), drawn on the host like [`Tensor::randn`].
    pub fn rand(shape: &[usize], seed: u64, dtype: DType, device: &Device) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..checked_count("rand", shape)?).map(|_| rng.random()).collect();
        Self::from_slice(&values, shape, device)?.to_dtype(dtype)
    }

    /// Extent of every dimension.
    pub fn shape(&self) -> Vec<usize> {
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(tensor) => tensor.dims().to_vec(),
            #[cfg(feature = "torch")]
            Repr::Torch(tensor) => tensor.size().into_iter().map(|dim| dim as usize).collect(),
        }
    }

    /// Extent of dimension `index`.
    pub fn dim(&self, index: usize) -> Result<usize> {
        let shape = self.shape();
        shape.get(index).copied().map_or_else(
            || shape_error("dim", format!("dimension {index} asked of a tensor of shape {shape:?}")),
            Ok,
        )
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(tensor) => tensor.rank(),
            #[cfg(feature = "torch")]
            Repr::Torch(tensor) => tensor.dim(),
        }
    }

    /// Number of elements.
    pub fn elem_count(&self) -> usize {
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(tensor) => tensor.elem_count(),
            #[cfg(feature = "torch")]
            Repr::Torch(tensor) => tensor.numel(),
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(tensor) => crate::candle::dtype(tensor),
            #[cfg(feature = "torch")]
            Repr::Torch(tensor) => crate::torch::dtype(tensor),
        }
    }

    /// Engine and device that hold the tensor.
    pub fn device(&self) -> Device {
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(tensor) => Device {
                engine: Engine::Candle,
                kind: crate::candle::device_kind(tensor),
            },
            #[cfg(feature = "torch")]
            Repr::Torch(tensor) => Device {
                engine: Engine::Torch,
                kind: crate::torch::device_kind(tensor),
            },
        }
    }

    /// The elements in row-major order; `T` must be the tensor's dtype.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if <T as Element>::DTYPE != self.dtype() {
            return Err(Error::DType {
                op: "to_vec",
                detail: format!(
                    "{} elements asked of a {} tensor; convert with to_dtype",
                    <T as Element>::DTYPE,
                    self.dtype()
                ),
            });
        }
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(tensor) => crate::candle::to_vec(tensor),
            #[cfg(feature = "torch")]
            Repr::Torch(tensor) => crate::torch::to_vec(tensor),
        }
    }

    /// The elements in row-major order as f64, from any dtype.
    pub fn to_f64_vec(&self) -> Result<Vec<f64>> {
        self.to_dtype(DType::F64)?.to_vec()
    }

    /// The only element of a one-element tensor as f64.
    pub fn to_f64(&self) -> Result<f64> {
        if self.elem_count() != 1 {
            return shape_error("to_f64", format!("one element wanted, the shape is {:?}", self.shape()));
        }
        Ok(self.to_f64_vec()?[0])
    }

    /// Converts the elements; the same dtype shares the storage.
    pub fn to_dtype(&self, dtype: DType) -> Result<Self> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        unary!(self, "to_dtype", |t| crate::candle::to_dtype(t, dtype), |t| t
            .f_to_kind(crate::torch::kind(dtype)))
    }

    /// Copies to another device of the same engine.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if device.engine != self.device().engine {
            return Err(Error::EngineMismatch {
                op: "to_device",
                lhs: self.device(),
                rhs: *device,
            });
        }
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(tensor) => tensor
                .to_device(&crate::candle::device(device.kind)?)
                .map(Tensor::from)
                .map_err(|e| crate::candle::error("to_device", e)),
            #[cfg(feature = "torch")]
            Repr::Torch(tensor) => tensor
                .f_to_device(crate::torch::device(device.kind)?)
                .map(Tensor::from)
                .map_err(|e| crate::torch::error("to_device", e)),
        }
    }

    /// The same elements in row-major storage.
    pub fn contiguous(&self) -> Result<Self> {
        unary!(self, "contiguous", |t| t.contiguous(), |t| t.f_contiguous())
    }

    /// The same elements, cut off from the autograd graph.
    pub fn detach(&self) -> Result<Self> {
        unary!(self, "detach", |t| Ok::<_, candle_core::Error>(t.detach()), |t| t
            .f_detach())
    }
}
