//! What is trained on: domains of token sequences, mixed in proportions that may change while training.

use std::ops::Range;
use std::sync::Arc;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{Result, TrainError};

/// A token sequence of which the model learns to predict a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Name of its [`Domain`].
    pub domain: Arc<str>,
    /// Its place there, whatever was chosen of it: the number of an example in its set, the first token of a sequence of a text.
    pub id: u64,
    /// Tokens.
    pub tokens: Vec<u32>,
    /// Leading tokens that are given and not learnt, such as an instruction; the first token is never learnt.
    pub prompt: usize,
}

impl Example {
    /// An example of a domain.
    pub fn new(domain: impl Into<Arc<str>>, id: u64, tokens: Vec<u32>, prompt: usize) -> Self {
        Self {
            domain: domain.into(),
            id,
            tokens,
            prompt,
        }
    }

    /// Which tokens are learnt.
    pub fn learnt(&self) -> Range<usize> {
        self.prompt.max(1)..self.tokens.len()
    }
}

/// Data of one kind.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Its name, in logs and for its proportion.
    pub name: String,
    /// Its sequences.
    pub source: Source,
}

/// Where a domain's sequences come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Sequences at random places of one long text.
    Stream(Vec<u32>),
    /// Each example once, in random order, then again in another order.
    Examples(Vec<Example>),
}

/// Domains, and from which the next sequence comes.
pub struct Mixture {
    domains: Vec<Domain>,
    /// Tokens of a sequence: exactly so many predictions of a stream, at most so many tokens of an example.
    length: usize,
    seed: u64,
    state: MixtureState,
    /// Order of the examples in each domain's epoch.
    orders: Vec<Vec<u32>>,
}

/// Everything about a mixture that changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureState {
    proportions: Vec<f64>,
    draws: ChaCha8Rng,
    cursors: Vec<Cursor>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor {
    epoch: u64,
    next: usize,
    /// Sequences drawn in all.
    drawn: u64,
}

impl Mixture {
    /// Mixes domains, each with its share of the sequences; the shares need not add up to 1.
    ///
    /// # Errors
    /// [`TrainError::Data`] for no domain, an empty one, or shares that are none.
    pub fn new(domains: Vec<Domain>, proportions: &[f64], length: usize, seed: u64) -> Result<Self> {
        if domains.is_empty() {
            return Err(TrainError::Data("there is no domain to train on".to_owned()));
        }
        for Domain { name, source } in &domains {
            match source {
                Source::Stream(tokens) if tokens.len() < length + 1 => {
                    return Err(TrainError::Data(format!(
                        "domain `{name}` has {} tokens, and one sequence takes {}; give it more text or lower `length`",
                        tokens.len(),
                        length + 1
                    )));
                }
                Source::Examples(examples) if examples.is_empty() => {
                    return Err(TrainError::Data(format!(
                        "domain `{name}` is empty; give it examples or leave it out"
                    )));
                }
                Source::Examples(examples) => {
                    if let Some(other) = examples.iter().find(|example| *example.domain != **name) {
                        return Err(TrainError::Data(format!(
                            "domain `{name}` has example {} of domain `{}`; give it its own",
                            other.id, other.domain
                        )));
                    }
                    let learns = |example: &&Example| {
                        let end = example.tokens.len().min(length);
                        example.prompt.max(1) < end
                    };
                    if !examples.iter().any(|example| learns(&example)) {
                        return Err(TrainError::Data(format!(
                            "domain `{name}`: no example has a token to learn within {length} tokens; raise `length`"
                        )));
                    }
                }
                Source::Stream(_) => {}
            }
        }
        let mut mixture = Self {
            state: MixtureState {
                proportions: Vec::new(),
                draws: ChaCha8Rng::seed_from_u64(seed),
                cursors: vec![Cursor::default(); domains.len()],
            },
            orders: vec![Vec::new(); domains.len()],
            domains,
            length,
            seed,
        };
        mixture.set_proportions(proportions)?;
        (0..mixture.domains.len()).for_each(|domain| mixture.shuffle(domain));
        Ok(mixture)
    }

    /// Tokens of a sequence at most.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The domains.
    pub fn domains(&self) -> &[Domain] {
        &self.domains
    }

    /// The share of each domain, adding up to 1.
    pub fn proportions(&self) -> &[f64] {
        &self.state.proportions
    }

    /// Changes the shares from the next sequence on.
    ///
    /// # Errors
    /// [`TrainError::Data`] for a share that is negative or no number, too few or many of them, or none that is positive.
    pub fn set_proportions(&mut self, proportions: &[f64]) -> Result<()> {
        let sum: f64 = proportions.iter().sum();
        let valid = proportions.len() == self.domains.len()
            && proportions.iter().all(|share| *share >= 0.0)
            && sum.is_finite()
            && sum > 0.0;
        if !valid {
            return Err(TrainError::Data(format!(
                "proportions {proportions:?} for {} domains; one share of 0 or more for each wanted, one of them positive",
                self.domains.len()
            )));
        }
        self.state.proportions = proportions.iter().map(|share| share / sum).collect();
        Ok(())
    }

    /// Sequences drawn so far from each domain.
    pub fn drawn(&self) -> impl Iterator<Item = (&str, u64)> {
        let names = self.domains.iter().map(|domain| domain.name.as_str());
        names.zip(self.state.cursors.iter().map(|cursor| cursor.drawn))
    }

