//! A task's requests put to a decoder.

use std::time::Instant;

use prunebench_datasets::{Document, Documents, Metric, Task};
use prunebench_model::{Decoder, tokenizer::Tokenizer};
use prunebench_results::{ChoiceLength, MetricName, ScoredItem, ScoringCounts, TaskRequest, TaskResult};
use rayon::prelude::*;

use crate::dense::Dense;
use crate::encoding::{Encoded, Encoder};
use crate::likelihood::{Answer, answers};
use crate::{Error, Result};

/// The metrics of `task` over `documents`, which were made as `request` asks. With `dense` also how far the decoder's
/// distributions at the scored positions are from that model's. `progress` hears the requests done and those in all.
///
/// # Errors
/// A tokenizer of another model, a request that the model can't be asked, a failing forward pass, or answers that are no
/// numbers.
pub fn task(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    task: &Task,
    documents: &Documents,
    request: &TaskRequest,
    dense: Option<Dense>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<TaskResult> {
    let start = Instant::now();
    let encoder = Encoder::new(decoder, tokenizer)?;
    let encoded: Vec<Vec<Encoded>> = documents
        .documents
        .par_iter()
        .map(|document| encode(&encoder, task, document))
        .collect::<Result<_>>()?;
    let truncated_requests = encoded.iter().flatten().filter(|encoded| encoded.truncated).count();
    let sequences: Vec<_> = encoded.into_iter().flatten().map(|encoded| encoded.sequence).collect();
    let total = sequences.len();
    progress(0, total);
    let found = answers(decoder, &sequences, dense, &mut |done| progress(done, total))?;

    let mut scored_tokens = sequences.iter().map(|sequence| sequence.scored());
    let mut found_answers = found.answers.into_iter();
    let items = documents
        .documents
        .iter()
        .map(|document| {
            let count = document.requests.len();
            let answers: Vec<Answer> = found_answers.by_ref().take(count).collect();
            item(document, &answers, scored_tokens.by_ref().take(count).sum())
        })
        .collect();
    let empty = |request: &prunebench_datasets::Request| request.context.is_empty();
    let mut requests = documents.documents.iter().flat_map(|document| &document.requests);
    let counts = ScoringCounts {
        requests: total,
        tokens_scored: sequences.iter().map(|sequence| sequence.scored()).sum(),
        tokens_read: found.tokens_read,
        bos_added: encoder.adds_bos()?,
        prefix_token: requests.any(empty).then(|| encoder.prefix_token()).transpose()?,
        truncated_requests,
        seconds: start.elapsed().as_secs_f64() + found.seconds_of_others,
    };
    let metrics: Vec<MetricName> = task.metrics.iter().map(metric_name).collect();
    Ok(TaskResult::from_items(
        request.clone(),
        &metrics,
        items,
        documents.available,
        counts,
    )?)
}

fn encode(encoder: &Encoder, task: &Task, document: &Document) -> Result<Vec<Encoded>> {
    let requests = document.requests.iter();
    let requests = requests.map(|request| (request.context.as_str(), request.continuation.as_str()));
    encoder.document(requests).map_err(|error| match error {
        Error::Request { problem } => Error::Request {
            problem: format!("{}, document {}: {problem}", task.id(), document.row),
        },
        other => other,
    })
}

fn item(document: &Document, answers: &[Answer], scored_tokens: usize) -> ScoredItem {
    let divergence: Option<f64> = answers.iter().map(|answer| answer.divergence).sum();
    let length = |choice: &String| ChoiceLength {
        chars: choice.chars().count(),
        bytes: choice.len(),
    };
    ScoredItem {
        document: document.row,
        group: document.group.clone(),
        log_likelihoods: answers.iter().map(|answer| answer.log_likelihood).collect(),
        greedy: answers.iter().map(|answer| answer.greedy).collect(),
        gold: document.gold,
        lengths: document.choices.iter().map(length).collect(),
        divergence: divergence.map(|sum| (sum, scored_tokens)),
    }
}

/// A metric of the catalogue as records name it.
pub fn metric_name(metric: &Metric) -> MetricName {
    match metric {
        Metric::Acc => MetricName::Acc,
        Metric::AccNorm => MetricName::AccNorm,
        Metric::AccBytes => MetricName::AccBytes,
        Metric::Perplexity => MetricName::Perplexity,
    }
}
