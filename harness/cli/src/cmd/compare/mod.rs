//! `prunebench compare`.

mod screen;

use std::path::PathBuf;

use clap::Args;
use prunebench_reports::gate::Snapshot;
use prunebench_reports::{Differences, Differing, Field, part};
use prunebench_sweep::baseline;

use super::gate::snapshot;
use crate::Outcome;
use crate::output::{note, print, print_json};
use crate::terminal::width;

/// Show how two stores, or two recipes, models or engines of one, differ, item by item.
#[derive(Debug, Args)]
#[command(
    after_help = "Cells are matched by everything but the options given, and, without any, but what differs between all of one store \
and all of the other.

Examples:
  prunebench compare before after
  prunebench compare smol --engine candle torch
  prunebench compare quick --recipe 'shortgpt(ratio=0.25)' 'sleb(ratio=0.25)' --json"
)]
pub struct Compare {
    /// Experiment that was run, or a folder of results or records: the first side
    #[arg(value_name = "RESULTS")]
    first: PathBuf,
    /// The second side; the same results if left out
    #[arg(value_name = "RESULTS", required_unless_present_any = ["model", "recipe", "engine", "device", "dtype"])]
    second: Option<PathBuf>,
    /// Models of the two sides
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"])]
    model: Vec<String>,
    /// Recipes of the two sides, as tables spell them
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"])]
    recipe: Vec<String>,
    /// Engines of the two sides
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"])]
    engine: Vec<String>,
    /// Devices of the two sides
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"])]
    device: Vec<String>,
    /// Element types of the two sides
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"])]
    dtype: Vec<String>,
    /// All numbers with all that is known of each difference
    #[arg(long, conflicts_with = "json")]
    wide: bool,
    /// What the columns mean, what is not compared, and why
    #[arg(long, conflicts_with = "json")]
    notes: bool,
    /// Print everything that was found as JSON
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub fn run(self) -> Outcome {
        let mut first = snapshot(std::slice::from_ref(&self.first))?;
        let mut second = match &self.second {
            Some(folder) => snapshot(std::slice::from_ref(folder))?,
            None => Snapshot {
                cells: first.cells.clone(),
            },
        };
        let mut between = Vec::new();
        let asked = [&self.model, &self.recipe, &self.engine, &self.device, &self.dtype];
        for (field, values) in Field::ALL.into_iter().zip(asked) {
            if let [a, b] = values.as_slice() {
                first = part(&first, field, a)?;
                second = part(&second, field, b)?;
                between.push(Differing {
                    field,
                    values: [a.clone(), b.clone()],
                });
            }
        }
        if between.is_empty() {
            between = Differing::found([&first, &second], &baseline());
        }
        let differences = Differences::of([&first, &second], between)?;
        if self.json {
            print_json(&differences)?;
            note(&differences.headline());
        } else {
            print(&screen::drawn(&differences, [self.wide, self.notes], width()))?;
        }
        Ok(true)
    }
}
