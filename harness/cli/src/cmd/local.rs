//! Carrying out a plan on this machine.

use std::num::NonZero;
use std::path::Path;
use std::thread::available_parallelism;

use clap::Args;
use prunebench_results::{Status, find_record};
use prunebench_sweep::{Host, Local, Plan, Planned};

use crate::cmd::launcher;
use crate::cmd::probe::check_devices;
use crate::cmd::sweep::interrupted;

/// How many cells at once, and on what.
#[derive(Debug, Args)]
pub struct LocalArgs {
    /// Measure so many cells at once, the cores divided among them; a cell that measures speed runs alone on the machine
    #[arg(long, short, value_name = "N", default_value = "1")]
    jobs: NonZero<usize>,
    /// GPUs for the cells on device `cuda`, separated by commas, each for one cell at a time
    #[arg(long, value_name = "INDEX", value_delimiter = ',')]
    gpus: Vec<String>,
}

impl LocalArgs {
    /// The compute threads of a cell whose experiment names none.
    pub fn threads(&self) -> Option<usize> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        (self.jobs.get() > 1).then(|| (cores / self.jobs).max(1))
    }

    /// An interrupt ends the running cells, and a second one the program. Fails if what isn't done yet is for a device that can't
    /// be used.
    pub fn executor(&self, plan: &Plan, folder: &Path) -> anyhow::Result<Local<'static>> {
        let other = plan.cells.iter().find_map(|planned| planned.beyond_one_gpu());
        if let Some(other) = other.filter(|_| !self.gpus.is_empty()) {
            anyhow::bail!(
                "--gpus shows each cell one GPU, which is `cuda` there, but a cell is for {other}; name `cuda`"
            );
        }
        let records = folder.join("records");
        let is_done = |planned: &Planned| {
            let record = find_record(&records, &planned.cell, &planned.key);
            planned.skip.is_some() || matches!(record, Ok(Some(record)) if record.status == Status::Ok)
        };
        check_devices(plan.cells.iter().filter(|planned| !is_done(planned)), &self.gpus)?;
        Ok(Local {
            launcher: launcher()?,
            host: Host::this(),
            jobs: self.jobs.get(),
            gpus: self.gpus.clone(),
            interrupted: interrupted()?,
        })
    }
}
