//! Attention over grouped heads.

use std::ops::Range;

use crate::cpu::AttentionSizes;
use crate::error::shape_error;
use crate::tensor::Repr;
use crate::{Result, Tensor};

/// Which keys a query sees. Of S keys and T queries, query i sits at position S − T + i.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttentionMask {
    /// No key after the query's own position.
    pub causal: bool,
    /// Only this many positions up to the query's own.
    pub window: Option<usize>,
}

/// Consecutive queries over the same keys.
///
/// The keys are those of `keys`, one range after another, ascending and apart. The queries are the last of that row of keys, one after another:
/// query i of n over S keys has position S − n + i.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The queries.
    pub queries: Range<usize>,
    /// The keys, in the order of their positions.
    pub keys: Vec<Range<usize>>,
}

impl Segment {
    /// Keys in all ranges.
    pub(crate) fn key_count(&self) -> usize {
        self.keys.iter().map(ExactSizeIterator::len).sum()
    }

    /// The parts of the ranges between two positions: where each begins among the positions, and its keys.
    pub(crate) fn between(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let mut position = 0;
        self.keys.iter().filter_map(move |range| {
            let (start, end) = (from.max(position), to.min(position + range.len()));
            let part = (
                start,
                range.start + start.saturating_sub(position)..range.start + end.saturating_sub(position),
            );
            position += range.len();
            (start < end).then_some(part)
        })
    }
}

impl AttentionSizes {
    /// True if the mask hides nothing.
    fn shows_all(&self) -> bool {
        let [segment] = self.segments.as_slice() else {
            return false;
        };
        segment.key_count() == self.keys
            && (!self.causal || self.queries == 1)
            && self.window.is_none_or(|window| window >= self.keys)
    }

    /// Additive mask, row-major `[queries, keys]`: 0 where seen, −∞ where hidden.
    fn additive(&self) -> Vec<f32> {
        let mut mask = vec![f32::NEG_INFINITY; self.queries * self.keys];
        for segment in &self.segments {
            for (i, query) in segment.queries.clone().enumerate() {
                let (from, to) = self.visible(segment, i);
                for (_, keys) in segment.between(from, to) {
                    mask[query * self.keys..][keys].fill(0.0);
                }
            }
        }
        mask
    }
}

impl Tensor {
    /// softmax(`scale` · q kᵀ + mask) v for q `[B, H, T, D]` and k, v `[B, Hkv, S, D]`, where Hkv divides H and T ≤ S. Query
    /// head h reads key head h · Hkv / H. Result `[B, H, T, D]`.
    pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: &AttentionMask, scale: f64) -> Result<Tensor> {
        const OP: &str = "attention";
        let (queries, keys) = (q.shape(), k.shape());
        if queries.len() == 4 && keys.len() == 4 && queries[2] > keys[2] {
            return shape_error(OP, format!("T ≤ S wanted, found q {queries:?} and k {keys:?}"));
        }
        let whole = Segment {
            queries: 0..q.shape().get(2).copied().unwrap_or_default(),
            keys: std::iter::once(0..k.shape().get(2).copied().unwrap_or_default()).collect(),
        };
        attend(OP, [q, k, v], vec![whole], mask, scale)
    }

    /// Causal attention of packed sequences: as [`Tensor::attention`], but each query of q `[B, H, T, D]` sees only the keys of
    /// its own segment, up to its own position, and no more than `window` of them. The segments cover the queries in order.
    pub fn segment_attention(
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        segments: &[Segment],
        window: Option<usize>,
        scale: f64,
    ) -> Result<Tensor> {
        let mask = AttentionMask { causal: true, window };
        attend("segment_attention", [q, k, v], segments.to_vec(), &mask, scale)
    }
}

fn attend(
    op: &'static str,
    [q, k, v]: [&Tensor; 3],
    segments: Vec<Segment>,
    mask: &AttentionMask,
    scale: f64,
) -> Result<Tensor> {
    q.check_float(op)?;
    q.check_same(op, k)?;
    q.check_same(op, v)?;
    let (qs, ks) = (q.shape(), k.shape());
    let fits = qs.len() == 4
        && ks.len() == 4
        && ks == v.shape()
        && qs[0] == ks[0]
        && qs[3] == ks[3]
        && ks[1] > 0
        && qs[1] % ks[1] == 0
        && mask.window != Some(0);
    if !fits {
        return shape_error(
            op,
            format!(
                "q [B,H,T,D], k and v [B,Hkv,S,D] with Hkv dividing H and a window of at least 1 wanted; found {qs:?}, {ks:?}, {:?}, {:?}",
                v.shape(),
                mask.window
            ),
        );
    }
    let mut covered = 0;
    for segment in &segments {
        let whole = segment.queries.start == covered
            && segment.queries.start <= segment.queries.end
            && segment
                .keys
                .iter()
                .all(|keys| keys.start < keys.end && keys.end <= ks[2])
            && segment.keys.windows(2).all(|pair| pair[0].end <= pair[1].start)
            && segment.queries.len() <= segment.key_count();
        if !whole {
            return shape_error(
                op,
                format!(
                    "segments that cover {} queries in order, each with at least as many of the {} keys, wanted; found {segment:?} after query {covered}",
                    qs[2], ks[2]
                ),
            );
        }
        covered = segment.queries.end;
    }
    if covered != qs[2] {
        return shape_error(op, format!("the segments cover {covered} of {} queries", qs[2]));
    }
    let sizes = AttentionSizes {
        heads: qs[1],
        kv_heads: ks[1],
        queries: qs[2],
        keys: ks[2],
        head_dim: qs[3],
        causal: mask.causal,
        window: mask.window,
        scale: scale as f32,
        segments,
    };
    let additive = || -> Result<Tensor> {
        Tensor::from_slice(&sizes.additive(), &[sizes.queries, sizes.keys], &q.device())?.to_dtype(q.dtype())
    };
    match (&q.repr, &k.repr, &v.repr) {
        #[cfg(feature = "candle")]
        (Repr::Candle(q), Repr::Candle(k), Repr::Candle(v)) => {
            let native_mask = || match sizes.shows_all() {
                true => Ok(None),
                false => additive()
                    .map(|mask| crate::candle::all(&[&mask]).pop())
                    .map_err(candle_core::Error::wrap),
            };
            crate::candle::kernels::attention(q, k, v, &sizes, scale, native_mask)
                .map(Tensor::from)
                .map_err(|e| crate::candle::error(op, e))
        }
        #[cfg(feature = "torch")]
        (Repr::Torch(q), Repr::Torch(k), Repr::Torch(v)) => {
            let all_seen = sizes.shows_all();
            let plain = sizes.causal
                && sizes.segments.len() == 1
                && sizes.segments[0].key_count() == sizes.queries
                && sizes.queries == sizes.keys
                && sizes.window.is_none_or(|window| window >= sizes.keys);
            let bias = || {
                if plain || all_seen {
                    Ok(None)
                } else {
                    additive().map(Some)
                }
            };
            crate::torch::kernels::attention([q, k, v], &sizes, scale, plain && !all_seen, bias)
                .map(Tensor::from)
                .map_err(|e| crate::torch::error(op, e))
        }
        #[allow(unreachable_patterns)]
        _ => unreachable!("the operands were checked to live on one engine"),
    }
}
