//! `prunebench store`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use prunebench_reports::{ExportFormat, export};
use prunebench_results::{check_store, read_records};
use prunebench_sweep::records_folder;

use crate::Outcome;
use crate::cmd::stores::found;
use crate::output::{note, print, print_json};

/// Check the records of a results folder, or write them as one flat table.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench store check quick
  prunebench store check quick --mend
  prunebench store export quick --format parquet --out quick.parquet")]
pub struct Store {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(Check),
    Export(Export),
}

/// Find records that are damaged, superfluous or there twice; the exit code is 1 if something is wrong
#[derive(Debug, Args)]
struct Check {
    /// Experiment that was run, or a folder of results or records
    #[arg(value_name = "RESULTS")]
    folder: PathBuf,
    /// Move damaged files to `damaged` in the results folder, so that the next run measures their cells anew, and remove what never was whole
    #[arg(long)]
    mend: bool,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// Write a line for each perplexity and each task's metric of each record
#[derive(Debug, Args)]
struct Export {
    /// Experiment that was run, or a folder of results or records
    #[arg(value_name = "RESULTS")]
    folder: PathBuf,
    /// File format
    #[arg(long)]
    format: Format,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    Parquet,
    Jsonl,
}

impl Store {
    pub fn run(self) -> Outcome {
        match self.command {
            Command::Check(check) => check.run(),
            Command::Export(export) => export.run(),
        }
    }
}

impl Check {
    fn run(self) -> Outcome {
        let folder = found(&self.folder)?;
        let damaged = folder.join("damaged");
        let findings = check_store(&records_folder(&folder), self.mend.then_some(damaged.as_path()))?;
        if self.json {
            print_json(&findings)?;
        } else {
            let lines = findings.iter().map(|finding| {
                let cure = if finding.mended { "done" } else { "to do" };
                format!(
                    "{}: {}; {cure}: {}\n",
                    finding.file.display(),
                    finding.problem,
                    finding.cure
                )
            });
            print(&lines.collect::<String>())?;
        }
        let left = findings.iter().filter(|finding| !finding.mended).count();
        note(&match (findings.len(), left) {
            (0, _) => "nothing is wrong".to_owned(),
            (all, left) if self.mend => format!("{all} findings, {} mended", all - left),
            (all, _) => format!("{all} findings; `--mend` mends what can be mended"),
        });
        Ok(left == 0)
    }
}

impl Export {
    fn run(self) -> Outcome {
        let records = read_records(&records_folder(&found(&self.folder)?))?;
        let format = match self.format {
            Format::Csv => ExportFormat::Csv,
            Format::Parquet => ExportFormat::Parquet,
            Format::Jsonl => ExportFormat::Jsonl,
        };
        let mut content = Vec::new();
        export(&records, format, &mut content)?;
        prunebench_files::write(&self.out, &content)
            .with_context(|| format!("{} can't be written; check the folder and the disk", self.out.display()))?;
        note(&format!("{} records: {}", records.len(), self.out.display()));
        Ok(true)
    }
}
