//! Attention over grouped heads.

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

impl AttentionMask {
    /// True if the mask hides nothing from `queries` queries over `keys` keys.
    fn is_empty(&self, queries: usize, keys: usize) -> bool {
        (!self.causal || queries == 1) && self.window.is_none_or(|window| window >= keys)
    }

    /// Additive mask, row-major `[queries, keys]`: 0 where seen, −∞ where hidden.
    fn additive(&self, queries: usize, keys: usize) -> Vec<f32> {
        (0..queries * keys)
            .map(|i| {
                let (position, key) = (keys - queries + i / keys, i % keys);
                let hidden =
                    self.causal && key > position || self.window.is_some_and(|window| key + window <= position);
                if hidden { f32::NEG_INFINITY } else { 0.0 }
            })
            .collect()
    }
}

impl Tensor {
    /// softmax(`scale` · q kᵀ + mask) v for q `[B, H, T, D]` and k, v `[B, Hkv, S, D]`, where Hkv divides H and T ≤ S. Query
    /// head h reads key head h · Hkv / H. Result `[B, H, T, D]`.
    pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: &AttentionMask, scale: f64) -> Result<Tensor> {
        const OP: &str = "attention";
        q.check_float(OP)?;
        q.check_same(OP, k)?;
        q.check_same(OP, v)?;
        let (qs, ks) = (q.shape(), k.shape());
        let fits = qs.len() == 4
            && ks.len() == 4
            && ks == v.shape()
            && qs[0] == ks[0]
            && qs[3] == ks[3]
            && ks[1] > 0
            && qs[1] % ks[1] == 0
            && qs[2] <= ks[2]
            && mask.window != Some(0);
        if !fits {
            return shape_error(
                OP,
                format!(
                    "q [B,H,T,D], k and v [B,Hkv,S,D] with Hkv dividing H, T ≤ S and a window of at least 1 wanted; found {qs:?}, {ks:?}, {:?}, {:?}",
                    v.shape(),
                    mask.window
                ),
            );
        }
        let (queries, keys) = (qs[2], ks[2]);
        let additive = || -> Result<Tensor> {
            Tensor::from_slice(&mask.additive(queries, keys), &[queries, keys], &q.device())?.to_dtype(q.dtype())
        };
        let sizes = crate::cpu::AttentionSizes {
            heads: qs[1],
            kv_heads: ks[1],
            queries,
            keys,
            head_dim: qs[3],
            causal: mask.causal,
            window: mask.window,
            scale: scale as f32,
        };
        match (&q.repr, &k.repr, &v.repr) {
            #[cfg(feature = "candle")]
            (Repr::Candle(q), Repr::Candle(k), Repr::Candle(v)) => {
                let native_mask = || match mask.is_empty(queries, keys) {
                    true => Ok(None),
                    false => additive()
                        .map(|mask| crate::candle::all(&[&mask]).pop())
                        .map_err(candle_core::Error::wrap),
                };
                crate::candle::kernels::attention(q, k, v, sizes, scale, native_mask)
                    .map(Tensor::from)
                    .map_err(|e| crate::candle::error(OP, e))
            }
            #[cfg(feature = "torch")]
            (Repr::Torch(q), Repr::Torch(k), Repr::Torch(v)) => {
                let all_seen = mask.is_empty(queries, keys);
                let plain = mask.causal && queries == keys && mask.window.is_none_or(|window| window >= keys);
                let bias = || {
                    if plain || all_seen {
                        Ok(None)
                    } else {
                        additive().map(Some)
                    }
                };
                crate::torch::kernels::attention([q, k, v], sizes, scale, plain && !all_seen, bias)
                    .map(Tensor::from)
                    .map_err(|e| crate::torch::error(OP, e))
            }
            #[allow(unreachable_patterns)]
            _ => unreachable!("the operands were checked to live on one engine"),
        }
    }
}
