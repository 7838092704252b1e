//! Differences with their standard error, judged by Student's t.

use prunebench_results::statistics::{mean, standard_error};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{COVERAGE, Interval};

/// An estimated mean or difference of means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Its standard error.
    pub stderr: f64,
    /// Degrees of freedom of the error.
    pub degrees: f64,
    /// Skewness of the mean's distribution, as far as the sample shows it: that of its values over `sqrt(n)`; else 0.
    pub skewness: f64,
}

impl Estimate {
    /// The mean of independent values; of differences it is the paired t-test (`scipy.stats.ttest_rel`). `None` of fewer
    /// than two.
    pub fn of_mean(values: &[f64]) -> Option<Self> {
        let (value, stderr, n) = (mean(values)?, standard_error(values)?, values.len() as f64);
        let moment = |exponent| values.iter().map(|x| (x - value).powi(exponent)).sum::<f64>() / n;
        let spread = moment(2).powf(1.5);
        Some(Self {
            value,
            stderr,
            degrees: n - 1.0,
            skewness: if spread > 0.0 {
                moment(3) / spread / n.sqrt()
            } else {
                0.0
            },
        })
    }

    /// The mean of `a` less that of `b`, which are independent and may vary differently, by Welch
    /// (`scipy.stats.ttest_ind(equal_var=False)`). `None` if either has fewer than two values.
    pub fn of_independent(a: &[f64], b: &[f64]) -> Option<Self> {
        let (a, b) = (Self::of_mean(a)?, Self::of_mean(b)?);
        let (square_a, square_b) = (a.stderr.powi(2), b.stderr.powi(2));
        let spread = square_a.powi(2) / a.degrees + square_b.powi(2) / b.degrees;
        Some(Self {
            value: a.value - b.value,
            stderr: (square_a + square_b).sqrt(),
            degrees: if spread > 0.0 {
                (square_a + square_b).powi(2) / spread
            } else {
                a.degrees + b.degrees
            },
            skewness: 0.0,
        })
    }

    /// The mean over items and seeds, from the same items under several seeds, as of draws of both: with the variance between
    /// seeds and that between items in its error, by the mean squares of a two-way layout without repeats (Searle, Casella and
    /// McCulloch 1992, section 4.3), and Satterthwaite's degrees of freedom. `None` below two seeds or items, of seeds with
    /// different numbers of items, or if all values are equal.
    pub fn of_seeds(seeds: &[Vec<f64>]) -> Option<Self> {
        let (s, n) = (seeds.len(), seeds.first()?.len());
        if s < 2 || n < 2 || seeds.iter().any(|values| values.len() != n) {
            return None;
        }
        let seed_means: Vec<f64> = seeds
            .iter()
            .map(|values| values.iter().sum::<f64>() / n as f64)
            .collect();
        let item_means: Vec<f64> = (0..n)
            .map(|item| seeds.iter().map(|values| values[item]).sum::<f64>() / s as f64)
            .collect();
        let value = mean(&seed_means)?;
        let scatter = |means: &[f64]| means.iter().map(|mean| (mean - value).powi(2)).sum::<f64>();
        let rest: f64 = seeds
            .iter()
            .zip(&seed_means)
            .map(|(values, seed)| {
                let rest = values.iter().zip(&item_means).map(|(x, item)| x - seed - item + value);
                rest.map(|rest| rest.powi(2)).sum::<f64>()
            })
            .sum();
        let (s, n) = (s as f64, n as f64);
        let degrees = [s - 1.0, n - 1.0, (s - 1.0) * (n - 1.0)];
        let squares = [
            n * scatter(&seed_means) / degrees[0],
            s * scatter(&item_means) / degrees[1],
            rest / degrees[2],
        ];
        let [of_seeds, of_items, of_rest] = squares;
        let all = (of_seeds + of_items - of_rest).max(of_rest);
        if all <= 0.0 && of_seeds <= 0.0 {
            return None;
        }
        let spread: f64 = squares
            .iter()
            .zip(degrees)
            .map(|(square, degrees)| square.powi(2) / degrees)
            .sum();
        Some(Self {
            value,
            stderr: (all / (n * s)).sqrt(),
            degrees: (all.powi(2) / spread).clamp(degrees[0].min(degrees[1]), n * s - 1.0),
            skewness: 0.0,
        })
    }

    /// How likely a value as far from 0 is by chance, if it is 0 in truth: of a value without error 0 or 1.
    pub fn p_value(&self) -> f64 {
        2.0 * self.tail(self.value.abs())
    }

