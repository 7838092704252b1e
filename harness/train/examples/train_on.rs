//! Trains a model on one batch again and again, for a comparison with other implementations: reads a request as JSON from
//! standard input, writes the first matrices of new adapters and the trained parameters into a folder, and prints the loss of
//! each step.

use std::path::PathBuf;

use anyhow::Context;
use prunebench_model::checkpoint::{load, save_tensors};
use prunebench_tensor::{DType, Device, Engine, Tensor};
use prunebench_train::{
    Callback, Domain, Example, Lora, Mixture, Moment, Result, Settings, Source, Trainable, Trainer, Weights,
};

/// What to train, and on what.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// In HF layout.
    model: PathBuf,
    engine: Engine,
    /// Adapters to train instead of all parameters.
    lora: Option<Lora>,
    settings: Settings,
    /// Of one length.
    sequences: Vec<Vec<u32>>,
    out: PathBuf,
}

/// Keeps the parameters of the last step.
#[derive(Default)]
struct Last(Vec<(String, Tensor)>);

impl Callback for Last {
    fn updated(&mut self, _: &Moment, weights: &Weights) -> Result<()> {
        self.0 = weights
            .masters()
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.clone()))
            .collect();
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let request: Request = serde_json::from_reader(std::io::stdin()).context("the request on standard input")?;
    let device = Device::cpu(request.engine);
    let mut decoder = load(&request.model, &device, DType::F32)?.decoder;
    let mut adapters = Vec::new();
    if let Some(lora) = &request.lora {
        lora.attach(&mut decoder, 0, false)?;
        let deltas = decoder
            .parameters()
            .into_iter()
            .filter(|(name, _)| name.contains(".lora_A."));
        adapters.extend(deltas.map(|(name, tensor)| (name, tensor.clone())));
    }
    let trainable = match request.lora {
        Some(_) => Trainable::Adapters,
        None => Trainable::All,
    };
    let settings = Settings {
        batch: request.sequences.len(),
        ..request.settings
    };
    let examples = request
        .sequences
        .into_iter()
        .zip(0..)
        .map(|(tokens, id)| Example::new("batch", id, tokens, 0));
    let domain = Domain {
        name: "batch".to_owned(),
        source: Source::Examples(examples.collect()),
    };
    let mixture = Mixture::new(vec![domain], &[1.0], settings.length, 0)?;
    let (mut last, mut losses) = (Last::default(), Vec::new());
    let mut trainer = Trainer::new(&decoder, trainable, settings, mixture, Vec::new(), 0)?;
    trainer.call(&mut last)?;
    let write = |name: &str, tensors: &[(String, Tensor)]| {
        let tensors: Vec<(String, &Tensor)> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        save_tensors(&tensors, &request.out.join(name))
    };
    write("adapters.safetensors", &adapters)?;
    trainer.train(&mut |entry| losses.push(entry.loss))?;
    write("after.safetensors", &last.0)?;
    println!("{}", serde_json::json!({ "losses": losses }));
    Ok(())
}
