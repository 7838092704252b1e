//! Work that the cells of a sweep share.

use std::path::Path;

use clap::Args;
use prunebench_sweep::Plan;

/// Folder of it in the results folder, on the file system that all who measure share.
const FOLDER: &str = ".products";

/// How much of it is kept.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// Keep up to so many GB of work that several cells want (scores, states of the dense model) in .products of the results
    /// folder; 0 keeps none
    #[arg(long = "cache-gb", value_name = "GB", env = "PRUNEBENCH_CACHE_GB", default_value = "10", value_parser = gigabytes)]
    cache_bytes: u64,
}

impl CacheArgs {
    /// The plan with cells that share their work in `results`.
    pub fn share(&self, plan: Plan, results: &Path) -> Plan {
        plan.sharing(&results.join(FOLDER), self.cache_bytes)
    }
}

/// A number of GB as bytes.
fn gigabytes(text: &str) -> Result<u64, String> {
    match text.parse::<f64>() {
        Ok(gigabytes) if gigabytes.is_finite() && gigabytes >= 0.0 => Ok((gigabytes * 1e9) as u64),
        _ => Err("a number of GB is wanted, such as 10 or 0.5, or 0 to keep nothing".to_owned()),
    }
}
