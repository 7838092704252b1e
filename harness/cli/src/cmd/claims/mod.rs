//! `prunebench claims`.

mod screen;

use std::path::PathBuf;

use clap::Args;
use prunebench_reports::claims::{Claims as Definitions, Evidence, Observations, Scorecard};
use prunebench_results::Paper;
use prunebench_sweep::{baseline, ordered_records};

use super::paper::stores;
use crate::Outcome;
use crate::output::{Format, print, print_json, table};
use crate::terminal::{faint, indented, width};

/// Judge what papers claim by the records that are there, or by the tests that show it: reproduced, not reproduced, inconclusive or not run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench claims
  prunebench claims layer_parallelism --results results/runs
  prunebench claims weight_evolution --format markdown > claims.md
  prunebench claims weight_evolution --json")]
pub struct Claims {
    /// The paper; all if left out
    paper: Option<String>,
    /// Folder with the results of experiments, a folder each, as `run` makes them [default: results/runs]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// A table with all that is known of each claim
    #[arg(long, conflicts_with_all = ["json", "format"])]
    wide: bool,
    /// Print it in this form
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "json", default_value_t)]
    format: Format,
    /// Print JSON, with every contrast and the records of each
    #[arg(long)]
    json: bool,
}

impl Claims {
    pub fn run(self) -> Outcome {
        let scorecards = scorecards(self.paper.as_slice(), &stores(self.results.as_deref())?)?;
        if self.json {
            print_json(&scorecards)?;
            return Ok(true);
        }
        let width = width();
        let drawn = scorecards.iter().map(|scorecard| match self.format {
            Format::Markdown => scorecard.to_markdown(),
            Format::Text if self.wide => table(&scorecard.to_table()),
            Format::Text => screen::drawn(scorecard, width),
        });
        print(&drawn.collect::<Vec<_>>().join("\n"))?;
        if self.format == Format::Text && !self.wide {
            let more = "prunebench claims … --wide | --format markdown | --json";
            print(&format!("\n{}", indented(&faint("more  "), more, width)))?;
        }
        Ok(true)
    }
}

/// What became of the claims of these papers, or of all if none is named, by the records in these folders.
pub fn scorecards(ids: &[String], folders: &[PathBuf]) -> anyhow::Result<Vec<Scorecard>> {
    for id in ids {
        Paper::find(id)?;
    }
    let mut papers = Definitions::all()?;
    papers.retain(|claims| ids.is_empty() || ids.contains(&claims.paper));
    let (mut observations, baseline) = (Observations::default(), baseline());
    for folder in folders {
        // A store at a time, since samples are large and what is kept of them is not.
        observations.add(&ordered_records(folder)?, &baseline, &papers);
    }
    let evidence = Evidence::embedded()?;
    let scorecards = papers
        .iter()
        .map(|claims| Scorecard::new(claims, &observations, &evidence));
    Ok(scorecards.collect())
}
