//! What every command shares that carries out an experiment.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::Args;
use prunebench_results::{Status, Store};
use prunebench_sweep::{Earlier, Executor, Experiment, Outcome, Plan, Tables, ordered_records};
use serde_json::json;

use crate::cmd::cache::CacheArgs;
use crate::cmd::show::ShowArgs;
use crate::output::{note, print, print_json};
use crate::progress::Progress;

/// What a terminal's interrupt ends a program with.
const INTERRUPTED: i32 = 130;
/// Folder in the results folder with checkpoints of the trainings of cells that were not finished.
const CHECKPOINTS: &str = ".checkpoints";

/// An experiment, and where its results and its data are.
#[derive(Debug, Args)]
pub struct ExperimentArgs {
    /// Experiment: one that comes with the program, by its name (prunebench list experiments), or a file
    experiment: PathBuf,
    /// Folder of results, in which each experiment has its own
    #[arg(long, value_name = "DIR", default_value = "results/runs")]
    pub results: PathBuf,
    /// Folder with texts and tasks (text/NAME/..., tasks/NAME/...); else PRUNEBENCH_DATA, else the Hub
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArgs,
}

impl ExperimentArgs {
    pub fn read(&self) -> anyhow::Result<Experiment> {
        Ok(Experiment::open(&self.experiment)?)
    }

    pub fn plan(&self, experiment: &Experiment) -> anyhow::Result<Plan> {
        let plan = Plan::new(experiment, self.data.as_deref())?;
        let plan = self.cache.share(plan, &self.results);
        Ok(plan.keeping(&self.results.join(CHECKPOINTS)))
    }

    /// The folder of the plan's results.
    pub fn folder(&self, plan: &Plan) -> PathBuf {
        self.results.join(&plan.experiment)
    }
}

/// Is set by an interrupt. A second one ends the program.
pub fn interrupted() -> anyhow::Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    static HEARD: OnceLock<()> = OnceLock::new();
    if HEARD.get().is_none() {
        ctrlc::set_handler(|| {
            if STOP.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
        })
        .context("an interrupt can't be heard")?;
        HEARD.get_or_init(|| ());
    }
    Ok(&STOP)
}

/// What became of a plan.
pub struct CarriedOut {
    outcome: Outcome,
    tables: Tables,
}

impl CarriedOut {
    /// Carries out what has no `ok` record in `folder`, and writes the tables of what is done.
    pub fn new(plan: &Plan, folder: &Path, executor: &dyn Executor) -> anyhow::Result<Self> {
        let store = store(plan, folder)?;
        let earlier = Earlier::beside(plan, folder)?;
        if !earlier.is_empty() {
            note(&format!("in {}: {earlier}; they are in no table", folder.display()));
        }
        let mut progress = Progress::new(plan);
        let outcome = executor.execute(plan, &store, &mut progress)?;
        drop(progress);
        if outcome.statuses.iter().all(Option::is_none)
            && let Some(reason) = &outcome.stopped
        {
            anyhow::bail!("{reason}");
        }
        let tables = Tables::of(folder)?;
        Ok(Self { outcome, tables })
    }

    /// Prints what is wanted of the results, or the records as JSON.
    pub fn print(&self, plan: &Plan, folder: &Path, show: Option<&ShowArgs>) -> anyhow::Result<()> {
        match show {
            Some(show) => print(&show.text(folder, &self.tables)?),
            None => print_json(&json!({
                "experiment": plan.experiment,
                "folder": folder,
                "measured": self.outcome.measured,
                "stopped": self.outcome.stopped,
                "records": ordered_records(folder)?,
            })),
        }
    }

    /// Says what was done, where it and these other files lie, and what to do next; and whether all of it went well.
    pub fn close(mut self, show: &ShowArgs, folder: &Path, files: Vec<PathBuf>) -> crate::Outcome {
        self.tables.files.extend(files);
        let count = |wanted: &dyn Fn(Status) -> bool| {
            let ended = self.outcome.statuses.iter().flatten();
            ended.filter(|status| wanted(**status)).count()
        };
        let (ok, skipped) = (
            count(&|status| status == Status::Ok),
            count(&|status| status == Status::Skipped),
        );
        let without = self.outcome.statuses.len() - ok - skipped;
        let parts = [(skipped, "skipped"), (without, "without numbers")];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: String = parts.map(|(count, what)| format!(", {count} {what}")).collect();
        note(&format!(
            "\n{ok} of {} cells measured{parts}; {} of them now",
            self.outcome.statuses.len(),
            self.outcome.measured,
        ));
        note(show.further(folder, &self.tables.files).trim_end());
        if let Some(reason) = &self.outcome.stopped {
            anyhow::bail!("{reason}");
        }
        Ok(self.outcome.is_complete())
    }
}

/// The store of a plan's records, with the list of its cells, so that the tables of a run that was cut off can be made.
pub fn store(plan: &Plan, folder: &Path) -> anyhow::Result<Store> {
    let store = Store::open(folder.join("records"))?;
    plan.write_order(folder)?;
    Ok(store)
}
