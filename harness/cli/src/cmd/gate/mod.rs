//! `prunebench gate`.

mod screen;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use prunebench_reports::gate::{GateError, Rules, Snapshot, Verdict, judge};
use prunebench_sweep::{baseline, ordered_records};

use crate::cmd::stores::{all_found, found_or_named};
use crate::output::{note, print, print_json};
use crate::terminal::width;

/// Compare records with a baseline, item by item, and fail if something got worse.
#[derive(Debug, Args)]
#[command(
    after_help = "A number that got worse by more than its rule's margin, and not by chance, is a regression; so is a cell that is \
missing or failed. Rules are TOML; harness/gates/nightly.toml is an example.

Exit codes: 0 ok, 1 something failed, 2 wrong usage (also of the rules), 10 regression, 11 no baseline, 12 inconclusive or \
nothing judged

Examples:
  prunebench gate nightly --baseline nightly.jsonl.gz --accept
  prunebench gate nightly --baseline nightly.jsonl.gz --rules harness/gates/nightly.toml
  prunebench gate nightly --baseline before --rules harness/gates/nightly.toml --junit gate.xml"
)]
pub struct Gate {
    /// Experiments that were run, or folders of results or records; judged as one
    #[arg(value_name = "RESULTS", required = true)]
    stores: Vec<PathBuf>,
    /// File that `--accept` wrote, or an experiment that was run, or a folder of results
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Rules
    #[arg(long, value_name = "FILE", required_unless_present = "accept")]
    rules: Option<PathBuf>,
    /// Judge nothing, and write the records as the new baseline
    #[arg(long, conflicts_with_all = ["rules", "json", "junit", "summary"])]
    accept: bool,
    /// All that is known of each number
    #[arg(long, conflicts_with_all = ["json", "accept"])]
    wide: bool,
    /// What the columns mean, what was not judged, and where both sides come from
    #[arg(long, conflicts_with_all = ["json", "accept"])]
    notes: bool,
    /// Print everything that was found as JSON
    #[arg(long)]
    json: bool,
    /// Also write a JUnit report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Also append Markdown to this file, such as $GITHUB_STEP_SUMMARY
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
}

impl Gate {
    pub fn run(mut self) -> anyhow::Result<ExitCode> {
        if !self.accept {
            self.baseline = found_or_named(&self.baseline);
        }
        let rules = match &self.rules {
            Some(path) => Some(read_rules(path)?),
            None => None,
        };
        let store = snapshot(&self.stores)?;
        let Some(rules) = rules else {
            return self.accept(&store);
        };
        if !self.baseline.exists() {
            note(&format!(
                "there is no baseline at {path}: if this store is good, accept it by `prunebench gate RESULTS --baseline {path} --accept`",
                path = self.baseline.display()
            ));
            return Ok(ExitCode::from(11));
        }
        let before = if self.baseline.is_dir() {
            snapshot(std::slice::from_ref(&self.baseline))?
        } else {
            let file = File::open(&self.baseline).map_err(GateError::File);
            file.and_then(Snapshot::read)
                .with_context(|| format!("the baseline {} can't be used", self.baseline.display()))?
        };
        let report =
            judge(&store, &before, &rules).with_context(|| self.rules.unwrap_or_default().display().to_string())?;
        if let Some(path) = &self.junit {
            write(path, report.to_junit()?.as_bytes())?;
        }
        if let Some(path) = &self.summary {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(report.to_markdown().as_bytes()))
                .with_context(|| format!("{} can't be written; check the folder and the disk", path.display()))?;
        }
        if self.json {
            print_json(&report)?;
            note(&report.headline());
        } else {
            print(&screen::drawn(&report, [self.wide, self.notes], width()))?;
        }
        Ok(match report.verdict {
            Verdict::Ok => ExitCode::SUCCESS,
            Verdict::Regression => ExitCode::from(10),
            Verdict::Inconclusive | Verdict::NotJudged => ExitCode::from(12),
        })
    }

    fn accept(&self, store: &Snapshot) -> anyhow::Result<ExitCode> {
        let mut content = Vec::new();
        store.write(&mut content)?;
        write(&self.baseline, &content)?;
        note(&format!(
            "{} cells are the baseline from now on: {}",
            store.cells.len(),
            self.baseline.display()
        ));
        Ok(ExitCode::SUCCESS)
    }
}

fn read_rules(path: &Path) -> anyhow::Result<Rules> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the rules {} can't be read; check the path", path.display()))?;
    Rules::parse(&text).with_context(|| format!("the rules {} can't be used", path.display()))
}

pub fn snapshot(folders: &[PathBuf]) -> anyhow::Result<Snapshot> {
    let mut all = Vec::new();
    for folder in all_found(folders)? {
        all.extend(ordered_records(&folder)?);
    }
    Ok(Snapshot::of(&all, &baseline())?)
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    prunebench_files::write(path, content)
        .with_context(|| format!("{} can't be written; check the folder and the disk", path.display()))
}

/// Whether the user should mend the rules.
pub fn is_usage(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(GateError::Rules { .. }))
}
