//! Requests as token sequences, encoded as lm-eval encodes them (`api/model.py`, `models/huggingface.py`).

use prunebench_model::{Decoder, tokenizer::Tokenizer};

use crate::likelihood::Sequence;
use crate::{Error, Result};

/// Encodes contexts and continuations for one model.
pub(crate) struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    /// The token that stands for an empty context, BOS else EOS, with its spelling.
    prefix: Option<(u32, String)>,
    /// Tokens that the model reads at most.
    positions: usize,
}

/// A request as tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub sequence: Sequence,
    /// Whether tokens were lost at the left end.
    pub truncated: bool,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(decoder: &Decoder, tokenizer: &'a Tokenizer) -> Result<Self> {
        let prefix = tokenizer.bos().or_else(|| tokenizer.eos());
        Ok(Self {
            tokenizer,
            prefix: prefix
                .map(|token| Ok::<_, Error>((token, tokenizer.decode(&[token])?)))
                .transpose()?,
            positions: decoder.graph.max_position_embeddings,
        })
    }

    /// The token that stands for an empty context.
    pub(crate) fn prefix_token(&self) -> Result<u32> {
        match self.prefix {
            Some((token, _)) => Ok(token),
            None => Err(Error::Request {
                problem: "an empty context needs a BOS or EOS token to begin with, and the tokenizer's config names neither; \
                          add bos_token to tokenizer_config.json"
                    .to_owned(),
            }),
        }
    }

    /// Whether the tokenizer's own files put BOS in front of a text.
    pub(crate) fn adds_bos(&self) -> Result<bool> {
        let bos = self.tokenizer.bos();
        Ok(bos.is_some() && self.tokenizer.encode_with_special_tokens("a")?.first().copied() == bos)
    }

    /// Ids of a text, with the special tokens that the tokenizer's files add, unless the text spells the first one out.
    pub(crate) fn text(&self, text: &str) -> Result<Vec<u32>> {
        let spelt_out = self
            .prefix
            .as_ref()
            .is_some_and(|(_, prefix)| text.starts_with(prefix.as_str()));
        Ok(if spelt_out {
            self.tokenizer.encode(text)?
        } else {
            self.tokenizer.encode_with_special_tokens(text)?
        })
    }

    /// The requests of one document. A context that several share is encoded once for all.
    pub(crate) fn document<'t>(&self, requests: impl Iterator<Item = (&'t str, &'t str)>) -> Result<Vec<Encoded>> {
        let mut last: Option<(&str, usize)> = None;
        requests
            .map(|(context, continuation)| {
                if context.is_empty() {
                    return self.without_context(continuation);
                }
                // Spaces at the end belong to the word that follows.
                let context_end = context.trim_end_matches(is_python_space);
                let context_tokens = match last {
                    Some((same, tokens)) if same == context_end => tokens,
                    _ => self.text(context_end)?.len(),
                };
                last = Some((context_end, context_tokens));
                let tokens = self.text(&format!("{context}{continuation}"))?;
                let scored = tokens.len().saturating_sub(context_tokens);
                self.cut(tokens, scored, continuation)
            })
            .collect()
    }

    fn without_context(&self, continuation: &str) -> Result<Encoded> {
        let prefix = self.prefix_token()?;
        let mut tokens = self.tokenizer.encode(continuation)?;
        let mut scored = tokens.len();
        if tokens.first() == Some(&prefix) {
            scored -= 1;
        } else {
            tokens.insert(0, prefix);
        }
        self.cut(tokens, scored, continuation)
    }

    /// The sequence with what the model can read of it: its right end.
    fn cut(&self, mut tokens: Vec<u32>, scored: usize, continuation: &str) -> Result<Encoded> {
        let lost = tokens.len().saturating_sub(self.positions + 1);
        tokens.drain(..lost);
        let sequence = Sequence::new(tokens, scored).ok_or_else(|| {
            let problem = if scored == 0 {
                "no token is left of it behind the context, whose last token swallows it; change the prompt".to_owned()
            } else {
                format!("its {scored} tokens exceed the model's {} positions", self.positions)
            };
            Error::Request {
                problem: format!("the continuation {continuation:?} can't be scored: {problem}"),
            }
        })?;
        Ok(Encoded {
            sequence,
            truncated: lost > 0,
        })
    }
}

/// What Python's `str.rstrip` takes for space: the separators U+001C to U+001F too.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
#[path = "encoding_tests.rs"]
mod tests;
