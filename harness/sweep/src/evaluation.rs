//! What is measured, as a user writes it, made into requests.

use std::collections::BTreeMap;

use prunebench_datasets::{Catalogue, Documents, Error as DataError, Places, SHOTS_SEED, Shots, Suite, Task};
use prunebench_eval::metric_name;
use prunebench_results::{
    Evaluation, PerplexityRequest, SuiteMember, SuiteRequest, TaskRequest, ThroughputRequest, TrainingRequest,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::problem::Collector;

/// The place of tasks in an experiment.
pub(crate) const TASKS: &str = "evaluation.tasks";

/// What is measured on every cell. `limit`, `shots` and the rest hold for all `tasks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluationText {
    /// Perplexities, one per protocol.
    #[serde(default)]
    pub perplexity: Vec<PerplexityRequest>,
    /// Speed of prefill and decode; several settings where nothing else is measured.
    #[serde(default, deserialize_with = "one_or_several")]
    #[schemars(with = "OneOrSeveral")]
    pub throughput: Vec<ThroughputRequest>,
    /// Speed of training steps, which no table shows.
    #[serde(skip)]
    pub training: Option<TrainingRequest>,
    /// Accuracies: tasks and suites, with or without a task's version.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// Only the first so many documents of each task, or of each of its groups; all if absent.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Other limits of single tasks, of a suite's too, by name: those of many groups take fewer documents of each.
    #[serde(default)]
    pub task_limits: BTreeMap<String, usize>,
    /// Solved examples before every question; if absent, those of the suite, and none for a task of its own.
    #[serde(default)]
    pub shots: Option<usize>,
    /// The split that the examples come from; each task's own choice if absent.
    #[serde(default)]
    pub shots_from: Option<String>,
    /// Seed of the examples' choice; lm-eval's if absent.
    #[serde(default)]
    pub shots_seed: Option<u64>,
    /// Whether the next-token distributions are compared with the dense model's at the scored positions.
    #[serde(default)]
    pub divergence: bool,
}

impl EvaluationText {
    /// Whether it asks for nothing but speed.
    pub(crate) fn is_speed_alone(&self) -> bool {
        let speed = !self.throughput.is_empty() || self.training.is_some();
        speed && self.perplexity.is_empty() && self.tasks.is_empty()
    }

    /// The requests: every task once per number of shots, and the suites' means over them. Settings of throughput after
    /// the first are left to [`Self::settings`].
    pub(crate) fn expand(&self, catalogue: &Catalogue, problems: &mut Collector) -> Evaluation {
        self.check(problems);
        let mut evaluation = Evaluation {
            perplexity: self.perplexity.clone(),
            throughput: self.throughput.first().copied(),
            training: self.training,
            ..Evaluation::default()
        };
        for (index, name) in self.tasks.iter().enumerate() {
            let place = format!("{TASKS}[{index}]");
            match named(catalogue, name) {
                Ok(Named::Suite(suite)) => self.add_suite(catalogue, suite, &mut evaluation, &place, problems),
                Ok(Named::Task(task)) => {
                    self.add_task(task, self.shots.unwrap_or(0), &mut evaluation);
                }
                Err(error) => problems.usage(&place, error),
            }
        }
        for name in self.task_limits.keys() {
            let of_task = |request: &TaskRequest| is_named(request, name);
            if !self.tasks.is_empty() && !evaluation.tasks.iter().any(of_task) {
                problems.usage(
                    "evaluation.task_limits",
                    format_args!("`task_limits` has \"{name}\", which is none of the tasks"),
                );
            }
        }
        let no_shots = evaluation.tasks.iter().all(|request| request.shots == 0);
        if no_shots && !evaluation.tasks.is_empty() && (self.shots_from.is_some() || self.shots_seed.is_some()) {
            let given = if self.shots_from.is_some() {
                "shots_from"
            } else {
                "shots_seed"
            };
            problems.usage(
                &format!("evaluation.{given}"),
                "the source and the seed of shots decide nothing without shots; add `shots`, or leave them out",
            );
        }
        evaluation
    }

    /// The evaluation once for each setting of throughput.
    pub(crate) fn settings(&self, evaluation: &Evaluation) -> Vec<Evaluation> {
        let with = |throughput: Option<ThroughputRequest>| Evaluation {
            throughput,
            ..evaluation.clone()
        };
        if self.throughput.is_empty() {
            vec![with(None)]
        } else {
            self.throughput.iter().copied().map(Some).map(with).collect()
        }
    }

