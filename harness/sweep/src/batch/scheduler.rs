//! Batch systems, as far as the rest of the program knows them.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use prunebench_results::Status;
use serde::{Deserialize, Serialize};

/// A system that runs arrays of jobs on the machines of a cluster, all of which see the same files.
pub trait Scheduler {
    /// The most tasks that an array may have.
    ///
    /// # Errors
    /// If it can't be asked.
    fn largest_array(&self) -> Result<usize, SchedulerError>;

    /// Hands an array over and gives the name of its job.
    ///
    /// # Errors
    /// If it is refused.
    fn submit(&self, array: &JobArray) -> Result<String, SchedulerError>;

    /// The tasks of this user that haven't ended.
    ///
    /// # Errors
    /// If it can't be asked.
    fn active(&self) -> Result<Vec<Active>, SchedulerError>;

    /// What became of a task that has ended, and wrote `log`, if it began at all.
    ///
    /// # Errors
    /// If it can't be asked.
    fn ending(&self, task: &TaskId, log: Option<&str>) -> Result<Ending, SchedulerError>;

    /// Ends all tasks of these jobs, also those that haven't begun.
    ///
    /// # Errors
    /// If it is refused.
    fn cancel(&self, jobs: &[String]) -> Result<(), SchedulerError>;
}

/// Tasks that need the same of a machine.
#[derive(Debug)]
pub struct JobArray<'a> {
    /// What users see in the queue.
    pub name: &'a str,
    /// Number of tasks.
    pub tasks: usize,
    /// What each of them gets.
    pub shape: Shape,
    /// Jobs of which every task must have ended well before, or none of these begins.
    pub after_success: &'a [String],
    /// Jobs that must have ended before, however they did.
    pub after: &'a [String],
    /// Program and arguments, to which the number of the task is appended, from 0.
    pub command: &'a [OsString],
    /// Folder of the tasks' output, a file each ([`TaskId::log`]).
    pub logs: &'a Path,
    /// What the user tells the system beside this, in its own words.
    pub options: &'a [String],
}

/// What a task gets of a machine. What is absent is left to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shape {
    /// Logical cores.
    pub cores: usize,
    /// Memory in units of 2²⁰ bytes.
    pub memory_mib: Option<u64>,
    /// Time on the clock.
    pub minutes: Option<u64>,
    /// Whether it gets a GPU for itself.
    pub gpu: bool,
    /// Whether nothing else may run on the machine.
    pub exclusive: bool,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} core{}", self.cores, if self.cores == 1 { "" } else { "s" })?;
        match self.memory_mib {
            Some(memory) => write!(f, ", {memory} MiB")?,
            None => write!(f, ", memory by default")?,
        }
        match self.minutes {
            Some(minutes) => write!(f, ", {minutes} min")?,
            None => write!(f, ", time by default")?,
        }
        write!(f, "{}", if self.gpu { ", a GPU" } else { "" })?;
        write!(f, "{}", if self.exclusive { ", a machine for itself" } else { "" })
    }
}

/// A task of an array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskId {
    /// The job, as [`Scheduler::submit`] named it.
    pub job: String,
    /// Number of the task.
    pub index: usize,
}

impl TaskId {
    /// The file of its output.
    pub fn log(&self, logs: &Path) -> PathBuf {
        logs.join(format!("{self}.log"))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.job, self.index)
    }
}

/// A task that hasn't ended.
#[derive(Debug, Clone)]
pub struct Active {
    /// Which.
    pub task: TaskId,
    /// Its state and what it waits for, in the system's own words.
    pub state: String,
}

/// What becomes of a task's cell that has no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It wasn't to be measured any more.
    Cancelled,
    /// It was cut short, for this reason.
    Cut(Status, String),
}

/// A batch system that can't be asked, or refuses.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// Its program isn't here.
    #[error("`{program}` can't be started ({source}); submit from a machine of the cluster, or use `prunebench run`")]
    Absent {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// Its program failed.
    #[error("`{command}` failed: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// What it said.
        reason: String,
    },
    /// Something that it can't be told.
    #[error("{0}")]
    Unspeakable(String),
}
