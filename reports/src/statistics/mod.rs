//! Estimates, intervals and tests, from the losses of the same windows or the answers to the same items. All of them are
//! pure: equal samples give equal numbers, draws included, and none of them rounds.
//!
//! Windows, documents and items are taken as independent draws; a text whose neighbouring windows are alike deserves
//! somewhat wider intervals. Tests are two-sided. Their formulas are those of SciPy and statsmodels, whose values
//! `tests/peers/reference_statistics.py` writes down and the tests repeat.

mod bootstrap;
mod estimate;
mod families;
mod mcnemar;
mod perplexity;
mod rank_and_sign;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

pub use bootstrap::{Bootstrap, Ends, FEWEST_WINDOWS, MeanChange, Paired, RESAMPLES, interval_of_sums};
pub use estimate::{Estimate, SeedNoise, speed_ratio};
pub use families::{benjamini_hochberg, holm};
pub use mcnemar::{McNemar, smallest_difference};
pub use perplexity::{perplexity, perplexity_ratio_interval, perplexity_stderr, seed_perplexities};
pub use rank_and_sign::{sign_flip_test, wilcoxon_signed_rank};

/// Two-sided coverage of every interval.
pub const COVERAGE: f64 = 0.95;

/// A range of plausible values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The quantile of the standard normal distribution.
fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

#[cfg(test)]
mod coverage_tests;
#[cfg(test)]
mod reference_tests;
