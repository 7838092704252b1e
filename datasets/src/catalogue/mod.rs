//! What there is to evaluate on, read from `catalogue/*/*.toml`: texts with their protocols, tasks, suites, instructions.

mod instruction;
mod source;
mod suite;
mod task;
mod text;

pub use instruction::InstructionSet;
pub use source::{HubSource, RowFile, RowSource, WebFile, WorldRows};
pub use suite::{Member, Suite};
pub use task::{FewShot, Form, LmEval, Metric, Order, Prompt, Task};
pub use text::{DataSet, DocumentSplit, Protocol, Scoring, Split, TextRange, TextRows, WorldText};

use crate::error::{Error, Result};

/// Folder, stem and content of every file in `catalogue/`, in the order of their names.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// Everything known.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    data_sets: Vec<DataSet>,
    tasks: Vec<Task>,
    suites: Vec<Suite>,
    instruction_sets: Vec<InstructionSet>,
}

impl Catalogue {
    /// The catalogue this program was built with.
    ///
    /// # Errors
    /// [`Error::Catalogue`] or [`Error::Template`] if an embedded file is wrong.
    pub fn embedded() -> Result<Self> {
        Self::parse(EMBEDDED.iter().copied())
    }

    /// A catalogue from pairs of a name, `texts/wikitext2`, `tasks/arc_easy` or `suites/flexigpt-5`, and its TOML.
    ///
    /// # Errors
    /// [`Error::Catalogue`] or [`Error::Template`] naming the file and what is wrong in it.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let mut catalogue = Self::default();
        for (path, content) in files {
            let fault = |reason| Error::Catalogue {
                file: path.to_owned(),
                reason,
            };
            match path.split_once('/') {
                Some(("texts", name)) => catalogue.data_sets.push(DataSet::parse(name, content)?),
                Some(("tasks", name)) => catalogue.tasks.push(Task::parse(name, content)?),
                Some(("suites", name)) => catalogue.suites.push(Suite::parse(name, content).map_err(fault)?),
                Some(("instructions", name)) => catalogue.instruction_sets.push(InstructionSet::parse(name, content)?),
                _ => {
                    let reason = "it is in none of the folders texts, tasks, suites and instructions";
                    return Err(fault(reason.to_owned()));
                }
            }
        }
        for suite in &catalogue.suites {
            catalogue.check(suite).map_err(|reason| Error::Catalogue {
                file: format!("suites/{}", suite.name),
                reason,
            })?;
        }
        Ok(catalogue)
    }

    fn check(&self, suite: &Suite) -> std::result::Result<(), String> {
        for Member { task, metric } in &suite.members {
            let known = self.task(task).map_err(|error| error.to_string())?;
            if !known.metrics.contains(metric) {
                return Err(format!("{task} has no metric {metric}"));
            }
        }
        Ok(())
    }

    /// Every data set, by name.
    pub fn data_sets(&self) -> &[DataSet] {
        &self.data_sets
    }

    /// Every protocol of every data set.
    pub fn protocols(&self) -> impl Iterator<Item = &Protocol> + Clone {
        self.data_sets.iter().flat_map(|set| &set.protocols)
    }

    /// Every task, by name.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Every suite, by name.
    pub fn suites(&self) -> &[Suite] {
        &self.suites
    }

    /// Every set of instructions, by name.
    pub fn instruction_sets(&self) -> &[InstructionSet] {
        &self.instruction_sets
    }

    /// The data set of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name and the list.
    pub fn data_set(&self, name: &str) -> Result<&DataSet> {
        find("data set", name, &self.data_sets, |set| &set.name)
    }

    /// The protocol of that id, `wikitext2/stream-512@1`.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest id and the list.
    pub fn protocol(&self, id: &str) -> Result<&Protocol> {
        find("protocol", id, self.protocols(), |protocol| &protocol.id)
    }

    /// The task of that name, `arc_easy`, or name and version, `arc_easy@1`.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name and the list; [`Error::WrongVersion`] if the task has another version.
    pub fn task(&self, name: &str) -> Result<&Task> {
        let (bare, version) = match name.split_once('@') {
            Some((bare, version)) => (bare, Some(version)),
            None => (name, None),
        };
        let task = find("task", bare, &self.tasks, |task| &task.name)?;
        match version {
            Some(asked) if asked != task.version.to_string() => Err(Error::WrongVersion {
                task: task.name.clone(),
                asked: asked.to_owned(),
                version: task.version,
            }),
            _ => Ok(task),
        }
    }

    /// The suite of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name and the list.
    pub fn suite(&self, name: &str) -> Result<&Suite> {
        find("suite", name, &self.suites, |suite| &suite.name)
    }

    /// The set of instructions of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name and the list.
    pub fn instruction_set(&self, name: &str) -> Result<&InstructionSet> {
        find("set of instructions", name, &self.instruction_sets, |set| &set.name)
    }
}

fn find<'a, T>(
    kind: &str,
    name: &str,
    all: impl IntoIterator<Item = &'a T> + Clone,
    key: impl Fn(&'a T) -> &'a String,
) -> Result<&'a T> {
    let mut candidates = all.clone().into_iter();
    candidates
        .find(|one| key(one) == name)
        .ok_or_else(|| Error::unknown(kind, name, all.into_iter().map(|one| key(one).as_str())))
}

#[cfg(test)]
mod tests;
