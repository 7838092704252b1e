//! `prunebench throughput`.

use clap::Args;
use prunebench_results::{Status, ThroughputRequest};
use prunebench_sweep::EvaluationText;

use crate::Outcome;
use crate::cmd::{ModelArgs, PlaceArgs, measure, plan};

/// Time prefill and decode of a model, compressed or not.
#[derive(Debug, Args)]
#[command(
    after_help = "Prefill is one forward pass of the prompt with the logits of every position. Decode is the greedy steps \
after the prompt's own pass, on a KV cache, through tokens that end a text. Each repeat has fresh random tokens.

Examples:
  prunebench throughput --model smollm2-135m --prompt-tokens 1024 --generate 32
  prunebench throughput --model shape:llama-3-8b --engine torch --device cuda --dtype bf16"
)]
pub struct Throughput {
    #[command(flatten)]
    model: ModelArgs,
    /// Tokens in a prompt
    #[arg(long, value_name = "N", default_value_t = 128)]
    prompt_tokens: usize,
    /// Tokens generated after it
    #[arg(long, value_name = "N", default_value_t = 32)]
    generate: usize,
    /// Sequences at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,
    /// Timed repeats
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeats: usize,
    /// Repeats before them that aren't counted
    #[arg(long, value_name = "N", default_value_t = 1)]
    warmup: usize,
    #[command(flatten)]
    place: PlaceArgs,
}

impl Throughput {
    pub fn run(self) -> Outcome {
        let evaluation = EvaluationText {
            throughput: Some(ThroughputRequest {
                prompt_tokens: self.prompt_tokens,
                generated_tokens: self.generate,
                batch: self.batch,
                repeats: self.repeats,
                warmup: self.warmup,
            }),
            ..EvaluationText::default()
        };
        let plan = plan("throughput", &self.model, &self.place, evaluation)?;
        let records = measure(&plan, &self.place)?;
        Ok(records.iter().all(|record| record.status == Status::Ok))
    }
}
