//! Log-likelihoods of token sequences after their contexts, with shared beginnings computed once.

use prunebench_model::{Decoder, KvCache, ModelError, Packed, shared};
use prunebench_tensor::{Tensor, no_grad};
use serde::Serialize;

use crate::Result;
use crate::dense::{Dense, DenseReader};

/// Rows of one forward pass, unless a single sequence has more: enough to keep a CPU busy, and activations that stay small
/// beside the weights.
pub(crate) const ROWS_AT_ONCE: usize = 1024;
/// Tokens that a beginning must have to be kept in a cache for several forward passes; a shorter one is read again.
const WORTH_CACHING: usize = 64;

/// A token sequence of which the end is scored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Sequence {
    /// Context and continuation.
    tokens: Vec<u32>,
    /// Tokens at the end that are scored.
    scored: usize,
}

/// What the model says of a sequence's scored tokens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// Σ ln p(token | tokens before it).
    pub log_likelihood: f64,
    /// Whether each is the most likely token at its place.
    pub greedy: bool,
    /// Σ KL(dense ‖ model) over their places, if there is a dense model to compare with.
    pub divergence: Option<f64>,
}

/// Answers to all sequences, and what it took.
pub(crate) struct Answers {
    pub answers: Vec<Answer>,
    /// Tokens that the model read.
    pub tokens_read: usize,
    /// Seconds on the clock to add for the work of other cells, and to take off for that of sharing it.
    pub seconds_of_others: f64,
}

impl Sequence {
    /// A sequence of which the last `scored` tokens are scored: at least one, and not the first token.
    pub(crate) fn new(tokens: Vec<u32>, scored: usize) -> Option<Self> {
        (0 < scored && scored < tokens.len()).then_some(Self { tokens, scored })
    }

    /// What the model reads: the last token only is predicted.
    pub(crate) fn input(&self) -> &[u32] {
        &self.tokens[..self.tokens.len() - 1]
    }

    /// Tokens before the position whose logits give the first scored token.
    fn unscored(&self) -> usize {
        self.tokens.len() - 1 - self.scored
    }

    pub(crate) fn scored(&self) -> usize {
        self.scored
    }
}

/// Scores sequences in the order that shares most; the answers are in the order given. `progress` hears the sequences done.
pub(crate) fn answers(
    decoder: &Decoder,
    sequences: &[Sequence],
    dense: Option<Dense>,
    progress: &mut dyn FnMut(usize),
) -> Result<Answers> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by(|&a, &b| sequences[a].tokens.cmp(&sequences[b].tokens));
    let sorted: Vec<&Sequence> = order.iter().map(|&at| &sequences[at]).collect();
    let plan = plan(&sorted);
    let capacity = plan.iter().map(Pass::tokens).max().unwrap_or_default();
    let caching = plan.iter().any(|pass| pass.prefix > 0);
    let capacity = caching.then_some(capacity);
    let mut model = Reader::new(decoder, capacity)?;
    let mut dense = dense.map(|dense| DenseReader::new(dense, capacity)).transpose()?;
    let mut answers: Vec<Option<Answer>> = vec![None; sequences.len()];
    let (mut tokens_read, mut done) = (0, 0);
    no_grad(|| -> Result<()> {
        let at_once = dense.as_ref().map_or(1, DenseReader::passes_at_once);
        for passes in plan.chunks(at_once) {
            let passes: Vec<Reading> = passes
                .iter()
                .map(|pass| Reading::new(pass, &sorted[pass.first..pass.end]))
                .collect::<Result<_>>()?;
            let mut of_dense = match &mut dense {
                Some(dense) => dense.hidden(&passes)?.into_iter(),
                None => Vec::new().into_iter(),
            };
            for pass in &passes {
                let (read, hidden) = model.read(pass)?;
                tokens_read += read;
                let dense = match (&dense, of_dense.next()) {
                    (Some(dense), Some(states)) => Some((dense.decoder(), states.tensor(dense.decoder())?)),
                    _ => None,
                };
                let found = pass.rows.score((decoder, &hidden), dense.as_ref(), &pass.sequences)?;
                let first = pass.first;
                for (&at, answer) in order[first..first + found.len()].iter().zip(found) {
                    answers[at] = Some(answer);
                }
                done += pass.sequences.len();
                progress(done);
            }
        }
        Ok(())
    })?;
    Ok(Answers {
        // The passes cover every sequence.
        answers: answers.into_iter().flatten().collect(),
        tokens_read,
        seconds_of_others: dense.map_or(0.0, |dense| dense.seconds_of_others),
    })
}

