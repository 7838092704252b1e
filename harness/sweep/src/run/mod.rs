//! What it means to run a plan, by whatever means: what is not done is measured, and a baseline that comes out wrong stops it.

mod local;
mod queue;

use std::io;

use prunebench_results::{Record, Status, Store, StoreError};

pub use self::local::Local;
use crate::batch::SchedulerError;
use crate::host::HostError;
use crate::plan::Plan;

/// A way to carry out plans.
pub trait Executor {
    /// Sees to it that every cell of the plan without an `ok` record in `store` gets a record. Cells that failed before are
    /// tried again; those that others measure at the same time are left to them.
    ///
    /// # Errors
    /// If records can't be kept or processes can't be started; a cell that fails is a record, and no error. Other cells that
    /// were running then are recorded all the same where they can be.
    fn execute(&self, plan: &Plan, store: &Store, observer: &mut dyn Observer) -> Result<Outcome, Error>;
}

/// What a sweep left.
#[derive(Debug)]
pub struct Outcome {
    /// How each of the plan's cells ended, in its order; `None` without a record.
    pub statuses: Vec<Option<Status>>,
    /// Cells measured now, by this run.
    pub measured: usize,
    /// Why the sweep stopped early, if it did.
    pub stopped: Option<String>,
}

impl Outcome {
    /// Whether every cell of the plan has its numbers, but for those that can't have any.
    pub fn is_complete(&self) -> bool {
        let settled = |status: &Option<Status>| matches!(status, Some(Status::Ok | Status::Skipped));
        self.statuses.iter().all(settled)
    }
}

/// What is heard of a running sweep. Cells are named by their place in the plan.
pub trait Observer {
    /// The process of a cell began.
    fn started(&mut self, cell: usize, process: u32);
    /// A cell can't begin yet, for the reason given.
    fn waits(&mut self, cell: usize, reason: &str);
    /// That process works on `phase`.
    fn progress(&mut self, cell: usize, phase: &str, done: usize, total: usize);
    /// A cell has its record; `measured` if by this run.
    fn finished(&mut self, cell: usize, record: &Record, measured: bool);
}

/// A sweep that can't go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The results folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process of a cell can't be started.
    #[error("the process of a cell can't be started ({0}); check that the program's file is still there")]
    Start(#[from] io::Error),
    /// The locks of the machine.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A fault of this program.
    #[error(
        "{cell} ended by a fault of this program ({message}), and no other cell was begun after it; please report it. What was \
         measured is kept: start the same command again to go on"
    )]
    Panicked {
        /// The cell, as it displays itself.
        cell: String,
        /// What the program said.
        message: String,
    },
    /// A baseline that was measured before.
    #[error("{0}")]
    Baseline(String),
    /// A GPU that a cell won't see.
    #[error("a cell is for {0}, but each cell sees one GPU, which is `cuda` there; name `cuda` in the experiment")]
    Device(String),
    /// The batch system.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// The files of a submission.
    #[error("the files of what is submitted can't be read or written ({0}); check the results folder and the disk")]
    Files(io::Error),
}

#[cfg(all(test, unix))]
pub(crate) mod tests;
