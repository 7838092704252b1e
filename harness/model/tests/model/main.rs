//! The decoder and its checkpoints beside other implementations of them.

mod candle_transformers;
mod generation;
mod golden_numbers;
mod golden_tokens;
mod gpt;
#[cfg(target_os = "linux")]
mod memory;
