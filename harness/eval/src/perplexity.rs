//! Perplexity of a decoder under a protocol of the catalogue.

use prunebench_datasets::{Protocol, TextDocuments, rolling_windows, stream_windows};
use prunebench_model::{Decoder, tokenizer::Tokenizer};
use prunebench_results::{MeasurementError, PerplexityResult};

use crate::encoding::Encoder;
use crate::likelihood::{Sequence, answers};
use crate::{Error, Result};

/// Tokens scored in one forward pass, unless a single window has more: enough to keep a CPU busy, and activations that
/// stay small beside the weights.
const TOKENS_AT_ONCE: usize = 2048;

/// Perplexity of `text` under a protocol of disjoint windows, of its first `limit` windows or of all. `progress` hears the
/// windows done and those in all.
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
    let window = protocol.stream_window()?;
    let cut = stream_windows(ids, window, limit)?;
    let total = cut.windows.len();
    progress(0, total);
    let mut window_nll = Vec::with_capacity(total);
    for batch in cut.windows.chunks((TOKENS_AT_ONCE / window).max(1)) {
        for tokens in decoder.negative_log_likelihood(batch)? {
            let nll: f64 = tokens.iter().sum();
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

/// Perplexity of documents under a protocol of rolling windows, of the first `limit` documents or of all. `progress` hears
/// the windows done and those in all.
///
/// # Errors
/// A protocol of longer windows than the model has positions, a tokenizer of another model or without BOS and EOS, a failing
/// forward pass, or a document whose loss is no finite number.
pub fn rolling_perplexity(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    text: &TextDocuments,
    protocol: &Protocol,
    limit: Option<usize>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<PerplexityResult> {
    let positions = decoder.graph.max_position_embeddings;
    let window = protocol.rolling_window()?.unwrap_or(positions);
    if window > positions {
        return Err(Error::Request {
            problem: format!(
                "{} has windows of {window} tokens and the model {positions} positions; take a protocol of shorter windows",
                protocol.id
            ),
        });
    }
    let encoder = Encoder::new(decoder, tokenizer)?;
    let prefix = encoder.prefix_token()?;
    let documents = &text.documents[..limit.unwrap_or(usize::MAX).min(text.documents.len())];
    let mut sequences = Vec::new();
    let mut of_document = Vec::with_capacity(documents.len());
    for document in documents {
        let windows = rolling_windows(&encoder.text(&document.text)?, prefix, window)?;
        of_document.push(windows.len());
        sequences.extend(
            windows
                .into_iter()
                .filter_map(|window| Sequence::new(window.tokens, window.scored)),
        );
    }
    let total = sequences.len();
    progress(0, total);
    let found = answers(decoder, &sequences, None, &mut |done| progress(done, total))?;
    let mut windows = found.answers.iter().map(|answer| -answer.log_likelihood);
    Ok(PerplexityResult::from_documents(
        protocol.id.clone(),
        of_document
            .iter()
            .map(|&count| windows.by_ref().take(count).sum())
            .collect(),
        documents.iter().map(|document| document.words).collect(),
        documents.iter().map(|document| document.bytes).collect(),
        sequences.iter().map(Sequence::scored).sum(),
        text.documents.len(),
        window,
    )?)
}

#[cfg(test)]
#[path = "perplexity_tests.rs"]
pub(crate) mod tests;
