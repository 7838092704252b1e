//! Decoders whose graph is data: checkpoints, tokenizers, the forward pass, generation, and size accounting.

mod accounting;
mod block;
mod cache;
pub mod checkpoint;
mod decoder;
mod edit;
mod error;
mod forward;
mod fuse;
mod generate;
pub mod graph;
mod initialise;
mod likelihood;
mod packed;
mod parameters;
mod rope;
pub mod source;
mod stack;
pub mod tensor_parallel;
pub mod tokenizer;
mod units;

pub use accounting::{Accounting, count_zeros};
pub use block::{
    Attention, AttentionLinears, Block, Delta, Dropout, Ffn, FfnLinears, Linear, LinearName, Norm, Scales,
};
pub use cache::KvCache;
pub use decoder::{Decoder, Place, Tap};
pub use error::{ModelError, Result};
pub use fuse::fold_gain;
pub use generate::Sampling;
pub use graph::Graph;
pub use initialise::{Initialisation, repeated};
pub use packed::{Packed, Rows, shared};
pub use parameters::is_delta;
pub use units::Units;
