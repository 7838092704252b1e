//! Log-likelihoods of some targets of each row, without materialising the softmax.

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

/// NaN if there is one in the row: the sum keeps what the maximum passes over.
#[inline(always)]
fn log_sum_exp(row: &[f32]) -> f32 {
    let max = largest(row);
    if max == f32::INFINITY {
        return f32::NAN;
    }
    let chunks = row.chunks_exact(LANES);
    let mut sum: f64 = chunks.remainder().iter().map(|&x| exp(x - max) as f64).sum();
    let mut sums = [0f32; LANES];
    for (i, chunk) in chunks.enumerate() {
        for lane in 0..LANES {
            sums[lane] += exp(chunk[lane] - max);
        }
        // Partial sums stay short, so that f32 rounding does not grow with the vocabulary.
        if i % 32 == 31 {
            sum += sums.iter().map(|&s| s as f64).sum::<f64>();
            sums = [0f32; LANES];
        }
    }
    sum += sums.iter().map(|&s| s as f64).sum::<f64>();
    (max as f64 + sum.ln()) as f32
}

/// `out[i] = log Σ_v exp(logits[i, v]) − logits[i, targets[i]]`; `targets` lie within the vocabulary.
#[cfg(feature = "candle")]
pub(crate) fn cross_entropy(logits: &[f32], vocab: usize, targets: &[i64], out: &mut [f32]) {
    let arch = pulp::Arch::new();
    out.par_iter_mut()
        .zip(logits.par_chunks(vocab))
        .zip(targets)
        .for_each(|((out, row), &target)| {
            *out = arch.dispatch(
                #[inline(always)]
                || log_sum_exp(row),
            ) - row[target as usize];
        });
}

/// Of each row, the logarithm of Σ_v exp(logits[v]) and the place of the first largest logit.
pub(crate) fn row_likelihoods(logits: &[f32], vocab: usize) -> Vec<(f32, i64)> {
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
