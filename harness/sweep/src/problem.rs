//! What is wrong with an experiment, all of it at once.

use std::fmt;

/// One thing that keeps an experiment from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the experiment asks for something that cannot be, rather than for something that this machine lacks.
    pub usage: bool,
    /// What was found, what was wanted, where, and the cure.
    pub text: String,
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
    /// Whether the user should mend the experiment, and not the machine.
    pub fn is_usage(&self) -> bool {
        self.problems.iter().any(|problem| problem.usage)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [problem] => write!(f, "{}: {}", self.experiment, problem.text),
            problems => {
                write!(f, "{}: {} problems", self.experiment, problems.len())?;
                problems
                    .iter()
                    .try_for_each(|problem| write!(f, "\n  - {}", problem.text))
            }
        }
    }
}

/// Collects problems where the rest can still be checked.
#[derive(Debug, Default)]
pub(crate) struct Collector(Vec<Problem>);

impl Collector {
    /// The experiment asks for something that cannot be.
    pub(crate) fn usage(&mut self, text: impl fmt::Display) {
        self.push(true, text);
    }

    /// This machine lacks something.
    pub(crate) fn machine(&mut self, text: impl fmt::Display) {
        self.push(false, text);
    }

    fn push(&mut self, usage: bool, text: impl fmt::Display) {
        let problem = Problem {
            usage,
            text: text.to_string(),
        };
        // Grids meet the same problem at many points.
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    pub(crate) fn finish(self, experiment: &str) -> Result<(), Problems> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Problems {
            experiment: experiment.to_owned(),
            problems: self.0,
        })
    }
}
