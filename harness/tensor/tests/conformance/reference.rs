//! Every operation that needs more than [`Array`]'s general forms, written naively from its definition.

use prunebench_tensor::{AttentionMask, Segment};

use crate::array::Array;

pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

pub fn mean(lane: &[f64]) -> f64 {
    lane.iter().sum::<f64>() / lane.len() as f64
}

pub fn largest(lane: &[f64]) -> f64 {
    lane.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

pub fn smallest(lane: &[f64]) -> f64 {
    lane.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Positions in the order that sorts the lane; equal values, such as the two zeros, keep their order.
pub fn order(lane: &[f64], descending: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lane.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = if descending { (b, a) } else { (a, b) };
        lane[a].partial_cmp(&lane[b]).expect("cases have no NaN")
    });
    order
}

fn softmax_lane(lane: &[f64]) -> Vec<f64> {
    let top = largest(lane);
    let powers: Vec<f64> = lane.iter().map(|x| (x - top).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|p| p / total).collect()
}

fn log_softmax_lane(lane: &[f64]) -> Vec<f64> {
    let top = largest(lane);
    let log_total = lane.iter().map(|x| (x - top).exp()).sum::<f64>().ln();
    lane.iter().map(|x| x - top - log_total).collect()
}

pub fn softmax(x: &Array) -> Array {
    x.lanes(x.rank() - 1, softmax_lane)
}

pub fn log_softmax(x: &Array) -> Array {
    x.lanes(x.rank() - 1, log_softmax_lane)
}

pub fn kl_divergence(p: &Array, q: &Array) -> Array {
    let (log_p, log_q) = (log_softmax(p), log_softmax(q));
    let terms = log_p.zip(&log_q, |p, q| p.exp() * (p - q));
    let of_rows = terms.data.chunks(p.shape[1]).map(|row| row.iter().sum());
    Array::new(&p.shape[..1], of_rows.collect())
}

pub fn rms_norm(x: &Array, weight: &Array, eps: f64) -> Array {
    x.lanes(x.rank() - 1, |lane| {
        let mean_square = lane.iter().map(|x| x * x).sum::<f64>() / lane.len() as f64;
        lane.iter().map(|x| x / (mean_square + eps).sqrt()).collect()
    })
    .zip(weight, |x, w| x * w)
}

pub fn layer_norm(x: &Array, eps: f64) -> Array {
    x.lanes(x.rank() - 1, |lane| {
        let centre = mean(lane);
        let variance = lane.iter().map(|x| (x - centre).powi(2)).sum::<f64>() / lane.len() as f64;
        lane.iter().map(|x| (x - centre) / (variance + eps).sqrt()).collect()
    })
}

/// `[n, k] x [k, m]`, or a batch of them; a rank-2 right side serves every batch entry.
pub fn matmul(a: &Array, b: &Array) -> Array {
    let (rows, inner) = (a.shape[a.rank() - 2], a.shape[a.rank() - 1]);
    let columns = b.shape[b.rank() - 1];
    let batch = a.data.len() / (rows * inner);
    let mut data = vec![0.0; batch * rows * columns];
    for n in 0..batch {
        let right = if b.rank() == 2 { 0 } else { n * inner * columns };
        for i in 0..rows {
            let out = &mut data[(n * rows + i) * columns..][..columns];
            for k in 0..inner {
                let x = a.data[(n * rows + i) * inner + k];
                let row = &b.data[right + k * columns..][..columns];
                out.iter_mut().zip(row).for_each(|(o, y)| *o += x * y);
            }
        }
    }
    let mut shape = a.shape.clone();
    shape[a.rank() - 1] = columns;
    Array::new(&shape, data)
}

/// `x w^T + b` over the last dimension.
pub fn linear(x: &Array, weight: &Array, bias: Option<&Array>) -> Array {
    let features = x.shape[x.rank() - 1];
    let rows = x.reshape(&[x.data.len() / features, features]);
    let product = matmul(&rows, &weight.transpose(0, 1));
    let mut shape = x.shape.clone();
    shape[x.rank() - 1] = weight.shape[0];
    let product = product.reshape(&shape);
    bias.map_or(product.clone(), |bias| product.zip(bias, |x, b| x + b))
}

/// Rotates each pair (i, i + D/2) of `[B, H, T, D]` by the angle of position and pair, `cos` and `sin` being `[T, D/2]`.
pub fn rope(x: &Array, cos: &Array, sin: &Array) -> Array {
    let half = x.shape[3] / 2;
    Array::from_fn(&x.shape, |i| {
        let angle = &[i[2], i[3] % half];
        let (sign, partner) = if i[3] < half {
            (-1.0, i[3] + half)
        } else {
            (1.0, i[3] - half)
        };
        x.at(i) * cos.at(angle) + sign * x.at(&[i[0], i[1], i[2], partner]) * sin.at(angle)
    })
}

