//! `prunebench run`.

use std::path::PathBuf;

use clap::Args;
use prunebench_results::{Cell, CellKey, Inputs, Status};
use prunebench_sweep::{Estimate, Experiment, Forecast, Plan, Planned, Remaining};
use serde::Serialize;
use serde_json::json;

use crate::Outcome;
use crate::cmd::cache::CacheArgs;
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
    cache: CacheArgs,
    #[command(flatten)]
    local: LocalArgs,
    /// Print the cells, which are done, and what the others may take by earlier records, and run nothing
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
        let plan = self
            .cache
            .share(Plan::new(&experiment, self.data.as_deref())?, &self.results);
        if self.dry_run {
            return self.show(&plan);
        }
        let folder = self.results.join(&plan.experiment);
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

    fn show(&self, plan: &Plan) -> Outcome {
        let forecast = plan.forecast(&self.results)?;
        for unread in &forecast.unread {
            note(&format!("not estimated from: {unread}"));
        }
        let cells = plan.cells.iter().zip(&forecast.cells);
        if self.json {
            let cells = cells.map(|(planned, outlook)| CellView {
                key: &planned.key,
                cell: &planned.cell,
                inputs: &planned.inputs,
                status: outlook.status,
                skip: planned.skip.as_deref(),
                estimate: outlook.estimate,
            });
            print_json(&PlanView {
                experiment: &plan.experiment,
                cells: cells.collect(),
                remaining: forecast.remaining,
            })?;
        } else {
            let lines = cells.map(|(planned, outlook)| line(planned, outlook.status, outlook.estimate));
            print(&(lines.collect::<String>() + &summary(plan, &forecast)))?;
        }
        Ok(true)
    }
}

/// A plan as JSON.
#[derive(Serialize)]
struct PlanView<'a> {
    experiment: &'a str,
    cells: Vec<CellView<'a>>,
    remaining: Remaining,
}

#[derive(Serialize)]
struct CellView<'a> {
    key: &'a CellKey,
    cell: &'a Cell,
    inputs: &'a Inputs,
    status: Option<Status>,
    skip: Option<&'a str>,
    estimate: Option<Estimate>,
}

fn line(planned: &Planned, status: Option<Status>, estimate: Option<Estimate>) -> String {
    let (state, reason) = match (status, &planned.skip) {
        (Some(status), _) => (status.to_string(), String::new()),
        (None, Some(reason)) => ("skipped".to_owned(), format!(": {reason}")),
        (None, None) => ("to do".to_owned(), String::new()),
    };
    let estimate = match estimate {
        _ if status == Some(Status::Ok) || planned.skip.is_some() => String::new(),
        Some(estimate) => format!(
            "{}, {} by {}",
            time(estimate.seconds),
            memory(estimate.peak_resident_bytes),
            records(estimate.records)
        ),
        None => "unknown".to_owned(),
    };
    format!(
        "{}  {state:<13}  {estimate:<32}  {} {}{reason}\n",
        planned.key.short(),
        planned.cell.model,
        name(&planned.cell)
    )
}

/// The plan in two sentences.
fn summary(plan: &Plan, forecast: &Forecast) -> String {
    let Remaining {
        cells,
        unknown,
        seconds,
        peak_resident_bytes,
        records: earlier,
    } = forecast.remaining;
    let done = forecast
        .cells
        .iter()
        .filter(|outlook| outlook.status == Some(Status::Ok));
    let skipped = plan.cells.iter().filter(|planned| planned.skip.is_some());
    let mut text = format!(
        "{} cells: {} done, {cells} left, {} skipped.",
        plan.cells.len(),
        done.count(),
        skipped.count()
    );
    if unknown < cells {
        text += &format!(
            " Left, one after another: about {}, and {} in a single cell, by {}{}.",
            time(seconds),
            memory(peak_resident_bytes),
            records(earlier),
            match unknown {
                0 => String::new(),
                unknown => format!("; {unknown} cells have no like and are not counted"),
            }
        );
    } else if cells > 0 {
        text += " What they take is unknown: there is no record of their models.";
    }
    text + "\n"
}

fn records(count: usize) -> String {
    format!("{count} record{}", if count == 1 { "" } else { "s" })
}

/// Records know their start and end to the second.
fn time(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, 0) => "under 1 s".to_owned(),
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

fn memory(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown memory".to_owned(), |bytes| format!("{} MiB", bytes >> 20))
}
