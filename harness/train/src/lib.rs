//! Training of decoders on either engine: gradients, AdamW, schedules, adapters, data mixing, checkpoints, and the loop that
//! joins them.

mod callback;
mod checkpoint;
mod data;
mod error;
mod gradient;
mod keep_zeros;
mod learnt;
mod log;
mod lora;
mod optimiser;
mod run_files;
mod schedule;
mod settings;
#[cfg(test)]
mod tests;
mod trainer;
mod trajectory;
mod validation;
mod weights;

pub use callback::{Callback, Leaf, Leaves, Made, Moment, Pass, Rate};
pub use checkpoint::Checkpoints;
pub use data::{Batch, Domain, Example, Mixture, MixtureState, Source};
pub use error::{Result, TrainError};
pub use gradient::{Loss, loss_and_gradients};
pub use keep_zeros::KeepZeros;
pub use log::{Entry, Log};
pub use lora::Lora;
pub use run_files::TrainingRun;
pub use schedule::{Course, Schedule};
pub use settings::{Group, Settings};
pub use trainer::{BestModel, Trained, Trainer};
pub use trajectory::{Trajectory, Weighting};
pub use validation::Validation;
pub use weights::{Trainable, Weights};
