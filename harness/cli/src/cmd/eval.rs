//! `prunebench eval`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use prunebench_datasets::Places;
use prunebench_results::{PerplexityRequest, Record, Status};
use prunebench_sweep::{EvaluationText, LmEvalOutput, Plan};

use crate::Outcome;
use crate::cmd::{ModelArgs, PlaceArgs, measure, plan};
use crate::output::note;

/// Measure the perplexity and the accuracy of a model, compressed or not.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench eval --model smollm2-135m --protocol wikitext2/stream-2048@1 --windows 4
  prunebench eval --model smollm2-135m --tasks llm-pruner-7 --limit 100
  prunebench eval --model hf:org/name --tasks mmlu --shots 5 --lm-eval-output lm-eval
  prunebench eval --model smollm2-135m --recipe 'wanda(ratio=0.5)' --tasks arc_easy,piqa --divergence --engine candle --json")]
pub struct Eval {
    #[command(flatten)]
    model: ModelArgs,
    /// Protocol, as `prunebench list protocols` names it; may be given several times
    #[arg(long, required_unless_present = "tasks", value_name = "ID")]
    protocol: Vec<String>,
    /// Score only the first so many windows or documents of each protocol
    #[arg(long, value_name = "N")]
    windows: Option<usize>,
    /// Tasks and suites, as `prunebench list tasks` and `list suites` name them, separated by commas
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
    /// Evaluate only the first so many documents of each task, or of each of its groups
    #[arg(long, value_name = "N", requires = "tasks")]
    limit: Option<usize>,
    /// Solved examples before every question; if left out, those of the suite, and none for a task
    #[arg(long, value_name = "K", requires = "tasks")]
    shots: Option<usize>,
    /// Split that the examples come from, if not the task's own choice
    #[arg(long, value_name = "SPLIT", requires = "tasks")]
    shots_from: Option<String>,
    /// Seed of the examples' choice; that of lm-eval if left out
    #[arg(long, value_name = "N", requires = "tasks")]
    shots_seed: Option<u64>,
    /// Compare the next-token distributions with the dense model's, which stays in memory
    #[arg(long, requires = "tasks")]
    divergence: bool,
    /// Also write the tasks' results and samples into this folder as lm-eval does
    #[arg(long, value_name = "DIR", requires = "tasks")]
    lm_eval_output: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
}

impl Eval {
    pub fn run(self) -> Outcome {
        let windows = self.windows;
        let perplexity = self.protocol.into_iter();
        let evaluation = EvaluationText {
            perplexity: perplexity
                .map(|protocol| PerplexityRequest { protocol, windows })
                .collect(),
            tasks: self.tasks,
            limit: self.limit,
            shots: self.shots,
            shots_from: self.shots_from,
            shots_seed: self.shots_seed,
            divergence: self.divergence,
            ..EvaluationText::default()
        };
        let plan = plan("eval", &self.model, &self.place, evaluation)?;
        if let Some(folder) = &self.lm_eval_output {
            check_output(&plan, folder)?;
        }
        let records = measure(&plan, &self.place)?;
        if let Some(folder) = &self.lm_eval_output {
            let places = Places::from_env(self.model.data.clone());
            for record in records.iter().filter(|record| record.status == Status::Ok) {
                let paths = LmEvalOutput::new(record, &places)?.write(folder)?;
                if let Some(results) = paths.last() {
                    note(&format!(
                        "lm-eval's files: {} and {} beside it",
                        results.display(),
                        paths.len() - 1
                    ));
                }
            }
        }
        Ok(records.iter().all(|record: &Record| record.status == Status::Ok))
    }
}

/// What would keep the output from being written shows before anything is measured.
fn check_output(plan: &Plan, folder: &std::path::Path) -> anyhow::Result<()> {
    for planned in &plan.cells {
        LmEvalOutput::check(&planned.cell.evaluation.tasks)?;
    }
    let writable = || std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    writable().with_context(|| {
        format!(
            "{} can't be written; name another folder with --lm-eval-output",
            folder.display()
        )
    })?;
    Ok(())
}