    /// Mean tokens that the model reads of a sequence, by the present shares.
    pub fn tokens_per_sequence(&self) -> f64 {
        let mean = |source: &Source| match source {
            Source::Stream(_) => self.length as f64,
            Source::Examples(examples) => {
                let read = |example: &Example| example.tokens.len().min(self.length).saturating_sub(1) as f64;
                examples.iter().map(read).sum::<f64>() / examples.len() as f64
            }
        };
        let shares = self.domains.iter().zip(&self.state.proportions);
        shares.map(|(domain, share)| share * mean(&domain.source)).sum()
    }

    /// Examples of all domains; none if one is a stream.
    pub fn examples(&self) -> Option<usize> {
        let count = |domain: &Domain| match &domain.source {
            Source::Stream(_) => None,
            Source::Examples(examples) => Some(examples.len()),
        };
        self.domains.iter().map(count).sum()
    }

    /// The next sequence.
    pub fn next_sequence(&mut self) -> Example {
        let mut draw = self.state.draws.random::<f64>();
        let mut last = 0;
        for (index, share) in self.state.proportions.iter().enumerate() {
            if *share > 0.0 {
                last = index;
                if draw < *share {
                    break;
                }
                draw -= share;
            }
        }
        let cursor = &mut self.state.cursors[last];
        cursor.drawn += 1;
        match &self.domains[last].source {
            Source::Stream(tokens) => {
                let start = self.state.draws.random_range(0..tokens.len() - self.length);
                let tokens = tokens[start..=start + self.length].to_vec();
                Example::new(self.domains[last].name.as_str(), start as u64, tokens, 0)
            }
            Source::Examples(examples) => {
                let example = &examples[self.orders[last][cursor.next] as usize];
                let mut example = example.clone();
                example.tokens.truncate(self.length);
                cursor.next += 1;
                if cursor.next == examples.len() {
                    (cursor.epoch, cursor.next) = (cursor.epoch + 1, 0);
                    self.shuffle(last);
                }
                example
            }
        }
    }

    /// What changes, to go on from later.
    pub fn state(&self) -> &MixtureState {
        &self.state
    }

    /// Goes on from a state of a mixture of the same domains and seed.
    ///
    /// # Errors
    /// [`TrainError::Data`] for a state of other domains.
    pub fn restore(&mut self, state: MixtureState) -> Result<()> {
        let fits = |(domain, cursor): (&Domain, &Cursor)| match &domain.source {
            Source::Stream(_) => cursor.next == 0,
            Source::Examples(examples) => cursor.next < examples.len(),
        };
        let lengths = [state.cursors.len(), state.proportions.len()];
        if lengths != [self.domains.len(); 2] || !self.domains.iter().zip(&state.cursors).all(fits) {
            return Err(TrainError::Data("the position belongs to other domains".to_owned()));
        }
        self.state = state;
        (0..self.domains.len()).for_each(|domain| self.shuffle(domain));
        Ok(())
    }

    /// The order of a domain's present epoch: a draw that depends on seed, domain and epoch alone.
    fn shuffle(&mut self, domain: usize) {
        if let Source::Examples(examples) = &self.domains[domain].source {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(1 + domain as u64 + ((self.state.cursors[domain].epoch + 1) << 16));
            let mut order: Vec<u32> = (0..examples.len() as u32).collect();
            order.shuffle(&mut rng);
            self.orders[domain] = order;
        }
    }
}

/// Sequences side by side for one forward and backward pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What the model reads: rows of one length.
    pub rows: Vec<Vec<u32>>,
    /// What it learns to predict: of a token of the rows, counted row by row, its successor.
    pub targets: Vec<(usize, u32)>,
    /// The sequences that share the only row, if they do.
    pub parts: Option<Vec<Range<usize>>>,
    /// Tokens read, padding excluded.
    pub tokens: u64,
}

/// Behind the end of a short sequence. No target depends on it: the mask is causal.
const PADDING: u32 = 0;

impl Batch {
    /// Pads the sequences to the longest, or puts them into one row, in which none sees another. One of a single token, which
    /// has nothing to predict, is left out.
    pub fn new(examples: &[Example], packed: bool) -> Self {
        let examples: Vec<&Example> = examples.iter().filter(|example| example.tokens.len() > 1).collect();
        let reads: Vec<&[u32]> = examples
            .iter()
            .map(|example| &example.tokens[..example.tokens.len() - 1])
            .collect();
        let width = reads.iter().map(|read| read.len()).max().unwrap_or_default();
        let mut batch = Self {
            rows: Vec::new(),
            targets: Vec::new(),
            parts: packed.then(Vec::new),
            tokens: reads.iter().map(|read| read.len() as u64).sum(),
        };
        let mut row = Vec::new();
        for (index, (example, read)) in examples.iter().zip(reads).enumerate() {
            let start = if packed { row.len() } else { index * width };
            let learnt = example.learnt();
            batch
                .targets
                .extend(learnt.map(|at| (start + at - 1, example.tokens[at])));
            row.extend_from_slice(read);
            match &mut batch.parts {
                Some(parts) => parts.push(start..row.len()),
                None => {
                    row.resize(width, PADDING);
                    batch.rows.push(std::mem::take(&mut row));
                }
            }
        }
        if packed {
            batch.rows.push(row);
        }
        batch
    }
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
