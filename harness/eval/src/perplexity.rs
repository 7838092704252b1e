//! Perplexity of a decoder under a protocol of the catalogue.

use prunebench_datasets::{Protocol, Scoring, stream_windows};
use prunebench_model::{Decoder, tokenizer::Tokenizer};
use prunebench_results::{MeasurementError, PerplexityResult};

use crate::Result;

/// Tokens scored in one forward pass, unless a single window has more: enough to keep a CPU busy, and activations that
/// stay small beside the weights.
const TOKENS_AT_ONCE: usize = 2048;

/// Perplexity of `text` under `protocol`, of its first `limit` windows or of all. `progress` hears the windows done and
/// those in all.
///
/// # Errors
/// A text shorter than a window, a tokenizer of another model, a failing forward pass, or a window whose loss is no
/// finite number.
pub fn perplexity(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    text: &str,
    protocol: &Protocol,
    limit: Option<usize>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<PerplexityResult> {
    let ids = tokenizer.encode(text)?;
    score(decoder, &ids, protocol, limit, progress)
}

fn score(
    decoder: &Decoder,
    ids: &[u32],
    protocol: &Protocol,
    limit: Option<usize>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<PerplexityResult> {
    let Scoring::Stream { window } = protocol.scoring;
    let cut = stream_windows(ids, window, limit)?;
    let total = cut.windows.len();
    progress(0, total);
    let mut window_nll = Vec::with_capacity(total);
    for batch in cut.windows.chunks((TOKENS_AT_ONCE / window).max(1)) {
        for tokens in decoder.negative_log_likelihood(batch)? {
            let nll: f64 = tokens.iter().map(|&nll| f64::from(nll)).sum();
            // At once, and not after every other window was scored in vain.
            if !nll.is_finite() {
                let (protocol, index, value) = (protocol.id.clone(), window_nll.len(), nll);
                return Err(MeasurementError::Loss { protocol, index, value }.into());
            }
            window_nll.push(nll);
        }
        progress(window_nll.len(), total);
    }
    Ok(PerplexityResult::from_windows(
        protocol.id.clone(),
        window_nll,
        window - 1,
        cut.available,
        cut.tail_dropped,
    )?)
}

#[cfg(test)]
#[path = "perplexity_tests.rs"]
pub(crate) mod tests;