/// Attention one query at a time; the query `i` of `T` stands at position `S - T + i` among the `S` keys.
pub fn attention(q: &Array, k: &Array, v: &Array, mask: &AttentionMask, scale: f64) -> Array {
    let &[batch, heads, queries, width] = q.shape.as_slice() else {
        panic!("queries of shape {:?}", q.shape)
    };
    let (kv_heads, keys) = (k.shape[1], k.shape[2]);
    let mut data = Vec::with_capacity(q.data.len());
    for b in 0..batch {
        for h in 0..heads {
            let kv = (b * kv_heads + h / (heads / kv_heads)) * keys;
            for i in 0..queries {
                let position = keys - queries + i;
                let seen: Vec<usize> = (0..keys)
                    .filter(|&j| !mask.causal || j <= position)
                    .filter(|&j| mask.window.is_none_or(|window| j + window > position))
                    .collect();
                let query = &q.data[((b * heads + h) * queries + i) * width..][..width];
                let scores: Vec<f64> = seen
                    .iter()
                    .map(|j| {
                        let key = &k.data[(kv + j) * width..][..width];
                        scale * query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>()
                    })
                    .collect();
                let mut out = vec![0.0; width];
                for (j, weight) in seen.iter().zip(softmax_lane(&scores)) {
                    let value = &v.data[(kv + j) * width..][..width];
                    out.iter_mut().zip(value).for_each(|(o, v)| *o += weight * v);
                }
                data.extend(out);
            }
        }
    }
    Array::new(&q.shape, data)
}

/// Attention one segment at a time, over the keys of that segment.
pub fn segment_attention(
    q: &Array,
    k: &Array,
    v: &Array,
    segments: &[Segment],
    window: Option<usize>,
    scale: f64,
) -> Array {
    let mask = AttentionMask { causal: true, window };
    let parts: Vec<Array> = segments
        .iter()
        .map(|segment| {
            let ids: Vec<f64> = segment.keys.iter().cloned().flatten().map(|key| key as f64).collect();
            let ids = Array::new(&[ids.len()], ids);
            let q = q.narrow(2, segment.queries.start, segment.queries.len());
            attention(&q, &index_select(k, 2, &ids), &index_select(v, 2, &ids), &mask, scale)
        })
        .collect();
    cat(&parts.iter().collect::<Vec<_>>(), 2)
}

/// Log-likelihood in nats of each target in its row.
pub fn token_log_likelihoods(logits: &Array, rows: &Array, targets: &Array) -> Array {
    let log_probabilities = log_softmax(logits);
    Array::from_fn(&targets.shape, |i| {
        log_probabilities.at(&[rows.at(i) as usize, targets.at(i) as usize])
    })
}

/// Place of the first largest element of each row.
pub fn largest_places(x: &Array) -> Array {
    x.reduce(1, false, |lane| {
        lane.iter().position(|&x| x == largest(lane)).expect("an element") as f64
    })
}

/// Negative log-likelihood in nats of each row's target.
pub fn cross_entropy(logits: &Array, targets: &Array) -> Array {
    let log_probabilities = log_softmax(logits);
    Array::from_fn(&targets.shape, |row| {
        -log_probabilities.at(&[row[0], targets.at(row) as usize])
    })
}

pub fn cat(parts: &[&Array], dim: usize) -> Array {
    let mut shape = parts[0].shape.clone();
    shape[dim] = parts.iter().map(|part| part.shape[dim]).sum();
    Array::from_fn(&shape, |i| {
        let mut i = i.to_vec();
        for part in parts {
            if i[dim] < part.shape[dim] {
                return part.at(&i);
            }
            i[dim] -= part.shape[dim];
        }
        unreachable!("the index lies inside the sum of the parts")
    })
}

pub fn index_select(x: &Array, dim: usize, ids: &Array) -> Array {
    x.lanes(dim, |lane| ids.data.iter().map(|&id| lane[id as usize]).collect())
}

pub fn gather(x: &Array, dim: usize, ids: &Array) -> Array {
    Array::from_fn(&ids.shape, |i| {
        let mut source = i.to_vec();
        source[dim] = ids.at(i) as usize;
        x.at(&source)
    })
}

/// Eigenvalues, ascending, of a symmetric matrix by Jacobi rotations: slow, simple and accurate.
pub fn symmetric_eigenvalues(matrix: &Array) -> Vec<f64> {
    let n = matrix.shape[0];
    let mut a = matrix.data.clone();
    for _sweep in 0..60 {
        for p in 0..n {
            for q in p + 1..n {
                if a[p * n + q] == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
                let t = 1f64.copysign(theta) / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    let mut values: Vec<f64> = (0..n).map(|i| a[i * n + i]).collect();
    values.sort_by(f64::total_cmp);
    values
}
