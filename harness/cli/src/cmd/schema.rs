//! `prunebench schema`.

use clap::Args;
use prunebench_sweep::experiment_schema;

use crate::Outcome;
use crate::output::print_json;

/// Print the JSON Schema of experiment files, from which an editor completes their keys.
#[derive(Debug, Args)]
#[command(
    after_help = "Editors that know taplo's directives find it by a file's first line, `#:schema PATH`, with a path relative to the file.

Examples:
  prunebench schema > harness/experiments/schema.json"
)]
pub struct Schema {}

impl Schema {
    pub fn run(self) -> Outcome {
        print_json(&experiment_schema())?;
        Ok(true)
    }
}
