//! Attention that computes only the scores its mask keeps, a block of queries at a time.

use rayon::prelude::*;

use super::exp::exp;
use super::matvec::dot;
use crate::Segment;

/// Queries that share one pass over the keys.
const BLOCK: usize = 64;

/// Sizes and mask of an attention call; see [`attention`].
pub(crate) struct AttentionSizes {
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) head_dim: usize,
    pub(crate) causal: bool,
    pub(crate) window: Option<usize>,
    pub(crate) scale: f32,
    /// Who sees whom, segments in the order of their queries, which they cover.
    pub(crate) segments: Vec<Segment>,
}

impl AttentionSizes {
    /// Positions that query `i` of a segment sees: `start..end`.
    pub(crate) fn visible(&self, segment: &Segment, i: usize) -> (usize, usize) {
        let keys = segment.key_count();
        let position = keys - segment.queries.len() + i;
        let end = if self.causal { position + 1 } else { keys };
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
/// head_dim]`, where `kv_heads` divides `heads`; `out` is contiguous in the shape of q.
pub(crate) fn attention(q: Strided, k: Strided, v: Strided, sizes: &AttentionSizes, out: &mut [f32]) {
    let &AttentionSizes {
        heads,
        kv_heads,
        queries,
        head_dim,
        ..
    } = sizes;
    // A block crosses neither a head nor a segment.
    let mut tasks = Vec::new();
    for (head, mut rest) in out.chunks_mut(queries * head_dim).enumerate() {
        for segment in &sizes.segments {
            let (out, after) = rest.split_at_mut(segment.queries.len() * head_dim);
            rest = after;
            let blocks = out.chunks_mut(BLOCK * head_dim).enumerate();
            tasks.extend(blocks.map(|(index, out)| (head, segment, index * BLOCK, out)));
        }
    }
    let arch = pulp::Arch::new();
    // Blocks of short segments are little work each: a thread takes several at a time.
    let at_once = (tasks.len() / (8 * rayon::current_num_threads())).clamp(1, 8);
    // Later blocks see more keys: largest first keeps the threads evenly loaded.
    tasks
        .into_par_iter()
        .rev()
        .with_max_len(at_once)
        .for_each_init(Vec::new, |scores, (head, segment, first, out)| {
            let (batch, head) = (head / heads, head % heads);
            let kv_head = head * kv_heads / heads;
            let rows = out.len() / head_dim;
            let start = sizes.visible(segment, first).0;
            let end = sizes.visible(segment, first + rows - 1).1;
            let width = end - start;
            scores.clear();
            scores.resize(rows * width, 0f32);
            let q_rows = q.rows_from(batch, head, segment.queries.start + first);
            let parts = || {
                segment.between(start, end).map(|(position, keys)| {
                    let (k, v) = (
                        k.rows_from(batch, kv_head, keys.start),
                        v.rows_from(batch, kv_head, keys.start),
                    );
                    (position - start, keys.len(), k, v)
                })
            };
            if rows == 1 {
                // The matrix product's set-up costs more than one query's scores.
                arch.dispatch(
                    #[inline(always)]
                    || {
                        for (at, keys, k_rows, _) in parts() {
                            score_one(&q_rows[..head_dim], k_rows, k.strides[2], &mut scores[at..at + keys]);
                        }
                        softmax(scores, 0, width, sizes.scale);
                        out.fill(0.0);
                        for (at, keys, _, v_rows) in parts() {
                            mix_one(&scores[at..at + keys], v_rows, v.strides[2], out);
                        }
                    },
                );
                return;
            }
            for (at, keys, k_rows, _) in parts() {
                let dst = Rows {
                    data: &mut scores[at..],
                    row: width,
                };
                product(
                    [rows, keys, head_dim],
                    dst,
                    false,
                    (q_rows, q.strides[2]),
                    (k_rows, [1, k.strides[2]]),
                );
            }
            arch.dispatch(
                #[inline(always)]
                || {
                    for (i, row) in scores.chunks_exact_mut(width).enumerate() {
                        let (from, to) = sizes.visible(segment, first + i);
                        softmax(row, from - start, to - start, sizes.scale);
                    }
                },
            );
            for (at, keys, _, v_rows) in parts() {
                let dst = Rows {
                    data: out,
                    row: head_dim,
                };
                product(
                    [rows, head_dim, keys],
                    dst,
                    at > 0,
                    (&scores[at..], width),
                    (v_rows, [v.strides[2], 1]),
                );
            }
        });
}

/// `scores[i] = q · k[i]`, keys `row` apart.
#[inline(always)]
fn score_one(q: &[f32], k: &[f32], row: usize, scores: &mut [f32]) {
    for (key, score) in scores.iter_mut().enumerate() {
        *score = dot(q, &k[key * row..][..q.len()]);
    }
}

/// `out += Σ weights[i] v[i]`, values `row` apart.
#[inline(always)]
fn mix_one(weights: &[f32], v: &[f32], row: usize, out: &mut [f32]) {
    for (key, weight) in weights.iter().enumerate() {
        for (out, v) in out.iter_mut().zip(&v[key * row..]) {
            *out += weight * v;
        }
    }
}

/// A matrix to write, its contiguous rows `row` apart.
struct Rows<'a> {
    data: &'a mut [f32],
    row: usize,
}

/// `dst = lhs rhs` on this thread, or `dst += lhs rhs`, for `[m, n, inner]`, lhs with contiguous rows at a distance, and rhs
/// with the strides `[row, column]`.
fn product(
    [m, n, inner]: [usize; 3],
    dst: Rows,
    add: bool,
    (lhs, lhs_row): (&[f32], usize),
    (rhs, [rhs_row, rhs_column]): (&[f32], [usize; 2]),
) {
    assert!(
        dst.data.len() >= (m - 1) * dst.row + n
            && lhs.len() >= (m - 1) * lhs_row + inner
            && rhs.len() > (inner - 1) * rhs_row + (n - 1) * rhs_column
    );
    // SAFETY: the slices hold every element that the extents and strides reach, as asserted.
    unsafe {
        gemm::gemm(
            m,
            n,
            inner,
            dst.data.as_mut_ptr(),
            1,
            dst.row as isize,
            add,
            lhs.as_ptr(),
            1,
            lhs_row as isize,
            rhs.as_ptr(),
            rhs_column as isize,
            rhs_row as isize,
            if add { 1.0 } else { 0.0 },
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
