//! One tensor type over two engines, candle and libtorch, with what decoders, pruning and their training need.
//!
//! Engines are cargo features (`candle`, `torch`). Methods written against [`Tensor`] are plain non-generic code; mixing
//! engines in one operation is an error, never a copy. Both engines pass the same conformance suite (`tests/conformance`).

mod autograd;
#[cfg(feature = "candle")]
mod candle;
mod cpu;
mod device;
mod dispatch;
mod dtype;
mod error;
mod ops;
mod tensor;
mod threads;
#[cfg(feature = "torch")]
mod torch;

pub use autograd::no_grad;
pub use device::{DEVICE_VARIABLE, Device, DeviceKind, Engine, TF32_VARIABLE, tf32};
pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use ops::attention::{AttentionMask, Segment};
pub use ops::update::AdamW;
pub use tensor::Tensor;
pub use threads::concurrently;
