//! Compression methods: the trait they share, the registry that names them, and recipes that compose them.
//!
//! A method is a folder here with `mod.rs`, `README.md` and an [`Entry`] named `ENTRY`, and one line in the registry below.

#[cfg(test)]
mod borrowing_tests;
mod census;
mod depth;
mod error;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod guide;
mod method;
mod range;
mod ratio;
mod recipe;
mod registry;
mod residual;
mod run;
#[cfg(test)]
mod sharing_tests;
#[cfg(test)]
mod stochastic_tests;
mod training;
mod verify;
mod weights;

pub mod config;

pub use census::{BlockCount, Census, DomainCount, ParameterCount};
pub use error::{Error, Result};
pub use method::{Basis, Card, Family, Method, Need, Report, SUMMARY};
pub use ratio::Ratio;
pub use recipe::{Applied, MethodReport, Recipe};
pub use registry::{Entry, find};
pub use run::{Budget, Keeping, Recovery, Run, Sharing};

registry::methods! {
    dense,
    random,
    magnitude,
    wanda,
    shortgpt,
    gromov,
    sleb,
    laco,
    slicegpt,
    finetune,
    lora,
    from_scratch,
    weight_evolution,
    snapshot,
    layer_parallel,
    two_parallel,
    parallel_stretch,
    average_outputs,
    shuffle,
    prune_range,
    merge,
    #[cfg(test)]
    toy,
}
