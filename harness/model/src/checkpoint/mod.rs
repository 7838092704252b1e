//! Reading and writing models: folders in HF layout and GGUF files.

mod config;
mod folder;
mod gguf;
mod hash;
mod pieces;
mod plain_config;
mod safetensors;
mod save;
mod tensors;
#[cfg(test)]
mod tests;
mod weights;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use prunebench_tensor::{DType, Device};

use self::safetensors::Weights;
pub(crate) use self::{
    config::graph_from_config,
    folder::{BESIDE_WEIGHTS, CONFIG_FILE, Folder, TEMPLATE_FILE, TOKENIZER_CONFIG_FILE, TOKENIZER_FILE},
    hash::hex,
    safetensors::{INDEX_FILE, SINGLE_FILE, index_files},
};
pub use self::{
    hash::{content_hash, files},
    save::save,
    tensors::{load_tensors, save_tensors},
};
use crate::{
    decoder::Decoder,
    error::{ModelError, Result},
    graph::Graph,
    tokenizer::Tokenizer,
};

/// A decoder with the tokenizer that came with it.
pub struct LoadedModel {
    /// The decoder, on the device and in the dtype asked for.
    pub decoder: Decoder,
    /// The tokenizer, if the model has one.
    pub tokenizer: Option<Tokenizer>,
    /// Folder or file that the model came from.
    pub path: PathBuf,
}

impl LoadedModel {
    /// The tokenizer; a model without one is an error that says where it was looked for.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        self.tokenizer.as_ref().ok_or_else(|| {
            ModelError::tokenizer(format!(
                "{} has none; put the model's tokenizer.json into its folder (a GGUF file carries it as tokenizer.ggml.*)",
                self.path.display()
            ))
        })
    }
}

/// The graph of a folder in HF layout or a `.gguf` file, without its weights.
pub(crate) fn graph(path: &Path) -> Result<Graph> {
    if path.is_dir() {
        config::read_graph(Folder(path))
    } else {
        gguf::graph(path)
    }
}

/// Loads a folder in HF layout or a `.gguf` file onto `device`, converted to `dtype`.
///
/// A folder's `prunebench_graph.json`, where present, takes precedence over its `config.json`.
pub fn load(path: &Path, device: &Device, dtype: DType) -> Result<LoadedModel> {
    if !dtype.is_float() {
        return Err(ModelError::malformed(
            path,
            format!("a model cannot be loaded as {dtype}; take f32, bf16, f16 or f64"),
        ));
    }
    let model = if path.is_dir() {
        load_folder(Folder(path), device, dtype)?
    } else {
        gguf::load(path, device, dtype)?
    };
    let rows = model.decoder.graph.vocab_size;
    match model.tokenizer.as_ref().and_then(Tokenizer::largest_base_id) {
        Some(id) if id as usize >= rows => Err(ModelError::malformed(
            path,
            format!(
                "the tokenizer gives ids up to {id}, the embedding has {rows} rows; they belong to different models"
            ),
        )),
        _ => Ok(model),
    }
}

fn load_folder(folder: Folder, device: &Device, dtype: DType) -> Result<LoadedModel> {
    let graph: Graph = config::read_graph(folder)?;
    let weights = Weights::open(folder)?;
    let tied = graph.tie_word_embeddings;
    let mut used = HashSet::new();
    let decoder = Decoder::from_parameters(graph, |name, shape| {
        used.insert(name.to_owned());
        weights.tensor(name, shape, device, dtype)
    })?;
    let names: Vec<String> = weights
        .names()
        .filter(|name| !used.contains(*name) && !is_buffer(name))
        // Some writers store a tied head as well.
        .filter(|name| !(tied && *name == "lm_head.weight" && weights.equal(name, "model.embed_tokens.weight")))
        .cloned()
        .collect();
    if !names.is_empty() {
        return Err(ModelError::UnexpectedTensors {
            path: folder.0.to_path_buf(),
            names,
        });
    }
    Ok(LoadedModel {
        decoder,
        tokenizer: Tokenizer::from_folder(folder.0)?,
        path: folder.0.to_path_buf(),
    })
}

/// Old checkpoints store the inverse frequencies, which the graph computes.
fn is_buffer(name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq")
}
