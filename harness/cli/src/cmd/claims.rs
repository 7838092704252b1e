//! `prunebench claims`.

use std::path::PathBuf;

use clap::Args;
use prunebench_reports::claims::{Claims as Definitions, Observation, Scorecard};
use prunebench_results::{Paper, read_records, read_samples};
use prunebench_sweep::baseline;

use super::paper::stores;
use crate::Outcome;
use crate::output::{print, print_json, table};

/// Judge what papers claim by the records that are there: reproduced, not reproduced, inconclusive or not run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench claims
  prunebench claims layer_parallelism --results results/runs
  prunebench claims weight_evolution --json")]
pub struct Claims {
    /// The paper; all if left out
    paper: Option<String>,
    /// Folder with the results of experiments, a folder each, as `run` makes them [default: results/runs]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Print JSON, with every contrast and the records of each
    #[arg(long)]
    json: bool,
}

impl Claims {
    pub fn run(self) -> Outcome {
        if let Some(id) = &self.paper {
            Paper::find(id)?;
        }
        let mut papers = Definitions::all()?;
        papers.retain(|claims| self.paper.as_ref().is_none_or(|id| claims.paper == *id));
        let (mut observations, baseline) = (Vec::new(), baseline());
        for folder in stores(self.results.as_deref())? {
            let mut records = read_records(&folder)?;
            for record in &mut records {
                read_samples(&folder, record)?;
            }
            // A store at a time, since samples are large and what is kept of them is not.
            let found = Observation::of(&records, &baseline).into_iter();
            observations.extend(found.filter(|observation| papers.iter().any(|claims| claims.want(observation))));
        }
        let scorecards: Vec<Scorecard> = papers
            .iter()
            .map(|claims| Scorecard::new(claims, &observations))
            .collect();
        if self.json {
            print_json(&scorecards)?;
        } else {
            let drawn: Vec<String> = scorecards
                .iter()
                .map(|scorecard| table(&scorecard.to_table()))
                .collect();
            print(&drawn.join("\n"))?;
        }
        Ok(true)
    }
}
