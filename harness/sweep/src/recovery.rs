//! Data for the methods of a recipe that train: texts and instruction sets as token sequences.

use prunebench_datasets::{Catalogue, Error as DataError, Places, instructions, text};
use prunebench_methods::Recovery as Sequences;
use prunebench_model::tokenizer::Tokenizer;
use prunebench_results::Inputs;
use prunebench_train::{Domain, Example, Source, Validation};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::unchanged::{check, text_input};
use crate::worker::CellError;

/// Which examples of an instruction set validate does not depend on the cell's seed, so that all cells are judged on the same.
const SPLIT_SEED: u64 = 42;

/// Data to train on: each text and each instruction set is a domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// Texts, as `data set/split`; a sequence is taken at a random place of one.
    #[serde(default)]
    pub texts: Vec<String>,
    /// Instruction sets; the response is learnt, the prompt given.
    #[serde(default)]
    pub instructions: Vec<String>,
    /// Share of the sequences of each text and then of each instruction set; equal shares if absent.
    #[serde(default)]
    pub shares: Vec<f64>,
    /// Sequences kept for validation: the last windows of each text, and examples of each instruction set drawn once and for
    /// all, which are cut as those that are trained on.
    #[serde(default)]
    pub validation: usize,
    /// Tokens of a text's validation windows.
    #[serde(default = "window")]
    pub window: usize,
}

fn window() -> usize {
    256
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            texts: Vec::new(),
            instructions: Vec::new(),
            shares: Vec::new(),
            validation: 0,
            window: window(),
        }
    }
}

impl Recovery {
    /// What is wrong with the shape of it.
    pub(crate) fn problem(&self) -> Option<String> {
        let domains = self.texts.len() + self.instructions.len();
        if domains == 0 {
            return Some("recovery: name `texts` or `instructions` to train on".to_owned());
        }
        if !self.shares.is_empty() && self.shares.len() != domains {
            return Some(format!(
                "recovery: {} shares for {domains} texts and instruction sets; one each wanted, or none",
                self.shares.len()
            ));
        }
        (self.window < 2).then(|| "recovery: a window of 1 token predicts nothing".to_owned())
    }

    /// The hash of each text and set.
    pub(crate) fn hashes(&self, catalogue: &Catalogue, places: &Places) -> Result<Vec<(String, String)>, DataError> {
        let texts = self.texts.iter().map(|name| {
            let (data_set, split) = parts(name);
            Ok((
                text_input(data_set, split),
                text(catalogue, data_set, split, places)?.sha256,
            ))
        });
        let sets = self
            .instructions
            .iter()
            .map(|name| Ok((instructions_input(name), instructions(catalogue, name, places)?.sha256)));
        texts.chain(sets).collect()
    }

    /// The token sequences, of data with the hashes that were planned, if they were.
    pub(crate) fn sequences(
        &self,
        catalogue: &Catalogue,
        places: &Places,
        tokenizer: &Tokenizer,
        planned: Option<&Inputs>,
    ) -> Result<Sequences, CellError> {
        let mut sequences = Sequences::default();
        let mut shares = self.shares.iter().copied();
        for name in &self.texts {
            let (data_set, split) = parts(name);
            let text = text(catalogue, data_set, split, places)?;
            if let Some(planned) = planned {
                check(planned, &text_input(data_set, split), &text.sha256, &text.origin)?;
            }
            let mut tokens = tokenizer.encode(&text.content)?;
            let kept = tokens.len().saturating_sub(self.validation * self.window);
            let windows = tokens.split_off(kept);
            let windows = windows.chunks_exact(self.window).enumerate();
            let examples = windows.map(|(index, window)| {
                let first = kept + index * self.window;
                Example::new(name.as_str(), first as u64, window.to_vec(), 0)
            });
            add(
                &mut sequences,
                name,
                shares.next(),
                Source::Stream(tokens),
                examples.collect(),
            );
        }
        for name in &self.instructions {
            let set = instructions(catalogue, name, places)?;
            if let Some(planned) = planned {
                check(planned, &instructions_input(name), &set.sha256, &set.origin)?;
            }
            let mut examples = Vec::with_capacity(set.examples.len());
            for (example, id) in set.examples.iter().zip(0..) {
                let prompt = tokenizer.encode(&example.prompt)?.len();
                let mut tokens = tokenizer.encode(&format!("{}{}", example.prompt, example.response))?;
                tokens.extend(tokenizer.eos());
                examples.push(Example::new(name.as_str(), id, tokens, prompt));
            }
            examples.shuffle(&mut ChaCha8Rng::seed_from_u64(SPLIT_SEED));
            let validation = examples.split_off(examples.len().saturating_sub(self.validation));
            let source = Source::Examples(examples);
            add(&mut sequences, name, shares.next(), source, validation);
        }
        Ok(sequences)
    }
}

/// The name among a cell's inputs under which the hash of a set of instructions stands.
fn instructions_input(name: &str) -> String {
    format!("instructions:{name}")
}

fn add(sequences: &mut Sequences, name: &str, share: Option<f64>, source: Source, validation: Vec<Example>) {
    if !validation.is_empty() {
        sequences.validation.push(Validation {
            name: name.to_owned(),
            examples: validation,
            cut: matches!(source, Source::Examples(_)),
        });
    }
    let domain = Domain {
        name: name.to_owned(),
        source,
    };
    sequences.domains.push((domain, share.unwrap_or(1.0)));
}

/// Without a slash the split is empty, and the catalogue says which there are.
fn parts(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or((name, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_cut_for_validation_too_and_windows_of_a_text_are_not() {
        let example = || Example::new("a", 0, vec![1, 2, 3], 1);
        let mut sequences = Sequences::default();
        add(
            &mut sequences,
            "text",
            None,
            Source::Stream(vec![1; 9]),
            vec![example()],
        );
        let examples = Source::Examples(vec![example()]);
        add(&mut sequences, "instructions", None, examples, vec![example()]);
        let cut: Vec<(&str, bool)> = sequences
            .validation
            .iter()
            .map(|set| (set.name.as_str(), set.cut))
            .collect();
        assert_eq!(cut, [("text", false), ("instructions", true)]);
    }
}
