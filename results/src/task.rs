//! Downstream accuracy: what is asked of a model, and what it answered, item by item.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::statistics;

/// One task to evaluate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRequest {
    /// The task with its version, e.g. `arc_easy@1`.
    pub task: String,
    /// Solved examples in front of every question.
    pub shots: usize,
    /// The split that the examples come from; the one that the task names if absent.
    #[serde(default)]
    pub shots_split: Option<String>,
    /// Seed of the examples' choice, where the task doesn't fix them.
    pub shots_seed: u64,
    /// Only the first so many documents (of each group, if the task has groups); all if absent.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Whether the distributions at the scored positions are compared with the dense model's.
    #[serde(default)]
    pub divergence: bool,
}

/// A named mean over tasks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteRequest {
    /// The suite, e.g. `llm-pruner-7`.
    pub suite: String,
    /// Its tasks, which are among the cell's, each with the metric that enters the mean.
    pub members: Vec<SuiteMember>,
}

/// A task's part in a suite.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteMember {
    /// The task with its version.
    pub task: String,
    /// The shots under which the task is evaluated, since a cell may hold a task with several.
    pub shots: usize,
    /// The metric.
    pub metric: MetricName,
}

/// What is computed from the answers to a task's items, by lm-eval's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricName {
    /// The share of items whose most likely request is the right one; of a task with a single request an item, the share
    /// that greedy decoding gets right.
    Acc,
    /// As `acc`, by log-likelihood over the characters of the choice.
    AccNorm,
    /// As `acc`, by log-likelihood over the UTF-8 bytes of the choice.
    AccBytes,
    /// `exp` of the mean negative log-likelihood of the items' single requests; lower is better.
    Perplexity,
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Acc => "acc",
            Self::AccNorm => "acc_norm",
            Self::AccBytes => "acc_bytes",
            Self::Perplexity => "perplexity",
        })
    }
}

/// A task's numbers, with the answer to every item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskResult {
    /// What was asked.
    pub request: TaskRequest,
    /// Over all items: first the task's own metrics in its order, then the others that its kind of items has.
    pub metrics: Vec<TaskMetric>,
    /// How many of `metrics` are the task's own.
    pub own_metrics: usize,
    /// Over the items of each group, in the order of the groups' first documents; empty if the task has none.
    pub groups: Vec<TaskGroup>,
    /// The documents evaluated, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<TaskItem>,
    /// How many those are.
    pub documents: usize,
    /// Documents that the split holds.
    pub documents_available: usize,
    /// How requests were encoded and scored.
    pub scoring: ScoringCounts,
    /// Items whose best log-likelihood several requests share; the first of them counts as chosen.
    pub tied_items: usize,
    /// Items with a log-likelihood that is no finite number. Of those that are no number at all, the first counts as
    /// chosen, as NumPy's argmax has it.
    pub nan_items: usize,
    /// Against the dense model at the scored positions, if that was asked for.
    #[serde(default)]
    pub divergence: Option<Divergence>,
}

/// One number of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskMetric {
    /// Which.
    pub name: MetricName,
    /// Its value.
    pub value: f64,
    /// Its standard error over items, within groups if there are any; absent if no group has two.
    pub stderr: Option<f64>,
}

/// The numbers of a group of items, e.g. one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskGroup {
    /// The group.
    pub group: String,
    /// Items in it.
    pub items: usize,
    /// As in [`TaskResult::metrics`].
    pub metrics: Vec<TaskMetric>,
}

/// The model's answer to one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskItem {
    /// Row of the document in its split, from 0.
    pub document: usize,
    /// Its group, as an index into [`TaskResult::groups`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
    /// Log-likelihood of every request in nats; `None` where it is no finite number.
    pub log_likelihoods: Vec<Option<f64>>,
    /// Whether greedy decoding gives the request's continuation.
    pub greedy: Vec<bool>,
    /// The right request; absent if the task has a single one, which is right if it is greedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gold: Option<usize>,
    /// The request chosen under each accuracy of [`TaskResult::metrics`], in that order; empty if there is a single one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen: Vec<usize>,
    /// Σ KL(dense ‖ model) over the scored positions in nats, and their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<(f64, usize)>,
}

/// How a task's requests were encoded and scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringCounts {
    /// Requests scored.
    pub requests: usize,
    /// Tokens whose likelihood was taken.
    pub tokens_scored: usize,
    /// Tokens that the model read: less than the requests' tokens where they share a beginning.
    pub tokens_read: usize,
    /// Whether the tokenizer put BOS in front of each context, as its own files say.
    pub bos_added: bool,
    /// The token that stood for an empty context, if there was one.
    pub prefix_token: Option<u32>,
    /// Requests too long for the model's context, which lost tokens at their left end.
    pub truncated_requests: usize,
    /// Time on the clock of encoding and scoring; where the dense model's part was taken from another cell, with its time there.
    #[serde(default)]
    pub seconds: f64,
}

/// How far the model's next-token distributions are from the dense model's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Divergence {
    /// Mean of KL(dense ‖ model) over the scored positions, in nats.
    pub mean: f64,
    /// Its standard error over items (ratio estimator), absent with a single one.
    pub stderr: Option<f64>,
    /// Scored positions.
    pub positions: usize,
}

impl SuiteRequest {
    /// The unweighted mean of the members' metrics and its standard error, from the results of one cell; `None` if a
    /// member is not among them.
    pub fn mean(&self, results: &[TaskResult]) -> Option<(f64, Option<f64>)> {
        let metrics = self.members.iter().map(|member| {
            let result = results.iter().find(|result| member.is_of(&result.request))?;
            result.metric(member.metric).map(|metric| (metric.value, metric.stderr))
        });
        statistics::mean_of_independent(&metrics.collect::<Option<Vec<_>>>()?)
    }
}

impl SuiteMember {
    /// Whether this is the task that was asked for, with as many shots.
    pub fn is_of(&self, request: &TaskRequest) -> bool {
        (&self.task, self.shots) == (&request.task, request.shots)
    }
}

impl TaskResult {
    /// The task's own metrics, in its order.
    pub fn own(&self) -> &[TaskMetric] {
        &self.metrics[..self.own_metrics.min(self.metrics.len())]
    }

    /// One of [`Self::metrics`], if items of this kind have it.
    pub fn metric(&self, name: MetricName) -> Option<&TaskMetric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// What one item contributes to a metric: 1 or 0 to an accuracy, a log-likelihood to a perplexity. The metric is
    /// the mean of that over items, or `exp` of minus the mean. `None` where items of this kind lack the metric.
    pub fn sample(&self, name: MetricName, item: &TaskItem) -> Option<f64> {
        match (name, item.gold) {
            (MetricName::Perplexity, None) => item.log_likelihoods.first().copied().flatten(),
            (MetricName::Acc, None) => item.greedy.first().map(|&greedy| f64::from(greedy)),
            (_, Some(gold)) => Some(f64::from(self.chosen(name, item)? == gold)),
            _ => None,
        }
    }

    /// The request that an item's answer is under an accuracy; `None` if the item has a single one.
    pub fn chosen(&self, name: MetricName, item: &TaskItem) -> Option<usize> {
        let place = self.metrics.iter().position(|metric| metric.name == name)?;
        item.chosen.get(place).copied()
    }
}
