//! Element types.

use std::{fmt, str::FromStr};

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE double.
    F64,
    /// IEEE single.
    F32,
    /// Brain float: the exponent of f32, 8 bits of significand.
    BF16,
    /// IEEE half.
    F16,
    /// Signed 64-bit integer: token ids and indices.
    I64,
}

impl DType {
    /// Bytes of one element.
    pub fn size_in_bytes(self) -> usize {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 => 4,
            DType::BF16 | DType::F16 => 2,
        }
    }

    /// True for every type but the integer.
    pub fn is_float(self) -> bool {
        self != DType::I64
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::BF16 => "bf16",
            DType::F16 => "f16",
            DType::I64 => "i64",
        })
    }
}

impl FromStr for DType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [DType::F64, DType::F32, DType::BF16, DType::F16, DType::I64]
            .into_iter()
            .find(|dtype| dtype.to_string() == text)
            .ok_or_else(|| format!("`{text}` is not a dtype; it is one of f64, f32, bf16, f16, i64"))
    }
}

/// A Rust type that can be the element of a tensor.
pub trait Element: sealed::Native + bytemuck::Pod + Send + Sync + 'static {
    /// The matching tensor dtype.
    const DTYPE: DType;
}

/// Keeps [`Element`] closed over the types that both engines know.
mod sealed {
    #[cfg(feature = "candle")]
    pub trait Native: candle_core::WithDType {}
    #[cfg(not(feature = "candle"))]
    pub trait Native {}

    impl Native for f64 {}
    impl Native for f32 {}
    impl Native for half::bf16 {}
    impl Native for half::f16 {}
    impl Native for i64 {}
}

impl Element for f64 {
    const DTYPE: DType = DType::F64;
}
impl Element for f32 {
    const DTYPE: DType = DType::F32;
}
impl Element for bf16 {
    const DTYPE: DType = DType::BF16;
}
impl Element for f16 {
    const DTYPE: DType = DType::F16;
}
impl Element for i64 {
    const DTYPE: DType = DType::I64;
}
