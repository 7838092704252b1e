//! A perplexity over seeds, with its standard error over windows and its spread between seeds.

use prunebench_results::{PerplexityResult, Record, statistics};

use crate::statistics::{perplexity, perplexity_stderr, seed_perplexities};

/// Perplexity over one or more seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PerplexityEstimate {
    pub(crate) value: f64,
    pub(crate) stderr: Option<f64>,
    pub(crate) seed_sd: Option<f64>,
}

/// The losses of the same windows under several seeds.
pub(crate) struct Losses {
    pub(crate) seeds: Vec<Vec<f64>>,
    pub(crate) units: Vec<f64>,
}

impl Losses {
    /// Of the records that succeeded, if any; means over each window's tokens where all windows have equally many.
    pub(crate) fn of_protocol(records: &[&Record], index: usize) -> Option<Self> {
        let results: Vec<&PerplexityResult> = records
            .iter()
            .filter_map(|record| record.metrics.as_ref()?.perplexity.get(index))
            .collect();
        let first = results.first()?;
        let losses = |result: &&PerplexityResult| {
            let tokens = result.tokens_scored as f64 / result.windows as f64;
            let unit = if result.units.is_empty() { tokens } else { 1.0 };
            result.window_nll.iter().map(|nll| nll / unit).collect()
        };
        Some(Self {
            seeds: results.iter().map(losses).collect(),
            units: if first.units.is_empty() {
                vec![1.0; first.window_nll.len()]
            } else {
                first.units.iter().map(|&units| units as f64).collect()
            },
        })
    }

    pub(crate) fn estimate(&self) -> Option<PerplexityEstimate> {
        let seeds: Vec<&[f64]> = self.seeds.iter().map(Vec::as_slice).collect();
        Some(PerplexityEstimate {
            value: perplexity(&seeds, &self.units)?,
            stderr: perplexity_stderr(&seeds, &self.units),
            seed_sd: statistics::sample_sd(&seed_perplexities(&seeds, &self.units)),
        })
    }
}
