//! Matrix times vector, the whole of batch-1 decoding: bound by reading the matrix once.

use rayon::prelude::*;

/// Independent partial sums of a dot product: enough to fill two of the widest registers' pipelines.
const LANES: usize = 64;

#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    // Halving keeps the reduction in vector registers; a sum in order would be a chain of 64 additions.
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0] + tail
}

/// `out[n] = Σ_k weight[n, k] · x[k]` for a row-major weight of `x.len()` columns.
pub(crate) fn matvec(weight: &[f32], x: &[f32], out: &mut [f32]) {
    // About 64 kB of weights a task: small enough to share evenly, large enough to hide the hand-over.
    let rows = (16_384 / x.len().max(1)).max(1);
    let arch = pulp::Arch::new();
    out.par_chunks_mut(rows)
        .zip(weight.par_chunks(rows * x.len()))
        .for_each(|(out, weight)| {
            arch.dispatch(
                #[inline(always)]
                || {
                    for (out, row) in out.iter_mut().zip(weight.chunks_exact(x.len())) {
                        *out = dot(row, x);
                    }
                },
            )
        });
}
