//! Training a model from nothing, from a file to a folder in HF layout with what the training leaves beside it.

mod config;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prunebench_datasets::{Catalogue, Places, text};
use prunebench_files::WholeFolder;
use prunebench_model::checkpoint::save;
use prunebench_model::tokenizer::Tokenizer;
use prunebench_model::{Decoder, ModelError};
use prunebench_tensor::{DType, Device, Tensor};
use prunebench_train::{
    Checkpoints, Domain, Entry, Example, Log, Mixture, Source, TrainError, Trainable, Trainer, TrainingRun, Trajectory,
    Validation,
};
use serde_json::{Value, json};

pub use self::config::Pretraining;
use self::config::Vocabulary;

use crate::machine::{engine_version, threads};

/// What a run leaves beside model and trajectory.
const LOG: &str = "training_log.csv";
const PROVENANCE: &str = "training.json";
/// Where checkpoints lie in the working folder.
const CHECKPOINTS: &str = "checkpoints";

/// What kept a model from being pretrained.
#[derive(Debug, thiserror::Error)]
pub enum PretrainError {
    /// The file that describes the run.
    #[error("{}: {detail}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A folder that is in the way.
    #[error("{}: {detail}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Data.
    #[error(transparent)]
    Data(#[from] prunebench_datasets::Error),
    /// The model, its tokenizer or its files.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The training.
    #[error(transparent)]
    Train(#[from] TrainError),
}

type Result<T> = std::result::Result<T, PretrainError>;

/// Where a run takes place.
pub struct Place {
    /// Engine and device.
    pub device: Device,
    /// Texts.
    pub places: Places,
    /// The folder to make.
    pub out: PathBuf,
    /// Go on from the last checkpoint.
    pub resume: bool,
}

/// Hears how far a run is: each step, with the number of all.
pub type Observe<'a> = &'a mut dyn FnMut(&Entry, u64);

/// Trains the model that `config` describes, and gives what `training.json` says of the run.
///
/// # Errors
/// Data that can't be had, settings that make no run, a training that diverges, or files that can't be written. Checkpoints
/// stay in `<out>.training` until the model is whole.
pub fn pretrain(config: &Pretraining, seed: u64, place: &Place, observe: Observe) -> Result<Value> {
    let work = working_folder(place)?;
    let texts = Texts::read(config, &place.places)?;
    let tokenizer = texts.tokenizer(config.tokenizer)?;
    let length = config.training.length;
    let mut domains = Vec::new();
    for domain in &config.domain {
        domains.push(Domain {
            name: domain.text.clone(),
            source: Source::Stream(tokenizer.encode(texts.get(&domain.text))?),
        });
    }
    let mut validation = Vec::new();
    for set in &config.validation {
        let tokens = tokenizer.encode(texts.get(&set.text))?;
        let windows = tokens.chunks_exact(length + 1).take(set.windows).enumerate();
        let example = |(index, window): (usize, &[u32])| {
            Example::new(set.text.as_str(), (index * (length + 1)) as u64, window.to_vec(), 0)
        };
        validation.push(Validation {
            name: set.text.clone(),
            examples: windows.map(example).collect(),
            cut: false,
        });
    }
    let tokens: BTreeMap<String, usize> = domains
        .iter()
        .map(|domain| match &domain.source {
            Source::Stream(tokens) => (domain.name.clone(), tokens.len()),
            Source::Examples(examples) => (domain.name.clone(), examples.len()),
        })
        .collect();

    let graph = config.model.graph(tokenizer.vocab_size(), tokenizer.eos())?;
    let start = Decoder::initialise(graph, config.initialisation, seed, DType::F32, &place.device)?;
    let shares: Vec<f64> = config.domain.iter().map(|domain| domain.share).collect();
    let mixture = Mixture::new(domains, &shares, length, seed)?;
    let sets: Vec<String> = validation.iter().map(|set| set.name.clone()).collect();
    let mut trajectory = Trajectory::new(&config.trajectory);
    let mut trainer = Trainer::new(
        &start,
        Trainable::All,
        config.training.clone(),
        mixture,
        validation,
        seed,
    )?;
    trainer.track_best();
    fs::create_dir_all(&work).map_err(|error| PretrainError::Folder {
        path: work.clone(),
        detail: error.to_string(),
    })?;
    trainer.checkpoint_to(Checkpoints::new(work.join(CHECKPOINTS), config.checkpoint_every));
    trainer.call(&mut trajectory)?;
    if place.resume {
        trainer.resume()?;
    }
    trainer.log_to(Log::after(trainer.step(), &work.join(LOG), &sets)?);
    let steps = trainer.steps();
    trainer.train(&mut |entry| observe(entry, steps))?;

    let trained = trainer.finish()?;
    let (best, last) = (trained.best.as_ref(), trained.entries.last());
    let provenance = json!({
        "config": config,
        "seed": seed,
        "engine": place.device.engine.to_string(),
        "engine_version": engine_version(place.device.engine),
        "device": place.device.kind.to_string(),
        "threads": threads(),
        "prunebench": env!("CARGO_PKG_VERSION"),
        "data_sha256": texts.hashes,
        "data_tokens": tokens,
        "parameters": trained.trained_parameters,
        "steps": trained.steps,
        "tokens": trained.tokens,
        "seconds": last.map(|entry| entry.seconds),
        "final_validation_loss": last.map(|entry| entry.validation.iter().cloned().collect::<BTreeMap<_, _>>()),
        "best": best.map(|best| json!({ "step": best.step, "validation_loss": best.loss })),
    });
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |error: std::io::Error| PretrainError::Folder {
            detail: format!("{error}; the checkpoints are kept: mend it and run again with --resume"),
            path,
        }
    };
    let whole = WholeFolder::new(&place.out).map_err(failed(&place.out))?;
    let folder = whole.partial();
    let store = DType::from(config.store);
    save(&stored(&trained.decoder, store)?, Some(&tokenizer), folder)?;
    let run = TrainingRun::of(folder);
    if !config.trajectory.is_empty() {
        let averages = halves(trajectory.tensors(), store)?;
        run.save_trajectory(
            &averages
                .iter()
                .map(|(name, tensor)| (name.clone(), tensor))
                .collect::<Vec<_>>(),
        )?;
    }
    if let Some(best) = best {
        run.save_best(&stored(&best.decoder, store)?.parameters())?;
    }
    fs::write(folder.join(PROVENANCE), format!("{provenance:#}\n")).map_err(failed(folder))?;
    fs::copy(work.join(LOG), folder.join(LOG)).map_err(failed(folder))?;
    whole.keep().map_err(failed(&place.out))?;
    // The model is whole; a checkpoint too many harms nobody.
    let _ = fs::remove_dir_all(&work);
    Ok(provenance)
}

/// Where checkpoints go until the model is whole.
fn working_folder(place: &Place) -> Result<PathBuf> {
    let refuse = |path: &Path, detail: &str| {
        Err(PretrainError::Folder {
            path: path.to_path_buf(),
            detail: detail.to_owned(),
        })
    };
    if place.out.exists() {
        return refuse(&place.out, "there is something already; name a new folder");
    }
    let mut name = place.out.file_name().unwrap_or_default().to_owned();
    name.push(".training");
    let work = place.out.with_file_name(name);
    // Where no checkpoint was written yet, nothing is lost by starting afresh.
    let begun = fs::read_dir(work.join(CHECKPOINTS)).is_ok_and(|mut steps| steps.next().is_some());
    if begun && !place.resume {
        return refuse(
            &work,
            "an unfinished run is there; go on with --resume, or remove it to start afresh",
        );
    }
    Ok(work)
}

/// The texts of a run by `data set/split`.
struct Texts {
    contents: BTreeMap<String, String>,
    hashes: BTreeMap<String, String>,
}

impl Texts {
    fn read(config: &Pretraining, places: &Places) -> Result<Self> {
        let catalogue = Catalogue::embedded()?;
        let names = config.domain.iter().map(|domain| &domain.text);
        let (mut contents, mut hashes) = (BTreeMap::new(), BTreeMap::new());
        for name in names.chain(config.validation.iter().map(|set| &set.text)) {
            // Without a slash the split is empty, and the catalogue says which there are.
            let (data_set, split) = name.split_once('/').unwrap_or((name, ""));
            let text = text(&catalogue, data_set, split, places)?;
            contents.insert(name.clone(), text.content);
            hashes.insert(name.clone(), text.sha256);
        }
        Ok(Self { contents, hashes })
    }

