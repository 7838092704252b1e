//! Results computed from raw samples, which they keep.

use serde::{Deserialize, Serialize};

use crate::statistics;

/// Perplexity under one protocol, with the NLL of every window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerplexityResult {
    /// The protocol with its version.
    pub protocol: String,
    /// What the loss is spread over.
    pub unit: PerplexityUnit,
    /// `exp(total_nll / tokens_scored)`.
    pub value: f64,
    /// The standard error of `value` over windows, absent with a single window:
    /// `value · sd(window mean NLL) / sqrt(windows)` (delta method; the windows are equally long).
    pub stderr: Option<f64>,
    /// Windows scored.
    pub windows: usize,
    /// Windows that the text holds.
    pub windows_available: usize,
    /// Tokens scored in all windows together.
    pub tokens_scored: usize,
    /// Summed negative log-likelihood of all scored tokens, in nats.
    pub total_nll: f64,
    /// Summed negative log-likelihood of each window's scored tokens, in nats, in the text's order.
    pub window_nll: Vec<f64>,
    /// Tokens after the last whole window, which are never scored.
    pub tail_tokens_dropped: usize,
}

/// What a perplexity's loss is spread over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PerplexityUnit {
    /// Per token of the model's own tokenizer.
    Token,
}

impl PerplexityResult {
    /// The result of scoring `tokens_per_window` tokens in each of some equal windows.
    ///
    /// # Errors
    /// If there is no window or no token, or a loss or the perplexity isn't finite.
    pub fn from_windows(
        protocol: String,
        window_nll: Vec<f64>,
        tokens_per_window: usize,
        windows_available: usize,
        tail_tokens_dropped: usize,
    ) -> Result<Self, MeasurementError> {
        let windows = window_nll.len();
        let tokens_scored = windows * tokens_per_window;
        if tokens_scored == 0 {
            return Err(MeasurementError::Nothing { what: protocol });
        }
        if let Some(index) = window_nll.iter().position(|nll| !nll.is_finite()) {
            let value = window_nll[index];
            return Err(MeasurementError::Loss { protocol, index, value });
        }
        let total_nll: f64 = window_nll.iter().sum();
        let mean_nll = total_nll / tokens_scored as f64;
        let value = mean_nll.exp();
        if !value.is_finite() {
            return Err(MeasurementError::Overflow { protocol, mean_nll });
        }
        let means: Vec<f64> = window_nll.iter().map(|nll| nll / tokens_per_window as f64).collect();
        Ok(Self {
            protocol,
            unit: PerplexityUnit::Token,
            value,
            stderr: statistics::standard_error(&means).map(|stderr| value * stderr),
            windows,
            windows_available,
            tokens_scored,
            total_nll,
            window_nll,
            tail_tokens_dropped,
        })
    }
}

/// Speed of prefill and decode, timed apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThroughputResult {
    /// Tokens of context that the prefill read, per sequence.
    pub prompt_tokens: usize,
    /// Tokens that the decode generated, per sequence.
    pub generated_tokens: usize,
    /// Sequences at once.
    pub batch: usize,
    /// Compute threads.
    pub threads: usize,
    /// Reading the prompt.
    pub prefill: Samples,
    /// Generating after the prompt.
    pub decode: Samples,
    /// Seconds of the very first call, before any warm-up; no part of the samples.
    pub first_call_s: f64,
}

/// Repeated timings of the same amount of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Samples {
    /// The unit of `median` and `mad`.
    pub unit: Rate,
    /// Seconds of each repeat, in the order they were taken.
    pub seconds: Vec<f64>,
    /// Tokens that each repeat processed, all sequences together.
    pub tokens: usize,
    /// The median of `tokens / seconds`.
    pub median: f64,
    /// The unscaled median absolute deviation of `tokens / seconds`.
    pub mad: f64,
}

/// The unit of a speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rate {
    /// Tokens a second.
    #[serde(rename = "tokens/s")]
    TokensPerSecond,
}

