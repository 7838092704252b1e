//! `prunebench report`.

use std::path::PathBuf;

use clap::Args;
use prunebench_sweep::{Tables, ordered_records, write_depth_plot};

use crate::Outcome;
use crate::output::{listed, note, print, print_json, table};

/// Make the tables of a results folder again from its records.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench report results/runs/quick
  prunebench report results/runs/quick --json
  prunebench report results/runs/quick --depth-plot 'shortgpt(ratio=*)' --depth-plot 'merge(end=6, start=*)'")]
pub struct Report {
    /// Folder of an experiment's results, as `run` names it
    folder: PathBuf,
    /// Also draw perplexity against effective depth into depth.svg, a line for each recipe given here, which has a `*` in
    /// place of what varies; may be given several times
    #[arg(long, value_name = "RECIPE")]
    depth_plot: Vec<String>,
    /// Print the tables as JSON
    #[arg(long)]
    json: bool,
}

impl Report {
    pub fn run(self) -> Outcome {
        let Tables { tables, mut files } = Tables::of(&self.folder)?;
        if !self.depth_plot.is_empty() {
            let records = ordered_records(&self.folder)?;
            files.push(write_depth_plot(&records, &self.depth_plot, &self.folder)?);
        }
        if self.json {
            print_json(&tables)?;
        } else {
            let drawn: Vec<String> = tables.iter().map(table).collect();
            print(&drawn.join("\n"))?;
        }
        note(&format!("tables: {}", listed(&files)));
        Ok(true)
    }
}
