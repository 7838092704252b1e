//! Tasks made into requests: rows, few-shot examples, templates.

mod prompt;
mod python_random;
mod rows;
mod shots;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::catalogue::Task;
use crate::error::{Error, Result};
use crate::fetch::{Origin, Places, hexadecimal};
use crate::template::Engine;
use prompt::Prompt;
use rows::{Group, Row, grouped};
use shots::{Chooser, TooFew};

/// The seed lm-eval draws few-shot examples with unless told otherwise.
pub const SHOTS_SEED: u64 = 1234;

/// How many examples a context opens with, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shots {
    /// Examples before each document.
    pub count: usize,
    /// Split they come from, if not the task's own choice.
    pub split: Option<String>,
    /// Seed of the draws, for a task that draws.
    pub seed: u64,
}

impl Shots {
    /// `count` examples as lm-eval takes them by default.
    pub fn new(count: usize) -> Self {
        Self {
            count,
            split: None,
            seed: SHOTS_SEED,
        }
    }
}

/// The documents of a task.
#[derive(Debug, Clone)]
pub struct Documents {
    /// By group, and in the order of the split.
    pub documents: Vec<Document>,
    /// Documents the split has, limit or not.
    pub available: usize,
    /// Hash of every document's requests, answer and choice lengths, in lower-case hexadecimal digits: it pins rows,
    /// templates, examples and limit at once.
    pub sha256: String,
    /// Where the rows came from, and the examples if they are of another split.
    pub origins: Vec<Origin>,
}

/// A row made into requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Number of the row in its split, from 0.
    pub row: usize,
    /// Its group, if the task has groups.
    pub group: Option<String>,
    /// The row.
    pub fields: Value,
    /// What the model is asked; one request for each choice.
    pub requests: Vec<Request>,
    /// Index of the right request; `None` where there is one request, right if the model would choose it.
    pub gold: Option<usize>,
    /// The texts whose lengths normalise the log-likelihoods, one for each choice.
    pub choices: Vec<String>,
}

/// A question to a model: how likely is `continuation` after `context`?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What stands before.
    pub context: String,
    /// What is scored, the delimiter included.
    pub continuation: String,
}

impl Task {
    /// The task's documents, of each group the first `limit` or all, with few-shot examples before them.
    ///
    /// # Errors
    /// A split that can't be fetched, read or is not the catalogue's; a row the templates do not fit; few-shot examples
    /// that are missing or too few.
    pub fn documents(&self, shots: &Shots, limit: Option<usize>, places: &Places) -> Result<Documents> {
        let split = &self.prompt.split;
        let (groups, origin) = grouped(self, split, places)?;
        let available = groups.iter().map(|group| group.rows.len()).sum();
        let mut origins = vec![origin];
        let shot_split = shots.split.as_ref().unwrap_or(&self.few_shot.split);
        let other = if shots.count > 0 && shot_split != split {
            let (rows, origin) = self.shot_rows(shot_split, places)?;
            origins.push(origin);
            Some(rows)
        } else {
            None
        };

        let wanted: Vec<(&Group, &Row)> = groups
            .iter()
            .flat_map(|group| {
                let rows = group.rows.iter().take(limit.unwrap_or(usize::MAX));
                rows.map(move |row| (group, row))
            })
            .collect();
        let chosen = self.choose(shots, shot_split, &groups, other.as_deref(), &wanted)?;

        let engine = Engine::new(&self.file())?;
        let prompt = Prompt::new(self, &engine)?;
        // Many documents share an example, so each is rendered once.
        let examples: BTreeMap<usize, &Row> = chosen.iter().flatten().map(|&row| (row.number, row)).collect();
        let examples: BTreeMap<usize, String> = examples
            .into_par_iter()
            .map(|(number, row)| Ok((number, prompt.example(row, shot_split)?)))
            .collect::<Result<_>>()?;
        let documents: Vec<Document> = wanted
            .par_iter()
            .zip(&chosen)
            .map(|((group, row), chosen)| {
                let examples: Vec<&str> = chosen.iter().map(|row| examples[&row.number].as_str()).collect();
                prompt.document(row, split, group.name.as_deref(), &examples)
            })
            .collect::<Result<_>>()?;
        Ok(Documents {
            sha256: fingerprint(&documents),
            documents,
            available,
            origins,
        })
    }

    fn shot_rows(&self, split: &str, places: &Places) -> Result<(Vec<Group>, Origin)> {
        self.split(split)?;
        grouped(self, split, places).map_err(|cause| Error::NoShots {
            task: self.name.clone(),
            split: split.to_owned(),
            others: self.splits.keys().filter(|other| *other != split).cloned().collect(),
            cause: Box::new(cause),
        })
    }

    /// The examples of each wanted row: one generator for each group, asked once a document, as lm-eval has it.
    fn choose<'a>(
        &self,
        shots: &Shots,
        split: &str,
        evaluated: &'a [Group],
        other: Option<&'a [Group]>,
        wanted: &[(&Group, &Row)],
    ) -> Result<Vec<Vec<&'a Row>>> {
        if shots.count == 0 {
            return Ok(vec![Vec::new(); wanted.len()]);
        }
        let skips = match (&shots.split, self.few_shot.skips_document) {
            (None, Some(skips)) => skips,
            _ => split == self.prompt.split,
        };
        let mut choosers: BTreeMap<Option<&str>, Chooser> = BTreeMap::new();
        let mut chosen = Vec::with_capacity(wanted.len());
        for (group, row) in wanted {
            let chooser = choosers.entry(group.name.as_deref()).or_insert_with(|| {
                let pool = other.unwrap_or(evaluated).iter().filter(|pool| pool.name == group.name);
                let pool = pool.flat_map(|pool| &pool.rows).collect();
                Chooser::new(pool, shots.count, skips, self.few_shot.order, shots.seed)
            });
            chosen.push(
                chooser
                    .choose(row)
                    .map_err(|TooFew { wanted, available }| Error::TooFewShots {
                        task: self.name.clone(),
                        split: split.to_owned(),
                        group: group.name.clone(),
                        wanted,
                        available,
                    })?,
            );
        }
        Ok(chosen)
    }
}

fn fingerprint(documents: &[Document]) -> String {
    let mut hash = Sha256::new();
    let number = |hash: &mut Sha256, number: usize| hash.update((number as u64).to_le_bytes());
    for document in documents {
        number(&mut hash, document.requests.len());
        for request in &document.requests {
            for text in [&request.context, &request.continuation] {
                number(&mut hash, text.len());
                hash.update(text);
            }
        }
        number(&mut hash, document.gold.unwrap_or(usize::MAX));
        number(&mut hash, document.choices.len());
        for choice in &document.choices {
            number(&mut hash, choice.chars().count());
            number(&mut hash, choice.len());
        }
    }
    hexadecimal(hash)
}
