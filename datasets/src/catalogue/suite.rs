//! Suites: the tasks of a table, with the metric it prints for each.

use serde::{Deserialize, Serialize};

use super::task::Metric;

/// Tasks that are reported together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// Its name, and that of its file: `llm-pruner-7`.
    pub name: String,
    /// Its name for a reader.
    pub title: String,
    /// Whose tables it follows, and what about it is inferred.
    pub source: String,
    /// Few-shot examples of every task.
    pub shots: usize,
    /// Its tasks, in the order of the table.
    pub members: Vec<Member>,
}

/// A task of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Name of the task.
    pub task: String,
    /// Metric that goes into the table.
    pub metric: Metric,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuiteFile {
    title: String,
    source: String,
    shots: usize,
    members: Vec<Member>,
}

impl Suite {
    pub(super) fn parse(name: &str, content: &str) -> Result<Self, String> {
        let file: SuiteFile = toml::from_str(content).map_err(|error| error.to_string())?;
        if file.members.is_empty() {
            return Err("members is empty; name at least one task".to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
            title: file.title,
            source: file.source,
            shots: file.shots,
            members: file.members,
        })
    }
}
