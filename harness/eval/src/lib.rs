//! What is measured on a decoder: perplexity under a protocol, throughput, and the memory that it took.

mod error;
mod memory;
mod perplexity;
mod throughput;

pub use error::{Error, Result};
pub use memory::peak_resident;
pub use perplexity::perplexity;
pub use throughput::throughput;
