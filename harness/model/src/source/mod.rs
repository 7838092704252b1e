//! Where models come from: names, Hub repositories, folders, files and shapes.

mod embedded;
mod hub;
mod shape;
mod wheel;

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use prunebench_tensor::{DType, Device};
use sha2::{Digest, Sha256};

pub use self::{
    hub::HubModel,
    shape::shapes,
    wheel::{cached_path as smollm2_path, is_cached as smollm2_is_cached},
};
use crate::{
    checkpoint::{self, LoadedModel, TOKENIZER_FILE},
    decoder::Decoder,
    error::{ModelError, Result},
    graph::Graph,
};

const TINY: &str = "tiny";
const SMOLLM2: &str = "smollm2-135m";
const HUB_PREFIX: &str = "hf:";
const SHAPE_PREFIX: &str = "shape:";
/// Names closer than this to what the user wrote are suggested (Jaro-Winkler similarity).
const NEAR: f64 = 0.85;

/// A model as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// `tiny`: the model inside this program.
    Tiny,
    /// `smollm2-135m`: SmolLM2-135M-Instruct from the Python package index.
    SmolLm2,
    /// `hf:org/name[@revision]`.
    Hub(HubModel),
    /// `shape:NAME`: random weights, for timing.
    Shape(String),
    /// A folder in HF layout or a `.gguf` file.
    Path(PathBuf),
}

/// A source that exists, on this machine.
#[derive(Clone, Debug)]
pub struct ResolvedModel {
    /// How tables call the model.
    pub name: String,
    /// What is loaded.
    pub location: Location,
}

/// What a resolved source is loaded from.
#[derive(Clone, Debug)]
pub enum Location {
    /// A folder in HF layout or a `.gguf` file.
    Path(PathBuf),
    /// Nothing: weights are drawn at random for this graph.
    Random(Box<Graph>),
}

