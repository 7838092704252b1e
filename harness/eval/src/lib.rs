//! What is measured on a decoder: perplexity under a protocol, the answers to a task's requests, throughput, and the memory
//! that it took.

mod ceilings;
mod dense;
mod encoding;
mod error;
mod gpu;
mod likelihood;
mod memory;
mod perplexity;
mod task;
mod throughput;
mod training;

pub use dense::{DENSE_STATES, Dense};
pub use error::{Error, Result};
pub use gpu::{Gpu, Gpus, ListedGpu, visible_gpus};
pub use memory::peak_resident;
pub use perplexity::{perplexity, rolling_perplexity};
pub use task::{metric_name, task};
pub use throughput::{check_throughput, throughput};
pub use training::training_throughput;