/// A pass with what a model reads in it.
pub(crate) struct Reading<'a> {
    /// Place of its first sequence in the order of reading.
    first: usize,
    /// Its sequences, at least one.
    pub(crate) sequences: Vec<&'a Sequence>,
    /// Tokens that they begin with and that stand in the cache.
    pub(crate) prefix: usize,
    packed: Packed,
    rows: Rows,
}

impl<'a> Reading<'a> {
    fn new(pass: &Pass, sequences: &[&'a Sequence]) -> Result<Self> {
        let inputs: Vec<&[u32]> = sequences.iter().map(|sequence| sequence.input()).collect();
        let packed = Packed::new(&inputs, pass.prefix);
        Ok(Self {
            first: pass.first,
            sequences: sequences.to_vec(),
            prefix: pass.prefix,
            rows: Rows::new(&packed, sequences)?,
            packed,
        })
    }
}

/// A decoder with the beginning that its cache holds.
pub(crate) struct Reader<'a> {
    decoder: &'a Decoder,
    cache: Option<KvCache>,
    held: Vec<u32>,
}

impl<'a> Reader<'a> {
    /// With a cache for so many tokens, if passes share beginnings.
    pub(crate) fn new(decoder: &'a Decoder, capacity: Option<usize>) -> Result<Self> {
        Ok(Self {
            decoder,
            cache: capacity.map(|capacity| decoder.cache(1, capacity)).transpose()?,
            held: Vec::new(),
        })
    }

    pub(crate) fn decoder(&self) -> &'a Decoder {
        self.decoder
    }

    /// Forgets what the cache holds.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
    }

    /// The number of tokens read, and the final hidden states of the rows that are scored, `[rows, hidden]`.
    pub(crate) fn read(&mut self, pass: &Reading) -> Result<(usize, Tensor)> {
        let read = self.hold(&pass.sequences[0].input()[..pass.prefix])?;
        let hidden = self.hidden(&pass.packed, &pass.rows.of_hidden)?;
        Ok((read + pass.packed.rows(), hidden))
    }

    /// Makes the cache hold exactly `prefix`, and says how many tokens were read for that.
    fn hold(&mut self, prefix: &[u32]) -> Result<usize> {
        let Some(cache) = &mut self.cache else {
            return Ok(0);
        };
        let kept = shared(&self.held, prefix);
        cache.truncate(kept);
        for part in prefix[kept..].chunks(ROWS_AT_ONCE) {
            self.decoder
                .hidden(&self.decoder.ids(&[part])?, Some(&mut *cache), &mut |_, _| Ok(()))?;
        }
        self.held = prefix.to_vec();
        Ok(prefix.len() - kept)
    }

    /// Hidden states of the given rows, `[rows, hidden]`.
    fn hidden(&self, packed: &Packed, rows: &[i64]) -> Result<Tensor> {
        let hidden = self.decoder.hidden_packed(packed, self.cache.as_ref())?;
        let hidden = hidden.reshape(&[packed.rows(), self.decoder.graph.hidden_size])?;
        let rows = Tensor::from_slice(rows, &[rows.len()], &self.decoder.device())?;
        Ok(hidden.index_select(0, &rows)?)
    }
}

/// Consecutive sequences that one forward pass reads, and how much of their common beginning is cached before it.
#[derive(Debug, PartialEq, Eq)]
struct Pass {
    first: usize,
    end: usize,
    prefix: usize,
    rows: usize,
}

impl Pass {
    fn tokens(&self) -> usize {
        self.prefix + self.rows
    }
}

/// Cuts sorted sequences into passes. A beginning that goes on into the next pass is cached, if it is long enough, by a pass
/// that starts with the first sequence that has it.
fn plan(sorted: &[&Sequence]) -> Vec<Pass> {
    // Of a beginning only what no sequence is scored on can be cached.
    let common = |a: usize, b: usize| {
        let (a, b) = (sorted[a], sorted[b]);
        shared(a.input(), b.input()).min(a.unscored()).min(b.unscored())
    };
    let mut plan = Vec::new();
    let (mut first, mut held) = (0, 0);
    while first < sorted.len() {
        let mut pass = fill(sorted, first, held);
        if pass.end < sorted.len() {
            let ahead = common(pass.end - 1, pass.end);
            if ahead >= WORTH_CACHING.max(held + 1) {
                let start = (first..pass.end)
                    .rev()
                    .take_while(|&at| common(at, pass.end) >= ahead)
                    .last();
                match start {
                    Some(start) if start > first => pass = fill(&sorted[..start], first, held),
                    _ => {
                        held = ahead;
                        continue;
                    }
                }
            }
            held = held.min(common(pass.end - 1, pass.end));
            if held < WORTH_CACHING {
                held = 0;
            }
        }
        first = pass.end;
        plan.push(pass);
    }
    plan
}

