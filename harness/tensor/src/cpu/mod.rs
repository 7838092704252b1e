//! f32 kernels on host slices for what an engine's own CPU path does on one thread, in many passes, or at half speed.
//!
//! Each runs under `pulp`'s dispatch, so that the compiler vectorises it for the widest instructions the machine has.

mod attention;
mod cross_entropy;
mod exp;
mod matvec;
mod swiglu;

pub(crate) use attention::{AttentionSizes, Strided, attention};
pub(crate) use cross_entropy::cross_entropy;
pub(crate) use matvec::matvec;
pub(crate) use swiglu::swiglu;
