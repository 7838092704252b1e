//! `prunebench status`.

mod screen;

use std::path::PathBuf;

use clap::Args;
use prunebench_sweep::{Queued, Standing};
use serde::Serialize;

use crate::Outcome;
use crate::cmd::stores::found;
use crate::cmd::submit::batch;
use crate::output::{note, print, print_json};
use crate::terminal::width;

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
            print(&screen::drawn(folder, &standing, &queue, width()))?;
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