/// The pass from `first` on with as many sequences as fit that share the prefix.
fn fill(sorted: &[&Sequence], first: usize, prefix: usize) -> Pass {
    let begin = sorted[first].input();
    let mut rows = begin.len() - prefix;
    let mut end = first + 1;
    while end < sorted.len() {
        let input = sorted[end].input();
        let known = shared(sorted[end - 1].input(), input);
        let more = input.len() - known;
        let has_prefix = sorted[end].unscored() >= prefix && shared(begin, input) >= prefix;
        if !has_prefix || rows + more > ROWS_AT_ONCE {
            break;
        }
        rows += more;
        end += 1;
    }
    Pass {
        first,
        end,
        prefix,
        rows,
    }
}

/// The rows of a pass whose logits are wanted, each once, and for every sequence the places among them.
struct Rows {
    of_hidden: Vec<i64>,
    /// (place in `of_hidden`, token) of every scored token, sequence after sequence.
    pairs: Vec<(usize, u32)>,
}

impl Rows {
    fn new(packed: &Packed, sequences: &[&Sequence]) -> Result<Self> {
        let mut place = vec![None; packed.rows()];
        let mut of_hidden = Vec::new();
        let mut pairs = Vec::new();
        for (index, sequence) in sequences.iter().enumerate() {
            for position in sequence.unscored()..sequence.input().len() {
                let row = packed.row(index, position).ok_or_else(|| {
                    ModelError::Graph(format!(
                        "the cached beginning reaches into the scored position {position}"
                    ))
                })?;
                let place = *place[row].get_or_insert_with(|| {
                    of_hidden.push(row as i64);
                    of_hidden.len() - 1
                });
                pairs.push((place, sequence.tokens[position + 1]));
            }
        }
        Ok(Self { of_hidden, pairs })
    }

    /// Answers from the hidden states of the model, and of the dense one if it is there.
    fn score(
        &self,
        (decoder, hidden): (&Decoder, &Tensor),
        dense: Option<&(&Decoder, Tensor)>,
        sequences: &[&Sequence],
    ) -> Result<Vec<Answer>> {
        let at_once = decoder.logit_rows_at_once();
        let mut by_place: Vec<usize> = (0..self.pairs.len()).collect();
        by_place.sort_by_key(|&pair| self.pairs[pair].0);
        let mut left = by_place.as_slice();
        let mut tokens = vec![(0f64, false); self.pairs.len()];
        let mut divergence = Vec::new();
        for start in (0..self.of_hidden.len()).step_by(at_once) {
            let count = at_once.min(self.of_hidden.len() - start);
            let of_model = decoder.logits(&hidden.narrow(0, start, count)?)?;
            let (now, later) = left.split_at(left.partition_point(|&pair| self.pairs[pair].0 < start + count));
            left = later;
            let pairs: Vec<(usize, usize)> = now
                .iter()
                .map(|&pair| (self.pairs[pair].0 - start, self.pairs[pair].1 as usize))
                .collect();
            let (likelihoods, likeliest) = of_model.token_log_likelihoods(&pairs)?;
            let (likelihoods, likeliest) = (likelihoods.to_vec::<f64>()?, likeliest.to_vec::<i64>()?);
            for ((&pair, likelihood), (row, token)) in now.iter().zip(likelihoods).zip(pairs) {
                tokens[pair] = (likelihood, likeliest[row] == token as i64 && !likelihood.is_nan());
            }
            if let Some((dense, hidden)) = dense {
                let of_dense = dense.logits(&hidden.narrow(0, start, count)?)?;
                divergence.extend(of_dense.kl_divergence(&of_model)?.to_vec::<f64>()?);
            }
        }
        let mut next = 0;
        let mut answer = |sequence: &&Sequence| {
            let of_sequence = next..next + sequence.scored;
            next = of_sequence.end;
            let places = self.pairs[of_sequence.clone()].iter().map(|&(place, _)| place);
            let scored = &tokens[of_sequence];
            Answer {
                log_likelihood: scored.iter().map(|(likelihood, _)| likelihood).sum(),
                greedy: scored.iter().all(|&(_, greedy)| greedy),
                divergence: dense.map(|_| places.map(|place| divergence[place]).sum()),
            }
        };
        Ok(sequences.iter().map(&mut answer).collect())
    }
}

#[cfg(test)]
#[path = "likelihood_tests.rs"]
mod tests;
