//! From log-likelihoods of single items to a task's metrics.

use crate::{
    measurement::MeasurementError,
    statistics,
    task::{Divergence, MetricName, ScoringCounts, TaskGroup, TaskItem, TaskMetric, TaskRequest, TaskResult},
};

/// A document with the likelihoods of its requests.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredItem {
    /// Row of the document in its split, from 0.
    pub document: usize,
    /// The group that it belongs to.
    pub group: Option<String>,
    /// Log-likelihood of every request in nats.
    pub log_likelihoods: Vec<f64>,
    /// Whether greedy decoding gives the request's continuation.
    pub greedy: Vec<bool>,
    /// The right request; absent if there is a single one, which is right if it is greedy.
    pub gold: Option<usize>,
    /// The length of each request's choice; empty if there is a single request.
    pub lengths: Vec<ChoiceLength>,
    /// Σ KL(dense ‖ model) over the scored positions in nats, and their number.
    pub divergence: Option<(f64, usize)>,
}

/// The length of a choice's text, without the delimiter before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChoiceLength {
    /// Unicode code points.
    pub chars: usize,
    /// UTF-8 bytes.
    pub bytes: usize,
}

const CHOICE_METRICS: [MetricName; 3] = [MetricName::Acc, MetricName::AccNorm, MetricName::AccBytes];
const SINGLE_METRICS: [MetricName; 2] = [MetricName::Perplexity, MetricName::Acc];

impl TaskResult {
    /// Computes a task's metrics, those in `own` first.
    ///
    /// Accuracies choose as NumPy's argmax does: the first of equals, and the first that is no number. Standard errors
    /// are those of lm-eval: of the mean over items, and with groups the pooled one,
    /// `sqrt(Σ (nᵢ - 1) nᵢ seᵢ² / (Σ nᵢ - k) / Σ nᵢ)` over `k` groups. A group of one item has no error of its own and
    /// adds nothing to either sum. The error of a perplexity is `perplexity · se(mean log-likelihood)` (delta method).
    ///
    /// # Errors
    /// If there is no item, no item without a log-likelihood that isn't finite, a metric that isn't finite or that such
    /// items don't have, or an item that contradicts itself or the others.
    pub fn from_items(
        request: TaskRequest,
        own: &[MetricName],
        items: Vec<ScoredItem>,
        documents_available: usize,
        scoring: ScoringCounts,
    ) -> Result<Self, MeasurementError> {
        let task = request.task.as_str();
        let names = metric_names(task, own, check(task, &items)?)?;
        let nan_items = items.iter().filter(|item| !is_finite(item)).count();
        if nan_items == items.len() {
            let task = task.to_owned();
            return Err(MeasurementError::NoAnswer { task, items: nan_items });
        }
        let tied_items = items.iter().filter(|item| is_tied(item)).count();

        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        let mut answered: Vec<TaskItem> = Vec::with_capacity(items.len());
        let mut samples: Vec<Vec<f64>> = vec![Vec::with_capacity(items.len()); names.len()];
        for (index, item) in items.into_iter().enumerate() {
            let group = item
                .group
                .as_ref()
                .map(|name| match groups.iter().position(|(other, _)| other == name) {
                    Some(group) => group,
                    None => {
                        groups.push((name.clone(), Vec::new()));
                        groups.len() - 1
                    }
                });
            if let Some(group) = group {
                groups[group].1.push(index);
            }
            let chosen: Vec<usize> = match item.gold {
                Some(_) => names.iter().map(|&name| choice(name, &item)).collect(),
                None => Vec::new(),
            };
            for (place, (&name, samples)) in names.iter().zip(&mut samples).enumerate() {
                samples.push(match (item.gold, name) {
                    (Some(gold), _) => f64::from(chosen[place] == gold),
                    (None, MetricName::Perplexity) => item.log_likelihoods[0],
                    (None, _) => f64::from(item.greedy[0]),
                });
            }
            answered.push(TaskItem {
                document: item.document,
                group,
                log_likelihoods: item
                    .log_likelihoods
                    .iter()
                    .map(|&ll| ll.is_finite().then_some(ll))
                    .collect(),
                greedy: item.greedy,
                gold: item.gold,
                chosen,
                divergence: item.divergence,
            });
        }

        let members: Vec<&[usize]> = groups.iter().map(|(_, members)| members.as_slice()).collect();
        let all: Vec<usize> = (0..answered.len()).collect();
        let whole = if members.is_empty() {
            vec![all.as_slice()]
        } else {
            members.clone()
        };
        let metrics = |strata: &[&[usize]]| -> Result<Vec<TaskMetric>, MeasurementError> {
            let named = names.iter().zip(&samples);
            named
                .map(|(&name, samples)| metric(task, name, samples, strata))
                .collect()
        };
        let group_metrics = members
            .iter()
            .map(|&members| metrics(&[members]))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            metrics: metrics(&whole)?,
            own_metrics: own.len(),
            groups: groups
                .iter()
                .zip(group_metrics)
                .map(|((group, members), metrics)| TaskGroup {
                    group: group.clone(),
                    items: members.len(),
                    metrics,
                })
                .collect(),
            divergence: divergence(task, &answered)?,
            documents: answered.len(),
            items: answered,
            documents_available,
            scoring,
            tied_items,
            nan_items,
            request,
        })
    }
}

