//! `prunebench compress`.

use std::path::PathBuf;

use clap::Args;
use prunebench_datasets::Places;
use prunebench_model::checkpoint::save;
use prunebench_model::source::ModelSource;
use prunebench_reports::Labels;
use prunebench_sweep::{Compressed, Supplies, compress};
use prunebench_tensor::{DType, Device, DeviceKind, Engine};
use serde_json::json;

use crate::Outcome;
use crate::cmd::ModelArgs;
use crate::output::{print, print_json};
use crate::progress::{Step, Steps, named};

/// Compress a model and write it as a folder in HF layout.
#[derive(Debug, Args)]
#[command(
    after_help = "transformers loads the folder if a plain config can express the model; otherwise it also holds \
prunebench_graph.json, and this program loads it. It appears complete or not at all.

Examples:
  prunebench compress --model smollm2-135m --recipe 'shortgpt(ratio=0.2)' --out smaller
  prunebench compress --model smollm2-135m --recipe 'wanda(ratio=0.5)' --calibration-windows 16 --out sparser"
)]
pub struct Compress {
    #[command(flatten)]
    model: ModelArgs,
    /// New folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Engine; the first in this build if left out
    #[arg(long)]
    engine: Option<Engine>,
    /// Device: cpu, cuda or cuda:INDEX
    #[arg(long, default_value = "cpu")]
    device: DeviceKind,
    /// Element type: f32, bf16, f16 or f64
    #[arg(long, default_value = "f32")]
    dtype: DType,
    /// Print what was removed as JSON
    #[arg(long)]
    json: bool,
}

impl Compress {
    pub fn run(self) -> Outcome {
        let Some(engine) = self.engine.or_else(|| Engine::compiled().first().copied()) else {
            anyhow::bail!("this build has no engine; build with the cargo feature `candle` or `torch`");
        };
        let device = Device {
            engine,
            kind: self.device,
        };
        // Before the work, and not after it.
        let recipe = prunebench_methods::Recipe::parse(&self.model.recipe())?;
        recipe.check()?;
        let recipe = recipe.canonical();
        let model = self
            .model
            .model
            .parse::<ModelSource>()?
            .resolve()?
            .load(&device, self.dtype)?;
        let places = Places::from_env(self.model.data.clone());
        let mut steps = Steps::in_phases(&Labels::of([recipe.as_slice()]).whole(&recipe));
        let mut progress = |phase: &str, done: usize, total: usize| {
            let (phase, numbers) = named(phase);
            steps.step(&Step {
                phase,
                done: done as u64,
                total: total as u64,
                numbers,
                is_worth_a_line: false,
            });
        };
        let Compressed {
            decoder,
            compression,
            accounting,
            budget,
        } = compress(
            &model,
            &self.model.recipe(),
            Supplies {
                calibration: Some(&self.model.calibration()),
                recovery: self.model.recovery().as_ref(),
                places: &places,
                planned: None,
                sharing: None,
                keeping: None,
            },
            self.model.seed,
            &mut progress,
        )?;
        drop(steps);
        save(&decoder, model.tokenizer.as_ref(), &self.out)?;
        if self.json {
            print_json(&json!({
                "out": self.out,
                "compression": compression,
                "accounting": accounting,
                "budget": budget,
            }))?;
        } else {
            let fewer = 100.0 * compression.achieved_parameter_ratio;
            print(&format!(
                "{}: {} parameters stored ({:.1} % {}), {:.1} % of the blocks' weights zero; {:.1} CPU s\n",
                self.out.display(),
                accounting.stored_parameters,
                fewer.abs(),
                if fewer < 0.0 { "more" } else { "fewer" },
                100.0 * compression.mask_sparsity,
                budget.cpu_seconds
            ))?;
        }
        Ok(true)
    }
}
