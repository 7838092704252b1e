//! `prunebench status`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use prunebench_results::{Owner, Running};
use prunebench_sweep::{Queued, Standing, Unsuccessful};
use serde::Serialize;

use crate::Outcome;
use crate::cmd::stores::found;
use crate::cmd::submit::batch;
use crate::output::{note, print, print_json, time};

/// Say how far a sweep is, from any shell or machine that sees its folder.
#[derive(Debug, Args)]
#[command(
    after_help = "It reads what the runs write: their records, and in the reservation of each cell that is measured how far it is. \
A cell waits until a run takes it, or its job begins, whose state is asked from Slurm if there are jobs.

Examples:
  prunebench status smol
  watch prunebench status smol"
)]
pub struct Status {
    /// Experiment that was run, or the folder of its results or records
    #[arg(value_name = "RESULTS")]
    folder: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub fn run(self) -> Outcome {
        let named = found(&self.folder)?;
        let is_records = named.ends_with("records") && !named.join("records").is_dir();
        let above = named.parent().filter(|_| is_records);
        let folder = above.unwrap_or(&named);
        // First, for it writes the records of jobs that could not.
        let queue = batch(folder.to_owned(), Vec::new())?.queue();
        let queue = queue.unwrap_or_else(|error| {
            note(&format!("jobs are left out: {error}"));
            Vec::new()
        });
        let standing = Standing::of(folder)?;
        if self.json {
            print_json(&StatusView {
                standing: &standing,
                queue: &queue,
            })?;
        } else {
            let running = standing.running.iter().map(running);
            let unsuccessful = standing.unsuccessful.iter().map(unsuccessful);
            let lines: String = running.chain(unsuccessful).collect();
            print(&(lines + &in_the_queue(&queue) + &summary(&standing)))?;
        }
        Ok(true)
    }
}

/// Everything as JSON.
#[derive(Serialize)]
struct StatusView<'a> {
    #[serde(flatten)]
    standing: &'a Standing,
    /// Cells whose jobs haven't ended.
    queue: &'a [Queued],
}

/// A line for each state of jobs.
fn in_the_queue(queue: &[Queued]) -> String {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for queued in queue {
        *states.entry(&queued.state).or_default() += 1;
    }
    let lines = states
        .into_iter()
        .map(|(state, cells)| format!("queued   {cells} cells: {state}\n"));
    lines.collect()
}

fn running(running: &Running) -> String {
    let Some(owner) = &running.owner else {
        return format!("running  {}\n", running.stem);
    };
    let Owner {
        cell,
        process,
        host,
        since,
        job,
        phase,
        done,
        total,
    } = owner;
    let far = phase
        .as_ref()
        .map_or_else(|| "start".to_owned(), |phase| format!("{phase} {done} of {total}"));
    let job = job.as_ref().map_or_else(String::new, |job| format!(", job {job}"));
    format!("running  {cell}: {far} (process {process} on {host}{job}, since {since})\n")
}

fn unsuccessful(unsuccessful: &Unsuccessful) -> String {
    let Unsuccessful {
        cell, status, error, ..
    } = unsuccessful;
    let reason = error.lines().next().unwrap_or_default();
    format!("{status:<8} {cell}: {reason}\n")
}

fn summary(standing: &Standing) -> String {
    let ended = standing
        .ended
        .iter()
        .map(|(status, count)| format!("{count} {status}, "));
    let mut text = format!(
        "{} cells: {}{} running, {} waiting.",
        standing.cells,
        ended.collect::<String>(),
        standing.running.len(),
        standing.waiting
    );
    if !standing.earlier.is_empty() {
        text += &format!(" {}; `prunebench run` measures their cells anew.", standing.earlier);
    }
    if let Some(rate) = standing.cells_per_hour {
        text += &format!(" {rate:.0} cells an hour so far.");
    }
    if let Some(seconds) = standing.seconds_left {
        text += &format!(" Left, at the median time of a cell: about {}.", time(seconds));
    }
    text + "\n"
}
