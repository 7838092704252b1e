//! How far an engine may be from the f64 reference.

use prunebench_tensor::{DType, tf32};

/// `|got - wanted| <= absolute * scale + relative * |wanted|`, where `scale` is the largest value wanted of the tensor: sums
/// of many products err in proportion to their terms, not to what is left of them.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    pub absolute: f64,
    pub relative: f64,
}

impl Tolerance {
    /// Tolerance of a result held in `dtype`. The half-precision rows allow the two or three roundings of an operation that
    /// the engine composes from others, bf16 eight times as coarse as f16.
    pub fn forward(dtype: DType) -> Self {
        let (absolute, relative) = match effective(dtype) {
            DType::F64 => (1e-14, 1e-12),
            DType::F32 => (1e-6, 5e-6),
            DType::BF16 => (1e-2, 1.6e-2),
            DType::F16 => (1.25e-3, 2e-3),
            DType::I64 => (0.0, 0.0),
        };
        Tolerance { absolute, relative }
    }

    /// Tolerance of a gradient held in `dtype`; that of f64 is set by the finite difference it is compared with.
    pub fn gradient(dtype: DType) -> Self {
        let (absolute, relative) = match effective(dtype) {
            DType::F64 => (1e-7, 1e-7),
            DType::F32 => (2e-6, 5e-6),
            DType::BF16 => (2e-2, 2e-2),
            DType::F16 => (2.5e-3, 2.5e-3),
            DType::I64 => (0.0, 0.0),
        };
        Tolerance { absolute, relative }
    }

    /// False for a difference beyond the tolerance, and for NaN.
    pub fn accepts(self, got: f64, wanted: f64, scale: f64) -> bool {
        (got - wanted).abs() <= self.absolute * scale.max(1e-3) + self.relative * wanted.abs()
    }
}

/// The dtype whose tolerance holds: where products may round f32 to TF32, what they read is as coarse as f16.
fn effective(dtype: DType) -> DType {
    match dtype {
        DType::F32 if tf32() => DType::F16,
        _ => dtype,
    }
}
