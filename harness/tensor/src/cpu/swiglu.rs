//! The gated activation of a Llama feed-forward network.

use rayon::prelude::*;

use super::exp::exp;

/// `out = silu(gate) · up`.
pub(crate) fn swiglu(gate: &[f32], up: &[f32], out: &mut [f32]) {
    const CHUNK: usize = 8192;
    let arch = pulp::Arch::new();
    out.par_chunks_mut(CHUNK)
        .zip(gate.par_chunks(CHUNK))
        .zip(up.par_chunks(CHUNK))
        .for_each(|((out, gate), up)| {
            arch.dispatch(
                #[inline(always)]
                || {
                    for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
                        *out = gate / (1.0 + exp(-gate)) * up;
                    }
                },
            )
        });
}
