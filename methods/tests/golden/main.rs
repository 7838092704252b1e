//! Methods beside other implementations of them, on a real model.

mod importance;
mod ranges;
