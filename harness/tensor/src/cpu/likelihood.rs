//! Log-likelihoods and divergences of rows of logits, without materialising the softmax.
//!
//! A vocabulary of 10^5 terms added up in f32 is off by some 10^-6, to one side in all rows, which no mean over tokens takes away:
//! terms are made in f32, whose rounding is not to one side, and added up in f64.

use rayon::prelude::*;

use super::exp::exp;

const LANES: usize = 32;

/// The largest number of a row, past any NaN.
#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    row.iter()
        .copied()
        .fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
}

/// Σ of `term` over the places of `x` and `y`, which are equally long.
#[inline(always)]
fn sum_of(x: &[f32], y: &[f32], term: impl Fn(f32, f32) -> f32) -> f64 {
    let (x_chunks, y_chunks) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest = x_chunks.remainder().iter().zip(y_chunks.remainder());
    let mut sum: f64 = rest.map(|(&x, &y)| f64::from(term(x, y))).sum();
    let mut sums = [0f32; LANES];
    for (i, (x, y)) in x_chunks.zip(y_chunks).enumerate() {
        for lane in 0..LANES {
            sums[lane] += term(x[lane], y[lane]);
        }
        // Partial sums stay short, so that f32 rounding does not grow with the vocabulary.
        if i % 32 == 31 {
            sum += sums.iter().map(|&s| f64::from(s)).sum::<f64>();
            sums = [0f32; LANES];
        }
    }
    sum + sums.iter().map(|&s| f64::from(s)).sum::<f64>()
}

/// NaN if there is one in the row: the sum keeps what the maximum passes over.
#[inline(always)]
fn log_sum_exp(row: &[f32]) -> f64 {
    let max = largest(row);
    if max == f32::INFINITY {
        return f64::NAN;
    }
    f64::from(max) + sum_of(row, row, |x, _| exp(x - max)).ln()
}

/// Σ_v p(v) (ln p(v) − ln q(v)) of the softmaxes of two rows of logits.
#[inline(always)]
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let max = largest(p);
    if max == f32::INFINITY {
        return f64::NAN;
    }
    let total = sum_of(p, p, |x, _| exp(x - max));
    // Of ln p − ln q only the difference of the logits varies over the row.
    let logits = sum_of(p, q, |x, y| exp(x - max) * (x - y)) / total;
    logits - (f64::from(max) + total.ln()) + log_sum_exp(q)
}

/// `out[i] = log Σ_v exp(logits[i, v]) − logits[i, targets[i]]`; `targets` lie within the vocabulary.
pub(crate) fn cross_entropy(logits: &[f32], vocab: usize, targets: &[i64], out: &mut [f32]) {
    let arch = pulp::Arch::new();
    out.par_iter_mut()
        .zip(logits.par_chunks(vocab))
        .zip(targets)
        .for_each(|((out, row), &target)| {
            let sum = arch.dispatch(
                #[inline(always)]
                || log_sum_exp(row),
            );
            *out = (sum - f64::from(row[target as usize])) as f32;
        });
}

/// Of each row, the logarithm of Σ_v exp(logits[v]) and the place of the first largest logit.
pub(crate) fn row_likelihoods(logits: &[f32], vocab: usize) -> Vec<(f64, i64)> {
    let arch = pulp::Arch::new();
    logits
        .par_chunks(vocab)
        .map(|row| {
            arch.dispatch(
                #[inline(always)]
                || (log_sum_exp(row), first_largest(row)),
            )
        })
        .collect()
}

/// Of each row, the divergence of the softmax of `q` from that of `p`; equal shapes.
pub(crate) fn row_divergences(p: &[f32], q: &[f32], vocab: usize) -> Vec<f64> {
    let arch = pulp::Arch::new();
    p.par_chunks(vocab)
        .zip(q.par_chunks(vocab))
        .map(|(p, q)| {
            arch.dispatch(
                #[inline(always)]
                || divergence(p, q),
            )
        })
        .collect()
}

#[inline(always)]
fn first_largest(row: &[f32]) -> i64 {
    let max = largest(row);
    // A block at a time: comparing is vectorised, finding out where is not.
    let block = row.chunks(1024).position(|block| {
        let mut found = false;
        for &x in block {
            found |= x == max;
        }
        found
    });
    let start = 1024 * block.unwrap_or(0);
    let place = row[start..].iter().position(|&x| x == max).unwrap_or(0);
    (start + place) as i64
}
