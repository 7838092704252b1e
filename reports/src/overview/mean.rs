//! The mean that stands for all tasks, and what guessing would get.

use prunebench_results::{MetricName, Metrics, SuiteMember, SuiteRequest, TaskResult, statistics};

use crate::comparison::Comparison;

/// The suite whose mean stands for all tasks: the cell's first, else one of the first accuracy of each task.
pub(super) fn mean_of_all(comparison: &Comparison) -> Option<SuiteRequest> {
    let evaluation = &comparison.first().cell.evaluation;
    if let Some(suite) = evaluation.suites.first() {
        return Some(suite.clone());
    }
    let metrics = comparison.groups.iter().find_map(|group| group.metrics().next())?;
    let members = evaluation
        .tasks
        .iter()
        .zip(&metrics.tasks)
        .filter_map(|(request, result)| {
            let mut accuracies = result
                .own()
                .iter()
                .filter(|metric| metric.name != MetricName::Perplexity);
            Some(SuiteMember {
                task: request.task.clone(),
                shots: request.shots,
                metric: accuracies.next()?.name,
            })
        });
    let members: Vec<SuiteMember> = members.collect();
    let suite = match members.as_slice() {
        [] => return None,
        [only] => only.task.clone(),
        _ => "all tasks".to_owned(),
    };
    Some(SuiteRequest { suite, members })
}

/// The share of a suite's questions that a guess gets right; `None` if a member's answers are not chosen from several.
pub(super) fn chance(metrics: &Metrics, suite: &SuiteRequest) -> Option<f64> {
    let members = suite.members.iter().map(|member| {
        let mut tasks = metrics.tasks.iter();
        of_task(tasks.find(|result| member.is_of(&result.request))?)
    });
    statistics::mean(&members.collect::<Option<Vec<_>>>()?)
}

fn of_task(result: &TaskResult) -> Option<f64> {
    let items = result.items.iter().map(|item| {
        let choices = item.log_likelihoods.len();
        (item.gold.is_some() && choices > 1).then(|| 1.0 / choices as f64)
    });
    statistics::mean(&items.collect::<Option<Vec<_>>>()?)
}
