//! Typed errors of configurations, recipes and methods.

use prunebench_model::ModelError;

/// What went wrong with a method.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A method that the registry lacks.
    #[error("there is no method `{name}`; {hint}")]
    UnknownMethod {
        /// As written.
        name: String,
        /// The near miss and every name.
        hint: String,
    },
    /// A recipe that can't be read.
    #[error("recipe `{text}`: {detail}")]
    Recipe {
        /// As written.
        text: String,
        /// What was found and what was wanted.
        detail: String,
    },
    /// A key that is unknown, missing, of the wrong type or out of range.
    #[error("{what}: {detail}")]
    Config {
        /// What is configured.
        what: String,
        /// The key, what was found, and what was wanted.
        detail: String,
    },
    /// The run lacks what the method needs.
    #[error("{method} needs {need}; {cure}")]
    Unmet {
        /// The method.
        method: &'static str,
        /// What it needs.
        need: &'static str,
        /// Where to give it.
        cure: &'static str,
    },
    /// The model can't be edited or measured as the method wants.
    #[error("{method}: {detail}")]
    Model {
        /// The method.
        method: &'static str,
        /// What was found, what was wanted, and the cure.
        detail: String,
    },
    /// A method did not do what it reports; its numbers must not be used.
    #[error("{method} left another model than it reports: {detail}; this is a defect of the method")]
    NotAchieved {
        /// The method.
        method: &'static str,
        /// What was found and what was wanted.
        detail: String,
    },
    /// Training failed.
    #[error("{method}: {source}")]
    Train {
        /// The method.
        method: &'static str,
        /// What kept the model from being trained.
        source: prunebench_train::TrainError,
    },
    /// An operation on the model failed.
    #[error(transparent)]
    Operation(#[from] ModelError),
}

impl From<prunebench_tensor::Error> for Error {
    fn from(error: prunebench_tensor::Error) -> Self {
        Self::Operation(error.into())
    }
}

/// Result of configuring or applying a method.
pub type Result<T> = std::result::Result<T, Error>;
