//! `prunebench report`.

use std::path::PathBuf;

use clap::Args;
use prunebench_sweep::{Tables, ordered_records};

use crate::Outcome;
use crate::output::{listed, note, print, print_json, table};

/// Make the tables of a results folder again from its records.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench report results/runs/quick
  prunebench report results/runs/quick --json")]
pub struct Report {
    /// Folder of an experiment's results, as `run` names it
    folder: PathBuf,
    /// Print the tables as JSON
    #[arg(long)]
    json: bool,
}

impl Report {
    pub fn run(self) -> Outcome {
        let tables = Tables::new(&ordered_records(&self.folder)?)?;
        let files = tables.write(&self.folder)?;
        if self.json {
            print_json(&tables.tables)?;
        } else {
            let drawn: Vec<String> = tables.tables.iter().map(table).collect();
            print(&drawn.join("\n"))?;
        }
        note(&format!("tables: {}", listed(&files)));
        Ok(true)
    }
}
