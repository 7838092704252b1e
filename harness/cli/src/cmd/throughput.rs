//! `prunebench throughput`.

use clap::{Args, ValueEnum};
use prunebench_results::{Status, TensorParallel, ThroughputRequest, TrainedParameters, TrainingRequest};
use prunebench_sweep::EvaluationText;

use crate::Outcome;
use crate::cmd::{ModelArgs, PlaceArgs, measure, plan};

/// Time prefill and decode of a model, compressed or not, or its training.
#[derive(Debug, Args)]
#[command(
    after_help = "Prefill is one forward pass of the prompt with the logits of every position. Decode is the greedy steps \
after the prompt's own pass, on a KV cache, through tokens that end a text. With --train the forward and backward passes and \
AdamW's updates are timed instead, of all parameters or of adapters of rank 8 on every linear. Each repeat has fresh random \
tokens. With --ranks the model is split over so many threads of this process by heads and FFN columns, each with an equal share of \
--threads; two layers in parallel take the all-reduces of one.

Examples:
  prunebench throughput --model smollm2-135m --prompt-tokens 1024 --generate 32
  prunebench throughput --model smollm2-135m --train lora --batch 4 --train-tokens 256
  prunebench throughput --model shape:qwen2.5-0.5b --ranks 2 --all-reduce-latency-us 100
  prunebench throughput --model shape:llama-3-8b --engine torch --device cuda --dtype bf16"
)]
pub struct Throughput {
    #[command(flatten)]
    model: ModelArgs,
    /// Tokens in a prompt
    #[arg(long, value_name = "N", default_value_t = 128, conflicts_with = "train")]
    prompt_tokens: usize,
    /// Tokens generated after it
    #[arg(long, value_name = "N", default_value_t = 32, conflicts_with = "train")]
    generate: usize,
    /// Split the model over this many ranks, which divides its heads
    #[arg(long, value_name = "N", conflicts_with = "train")]
    ranks: Option<usize>,
    /// Wait so long after each all-reduce of the ranks
    #[arg(long, value_name = "N", default_value_t = 0, requires = "ranks")]
    all_reduce_latency_us: u64,
    /// Also time a large copy and a large matrix product, and say what share of them prefill and decode are
    #[arg(long, conflicts_with = "train")]
    ceilings: bool,
    /// Time training steps instead of prefill and decode
    #[arg(long, value_enum, value_name = "WHAT")]
    train: Option<Train>,
    /// Make activations anew in the backward pass instead of keeping them
    #[arg(long, requires = "train")]
    recompute: bool,
    /// Sequences that go forward and backward at once in a training step; all if left out
    #[arg(long, value_name = "N", requires = "train")]
    micro_batch: Option<usize>,
    /// Tokens that a training step reads of each sequence
    #[arg(long, value_name = "N", default_value_t = 256, requires = "train")]
    train_tokens: usize,
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

/// What a training step trains.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Train {
    /// Every parameter
    Full,
    /// Adapters of rank 8 on every linear
    Lora,
}

impl Throughput {
    pub fn run(self) -> Outcome {
        let (batch, repeats, warmup) = (self.batch, self.repeats, self.warmup);
        let training = self.train.map(|train| TrainingRequest {
            parameters: match train {
                Train::Full => TrainedParameters::Full,
                Train::Lora => TrainedParameters::Lora,
            },
            recompute: self.recompute,
            tokens: self.train_tokens,
            batch,
            micro_batch: self.micro_batch,
            repeats,
            warmup,
        });
        let inference = ThroughputRequest {
            prompt_tokens: self.prompt_tokens,
            generated_tokens: self.generate,
            batch,
            repeats,
            warmup,
            tensor_parallel: self.ranks.map(|ranks| TensorParallel {
                ranks,
                all_reduce_latency_us: self.all_reduce_latency_us,
            }),
            ceilings: self.ceilings,
        };
        let evaluation = EvaluationText {
            throughput: training.is_none().then_some(inference).into_iter().collect(),
            training,
            ..EvaluationText::default()
        };
        let plan = plan("throughput", &self.model, &self.place, evaluation)?;
        let records = measure(&plan, &self.place)?;
        Ok(records.iter().all(|record| record.status == Status::Ok))
    }
}