    /// As [`Self::p_value`] after Hall's transformation, which takes the skewness out of `t = value / stderr`:
    /// `t + s/3 · t² + s²/27 · t³ + s/6` with the skewness `s` of the mean (Hall 1992, "On the removal of skewness by
    /// transformation"). Far in the tails, where a correction for many comparisons looks, a skewed sample of hundreds gives
    /// Student's t several times as many false alarms as it says.
    pub fn p_value_if_skewed(&self) -> f64 {
        let (t, s) = (self.value / self.stderr, self.skewness);
        let transformed = t + s / 3.0 * t.powi(2) + s.powi(2) / 27.0 * t.powi(3) + s / 6.0;
        match transformed.is_finite() {
            true => 2.0 * self.tail(transformed.abs() * self.stderr),
            false => self.p_value(),
        }
    }

    /// The smallest true fall and rise, both as sizes, that a test by [`Self::p_value_if_skewed`] at level `alpha` finds with
    /// probability `power`; as [`Self::smallest_effect`] where there is no skewness.
    pub fn smallest_effects_if_skewed(&self, alpha: f64, power: f64) -> Option<[f64; 2]> {
        let (level, power) = (
            students_t(self.degrees, 1.0 - alpha / 2.0)?,
            students_t(self.degrees, power)?,
        );
        Some([-1.0, 1.0].map(|sign| (sign * self.untransformed(sign * level) + power) * self.stderr))
    }

    /// The `t` that Hall's transformation makes this of: `3/s · (cbrt(1 + x) - 1)` with `x = s · (transformed - s/6)`.
    fn untransformed(&self, transformed: f64) -> f64 {
        let centred = transformed - self.skewness / 6.0;
        let root = (1.0 + self.skewness * centred).cbrt();
        // `cbrt(1 + x) - 1` without the difference, and without dividing by a skewness of 0.
        3.0 * centred / (root * root + root + 1.0)
    }

    /// The range of values that a share `coverage` of such ranges has the true one in.
    pub fn interval(&self, coverage: f64) -> Option<Interval> {
        let margin = self.stderr * students_t(self.degrees, (1.0 + coverage) / 2.0)?;
        Some(Interval {
            low: self.value - margin,
            high: self.value + margin,
        })
    }

    /// The smallest true value that a test at level `alpha` finds with probability `power`:
    /// `(t(1 - alpha/2) + t(power)) · stderr` (Bloom 1995). `None` of levels outside of 0 to 1.
    pub fn smallest_effect(&self, alpha: f64, power: f64) -> Option<f64> {
        Some((students_t(self.degrees, 1.0 - alpha / 2.0)? + students_t(self.degrees, power)?) * self.stderr)
    }

    /// `P(T >= distance / stderr)`.
    fn tail(&self, distance: f64) -> f64 {
        let t = distance / self.stderr;
        match StudentsT::new(0.0, 1.0, self.degrees) {
            // 0 / 0: nothing is to be seen, and nothing was.
            Ok(_) if t.is_nan() => 0.5,
            Ok(distribution) => distribution.sf(t),
            Err(_) => 1.0,
        }
    }
}

/// A model's speed over the baseline's, from the rates of both in the same rounds: the geometric mean of the rounds' ratios,
/// with the interval of Student's t on their logarithms, which two rounds at least have. `None` without rounds.
pub fn speed_ratio(rounds: &[[f64; 2]]) -> Option<(f64, Option<Interval>)> {
    let logarithms: Vec<f64> = rounds.iter().map(|[model, baseline]| (model / baseline).ln()).collect();
    let interval = Estimate::of_mean(&logarithms).and_then(|estimate| {
        let interval = estimate.interval(COVERAGE)?;
        Some(Interval {
            low: interval.low.exp(),
            high: interval.high.exp(),
        })
    });
    Some((mean(&logarithms)?.exp(), interval))
}

/// The quantile of Student's t.
pub(super) fn students_t(degrees: f64, p: f64) -> Option<f64> {
    let within = p > 0.0 && p < 1.0;
    let distribution = StudentsT::new(0.0, 1.0, degrees).ok().filter(|_| within)?;
    Some(distribution.inverse_cdf(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_compared_round_by_round() {
        // Logarithms ln 1.1, ln 1.2 and ln 1.3; t(0.975; 2) = 4.302653.
        let (value, interval) = speed_ratio(&[[11.0, 10.0], [24.0, 20.0], [13.0, 10.0]]).unwrap();
        let logs = [1.1f64, 1.2, 1.3].map(f64::ln);
        let centre = logs.iter().sum::<f64>() / 3.0;
        let variance = logs.iter().map(|log| (log - centre).powi(2)).sum::<f64>() / 2.0;
        let margin = 4.302653 * (variance / 3.0).sqrt();
        let interval = interval.unwrap();
        assert!((value - centre.exp()).abs() < 1e-12);
        assert!((interval.low - (centre - margin).exp()).abs() < 1e-6, "{interval:?}");
        assert!((interval.high - (centre + margin).exp()).abs() < 1e-6, "{interval:?}");
        assert_eq!(speed_ratio(&[[3.0, 2.0]]), Some((1.5, None)));
        assert_eq!(speed_ratio(&[]), None);
    }
}
