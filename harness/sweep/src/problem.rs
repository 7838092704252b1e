//! What is wrong with an experiment, all of it at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// From 1.
    pub number: usize,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.number)
    }
}

/// One thing that keeps an experiment from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the experiment asks for something that cannot be, rather than for something that this machine lacks.
    pub usage: bool,
    /// Where the experiment says so, if it was read from a file.
    pub place: Option<Line>,
    /// What was found, what was wanted, and the cure.
    pub text: String,
}

/// The text that an experiment was read from, if there is one: where each value stands, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// By path, such as `evaluation.perplexity[0].windows`.
    pub(crate) places: BTreeMap<String, Line>,
    pub(crate) problems: Vec<Problem>,
}

impl Source {
    /// Where the value at `path` stands, or what it is part of.
    fn place(&self, path: &str) -> Option<&Line> {
        let parents = std::iter::successors(Some(path), |path| path.rfind(['.', '[']).map(|end| &path[..end]));
        parents.into_iter().find_map(|path| self.places.get(path))
    }
}

/// Everything that keeps an experiment from running.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The experiment's file or name.
    pub experiment: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// In the order of the text.
    pub(crate) fn new(experiment: impl Into<String>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        Self {
            experiment: experiment.into(),
            problems,
        }
    }

    /// Whether the user should mend the experiment, and not the machine.
    pub fn is_usage(&self) -> bool {
        self.problems.iter().any(|problem| problem.usage)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [Problem { place: None, text, .. }] => write!(f, "{}: {text}", self.experiment),
            [problem] => write!(f, "{problem}"),
            problems => {
                write!(f, "{}: {} problems", self.experiment, problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Collects problems where the rest can still be checked.
pub(crate) struct Collector<'a> {
    source: &'a Source,
    problems: Vec<Problem>,
}

impl<'a> Collector<'a> {
    /// Begins with what is wrong with the text itself.
    pub(crate) fn new(source: &'a Source) -> Self {
        Self {
            source,
            problems: source.problems.clone(),
        }
    }

    /// The experiment asks, at `path`, for something that cannot be.
    pub(crate) fn usage(&mut self, path: &str, text: impl fmt::Display) {
        self.push(true, path, text);
    }

    /// This machine lacks something that the experiment names at `path`.
    pub(crate) fn machine(&mut self, path: &str, text: impl fmt::Display) {
        self.push(false, path, text);
    }

    fn push(&mut self, usage: bool, path: &str, text: impl fmt::Display) {
        let problem = Problem {
            usage,
            place: self.source.place(path).cloned(),
            text: text.to_string(),
        };
        // Grids meet the same problem at many points.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub(crate) fn finish(self, experiment: &str) -> Result<(), Problems> {
        match self.problems.is_empty() {
            true => Ok(()),
            false => Err(Problems::new(experiment, self.problems)),
        }
    }
}
