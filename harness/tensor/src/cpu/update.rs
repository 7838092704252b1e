//! Updates of a tensor where it lies, as optimisers make them: one pass over the memory each.

use rayon::prelude::*;

use crate::AdamW;

const CHUNK: usize = 1 << 14;

/// `target[i] = f(target[i], other[i])`.
fn zip_in_place(target: &mut [f32], other: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    let arch = pulp::Arch::new();
    target
        .par_chunks_mut(CHUNK)
        .zip(other.par_chunks(CHUNK))
        .for_each(|(target, other)| {
            arch.dispatch(
                #[inline(always)]
                || {
                    for (target, &other) in target.iter_mut().zip(other) {
                        *target = f(*target, other);
                    }
                },
            )
        });
}

pub(crate) fn add_in_place(target: &mut [f32], other: &[f32], scale: f32) {
    zip_in_place(
        target,
        other,
        #[inline(always)]
        |x, y| x + scale * y,
    );
}

pub(crate) fn lerp_in_place(target: &mut [f32], other: &[f32], weight: f32) {
    zip_in_place(
        target,
        other,
        #[inline(always)]
        |x, y| x + weight * (y - x),
    );
}

pub(crate) fn mul_in_place(target: &mut [f32], other: &[f32]) {
    zip_in_place(
        target,
        other,
        #[inline(always)]
        |x, y| x * y,
    );
}

/// Σ x², chunk by chunk in f64, so that the order of threads does not show.
pub(crate) fn square_sum(values: &[f32]) -> f64 {
    let arch = pulp::Arch::new();
    let sums: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|chunk| {
            arch.dispatch(
                #[inline(always)]
                || {
                    const LANES: usize = 16;
                    let mut sums = [0f64; LANES];
                    let (lanes, rest) = chunk.as_chunks::<LANES>();
                    for lane in lanes {
                        for (sum, &x) in sums.iter_mut().zip(lane) {
                            *sum += f64::from(x) * f64::from(x);
                        }
                    }
                    let rest: f64 = rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
                    sums.iter().sum::<f64>() + rest
                },
            )
        })
        .collect();
    sums.iter().sum()
}

/// One step of [`crate::Tensor::adamw_in_place`].
pub(crate) fn adamw(parameter: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], step: &AdamW) {
    let (decay, rate, correction) = (step.decay() as f32, step.rate() as f32, step.correction() as f32);
    let (beta1, beta2) = (step.betas.0 as f32, step.betas.1 as f32);
    let (rest1, rest2) = ((1.0 - step.betas.0) as f32, (1.0 - step.betas.1) as f32);
    let (eps, scale) = (step.eps as f32, step.gradient_scale as f32);
    let arch = pulp::Arch::new();
    parameter
        .par_chunks_mut(CHUNK)
        .zip(gradient.par_chunks(CHUNK))
        .zip(first.par_chunks_mut(CHUNK))
        .zip(second.par_chunks_mut(CHUNK))
        .for_each(|(((parameter, gradient), first), second)| {
            arch.dispatch(
                #[inline(always)]
                || {
                    for (((p, &g), m), v) in parameter.iter_mut().zip(gradient).zip(first).zip(second) {
                        let g = g * scale;
                        *m = beta1 * *m + rest1 * g;
                        *v = beta2 * *v + rest2 * g * g;
                        *p = *p * decay - rate * *m / (v.sqrt() * correction + eps);
                    }
                },
            )
        });
}

/// Sets a share `rate` of the elements to 0 and the others to 1 / (1 − `rate`). An element's draw depends on `seed` and its
/// index alone.
pub(crate) fn dropout_mask(mask: &mut [f32], rate: f64, seed: u64) {
    let keep = (1.0 / (1.0 - rate)) as f32;
    let limit = (rate * (1u64 << 32) as f64) as u32;
    let drawn = |draw: u32| if draw < limit { 0.0 } else { keep };
    mask.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, mask)| {
        let first = (chunk * CHUNK / 2) as u64;
        let (pairs, rest) = mask.as_chunks_mut::<2>();
        for (index, pair) in (first..).zip(pairs.iter_mut()) {
            let bits = split_mix(seed, index);
            *pair = [drawn(bits as u32), drawn((bits >> 32) as u32)];
        }
        for element in rest {
            *element = drawn(split_mix(seed, first + pairs.len() as u64) as u32);
        }
    });
}

/// Output `index` of the SplitMix64 generator (Steele, Lea and Flood 2014) that starts from `seed`.
fn split_mix(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add((index.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix_gives_the_published_sequence() {
        // The reference generator's first outputs from seed 1234567.
        let outputs: Vec<u64> = (0..3).map(|index| split_mix(1_234_567, index)).collect();
        assert_eq!(
            outputs,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn the_square_sum_does_not_depend_on_chunks() {
        let values: Vec<f32> = (0..100_003).map(|i| (i % 7) as f32 - 3.0).collect();
        let want: f64 = values.iter().map(|&x| f64::from(x * x)).sum();
        assert_eq!(square_sum(&values), want);
    }
}
