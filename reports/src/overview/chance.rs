//! What guessing would get.

use prunebench_results::{Metrics, SuiteRequest, TaskResult, statistics};

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
