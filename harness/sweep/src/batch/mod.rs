//! Cells as jobs of a cluster.
//!
//! What knows of a certain batch system is one implementation of [`Scheduler`]; the rest works with any. A job carries out a
//! small plan, most often of one cell, by the same means as a run on this machine. So records, reservations, limits and retries
//! are the same, and what a job can't write down itself, because it was ended from outside, is written down when the queue is
//! next looked at.

mod arrays;
mod following;
mod queue;
mod scheduler;
mod shape;
mod slurm;
mod submission;
mod submit;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

pub use arrays::{Array, Stage};
pub use queue::Queued;
pub use scheduler::{Active, Ending, JobArray, Scheduler, SchedulerError, Shape, TaskId};
pub use slurm::Slurm;
pub use submit::Submitted;

use crate::plan::Plan;
use crate::run::Error;

/// Carries out plans by a batch system.
pub struct Batch<'a> {
    /// The batch system.
    pub scheduler: &'a dyn Scheduler,
    /// Program and first arguments of a task; the files of its tasks and of the records, and its number, are appended.
    /// It carries out [`task_plan`].
    pub command: Vec<OsString>,
    /// Folder of the experiment's results.
    pub folder: PathBuf,
    /// What the batch system is told beside what the plan needs, in its own words.
    pub options: Vec<String>,
    /// Ends the following of the jobs, which go on.
    pub interrupted: &'a AtomicBool,
}

impl Batch<'_> {
    fn records(&self) -> PathBuf {
        self.folder.join("records")
    }
}

/// The plan of the task of this number in a file of tasks.
///
/// # Errors
/// A file without that task.
pub fn task_plan(tasks: &Path, index: usize) -> Result<Plan, Error> {
    Ok(submission::task(tasks, index).map_err(Error::Files)?.plan)
}

#[cfg(test)]
mod tests;
