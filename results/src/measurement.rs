//! Results computed from raw samples, which they keep.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{cell::TrainedParameters, statistics, task::MetricName};

/// Perplexity under one protocol, with the NLL of every sample: of every window of a stream, or of every document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerplexityResult {
    /// The protocol with its version.
    pub protocol: String,
    /// What the loss is spread over.
    pub unit: PerplexityUnit,
    /// `exp(total_nll / units in all)`.
    pub value: f64,
    /// The standard error of `value` over windows or documents, absent with a single one: that of
    /// [`statistics::ratio_of_sums`] times `value` (delta method), which with equally long windows is
    /// `value · sd(window mean NLL) / sqrt(windows)`.
    pub stderr: Option<f64>,
    /// Windows or documents scored.
    pub windows: usize,
    /// Windows or documents that the text holds.
    pub windows_available: usize,
    /// Tokens scored in all of them together.
    pub tokens_scored: usize,
    /// Summed negative log-likelihood of all scored tokens, in nats.
    pub total_nll: f64,
    /// Summed negative log-likelihood of the scored tokens of each window or document, in nats, in the text's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub window_nll: Vec<f64>,
    /// Tokens after the last whole window, which are never scored.
    pub tail_tokens_dropped: usize,
    /// What each of `window_nll` is spread over, in units of `unit`; empty if all windows have equally many tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<usize>,
    /// UTF-8 bytes of the documents scored; absent of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<usize>,
    /// Most tokens that a document's windows take; absent of a stream, whose protocol says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
}

/// What a perplexity's loss is spread over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PerplexityUnit {
    /// Per token of the model's own tokenizer.
    Token,
    /// Per word of the original text, whatever the tokenizer.
    Word,
}

impl fmt::Display for PerplexityUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Token => "token",
            Self::Word => "word",
        })
    }
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
        let means: Vec<f64> = window_nll.iter().map(|nll| nll / tokens_per_window as f64).collect();
        let (total_nll, value) = totals(&protocol, &window_nll, tokens_scored)?;
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
            units: Vec::new(),
            bytes: None,
            window: None,
        })
    }

    /// The result of scoring `tokens` tokens in documents of so many words and UTF-8 bytes, of `available` documents, in
    /// windows of at most `window` tokens. The perplexity is that of a word.
    ///
    /// # Errors
    /// If there is no document, word or byte, the lists are not equally long, or a loss or the perplexity isn't finite.
    pub fn from_documents(
        protocol: String,
        document_nll: Vec<f64>,
        words: Vec<usize>,
        bytes: Vec<usize>,
        tokens: usize,
        available: usize,
        window: usize,
    ) -> Result<Self, MeasurementError> {
        let documents = document_nll.len();
        let (total_words, total_bytes) = (words.iter().sum(), bytes.iter().sum());
        if total_words == 0 || total_bytes == 0 || tokens == 0 || [words.len(), bytes.len()] != [documents; 2] {
            return Err(MeasurementError::Nothing { what: protocol });
        }
        let (total_nll, value) = totals(&protocol, &document_nll, total_words)?;
        let units: Vec<f64> = words.iter().map(|&words| words as f64).collect();
        let stderr = statistics::ratio_of_sums(&document_nll, &units).and_then(|(_, stderr)| stderr);
        Ok(Self {
            protocol,
            unit: PerplexityUnit::Word,
            value,
            stderr: stderr.map(|stderr| value * stderr),
            windows: documents,
            windows_available: available,
            tokens_scored: tokens,
            total_nll,
            window_nll: document_nll,
            tail_tokens_dropped: 0,
            units: words,
            bytes: Some(total_bytes),
            window: Some(window),
        })
    }

    /// `exp(total_nll / bytes)`; absent of a stream.
    pub fn byte_perplexity(&self) -> Option<f64> {
        Some((self.total_nll / self.bytes? as f64).exp())
    }

    /// `total_nll / (bytes · ln 2)`; absent of a stream.
    pub fn bits_per_byte(&self) -> Option<f64> {
        Some(self.total_nll / self.bytes? as f64 / std::f64::consts::LN_2)
    }
}

/// The sum of the losses and `exp` of their mean over so many units.
fn totals(protocol: &str, nll: &[f64], units: usize) -> Result<(f64, f64), MeasurementError> {
    let protocol = || protocol.to_owned();
    if let Some(index) = nll.iter().position(|nll| !nll.is_finite()) {
        return Err(MeasurementError::Loss {
            protocol: protocol(),
            index,
            value: nll[index],
        });
    }
    let total: f64 = nll.iter().sum();
    let mean_nll = total / units as f64;
    let value = mean_nll.exp();
    if value.is_finite() {
        Ok((total, value))
    } else {
        Err(MeasurementError::Overflow {
            protocol: protocol(),
            mean_nll,
        })
    }
}