/// Checks that every item fits itself and the first one; whether items have a single request each.
fn check(task: &str, items: &[ScoredItem]) -> Result<bool, MeasurementError> {
    let first = items
        .first()
        .ok_or_else(|| MeasurementError::Nothing { what: task.to_owned() })?;
    for item in items {
        let requests = item.log_likelihoods.len();
        let lengths = if item.gold.is_some() { requests } else { 0 };
        let problem = if requests == 0 {
            "it has no request"
        } else if item.greedy.len() != requests || item.lengths.len() != lengths {
            "its lists are not equally long"
        } else if item.gold.is_some_and(|gold| gold >= requests) {
            "its right request is none of its requests"
        } else if item.gold.is_none() && requests != 1 {
            "it has several requests, and none of them is the right one"
        } else if item.gold.is_some() != first.gold.is_some() {
            "it is of another kind than the first"
        } else if item.group.is_some() != first.group.is_some() {
            "either all items have a group, or none"
        } else if item.divergence.is_some() != first.divergence.is_some() {
            "either all items have a divergence, or none"
        } else {
            continue;
        };
        return Err(MeasurementError::Item {
            task: task.to_owned(),
            document: item.document,
            problem,
        });
    }
    Ok(first.gold.is_none())
}

/// The task's own metrics, then the rest of those that its kind of items has.
fn metric_names(task: &str, own: &[MetricName], single: bool) -> Result<Vec<MetricName>, MeasurementError> {
    let defined: &[MetricName] = if single { &SINGLE_METRICS } else { &CHOICE_METRICS };
    let repeated = |(place, name): &(usize, &MetricName)| own[..*place].contains(name);
    let wrong = own.iter().find(|name| !defined.contains(name));
    if let Some(&metric) = wrong.or(own.iter().enumerate().find(repeated).map(|(_, name)| name)) {
        let task = task.to_owned();
        return Err(MeasurementError::Metric { task, metric });
    }
    let rest = defined.iter().filter(|name| !own.contains(name));
    Ok(own.iter().chain(rest).copied().collect())
}

fn is_finite(item: &ScoredItem) -> bool {
    item.log_likelihoods.iter().all(|ll| ll.is_finite())
}

fn is_tied(item: &ScoredItem) -> bool {
    let best = item.log_likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    is_finite(item) && item.log_likelihoods.iter().filter(|&&ll| ll == best).count() > 1
}

/// The request with the highest log-likelihood by the metric's measure of length.
fn choice(name: MetricName, item: &ScoredItem) -> usize {
    let lengths = item.lengths.iter().map(|length| match name {
        MetricName::AccNorm => length.chars as f64,
        MetricName::AccBytes => length.bytes as f64,
        _ => 1.0,
    });
    let scores: Vec<f64> = item
        .log_likelihoods
        .iter()
        .zip(lengths)
        .map(|(ll, length)| ll / length)
        .collect();
    argmax(&scores)
}

/// NumPy's argmax: the first of equals, and the first NaN if there is one.
fn argmax(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if value.is_nan() {
            return index;
        }
        if *value > values[best] {
            best = index;
        }
    }
    best
}

fn metric(task: &str, name: MetricName, samples: &[f64], strata: &[&[usize]]) -> Result<TaskMetric, MeasurementError> {
    let strata: Vec<Vec<f64>> = strata
        .iter()
        .map(|members| members.iter().map(|&index| samples[index]).collect())
        .collect();
    let mean = statistics::mean(&strata.concat()).unwrap_or(f64::NAN);
    let stderr = statistics::pooled_standard_error(&strata);
    let (value, stderr) = match name {
        MetricName::Perplexity => {
            let value = (-mean).exp();
            (value, stderr.map(|stderr| value * stderr))
        }
        _ => (mean, stderr),
    };
    if value.is_finite() && stderr.is_none_or(f64::is_finite) {
        Ok(TaskMetric { name, value, stderr })
    } else {
        Err(MeasurementError::NotFinite {
            task: task.to_owned(),
            what: name.to_string(),
            value,
        })
    }
}

fn divergence(task: &str, items: &[TaskItem]) -> Result<Option<Divergence>, MeasurementError> {
    let (sums, positions): (Vec<f64>, Vec<f64>) = items
        .iter()
        .filter_map(|item| item.divergence)
        .map(|(sum, positions)| (sum, positions as f64))
        .unzip();
    let Some((mean, stderr)) = statistics::ratio_of_sums(&sums, &positions) else {
        return Ok(None);
    };
    if !mean.is_finite() {
        return Err(MeasurementError::NotFinite {
            task: task.to_owned(),
            what: "divergence from the dense model".into(),
            value: mean,
        });
    }
    let positions = items
        .iter()
        .filter_map(|item| item.divergence)
        .map(|(_, positions)| positions)
        .sum();
    Ok(Some(Divergence {
        mean,
        stderr,
        positions,
    }))
}

#[cfg(test)]
#[path = "task_items_tests.rs"]
mod tests;
