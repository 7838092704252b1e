//! Estimates, intervals and tests, from the losses of the same windows or the answers to the same items. All of them are
//! pure, and none of them rounds.
//!
//! Windows, documents and items are taken as independent draws; a text whose neighbouring windows are alike deserves
//! somewhat wider intervals. Tests are two-sided. Their formulas are those of SciPy and statsmodels, whose values
//! `tests/peers/reference_statistics.py` writes down and the tests repeat.

mod estimate;
mod families;
mod mcnemar;
mod perplexity;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

pub use estimate::{Estimate, speed_ratio};
pub use families::{benjamini_hochberg, holm};
pub use mcnemar::{McNemar, smallest_difference};
pub use perplexity::{perplexity, perplexity_stderr, seed_perplexities};

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
