//! Attention that computes only the scores its mask keeps, a block of queries at a time.

use rayon::prelude::*;

use super::exp::exp;
use super::matvec::dot;

/// Queries that share one pass over the keys.
const BLOCK: usize = 64;

/// Sizes of an attention call; see [`attention`].
#[derive(Clone, Copy)]
pub(crate) struct AttentionSizes {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) head_dim: usize,
    pub(crate) causal: bool,
    pub(crate) window: Option<usize>,
    pub(crate) scale: f32,
}

impl AttentionSizes {
    /// Keys that query `i` sees: `start..end`. Query `i` sits at position `keys − queries + i`.
    fn visible(&self, i: usize) -> (usize, usize) {
        let position = self.keys - self.queries + i;
        let end = if self.causal { position + 1 } else { self.keys };
        let start = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        (start, end)
    }
}

/// A `[batch, heads, rows, head_dim]` operand whose rows are contiguous, and whose other strides are free: neither a KV cache
/// nor a transposed projection needs a copy.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a> {
    /// The elements from the first on.
    pub(crate) data: &'a [f32],
    /// Elements from one batch entry, head and row to the next.
    pub(crate) strides: [usize; 3],
}

impl<'a> Strided<'a> {
    /// The operand if its last dimension is contiguous.
    pub(crate) fn new(data: &'a [f32], strides: &[usize]) -> Option<Self> {
        match *strides {
            [batch, head, row, 1] => Some(Strided {
                data,
                strides: [batch, head, row],
            }),
            _ => None,
        }
    }

    /// The elements from row `row` of a head on.
    fn rows_from(&self, batch: usize, head: usize, row: usize) -> &'a [f32] {
        let [batch_stride, head_stride, row_stride] = self.strides;
        &self.data[batch * batch_stride + head * head_stride + row * row_stride..]
    }
}

/// `out = softmax(scale · q kᵀ + mask) v` for q `[batch, heads, queries, head_dim]` and k, v `[batch, kv_heads, keys,
/// head_dim]`, where `kv_heads` divides `heads` and `queries ≤ keys`; `out` is contiguous in the shape of q.
pub(crate) fn attention(q: Strided, k: Strided, v: Strided, sizes: AttentionSizes, out: &mut [f32]) {
    let AttentionSizes {
        heads,
        kv_heads,
        queries,
        head_dim,
        ..
    } = sizes;
    // A block never crosses a head.
    let tasks: Vec<(usize, usize, &mut [f32])> = out
        .chunks_mut(queries * head_dim)
        .enumerate()
        .flat_map(|(head, out)| {
            out.chunks_mut(BLOCK * head_dim)
                .enumerate()
                .map(move |(index, out)| (head, index * BLOCK, out))
        })
        .collect();
    let arch = pulp::Arch::new();
    // Later blocks see more keys: largest first keeps the threads evenly loaded.
    tasks
        .into_par_iter()
        .rev()
        .with_max_len(1)
        .for_each(|(head, first, out)| {
            let (batch, head) = (head / heads, head % heads);
            let kv_head = head * kv_heads / heads;
            let rows = out.len() / head_dim;
            let start = sizes.visible(first).0;
            let width = sizes.visible(first + rows - 1).1 - start;
            let mut scores = vec![0f32; rows * width];
            let q_rows = q.rows_from(batch, head, first);
            let (k_rows, v_rows) = (k.rows_from(batch, kv_head, start), v.rows_from(batch, kv_head, start));
            if rows == 1 {
                // The matrix product's set-up costs more than one query's scores.
                arch.dispatch(
                    #[inline(always)]
                    || {
                        attend_one(
                            &q_rows[..head_dim],
                            k_rows,
                            v_rows,
                            [k.strides[2], v.strides[2]],
                            sizes.scale,
                            &mut scores,
                            out,
                        )
                    },
                );
                return;
            }
            product(
                [rows, width, head_dim],
                &mut scores,
                q_rows,
                q.strides[2],
                k_rows,
                [1, k.strides[2]],
            );
            arch.dispatch(
                #[inline(always)]
                || {
                    for (i, row) in scores.chunks_exact_mut(width).enumerate() {
                        let (from, to) = sizes.visible(first + i);
                        softmax(row, from - start, to - start, sizes.scale);
                    }
                },
            );
            product([rows, head_dim, width], out, &scores, width, v_rows, [v.strides[2], 1]);
        });
}

/// Attention of one query over the `scores.len()` keys that it sees.
#[inline(always)]
fn attend_one(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    [k_row, v_row]: [usize; 2],
    scale: f32,
    scores: &mut [f32],
    out: &mut [f32],
) {
    for (key, score) in scores.iter_mut().enumerate() {
        *score = dot(q, &k[key * k_row..][..q.len()]);
    }
    softmax(scores, 0, scores.len(), scale);
    out.fill(0.0);
    for (key, weight) in scores.iter().enumerate() {
        for (out, v) in out.iter_mut().zip(&v[key * v_row..][..q.len()]) {
            *out += weight * v;
        }
    }
}

/// `dst = lhs rhs` on this thread, for `[m, n, inner]`, lhs with contiguous rows `lhs_row` apart, rhs with the strides
/// `[row, column]`, and a contiguous dst.
fn product(
    [m, n, inner]: [usize; 3],
    dst: &mut [f32],
    lhs: &[f32],
    lhs_row: usize,
    rhs: &[f32],
    [rhs_row, rhs_column]: [usize; 2],
) {
    assert!(
        dst.len() >= m * n
            && lhs.len() >= (m - 1) * lhs_row + inner
            && rhs.len() > (inner - 1) * rhs_row + (n - 1) * rhs_column
    );
    // SAFETY: the slices hold every element that the extents and strides reach, as asserted.
    unsafe {
        gemm::gemm(
            m,
            n,
            inner,
            dst.as_mut_ptr(),
            1,
            n as isize,
            false,
            lhs.as_ptr(),
            1,
            lhs_row as isize,
            rhs.as_ptr(),
            rhs_column as isize,
            rhs_row as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        )
    }
}

/// Softmax of `scale · row[from..to]` in place, zeros elsewhere.
#[inline(always)]
fn softmax(row: &mut [f32], from: usize, to: usize, scale: f32) {
    row[..from].fill(0.0);
    row[to..].fill(0.0);
    let row = &mut row[from..to];
    let max = row
        .iter()
        .copied()
        .fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
    const LANES: usize = 16;
    let mut sums = [0f32; LANES];
    let mut chunks = row.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for lane in 0..LANES {
            chunk[lane] = exp(scale * (chunk[lane] - max));
            sums[lane] += chunk[lane];
        }
    }
    let mut sum: f32 = sums.iter().sum();
    for x in chunks.into_remainder() {
        *x = exp(scale * (*x - max));
        sum += *x;
    }
    let inverse = 1.0 / sum;
    for x in row {
        *x *= inverse;
    }
}
