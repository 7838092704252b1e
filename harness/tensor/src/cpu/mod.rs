//! f32 kernels on host slices for what an engine's own CPU path does on one thread, in many passes, or at half speed.
//!
//! Each runs under `pulp`'s dispatch, so that the compiler vectorises it for the widest instructions the machine has.

mod attention;
mod exp;
mod likelihood;
mod matvec;
#[cfg(feature = "candle")]
mod swiglu;
mod update;

pub(crate) use attention::{AttentionSizes, Strided, attention};
pub(crate) use likelihood::{cross_entropy, row_divergences, row_likelihoods};
pub(crate) use matvec::matvec;
#[cfg(feature = "candle")]
pub(crate) use swiglu::swiglu;
pub(crate) use update::{adamw, add_in_place, dropout_mask, lerp_in_place, mul_in_place, square_sum};