    fn check(&self, problems: &mut Collector) {
        if self.throughput.len() > 1 && !self.is_speed_alone() {
            problems.usage(
                "evaluation.throughput",
                "several settings of `throughput` would measure all else anew for each; give them an experiment of their own",
            );
        }
        if self.limit == Some(0) {
            problems.usage(
                "evaluation.limit",
                "limit = 0 evaluates no document; leave it out for all",
            );
        }
        for (name, _) in self.task_limits.iter().filter(|(_, limit)| **limit == 0) {
            problems.usage(
                "evaluation.task_limits",
                format_args!(
                    "a limit of 0 in `task_limits` evaluates no document of {name}; leave the task out instead"
                ),
            );
        }
        let of_tasks = [
            ("limit", self.limit.is_some()),
            ("task_limits", !self.task_limits.is_empty()),
            ("shots", self.shots.is_some()),
            ("shots_from", self.shots_from.is_some()),
            ("shots_seed", self.shots_seed.is_some()),
            ("divergence", self.divergence),
        ];
        for (key, _) in of_tasks.iter().filter(|(_, given)| *given && self.tasks.is_empty()) {
            problems.usage(
                &format!("evaluation.{key}"),
                format_args!("`{key}` is for tasks, and there are none; add `tasks`, or leave it out"),
            );
        }
    }

    fn add_task(&self, task: &Task, shots: usize, evaluation: &mut Evaluation) {
        // What doesn't decide the numbers is no part of the request, so that it doesn't change the cell's key.
        let shots_split = self.shots_from.clone().filter(|_| shots > 0);
        let shots_seed = self.shots_seed.filter(|_| shots > 0);
        let mut request = TaskRequest {
            task: task.id(),
            shots,
            shots_split,
            shots_seed: shots_seed.unwrap_or(SHOTS_SEED),
            limit: self.limit,
            divergence: self.divergence,
        };
        if let Some((_, limit)) = self.task_limits.iter().find(|(name, _)| is_named(&request, name)) {
            request.limit = Some(*limit);
        }
        if !evaluation.tasks.contains(&request) {
            evaluation.tasks.push(request);
        }
    }

    fn add_suite(
        &self,
        catalogue: &Catalogue,
        suite: &Suite,
        evaluation: &mut Evaluation,
        place: &str,
        problems: &mut Collector,
    ) {
        let shots = self.shots.unwrap_or(suite.shots);
        let mut members = Vec::with_capacity(suite.members.len());
        for member in &suite.members {
            match catalogue.task(&member.task) {
                Ok(task) => {
                    self.add_task(task, shots, evaluation);
                    members.push(SuiteMember {
                        task: task.id(),
                        shots,
                        metric: metric_name(&member.metric),
                    });
                }
                Err(error) => problems.machine(place, error),
            }
        }
        let suite = SuiteRequest {
            suite: suite.name.clone(),
            members,
        };
        if !evaluation.suites.contains(&suite) {
            evaluation.suites.push(suite);
        }
    }
}

/// Whether that is the request's task, with or without its version.
fn is_named(request: &TaskRequest, name: &str) -> bool {
    request.task == name || request.task.split('@').next() == Some(name)
}

/// A setting of throughput, or a list of them.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrSeveral {
    One(ThroughputRequest),
    Several(Vec<ThroughputRequest>),
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ThroughputRequest>, D::Error> {
    OneOrSeveral::deserialize(deserializer).map(|settings| match settings {
        OneOrSeveral::One(setting) => vec![setting],
        OneOrSeveral::Several(settings) => settings,
    })
}

enum Named<'a> {
    Suite(&'a Suite),
    Task(&'a Task),
}

/// The suite or task of that name; the error for neither has the near miss among both.
fn named<'a>(catalogue: &'a Catalogue, name: &str) -> Result<Named<'a>, DataError> {
    let of_suites = match catalogue.suite(name) {
        Ok(suite) => return Ok(Named::Suite(suite)),
        Err(error) => error,
    };
    match (catalogue.task(name), &of_suites) {
        (Ok(task), _) => Ok(Named::Task(task)),
        (Err(DataError::Unknown { near: None, .. }), DataError::Unknown { near: Some(_), .. }) => Err(of_suites),
        (Err(error), _) => Err(error),
    }
}

/// The name among a cell's inputs under which the hash of a task's documents stands.
pub(crate) fn task_input(request: &TaskRequest) -> String {
    match request.shots {
        0 => format!("task:{}", request.task),
        shots => format!("task:{}, {shots} shots", request.task),
    }
}

/// The documents that a request is about.
pub(crate) fn documents(task: &Task, request: &TaskRequest, places: &Places) -> Result<Documents, DataError> {
    let shots = Shots {
        count: request.shots,
        split: request.shots_split.clone(),
        seed: request.shots_seed,
    };
    task.documents(&shots, request.limit, places)
}

/// Whether the experiment asks for something that cannot be, rather than for something that this machine lacks.
pub(crate) fn is_usage(error: &DataError) -> bool {
    matches!(
        error,
        DataError::Unknown { .. } | DataError::WrongVersion { .. } | DataError::TooFewShots { .. }
    )
}

#[cfg(test)]
#[path = "evaluation_tests.rs"]
mod tests;