/// Speed of training steps: forward and backward pass and the optimiser's update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingResult {
    /// What was trained.
    pub parameters: TrainedParameters,
    /// Whether the backward pass made activations anew instead of keeping them.
    pub recompute: bool,
    /// How many parameters were trained.
    pub trained_parameters: usize,
    /// Tokens that the model read of each sequence.
    pub tokens: usize,
    /// Sequences in a step.
    pub batch: usize,
    /// Of them, those that went forward and backward at once.
    pub micro_batch: usize,
    /// Compute threads.
    pub threads: usize,
    /// The steps.
    pub steps: Samples,
    /// Seconds of the very first step; no part of the samples.
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
        "{protocol}: the loss of window or document {index} is {value}; the model's logits aren't finite, so \
         compress less or use a wider dtype"
    )]
    Loss {
        /// The protocol.
        protocol: String,
        /// The window or document, from 0.
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
        /// The mean loss per token or word.
        mean_nll: f64,
    },
    /// Every item of a task was answered with log-likelihoods that are no finite numbers.
    #[error(
        "{task}: there is no score, because each of the {items} items has a log-likelihood that is no finite number; the \
         model's logits aren't finite, so compress less or use a wider dtype"
    )]
    NoAnswer {
        /// The task.
        task: String,
        /// Its items.
        items: usize,
    },
    /// A number of a task is beyond the range of numbers.
    #[error(
        "{task}: the {what} is {value}, which is no finite number; the model's logits aren't finite, so compress less or \
         use a wider dtype"
    )]
    NotFinite {
        /// The task.
        task: String,
        /// The number.
        what: String,
        /// Its value.
        value: f64,
    },
    /// A metric that the task's items don't have, or one that is listed twice.
    #[error(
        "{task}: the metric {metric} is listed twice, or not defined for it; items with a right request have acc, acc_norm \
         and acc_bytes, items of a single request perplexity and acc"
    )]
    Metric {
        /// The task.
        task: String,
        /// The metric.
        metric: MetricName,
    },
    /// An item that contradicts itself or the others.
    #[error("{task}: document {document} can't be scored: {problem}")]
    Item {
        /// The task.
        task: String,
        /// Row of the document.
        document: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A time that no clock gives.
    #[error("a repeat took {seconds} s; a positive time is wanted, so measure more tokens at a time")]
    Time {
        /// The time.
        seconds: f64,
    },
}

impl MeasurementError {
    /// Whether the model gave numbers that are none, or infinite.
    pub fn is_not_finite(&self) -> bool {
        matches!(
            self,
            Self::Loss { .. } | Self::Overflow { .. } | Self::NoAnswer { .. } | Self::NotFinite { .. }
        )
    }
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
    fn a_word_perplexity_is_a_ratio_of_sums_with_bytes_beside_it() {
        let documents =
            |nll: Vec<f64>, words| PerplexityResult::from_documents("p@1".into(), nll, words, vec![8, 12], 9, 62, 2048);
        let result = documents(vec![1.0, 5.0], vec![1, 2]).unwrap();
        // Σ 6 over 3 words and 20 bytes; the error of the ratio is sqrt(2 / 1 · (1 + 1)) / 3.
        assert_eq!((result.value, result.unit), (2f64.exp(), PerplexityUnit::Word));
        assert!((result.stderr.unwrap() - 2f64.exp() * 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(result.byte_perplexity(), Some(0.3f64.exp()));
        assert!((result.bits_per_byte().unwrap() - 0.3 / 2f64.ln()).abs() < 1e-15);
        assert_eq!(
            (result.windows, result.windows_available, result.tokens_scored),
            (2, 62, 9)
        );
        assert!(matches!(
            documents(vec![1.0, f64::NAN], vec![1, 2]),
            Err(MeasurementError::Loss { index: 1, .. })
        ));
        assert!(matches!(
            documents(vec![1.0], vec![1, 2]),
            Err(MeasurementError::Nothing { .. })
        ));
        assert!(matches!(
            documents(vec![1.0, 2.0], vec![0, 0]),
            Err(MeasurementError::Nothing { .. })
        ));
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
