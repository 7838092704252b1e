//! What can go wrong with a training run.

use std::path::PathBuf;

use prunebench_model::ModelError;
use prunebench_tensor::Error as TensorError;

/// What kept a model from being trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The model or one of its files.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor operation.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A setting that makes no run.
    #[error("training settings: {0}")]
    Settings(String),
    /// Data that makes no batch.
    #[error("training data: {0}")]
    Data(String),
    /// A callback that does not fit the model, another callback, or what it said of itself.
    #[error("training callback: {0}")]
    Callback(String),
    /// The loss, a penalty or the gradient stopped being a number.
    #[error(
        "training diverged at step {step}: the {what} is {value}; lower the learning rate (now {learning_rate:e}), lengthen the \
         warm-up or set gradient clipping{}",
        kept.as_ref().map(|path| format!(". What was trained until then is in {}", path.display())).unwrap_or_default()
    )]
    Diverged {
        /// The step, from 1.
        step: u64,
        /// `loss`, `penalty` or `gradient norm`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Learning rate of the step.
        learning_rate: f64,
        /// The last checkpoint.
        kept: Option<PathBuf>,
    },
    /// The best weights are wanted, and there are none.
    #[error(
        "`keep_best`: no validation loss was a finite number, so no weights are the best; look at the log from the first validation \
         on, and lower the learning rate, or leave `keep_best` out"
    )]
    NoBest,
    /// A checkpoint could not be written.
    #[error(
        "{}: the checkpoint of step {step} could not be written ({reason}); {}free space or name another folder, then run again \
         with --resume", path.display(),
        kept.as_ref().map_or(String::new(), |kept| format!("{} is whole and kept; ", kept.display()))
    )]
    CheckpointNotWritten {
        /// Where it was to be.
        path: PathBuf,
        /// The step, from 1.
        step: u64,
        /// What the system or the writer said.
        reason: String,
        /// The one before it.
        kept: Option<PathBuf>,
    },
    /// A checkpoint of another run.
    #[error("{}: {detail}; resume with the settings, model and data it was made with, or start afresh in an empty folder", path.display())]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        detail: String,
    },
    /// A file that can't be read or written.
    #[error("{}: {detail}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        detail: String,
    },
}

/// A result of training.
pub type Result<T> = std::result::Result<T, TrainError>;
