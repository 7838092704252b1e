//! Typed errors of evaluation.

use prunebench_model::ModelError;
use prunebench_results::MeasurementError;

/// What kept a number from being measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model, its tokenizer or a tensor operation failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The text can't be cut as the protocol wants.
    #[error(transparent)]
    Data(#[from] prunebench_datasets::Error),
    /// The model can't be trained as the request wants.
    #[error(transparent)]
    Training(#[from] prunebench_train::TrainError),
    /// What was measured gives no number.
    #[error(transparent)]
    Measurement(#[from] MeasurementError),
    /// A throughput request that can't be measured on this model.
    #[error("throughput: {problem}")]
    Throughput {
        /// What was found and what was wanted.
        problem: String,
    },
    /// A request of a task that can't be scored on this model.
    #[error("{problem}")]
    Request {
        /// What was found and what was wanted.
        problem: String,
    },
    /// The operating system does not tell what the process took.
    #[error(
        "the peak memory of this process can't be read ({reason}); it is read from VmHWM in /proc/self/status, which \
         Linux has: run there, with /proc mounted"
    )]
    Memory {
        /// What was met instead.
        reason: String,
    },
}

/// Result of an evaluation.
pub type Result<T> = std::result::Result<T, Error>;

impl From<prunebench_tensor::Error> for Error {
    fn from(error: prunebench_tensor::Error) -> Self {
        Self::Model(error.into())
    }
}
