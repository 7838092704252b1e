//! `prunebench task`.

use std::path::PathBuf;

use clap::Args;
use prunebench_results::Store;
use prunebench_sweep::{Executor, Host, Local, task_plan};

use crate::Outcome;
use crate::cmd::launcher;
use crate::cmd::sweep::interrupted;
use crate::progress::Progress;

/// Carry out one task of `submit` on the machine that the batch system gave it
#[derive(Debug, Args)]
pub struct Task {
    /// File of tasks
    tasks: PathBuf,
    /// Folder of records
    records: PathBuf,
    /// Line of the file, from 0
    index: usize,
}

impl Task {
    pub fn run(self) -> Outcome {
        let plan = task_plan(&self.tasks, self.index)?;
        let local = Local {
            launcher: launcher()?,
            host: Host::this(),
            jobs: 1,
            gpus: Vec::new(),
            interrupted: interrupted()?,
        };
        let store = Store::open(self.records)?;
        let outcome = local.execute(&plan, &store, &mut Progress::new(&plan))?;
        match outcome.stopped {
            Some(reason) => anyhow::bail!("{reason}"),
            None => Ok(outcome.is_complete()),
        }
    }
}
