//! `prunebench run`.

use std::path::{Path, PathBuf};

use clap::Args;
use prunebench_results::{Status, read_records};
use prunebench_sweep::{Experiment, Plan};
use serde_json::json;

use crate::Outcome;
use crate::cmd::local::{CarriedOut, LocalArgs};
use crate::output::{listed, note, print, print_json, table};
use crate::progress::name;

/// Run an experiment: measure every cell of its grid that isn't measured yet, and print the table.
#[derive(Debug, Args)]
#[command(
    after_help = "Each cell runs in its own process and leaves one record. A cell that failed is tried again by the next run; \
one that is done is never run again. If some cell failed, the table is printed and the exit code is 1. Several runs may share a \
results folder: no cell is measured by two of them. Give `threads` in the experiment to keep its cells the same under another --jobs.

Examples:
  prunebench run harness/experiments/quick.toml
  prunebench run harness/experiments/smol.toml --dry-run"
)]
pub struct Run {
    /// Experiment file
    experiment: PathBuf,
    /// Folder of results, in which each experiment has its own
    #[arg(long, value_name = "DIR", default_value = "results/runs")]
    results: PathBuf,
    /// Folder with texts and tasks (text/NAME/..., tasks/NAME/...); else PRUNEBENCH_DATA, else the Hub
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    local: LocalArgs,
    /// Print the cells, and which are done, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the records as JSON instead of the table
    #[arg(long)]
    json: bool,
}

impl Run {
    pub fn run(self) -> Outcome {
        let mut experiment = Experiment::read(&self.experiment)?;
        experiment.threads = experiment.threads.or_else(|| self.local.threads());
        let plan = Plan::new(&experiment, self.data.as_deref())?;
        let folder = self.results.join(&plan.experiment);
        let records = folder.join("records");
        if self.dry_run {
            return self.show(&plan, &records);
        }
        let CarriedOut { outcome, tables, files } = self.local.carry_out(&plan, &folder)?;
        if self.json {
            print_json(&json!({
                "experiment": plan.experiment,
                "folder": folder,
                "measured": outcome.measured,
                "stopped": outcome.stopped,
                "records": outcome.records,
            }))?;
        } else {
            let drawn: Vec<String> = tables.tables.iter().map(table).collect();
            print(&drawn.join("\n"))?;
        }
        note(&format!(
            "measured {} of {} cells now; tables: {}",
            outcome.measured,
            plan.cells.len(),
            listed(&files)
        ));
        if let Some(reason) = &outcome.stopped {
            anyhow::bail!("{reason}");
        }
        Ok(outcome.is_complete())
    }

    fn show(&self, plan: &Plan, records: &Path) -> Outcome {
        let found = if records.is_dir() {
            read_records(records)?
        } else {
            Vec::new()
        };
        let cells: Vec<_> = plan
            .cells
            .iter()
            .map(|planned| {
                let record = found.iter().find(|record| record.key == planned.key);
                (planned, record.map(|record| record.status))
            })
            .collect();
        if self.json {
            let cell = |(planned, status): &(&prunebench_sweep::Planned, Option<Status>)| json!({ "key": planned.key, "cell": planned.cell, "inputs": planned.inputs, "status": status });
            print_json(&cells.iter().map(cell).collect::<Vec<_>>())?;
        } else {
            let line = |(planned, status): &(&prunebench_sweep::Planned, Option<Status>)| {
                let status = status.map_or_else(|| "to do".to_owned(), |status| status.to_string());
                format!(
                    "{}  {status:<13}  {} {}\n",
                    planned.key.short(),
                    planned.cell.model,
                    name(&planned.cell)
                )
            };
            print(&cells.iter().map(line).collect::<String>())?;
        }
        Ok(true)
    }
}
