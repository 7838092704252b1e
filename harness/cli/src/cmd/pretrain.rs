//! `prunebench pretrain`.

use std::path::PathBuf;

use clap::Args;
use prunebench_datasets::Places;
use prunebench_sweep::{Place, Pretraining, pretrain};
use prunebench_tensor::{Device, DeviceKind, Engine};

use crate::Outcome;
use crate::output::{print, print_json};
use crate::progress::{Step, Steps};

/// Train a model from nothing and write it as a folder in HF layout.
#[derive(Debug, Args)]
#[command(
    after_help = "The folder also holds what the training leaves: training_log.csv (a line a step), training.json (data, settings, \
time, losses), and, as configured, averages of the weights over the run and the weights of the lowest validation loss. \
Until it is whole, checkpoints lie in DIR.training; a run that was cut off goes on from the last with --resume, to the \
same weights bit for bit on the same engine.

Examples:
  prunebench pretrain harness/experiments/pretrain/tiny.toml --out tiny
  prunebench pretrain harness/experiments/pretrain/tiny.toml --out tiny --resume
  prunebench pretrain harness/experiments/papers/weight_evolution/small.toml --seed 1 --out results/models/we-small-1"
)]
pub struct Pretrain {
    /// What to train, and on what (TOML)
    #[arg(value_name = "FILE")]
    config: PathBuf,
    /// New folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seed of the first weights and of the order of the data
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Go on from the last checkpoint, if there is one
    #[arg(long)]
    resume: bool,
    /// Engine; the last in this build if left out
    #[arg(long)]
    engine: Option<Engine>,
    /// Device: cpu, cuda or cuda:INDEX
    #[arg(long, default_value = "cpu")]
    device: DeviceKind,
    /// Folder with texts (text/NAME/...); else PRUNEBENCH_DATA, else the network
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print what training.json holds
    #[arg(long)]
    json: bool,
}

impl Pretrain {
    pub fn run(self) -> Outcome {
        let Some(engine) = self.engine.or_else(|| Engine::compiled().last().copied()) else {
            anyhow::bail!("this build has no engine; build with the cargo feature `candle` or `torch`");
        };
        let config = Pretraining::read(&self.config)?;
        let place = Place {
            device: Device {
                engine,
                kind: self.device,
            },
            places: Places::from_env(self.data),
            out: std::path::absolute(&self.out)?,
            resume: self.resume,
        };
        let mut progress = Steps::in_one(&config.name);
        let provenance = pretrain(&config, self.seed, &place, &mut |entry, steps| {
            let validation = entry.validation.iter();
            let validation: String = validation.map(|(name, loss)| format!(", {name} {loss:.4}")).collect();
            progress.step(&Step {
                phase: "training",
                done: entry.step,
                total: steps,
                numbers: &format!(
                    "loss {:.4}, {:.0} tokens/s{validation}",
                    entry.loss, entry.tokens_per_second
                ),
                is_worth_a_line: entry.step == steps || !validation.is_empty(),
            });
        });
        drop(progress);
        let provenance = provenance?;
        if self.json {
            print_json(&provenance)?;
        } else {
            print(&format!(
                "{}: {} parameters, {} steps, {} tokens in {:.0} s\n",
                self.out.display(),
                provenance["parameters"],
                provenance["steps"],
                provenance["tokens"],
                provenance["seconds"].as_f64().unwrap_or_default()
            ))?;
        }
        Ok(true)
    }
}
