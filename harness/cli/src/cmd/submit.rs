//! `prunebench submit` and `prunebench cancel`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use prunebench_sweep::{Array, Batch, Slurm};
use serde_json::json;

use crate::Outcome;
use crate::cmd::show::ShowArgs;
use crate::cmd::stores::found;
use crate::cmd::sweep::{CarriedOut, ExperimentArgs, interrupted, store};
use crate::output::{note, print, print_json};

/// Submit an experiment to Slurm: every cell of its grid that isn't measured yet and isn't in the queue.
#[derive(Debug, Args)]
#[command(
    after_help = "Each cell is a task of a job array, one array for each shape of resources: `threads` of the experiment as cores, \
memory and time by its `limits` and by earlier records, a GPU for a cell on `cuda`, a whole machine for one that measures speed. \
The dense models come first, and nothing else begins unless they come out as expected. What follows `--` is told to sbatch as it \
stands. The results folder and this program must be where every machine of the cluster sees them. Submit again after a failure: only \
what is missing is submitted, with twice the memory or time where that was the reason.

Examples:
  prunebench submit smol --dry-run
  prunebench submit smol -- --partition=cpu --account=me
  prunebench status smol
  prunebench cancel smol"
)]
pub struct Submit {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Follow the jobs to their end, and print the table
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Print the arrays, and submit nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the arrays, or with --wait the records, as JSON
    #[arg(long)]
    json: bool,
    /// Options of sbatch
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

/// Cancel the jobs of an experiment, also those that haven't begun; what is measured stays
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench cancel smol")]
pub struct Cancel {
    /// Experiment that was submitted, or the folder of its results
    #[arg(value_name = "RESULTS")]
    folder: PathBuf,
}

impl Submit {
    pub fn run(self) -> Outcome {
        let mut experiment = self.experiment;
        // A job may look from elsewhere.
        experiment.results = std::path::absolute(&experiment.results).context("the folder of --results")?;
        if let Some(data) = &mut experiment.data {
            *data = std::path::absolute(&data).context("the folder of --data")?;
        }
        let file = experiment.read()?;
        if file.threads.is_none() {
            anyhow::bail!(
                "the experiment has no `threads`, which a job asks for as cores and which decides its cells' numbers; give some"
            );
        }
        let plan = experiment.plan(&file)?;
        let folder = experiment.folder(&plan);
        let batch = batch(folder.clone(), self.options)?;
        if self.dry_run {
            let queued = batch.waiting()?;
            let arrays = batch.arrays(&plan, &queued)?;
            return match self.json {
                true => print_json(&json!({ "experiment": plan.experiment, "arrays": arrays })),
                false => print(&listed(arrays.iter().map(|array| ("to submit", array)))),
            }
            .map(|()| true);
        }
        if self.wait {
            let carried_out = CarriedOut::new(&plan, &folder, &batch)?;
            let show = ShowArgs::default();
            carried_out.print(&plan, &folder, Some(&show).filter(|_| !self.json))?;
            return carried_out.close(&show, &folder, Vec::new());
        }
        let submitted = batch.submit(&plan, &store(&plan, &folder)?)?;
        match self.json {
            true => print_json(&submitted)?,
            false => print(&listed(submitted.jobs.iter().map(|(job, array)| (job.as_str(), array))))?,
        }
        let cells = submitted.jobs.iter().flat_map(|(_, array)| &array.tasks).map(Vec::len);
        note(&format!(
            "submitted {} of {} cells; {} are done, {} were in the queue; look with: prunebench status {}",
            cells.sum::<usize>(),
            plan.cells.len(),
            submitted.done,
            submitted.queued,
            folder.display()
        ));
        Ok(true)
    }
}

impl Cancel {
    pub fn run(self) -> Outcome {
        let cancelled = batch(found(&self.folder)?, Vec::new())?.cancel()?;
        note(&format!("cancelled the tasks of {cancelled} cells"));
        Ok(true)
    }
}

/// The batch system of this machine for the experiment whose results are in `folder`.
pub fn batch(folder: PathBuf, options: Vec<String>) -> anyhow::Result<Batch<'static>> {
    let program = std::env::current_exe().context("this program's own file can't be found")?;
    Ok(Batch {
        scheduler: &Slurm,
        command: vec![program.into_os_string(), "task".into()],
        folder,
        options,
        interrupted: interrupted()?,
    })
}

fn listed<'a>(arrays: impl Iterator<Item = (&'a str, &'a Array)>) -> String {
    let lines = arrays.map(|(job, array)| {
        let tasks = array.tasks.len();
        let cells: usize = array.tasks.iter().map(Vec::len).sum();
        format!(
            "{job}: {tasks} task{} of {cells} cells, {}, {}\n",
            if tasks == 1 { "" } else { "s" },
            array.stage,
            array.shape
        )
    });
    lines.collect()
}