impl FromStr for ModelSource {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            TINY => return Ok(Self::Tiny),
            SMOLLM2 => return Ok(Self::SmolLm2),
            _ => {}
        }
        if let Some(repository) = text.strip_prefix(HUB_PREFIX) {
            return HubModel::parse(repository)
                .map(Self::Hub)
                .ok_or_else(|| ModelError::Source {
                    spec: text.to_owned(),
                    detail: "wanted hf:org/name or hf:org/name@revision".to_owned(),
                });
        }
        if let Some(name) = text.strip_prefix(SHAPE_PREFIX) {
            if shape::graph(name)?.is_none() {
                return Err(unknown(text));
            }
            return Ok(Self::Shape(name.to_owned()));
        }
        if text.is_empty() {
            return Err(unknown(text));
        }
        Ok(Self::Path(text.into()))
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tiny => f.write_str(TINY),
            Self::SmolLm2 => f.write_str(SMOLLM2),
            Self::Hub(HubModel { repository, revision }) => {
                write!(f, "{HUB_PREFIX}{repository}")?;
                revision.iter().try_for_each(|revision| write!(f, "@{revision}"))
            }
            Self::Shape(name) => write!(f, "{SHAPE_PREFIX}{name}"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl ModelSource {
    /// Finds the model, fetching it into the user's cache where the source is remote.
    pub fn resolve(&self) -> Result<ResolvedModel> {
        let name = self.to_string();
        Ok(match self {
            Self::Tiny => ResolvedModel {
                name: embedded::DISPLAY_NAME.to_owned(),
                location: Location::Path(embedded::resolve()?),
            },
            Self::SmolLm2 => ResolvedModel {
                name: wheel::DISPLAY_NAME.to_owned(),
                location: Location::Path(wheel::resolve()?),
            },
            Self::Hub(model) => ResolvedModel {
                location: Location::Path(model.resolve()?),
                name,
            },
            Self::Shape(shape) => ResolvedModel {
                location: Location::Random(Box::new(shape::graph(shape)?.ok_or_else(|| unknown(&name))?)),
                name: format!("{name} (random weights)"),
            },
            Self::Path(path) if is_model(path) => ResolvedModel {
                name: path.file_name().map_or(name, |file| file.display().to_string()),
                location: Location::Path(path.clone()),
            },
            Self::Path(_) => return Err(unknown(&name)),
        })
    }
}

impl ResolvedModel {
    /// Loads the model onto `device`, converted to `dtype`. Random weights come without a tokenizer.
    pub fn load(&self, device: &Device, dtype: DType) -> Result<LoadedModel> {
        match &self.location {
            Location::Path(path) => checkpoint::load(path, device, dtype),
            Location::Random(graph) => Ok(LoadedModel {
                decoder: Decoder::for_timing((**graph).clone(), dtype, device)?,
                tokenizer: None,
                path: self.name.clone().into(),
            }),
        }
    }

    /// The model's graph, without its weights.
    pub fn graph(&self) -> Result<Graph> {
        match &self.location {
            Location::Path(path) => checkpoint::graph(path),
            Location::Random(graph) => Ok((**graph).clone()),
        }
    }

    /// Whether a tokenizer comes with the model; a GGUF file is taken to carry one.
    pub fn has_tokenizer(&self) -> bool {
        match &self.location {
            Location::Path(path) => !path.is_dir() || path.join(TOKENIZER_FILE).exists(),
            Location::Random(_) => false,
        }
    }

    /// Hash of what decides the model's numbers, the same wherever the model lies.
    pub fn content_hash(&self) -> Result<String> {
        match &self.location {
            Location::Path(path) => checkpoint::content_hash(path),
            Location::Random(graph) => {
                let graph = serde_json::to_vec(graph).map_err(|e| ModelError::Graph(e.to_string()))?;
                Ok(checkpoint::hex(&Sha256::digest(graph)))
            }
        }
    }
}

/// Where models that are no repositories of the Hub are kept, once per user.
fn models_folder(spec: &str) -> Result<PathBuf> {
    let cache = dirs::cache_dir().ok_or_else(|| ModelError::Source {
        spec: spec.to_owned(),
        detail: "no cache folder is known; set HOME or XDG_CACHE_HOME".to_owned(),
    })?;
    Ok(cache.join("prunebench").join("models"))
}

fn is_model(path: &Path) -> bool {
    path.is_dir()
        || (path.is_file()
            && path
                .extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")))
}

/// The error for a source that does not exist: the kinds there are, and names close to the one given.
fn unknown(spec: &str) -> ModelError {
    let shapes = shape::shapes().unwrap_or_default().into_keys().collect::<Vec<_>>();
    let mut names = vec![TINY.to_owned(), SMOLLM2.to_owned()];
    names.extend(shapes.iter().map(|shape| format!("{SHAPE_PREFIX}{shape}")));
    names.extend(siblings(Path::new(spec)));
    let mut near: Vec<(f64, String)> = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&name, spec), name))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near: Vec<String> = near.into_iter().take(3).map(|(_, name)| format!("`{name}`")).collect();
    let hint = match near.is_empty() {
        true => ".".to_owned(),
        false => format!("; did you mean {}?", near.join(" or ")),
    };
    ModelError::Source {
        spec: spec.to_owned(),
        detail: format!(
            "does not exist{hint} A source is {TINY}, {SMOLLM2}, hf:org/name[@revision], a folder in HF layout, a .gguf file, \
             or shape:NAME with NAME one of {}",
            shapes.join(", ")
        ),
    }
}

/// Models in the folder where `path` was looked for.
fn siblings(path: &Path) -> Vec<String> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .map(|name| path.with_file_name(name))
        .filter(|sibling| is_model(sibling))
        .map(|sibling| sibling.display().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        text.parse::<ModelSource>()
            .and_then(|source| source.resolve())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn sources_are_written_as_they_are_read() {
        for text in [
            "tiny",
            "smollm2-135m",
            "hf:org/name",
            "hf:org/name@v1",
            "shape:llama-2-7b",
            "some/folder",
            "file.gguf",
        ] {
            assert_eq!(text.parse::<ModelSource>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn unknown_source_lists_the_kinds_and_the_near_miss() {
        let message = refusal("smolm2-135m");
        for part in [
            "did you mean `smollm2-135m`",
            "hf:org/name",
            ".gguf",
            "shape:",
            "llama-2-7b",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(refusal("shape:llama2-7b").contains("`shape:llama-2-7b`"));
        assert!(refusal("").contains("A source is"));
        assert!(refusal("hf:model").contains("hf:org/name@revision"));
    }

    #[test]
    fn near_miss_of_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model-q4.gguf"), "x").unwrap();
        let message = refusal(&folder.path().join("model-q4.ggf").display().to_string());
        assert!(message.contains("model-q4.gguf"), "{message}");
    }

    #[test]
    fn every_shape_describes_a_valid_graph() {
        for name in shape::shapes().unwrap().into_keys() {
            let graph = shape::graph(&name).unwrap().unwrap();
            graph.validate().unwrap();
        }
        let llama = shape::graph("llama-2-7b").unwrap().unwrap();
        assert_eq!(
            (llama.blocks.len(), llama.hidden_size, llama.tie_word_embeddings),
            (32, 4096, false)
        );
    }
}
