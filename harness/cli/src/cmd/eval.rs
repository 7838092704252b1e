//! `prunebench eval`.

use clap::Args;
use prunebench_results::{Evaluation, PerplexityRequest};

use crate::Outcome;
use crate::cmd::{ModelArgs, PlaceArgs, measure};

/// Measure the perplexity of a model, compressed or not.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench eval --model smollm2-135m --protocol wikitext2/stream-2048@1 --windows 4
  prunebench eval --model smollm2-135m --recipe 'wanda(ratio=0.5)' --protocol wikitext2/stream-512@1 --engine candle --json")]
pub struct Eval {
    #[command(flatten)]
    model: ModelArgs,
    /// Protocol, as `prunebench list protocols` names it; may be given several times
    #[arg(long, required = true, value_name = "ID")]
    protocol: Vec<String>,
    /// Score only the first so many windows
    #[arg(long, value_name = "N")]
    windows: Option<usize>,
    #[command(flatten)]
    place: PlaceArgs,
}

impl Eval {
    pub fn run(self) -> Outcome {
        let windows = self.windows;
        let perplexity = self
            .protocol
            .into_iter()
            .map(|protocol| PerplexityRequest { protocol, windows })
            .collect();
        let evaluation = Evaluation {
            perplexity,
            throughput: None,
        };
        measure("eval", &self.model, &self.place, evaluation)
    }
}
