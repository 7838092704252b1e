//! Carrying out a plan on this machine.

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;

use anyhow::Context;
use clap::Args;
use prunebench_results::Store;
use prunebench_sweep::{Local, Outcome, Plan, Tables};

use crate::cmd::launcher;
use crate::progress::Progress;

/// What a terminal's interrupt ends a program with.
const INTERRUPTED: i32 = 130;

/// How many cells at once, and on what.
#[derive(Debug, Args)]
pub struct LocalArgs {
    /// Measure so many cells at once, the cores divided among them; cells that measure speed run alone
    #[arg(long, short, value_name = "N", default_value = "1")]
    jobs: NonZero<usize>,
    /// GPUs for the cells on device `cuda`, separated by commas, each for one cell at a time
    #[arg(long, value_name = "INDEX", value_delimiter = ',')]
    gpus: Vec<String>,
}

/// What became of a plan.
pub struct CarriedOut {
    pub outcome: Outcome,
    pub tables: Tables,
}

impl LocalArgs {
    /// The compute threads of a cell whose experiment names none.
    pub fn threads(&self) -> Option<usize> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        (self.jobs.get() > 1).then(|| (cores / self.jobs).max(1))
    }

    /// Measures what isn't measured yet, and writes the tables. An interrupt ends the running cells, and the tables are of
    /// those that are done; a second one ends the program.
    pub fn carry_out(&self, plan: &Plan, folder: &Path) -> anyhow::Result<CarriedOut> {
        static STOP: AtomicBool = AtomicBool::new(false);
        if let Some(other) = self.beyond(plan) {
            anyhow::bail!(
                "--gpus shows each cell one GPU, which is `cuda` there, but a cell is for {other}; name `cuda`"
            );
        }
        ctrlc::set_handler(|| {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
        })
        .context("an interrupt can't be heard")?;
        let store = Store::open(folder.join("records"))?;
        // Before the first cell, so that the tables of a run that was cut off can be made.
        plan.write_order(folder)?;
        let local = Local {
            launcher: launcher()?,
            jobs: self.jobs.get(),
            gpus: self.gpus.clone(),
            interrupted: &STOP,
        };
        let mut progress = Progress::new(&plan.cells);
        let outcome = plan.run(&store, &local, &mut progress)?;
        drop(progress);
        if outcome.statuses.iter().all(Option::is_none)
            && let Some(reason) = &outcome.stopped
        {
            anyhow::bail!("{reason}");
        }
        let tables = Tables::of(folder)?;
        Ok(CarriedOut { outcome, tables })
    }

    /// The device of a cell that its only GPU can't be.
    fn beyond<'a>(&self, plan: &'a Plan) -> Option<&'a str> {
        let mut devices = plan.cells.iter().map(|planned| planned.cell.device.as_str());
        devices.find(|device| !self.gpus.is_empty() && !["cpu", "cuda", "cuda:0"].contains(device))
    }
}
