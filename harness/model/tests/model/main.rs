//! The decoder and its checkpoints beside other implementations of them.

mod borrowing;
mod candle_transformers;
mod generation;
mod golden_numbers;
mod golden_tokens;
mod gpt;
#[cfg(target_os = "linux")]
mod memory;
mod small;
mod units;
