//! Numbers with intervals, each made once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use prunebench_results::{CellKey, MetricName, Record};

/// What is resampled for a group or a single record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Number {
    /// Under the cell's protocol of this place.
    Perplexity(usize),
    /// A metric of the cell's task of this place.
    Task(usize, MetricName),
    /// The mean of the suite of this name.
    Suite(String),
}

/// Numbers with intervals, each resampled once: several tables and files show it. Records are told apart by their keys.
#[derive(Debug)]
pub(crate) struct Resampled<T> {
    known: Mutex<HashMap<Sample, Option<T>>>,
}

/// Records with the number of theirs.
type Sample = (Vec<CellKey>, Number);

impl<T> Default for Resampled<T> {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
        }
    }
}

impl<T: Copy> Resampled<T> {
    pub(crate) fn get(&self, records: &[&Record], number: Number, make: impl FnOnce() -> Option<T>) -> Option<T> {
        let key = (records.iter().map(|record| record.key.clone()).collect(), number);
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&made) = known().get(&key) {
            return made;
        }
        let made = make();
        known().insert(key, made);
        made
    }
}
