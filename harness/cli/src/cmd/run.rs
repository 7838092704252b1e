//! `prunebench run`.

use clap::Args;
use prunebench_results::{Cell, CellKey, Inputs, Status};
use prunebench_sweep::{Estimate, Forecast, Plan, Planned, Remaining};
use serde::Serialize;

use crate::Outcome;
use crate::cmd::local::LocalArgs;
use crate::cmd::show::ShowArgs;
use crate::cmd::sweep::{CarriedOut, ExperimentArgs};
use crate::output::{note, print, print_json, time};
use crate::progress::name;

/// Run an experiment: measure every cell of its grid that isn't measured yet, and print the table.
#[derive(Debug, Args)]
#[command(
    after_help = "Each cell runs in its own process and leaves one record. A cell that failed is tried again by the next run; \
one that is done is never run again. If some cell failed, the table is printed and the exit code is 1. Several runs may share a \
results folder: no cell is measured by two of them. A cell that measures speed waits until no other runs on this machine, and \
other cells wait for it; a round of speed is measured by the machine that began it. Give `threads` in the experiment to keep its cells the same under another --jobs.

Examples:
  prunebench run quick
  prunebench run smol --dry-run
  prunebench run mine.toml"
)]
pub struct Run {
    #[command(flatten)]
    experiment: ExperimentArgs,
    #[command(flatten)]
    local: LocalArgs,
    #[command(flatten)]
    show: ShowArgs,
    /// Print the cells, which are done, and what the others may take by earlier records, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the records as JSON instead of the table
    #[arg(long)]
    json: bool,
}

impl Run {
    pub fn run(self) -> Outcome {
        let mut experiment = self.experiment.read()?;
        experiment.threads = experiment.threads.or_else(|| self.local.threads());
        let plan = self.experiment.plan(&experiment)?;
        if self.dry_run {
            return self.plan(&plan);
        }
        let folder = self.experiment.folder(&plan);
        let carried_out = CarriedOut::new(&plan, &folder, &self.local.executor(&plan, &folder)?)?;
        carried_out.print(&plan, &folder, Some(&self.show).filter(|_| !self.json))?;
        carried_out.close(&self.show, &folder, Vec::new())
    }

    fn plan(&self, plan: &Plan) -> Outcome {
        let forecast = plan.forecast(&self.experiment.results)?;
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

fn memory(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown memory".to_owned(), |bytes| format!("{} MiB", bytes >> 20))
}
