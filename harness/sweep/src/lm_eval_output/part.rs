//! The samples of a task, or of a group that lm-eval has as a task of its own.

use prunebench_datasets::{Document, Documents, Form, Places, Shots, Task};
use prunebench_results::{MetricName, TaskMetric, TaskResult};
use serde_json::{Map, Value, json};

use super::{LmEvalError, hash};

/// What lm-eval calls a task: a whole task, or a group of one.
pub(super) struct Part<'a> {
    /// Under lm-eval's name.
    pub(super) name: String,
    pub(super) metrics: &'a [TaskMetric],
    /// Places among the items and the documents.
    pub(super) items: Vec<usize>,
    documents: &'a Documents,
    /// Documents that there are, beyond any limit.
    pub(super) available: usize,
}

/// A task as lm-eval splits it.
pub(super) fn parts<'a>(
    task: &Task,
    result: &'a TaskResult,
    documents: &'a Documents,
    places: &Places,
) -> Result<Vec<Part<'a>>, LmEvalError> {
    let name = lm_eval_name(task);
    if result.groups.is_empty() {
        return Ok(vec![Part {
            name: name.to_owned(),
            metrics: &result.metrics,
            items: (0..result.items.len()).collect(),
            documents,
            available: result.documents_available,
        }]);
    }
    // The record knows how many documents there are, but not of which group.
    let all = match result.request.limit {
        Some(_) => Some(task.documents(&Shots::new(0), None, places)?),
        None => None,
    };
    let all = &all.as_ref().unwrap_or(documents).documents;
    let part = |(index, group): (usize, &'a prunebench_results::TaskGroup)| {
        let of_group = |document: &&Document| document.group.as_ref() == Some(&group.group);
        let members = result.items.iter().enumerate();
        Part {
            name: format!("{name}_{}", group.group),
            metrics: &group.metrics,
            items: members
                .filter(|(_, item)| item.group == Some(index))
                .map(|(place, _)| place)
                .collect(),
            documents,
            available: all.iter().filter(of_group).count(),
        }
    };
    Ok(result.groups.iter().enumerate().map(part).collect())
}

/// The task under lm-eval's name, or its own where it equals none of lm-eval's.
pub(super) fn lm_eval_name(task: &Task) -> &str {
    task.lm_eval
        .as_ref()
        .map_or(task.name.as_str(), |lm_eval| &lm_eval.task)
}

impl Part<'_> {
    /// The lines of its samples, in the order of its documents.
    pub(super) fn samples(&self, task: &Task, result: &TaskResult) -> Vec<Value> {
        let sample = |(doc_id, &place): (usize, &usize)| {
            let (item, document) = (&result.items[place], &self.documents.documents[place]);
            let target = target(task, document);
            let arguments = document.requests.iter().enumerate().map(|(index, request)| {
                let value = json!({ "arg_0": request.context, "arg_1": request.continuation });
                (format!("gen_args_{index}"), value)
            });
            let answers = item
                .log_likelihoods
                .iter()
                .zip(&item.greedy)
                .map(|(log_likelihood, greedy)| {
                    let log_likelihood = log_likelihood.map_or_else(|| "nan".to_owned(), |value| format!("{value:?}"));
                    json!([log_likelihood, if *greedy { "True" } else { "False" }])
                });
            let answers: Vec<Value> = answers.collect();
            let names: Vec<MetricName> = result.own().iter().map(|metric| metric.name).collect();
            let context = document.requests.first().map_or("", |request| request.context.as_str());
            let mut sample = json!({
                "doc_id": doc_id,
                "doc": document.fields,
                "target": target,
                "arguments": arguments.collect::<Map<String, Value>>(),
                "resps": answers.iter().map(|answer| json!([answer])).collect::<Vec<_>>(),
                "filtered_resps": answers,
                "filter": "none",
                "metrics": names,
                // lm-eval indents what it hashes.
                "doc_hash": hash(&format!("{:#}", document.fields)),
                "prompt_hash": hash(context),
                "target_hash": hash(&target),
            });
            for name in names {
                // lm-eval's own verdict of a single request is an integer.
                sample[name.to_string()] = match result.sample(name, item) {
                    Some(value) if item.gold.is_none() && name == MetricName::Acc => json!(value as u8),
                    value => json!(value),
                };
            }
            sample
        };
        self.items.iter().enumerate().map(sample).collect()
    }
}

/// What lm-eval's templates give as the target: the index of the right choice, or the text that is scored.
fn target(task: &Task, document: &Document) -> String {
    let index = document.gold.map(|gold| gold.to_string());
    match (&task.prompt.form, document.requests.first()) {
        (Form::Choices { .. }, _) | (_, None) => index.unwrap_or_default(),
        (_, Some(request)) => {
            let text = request.continuation.as_str();
            text.strip_prefix(&task.prompt.delimiter).unwrap_or(text).to_owned()
        }
    }
}
