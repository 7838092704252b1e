//! The files of a folder in HF layout that decide its model: one list for loading, hashing and fetching.

use std::path::{Path, PathBuf};

use super::safetensors::{WeightFiles, weight_files};
use crate::error::{ModelError, Result};

/// The config.
pub(crate) const CONFIG_FILE: &str = "config.json";
/// Our graph, for models that no plain config describes.
pub(crate) const GRAPH_FILE: &str = "prunebench_graph.json";
/// The tokenizer proper.
pub(crate) const TOKENIZER_FILE: &str = "tokenizer.json";
/// Names the special tokens, and may have the chat template.
pub(crate) const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";
/// Where newer folders keep the chat template.
pub(crate) const TEMPLATE_FILE: &str = "chat_template.jinja";

/// The files beside the weights that loading reads where they are. [`Folder`] gives loading no other, so that whatever it
/// begins to read is hashed and fetched as well.
pub(crate) const BESIDE_WEIGHTS: [&str; 5] = [
    CONFIG_FILE,
    GRAPH_FILE,
    TOKENIZER_FILE,
    TOKENIZER_CONFIG_FILE,
    TEMPLATE_FILE,
];

/// A folder that a model is loaded from.
#[derive(Clone, Copy)]
pub(crate) struct Folder<'a>(pub(crate) &'a Path);

impl Folder<'_> {
    /// Where one of [`BESIDE_WEIGHTS`] is, if it is there.
    pub(crate) fn beside(&self, name: &str) -> Option<PathBuf> {
        let listed = BESIDE_WEIGHTS.contains(&name);
        Some(self.0.join(name)).filter(|path| listed && path.exists())
    }

    /// Where the config is.
    pub(crate) fn config(&self) -> Result<PathBuf> {
        self.beside(CONFIG_FILE).ok_or_else(|| {
            ModelError::malformed(
                self.0,
                format!("has no {CONFIG_FILE}; is this a model folder in HF layout, completely fetched?"),
            )
        })
    }

    /// The weights.
    pub(super) fn weights(&self) -> Result<WeightFiles> {
        weight_files(self.0)
    }

    /// Names of all files that the model is loaded from, sorted.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        self.config()?;
        let WeightFiles { index, shards } = self.weights()?;
        let beside = BESIDE_WEIGHTS.into_iter().filter(|name| self.beside(name).is_some());
        let mut names: Vec<String> = beside.chain(index).map(str::to_owned).chain(shards).collect();
        names.sort();
        Ok(names)
    }
}