impl Samples {
    /// The rates of repeats that processed `tokens` tokens each.
    ///
    /// # Errors
    /// If there is no repeat or no token, or a time isn't a positive number.
    pub fn new(tokens: usize, seconds: Vec<f64>) -> Result<Self, MeasurementError> {
        if let Some(&seconds) = seconds.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return Err(MeasurementError::Time { seconds });
        }
        let rates: Vec<f64> = seconds.iter().map(|s| tokens as f64 / s).collect();
        match (
            statistics::median(&rates),
            statistics::median_absolute_deviation(&rates),
        ) {
            (Some(median), Some(mad)) if tokens > 0 => Ok(Self {
                unit: Rate::TokensPerSecond,
                seconds,
                tokens,
                median,
                mad,
            }),
            _ => Err(MeasurementError::Nothing {
                what: "throughput".into(),
            }),
        }
    }

    /// Tokens a second of each repeat.
    pub fn rates(&self) -> impl Iterator<Item = f64> {
        self.seconds.iter().map(|seconds| self.tokens as f64 / seconds)
    }
}

/// Raw measurements that give no number.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MeasurementError {
    /// There is nothing to measure.
    #[error("{what}: nothing was measured; at least one sample of at least one token is wanted")]
    Nothing {
        /// The measurement.
        what: String,
    },
    /// A window's loss isn't a number.
    #[error(
        "{protocol}: the loss of window {index} is {value}; the model's logits aren't finite, so \
         compress less or use a wider dtype"
    )]
    Loss {
        /// The protocol.
        protocol: String,
        /// The window, from 0.
        index: usize,
        /// Its summed loss.
        value: f64,
    },
    /// The perplexity is beyond the range of numbers.
    #[error(
        "{protocol}: the perplexity exp({mean_nll}) is too large for a number; compress less or \
         use a wider dtype"
    )]
    Overflow {
        /// The protocol.
        protocol: String,
        /// The mean loss per token.
        mean_nll: f64,
    },
    /// A time that no clock gives.
    #[error("a repeat took {seconds} s; a positive time is wanted, so measure more tokens at a time")]
    Time {
        /// The time.
        seconds: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perplexity_and_its_standard_error_follow_the_formula() {
        // Window means 1, 2 and 3 of ten tokens each: the mean is 2, the sd 1.
        let result = PerplexityResult::from_windows("p@1".into(), vec![10.0, 20.0, 30.0], 10, 5, 7).unwrap();
        assert_eq!(result.value, 2f64.exp());
        assert!((result.stderr.unwrap() - 2f64.exp() / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!((result.windows, result.tokens_scored, result.total_nll), (3, 30, 60.0));
    }

    #[test]
    fn one_window_has_no_standard_error() {
        let result = PerplexityResult::from_windows("p@1".into(), vec![10.0], 10, 1, 0).unwrap();
        assert_eq!(result.stderr, None);
    }

    #[test]
    fn a_loss_that_is_no_number_is_refused_and_named() {
        let losses = |nll| PerplexityResult::from_windows("p@1".into(), nll, 1, 2, 0);
        let error = losses(vec![1.0, f64::NAN]).unwrap_err();
        assert!(matches!(error, MeasurementError::Loss { index: 1, .. }), "{error}");
        assert!(matches!(losses(vec![800.0]), Err(MeasurementError::Overflow { .. })));
        assert!(matches!(losses(vec![]), Err(MeasurementError::Nothing { .. })));
    }

    #[test]
    fn rates_are_medians_of_raw_times() {
        // 100 tokens in 1, 2 and 4 s: 100, 50 and 25 a second; deviations from 50: 50, 0, 25.
        let samples = Samples::new(100, vec![1.0, 2.0, 4.0]).unwrap();
        assert_eq!((samples.median, samples.mad), (50.0, 25.0));
        assert_eq!(samples.rates().collect::<Vec<_>>(), [100.0, 50.0, 25.0]);
    }

    #[test]
    fn impossible_times_are_refused() {
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                Samples::new(1, vec![1.0, seconds]),
                Err(MeasurementError::Time { .. })
            ));
        }
        assert!(matches!(Samples::new(1, vec![]), Err(MeasurementError::Nothing { .. })));
        assert!(matches!(
            Samples::new(0, vec![1.0]),
            Err(MeasurementError::Nothing { .. })
        ));
    }
}