    fn get(&self, name: &str) -> &str {
        self.contents.get(name).map_or("", String::as_str)
    }

    /// A vocabulary of characters has those of the validation texts too, as its authors' has; BPE learns from all alike.
    fn tokenizer(&self, vocabulary: Vocabulary) -> Result<Tokenizer> {
        Ok(match vocabulary {
            Vocabulary::Bpe(size) => {
                let documents = self.contents.values().flat_map(|text| text.split_inclusive("\n\n"));
                Tokenizer::train_bpe(documents, size)?
            }
            Vocabulary::Characters => {
                let all: String = self.contents.values().map(String::as_str).collect();
                Tokenizer::characters(&all)?
            }
        })
    }
}

/// The decoder in another element type.
fn stored(decoder: &Decoder, dtype: DType) -> Result<Decoder> {
    let parameters: BTreeMap<String, Tensor> = halves(decoder.parameters(), dtype)?.into_iter().collect();
    Ok(Decoder::from_parameters(decoder.graph.clone(), |name, _| {
        parameters
            .get(name)
            .cloned()
            .ok_or_else(|| ModelError::Graph(format!("the graph wants `{name}`, which the decoder lacks")))
    })?)
}

fn halves(tensors: Vec<(String, &Tensor)>, dtype: DType) -> Result<Vec<(String, Tensor)>> {
    let convert = |(name, tensor): (String, &Tensor)| Ok((name, tensor.to_dtype(dtype).map_err(ModelError::from)?));
    tensors.into_iter().map(convert).collect()
}

#[cfg(test)]
mod tests;
