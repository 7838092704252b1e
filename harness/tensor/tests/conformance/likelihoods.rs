//! Means over many tokens keep no error that all tokens share.

use prunebench_tensor::{DType, Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// The largest in use (Qwen2.5), where sums in f32 are worst.
const VOCABULARY: usize = 151_936;
const ROWS: usize = 500;
const TOKENS_A_ROW: usize = 20;
const ROWS_AT_ONCE: usize = 50;
/// Nats per token.
const BOUND: f64 = 1e-7;

struct Logits {
    rows: Vec<f32>,
    /// Rows and tokens.
    pairs: Vec<(usize, usize)>,
}

fn logits(seed: u64) -> Logits {
    let of_row = |row: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed * 1000 + row as u64);
        // Of a width and in a range like those of a model's logits.
        let mut draw = move || (0..4).map(|_| rng.random::<f32>()).sum::<f32>() * 5.0 - 12.0;
        (0..VOCABULARY).map(move |_| draw())
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Logits {
        rows: (0..ROWS_AT_ONCE).into_par_iter().flat_map_iter(of_row).collect(),
        pairs: (0..ROWS_AT_ONCE * TOKENS_A_ROW)
            .map(|at| (at / TOKENS_A_ROW, rng.random_range(0..VOCABULARY)))
            .collect(),
    }
}

/// ln Σ exp of each row, every step in f64.
fn log_sum_exp(rows: &[f32]) -> Vec<f64> {
    let of_row = |row: &[f32]| row.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
    rows.par_chunks(VOCABULARY).map(of_row).collect()
}

#[test]
fn ten_thousand_tokens_of_a_large_vocabulary_have_the_mean_likelihood_that_f64_gives() {
    let devices = Device::available();
    let mut off = vec![[0.0; 2]; devices.len()];
    for seed in 0..(ROWS / ROWS_AT_ONCE) as u64 {
        let Logits { rows, pairs } = logits(seed);
        let sums = log_sum_exp(&rows);
        let wanted: f64 = pairs
            .iter()
            .map(|&(row, token)| f64::from(rows[row * VOCABULARY + token]) - sums[row])
            .sum();
        for (device, off) in devices.iter().zip(&mut off) {
            let logits = Tensor::from_slice(&rows, &[ROWS_AT_ONCE, VOCABULARY], device).unwrap();
            let (likelihoods, _) = logits.token_log_likelihoods(&pairs).unwrap();
            off[0] += likelihoods.to_f64_vec().unwrap().iter().sum::<f64>() - wanted;
            // One target a row.
            for token in 0..TOKENS_A_ROW {
                let targets: Vec<i64> = (0..ROWS_AT_ONCE)
                    .map(|row| pairs[row * TOKENS_A_ROW + token].1 as i64)
                    .collect();
                let targets = Tensor::from_slice(&targets, &[ROWS_AT_ONCE], device).unwrap();
                let losses = logits.cross_entropy(&targets).unwrap();
                off[1] -= losses.to_f64_vec().unwrap().iter().sum::<f64>();
            }
            off[1] -= wanted;
        }
    }
    for (device, off) in devices.iter().zip(off) {
        let [likelihood, loss] = off.map(|off| off / (ROWS * TOKENS_A_ROW) as f64);
        assert!(
            likelihood.abs() < BOUND,
            "{device}: likelihoods are {likelihood:e} off in the mean"
        );
        assert!(loss.abs() < BOUND, "{device}: losses are {loss:e} off in the mean");
    }
}

#[test]
fn the_divergence_of_a_model_from_nearly_itself_is_that_of_f64() {
    let Logits { rows, .. } = logits(7);
    let near: Vec<f32> = rows
        .iter()
        .zip(0..)
        .map(|(x, i)| x + ((i % 7) as f32 - 3.0) * 1e-3)
        .collect();
    let (sums_p, sums_q) = (log_sum_exp(&rows), log_sum_exp(&near));
    let wanted: Vec<f64> = (0..ROWS_AT_ONCE)
        .map(|row| {
            let of_row = row * VOCABULARY..(row + 1) * VOCABULARY;
            let terms = rows[of_row.clone()].iter().zip(&near[of_row]);
            terms
                .map(|(&p, &q)| {
                    let (p, q) = (f64::from(p) - sums_p[row], f64::from(q) - sums_q[row]);
                    p.exp() * (p - q)
                })
                .sum()
        })
        .collect();
    for device in Device::available() {
        let of = |logits: &[f32]| Tensor::from_slice(logits, &[ROWS_AT_ONCE, VOCABULARY], &device).unwrap();
        let found = of(&rows).kl_divergence(&of(&near)).unwrap();
        assert_eq!(found.dtype(), DType::F64);
        for (found, wanted) in found.to_vec::<f64>().unwrap().into_iter().zip(&wanted) {
            assert!(
                (found / wanted - 1.0).abs() < 0.01,
                "{device}: {found:e}, wanted {wanted:e}"
            );
        }
    }
}
