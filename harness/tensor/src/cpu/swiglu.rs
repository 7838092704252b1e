//! The gated activation of a Llama feed-forward network.

use rayon::prelude::*;

use super::exp::exp;

/// Elements that one thread takes at a time.
const CHUNK: usize = 8192;

/// `out = silu(gate) · up` for rows of `width`, which begin every `gate_step` and `up_step` elements; `out` is contiguous.
pub(crate) fn swiglu(gate: &[f32], up: &[f32], [width, gate_step, up_step]: [usize; 3], out: &mut [f32]) {
    let width = width.max(1);
    out.par_chunks_mut(width)
        .enumerate()
        .with_min_len(CHUNK.div_ceil(width))
        .for_each(|(row, out)| {
            let (gate, up) = (&gate[row * gate_step..], &up[row * up_step..]);
            out.par_chunks_mut(CHUNK)
                .zip(gate.par_chunks(CHUNK))
                .zip(up.par_chunks(CHUNK))
                .for_each(|((out, gate), up)| of_chunk(gate, up, out));
        });
}

fn of_chunk(gate: &[f32], up: &[f32], out: &mut [f32]) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate / (1.0 + exp(-gate)) * up;
            }
        },
    );
}
