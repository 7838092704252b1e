//! Typed errors of models, checkpoints, tokenizers and model sources.

use std::{
    io,
    path::{Path, PathBuf},
};

use prunebench_tensor::DType;

/// What went wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file does not say what its format demands.
    #[error("{}: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found, what was wanted, where, and the cure.
        detail: String,
    },
    /// The graph wants a tensor that the checkpoint lacks.
    #[error("{}: no tensor `{name}`; {hint}", path.display())]
    MissingTensor {
        /// Checkpoint.
        path: PathBuf,
        /// Name as the checkpoint would spell it.
        name: String,
        /// What to do about it.
        hint: String,
    },
    /// The checkpoint has tensors that the graph does not use; ignoring them would load a different model.
    #[error(
        "{}: the graph has no place for {} tensor(s), the first is `{}`; the config describes another model than the weights",
        path.display(), names.len(), names.first().map_or("", String::as_str)
    )]
    UnexpectedTensors {
        /// Checkpoint.
        path: PathBuf,
        /// Their names, sorted.
        names: Vec<String>,
    },
    /// A tensor's shape is not the one the graph wants.
    #[error("{}: tensor `{name}` has shape {found:?}, the graph wants {wanted:?}; config and weights belong to different models", path.display())]
    TensorShape {
        /// Checkpoint.
        path: PathBuf,
        /// Name as the checkpoint spells it.
        name: String,
        /// Shape in the checkpoint.
        found: Vec<usize>,
        /// Shape by the graph.
        wanted: Vec<usize>,
    },
    /// A weight that is no finite number in the requested dtype.
    #[error("{}: tensor `{name}` holds {value} at flat index {index}, which is not finite in {dtype}; {}", path.display(),
        if value.is_finite() { "load the model as f32" } else { "the file is damaged or its training diverged: fetch it again or take another checkpoint" })]
    NonFinite {
        /// Checkpoint.
        path: PathBuf,
        /// Name as the checkpoint spells it.
        name: String,
        /// Position in row-major order.
        index: usize,
        /// The stored value.
        value: f64,
        /// Requested dtype.
        dtype: DType,
    },
    /// A model that this crate cannot run faithfully.
    #[error("{}: {found} is not supported; wanted {wanted}", path.display())]
    UnsupportedArchitecture {
        /// The config or GGUF file.
        path: PathBuf,
        /// Key and value as found.
        found: String,
        /// What is supported.
        wanted: String,
    },
    /// A tokenizer that is missing, malformed or unable to encode.
    #[error("tokenizer: {detail}")]
    Tokenizer {
        /// What was found, what was wanted, and the cure.
        detail: String,
    },
    /// A model source that cannot be resolved.
    #[error("model source `{spec}`: {detail}")]
    Source {
        /// The source as the user wrote it.
        spec: String,
        /// What went wrong and the cure.
        detail: String,
    },
    /// A graph that contradicts itself.
    #[error("graph: {0}")]
    Graph(String),
    /// A rank that holds a share of the model has failed, or has ended before the others.
    #[error("rank {rank} is gone and the others can't go on without it: {cause}")]
    Rank {
        /// The rank.
        rank: usize,
        /// What became of it.
        cause: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] prunebench_tensor::Error),
}

/// Result of an operation on a model.
pub type Result<T> = std::result::Result<T, ModelError>;

impl ModelError {
    pub(crate) fn malformed(path: &Path, detail: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_path_buf(),
            detail: detail.into(),
        }
    }

    pub(crate) fn unsupported(path: &Path, found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self::UnsupportedArchitecture {
            path: path.to_path_buf(),
            found: found.into(),
            wanted: wanted.into(),
        }
    }

    pub(crate) fn tokenizer(detail: impl Into<String>) -> Self {
        Self::Tokenizer { detail: detail.into() }
    }
}

/// Attaches the path to an I/O error: `read(path).map_err(at(path))`.
pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> ModelError + '_ {
    move |source| ModelError::Io {
        path: path.to_path_buf(),
        source,
    }
}
