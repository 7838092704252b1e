//! Tests of paired differences that assume only that, without an effect, either sign is equally likely.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF, Normal};

/// The most differences whose distribution is enumerated: beyond 50 the normal approximation is as good.
const MOST_RANKED: usize = 50;

/// The most differences of which all sign patterns are tried, `2^16` of them.
const MOST_FLIPPED: usize = 16;

/// Random sign patterns where there are more.
const FLIPS: usize = 99_999;

/// The p-value of Wilcoxon's signed-rank test of paired differences, zeroes left out (`zero_method="wilcox"`).
///
/// Up to 50 differences that are all different and not zero have the exact distribution (`scipy.stats.wilcoxon(...,
/// method="exact")`), others the normal approximation with corrections for ties and continuity
/// (`method="asymptotic", correction=True`). `None` if no difference is left, or one is no number.
pub fn wilcoxon_signed_rank(differences: &[f64]) -> Option<f64> {
    let mut sizes: Vec<(f64, bool)> = differences.iter().map(|d| (d.abs(), *d > 0.0)).collect();
    sizes.retain(|(size, _)| *size != 0.0);
    if sizes.is_empty() || sizes.iter().any(|(size, _)| size.is_nan()) {
        return None;
    }
    sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut positive, mut rank, mut ties) = (0.0, 0.0, 0.0);
    for equal in sizes.chunk_by(|a, b| a.0 == b.0) {
        let count = equal.len() as f64;
        // Equal sizes share the mean of their ranks.
        let shared = rank + (count + 1.0) / 2.0;
        positive += shared * equal.iter().filter(|(_, positive)| *positive).count() as f64;
        rank += count;
        ties += count.powi(3) - count;
    }
    let n = sizes.len();
    if n <= MOST_RANKED && ties == 0.0 && n == differences.len() {
        return Some(exact_signed_rank(n, positive as usize));
    }
    let n = n as f64;
    let centre = n * (n + 1.0) / 4.0;
    let spread = ((n * (n + 1.0) * (2.0 * n + 1.0) - ties / 2.0) / 24.0).sqrt();
    let distance = positive - centre;
    let corrected = if distance == 0.0 { 0.0 } else { distance.abs() - 0.5 };
    Some((2.0 * Normal::standard().sf(corrected / spread)).min(1.0))
}

/// Twice the smaller tail of the rank sum among all `2^n` sign patterns.
fn exact_signed_rank(n: usize, positive: usize) -> f64 {
    let most = n * (n + 1) / 2;
    // How many subsets of the ranks have each sum; 2^50 is exact in f64.
    let mut subsets = vec![0.0f64; most + 1];
    subsets[0] = 1.0;
    for rank in 1..=n {
        for sum in (rank..=most).rev() {
            subsets[sum] += subsets[sum - rank];
        }
    }
    let smaller: f64 = subsets[..=positive.min(most - positive)].iter().sum();
    (2.0 * smaller / 2f64.powi(n as i32)).min(1.0)
}

/// The p-value of the mean of paired differences among means with other signs, twice the smaller tail
/// (`scipy.stats.permutation_test(permutation_type="samples")`).
///
/// Up to 16 differences all sign patterns are tried, of more 99,999 seeded ones, to which the observed one is added
/// (Phipson and Smyth 2010). `None` without differences, or if one is no number.
pub fn sign_flip_test(differences: &[f64]) -> Option<f64> {
    let n = differences.len();
    if n == 0 || differences.iter().any(|d| d.is_nan()) {
        return None;
    }
    let observed: f64 = differences.iter().sum();
    // Sums that are equal but for rounding count as equal.
    let slack = 1e-14 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let (mut low, mut high) = (0usize, 0usize);
    let mut count = |sum: f64| {
        low += usize::from(sum <= observed + slack);
        high += usize::from(sum >= observed - slack);
    };
    let patterns = if n <= MOST_FLIPPED {
        for pattern in 0..1u32 << n {
            let signed = differences.iter().enumerate();
            count(signed.map(|(i, d)| if pattern >> i & 1 == 1 { -d } else { *d }).sum());
        }
        1 << n
    } else {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for _ in 0..FLIPS {
            let mut sum = 0.0;
            for chunk in differences.chunks(64) {
                let signs: u64 = rng.random();
                let signed = chunk.iter().enumerate();
                sum += signed
                    .map(|(i, d)| if signs >> i & 1 == 1 { -d } else { *d })
                    .sum::<f64>();
            }
            count(sum);
        }
        count(observed);
        FLIPS + 1
    };
    Some((2.0 * low.min(high) as f64 / patterns as f64).min(1.0))
}
