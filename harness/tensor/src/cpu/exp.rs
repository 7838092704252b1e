//! e^x in a form that the compiler vectorises; libm's is one call an element.

/// Adding 1.5 · 2^23 leaves the rounded integer in the low bits of the significand.
const ROUND: f32 = 12_582_912.0;

/// e^x within 2 units in the last place for finite results; below −87 it is the smallest normal number, not 0, and NaN
/// stays NaN. Polynomial: the Cephes library's `expf` (S. Moshier), on |r| ≤ ln 2 / 2.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first exact in few bits.
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_2e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + coefficient;
    }
    let mantissa = p * r * r + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    mantissa * f32::from_bits(exponent)
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn exp_is_within_three_ulp_of_the_f64_value() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0;
            let want = (x as f64).exp();
            let error = ((exp(x) as f64 - want) / want).abs();
            assert!(error < 3.0 * f32::EPSILON as f64, "exp({x}) is off by {error:e}");
        }
    }

    #[test]
    fn exp_keeps_nan_and_one() {
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }
}
