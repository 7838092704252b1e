//! `prunebench pretrain`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use prunebench_datasets::Places;
use prunebench_sweep::{Place, Pretraining, pretrain};
use prunebench_tensor::{Device, DeviceKind, Engine};

use crate::Outcome;
use crate::output::{note, print, print_json};

/// Seconds between two lines where no terminal shows the bar.
const QUIET: Duration = Duration::from_secs(15);

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
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::new(0);
        // The template is fixed and valid; without it the bar would only look different.
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:24}] {pos}/{len} {msg}, {eta} left") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(config.name.clone());
        let mut said = Instant::now();
        let provenance = pretrain(&config, self.seed, &place, &mut |entry, steps| {
            let numbers = format!("loss {:.4}, {:.0} tokens/s", entry.loss, entry.tokens_per_second);
            if terminal {
                if bar.length() != Some(steps) {
                    // What was done before a resumption says nothing about the time that is left.
                    bar.set_length(steps);
                    bar.set_position(entry.step - 1);
                    bar.reset_eta();
                }
                bar.set_position(entry.step);
                bar.set_message(numbers);
            } else if said.elapsed() > QUIET || entry.step == steps || !entry.validation.is_empty() {
                said = Instant::now();
                let validation: Vec<String> = entry
                    .validation
                    .iter()
                    .map(|(name, loss)| format!(", {name} {loss:.4}"))
                    .collect();
                note(&format!(
                    "{} {}/{steps}: {numbers}{}",
                    config.name,
                    entry.step,
                    validation.concat()
                ));
            }
        });
        bar.finish_and_clear();
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
