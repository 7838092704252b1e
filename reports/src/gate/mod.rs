//! Whether a set of records got worse than a baseline: differences over the same items, judged by rules, as one verdict.

mod brief;
mod decide;
mod judge;
mod junit;
mod report;
mod rules;
pub(crate) mod series;
pub(crate) mod snapshot;
mod tables;

pub use crate::paired::{NoChange, PairedDifference, Scale, Smallest};
pub use brief::Objection;
pub use judge::judge;
pub use report::{CellFailure, Compared, FamilySize, Finding, POWER, Report, Verdict};
pub use rules::{Direction, Family, Rule, Rules};
pub(crate) use series::{perplexity_name, speed_name, suite_name, task_name};
pub(crate) use snapshot::machine;
pub use snapshot::{Observed, Origin, Series, Snapshot};

use std::io;

/// A gate that can't judge.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// There is nothing to judge, or nothing to judge by.
    #[error("there is no record in {what}: run the experiment first")]
    Empty {
        /// Where.
        what: &'static str,
    },
    /// One cell would count twice.
    #[error("there are two records of {cell}: give one of them")]
    Twice {
        /// The cell.
        cell: String,
    },
    /// A baseline of failures would guard nothing.
    #[error("{cell} is {problem}; a baseline holds cells that are ok, so mend it, or take it out of the experiment")]
    Unacceptable {
        /// The cell.
        cell: String,
        /// Its status, and why.
        problem: String,
    },
    /// A baseline's file that is none.
    #[error(
        "it is no baseline of this program ({problem}); write it anew with `prunebench gate STORE --baseline FILE --accept`"
    )]
    Foreign {
        /// What is wrong with it.
        problem: String,
    },
    /// Rules that make no sense.
    #[error("{problem}")]
    Rules {
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The baseline can't be read or written.
    #[error("{0}; check the path and the disk")]
    File(#[from] io::Error),
    /// A JUnit report that XML can't hold.
    #[error("the JUnit report can't be made ({0})")]
    Junit(#[from] quick_junit::SerializeError),
}

#[cfg(test)]
mod gate_tests;
#[cfg(test)]
mod nights_tests;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
pub(crate) mod test_snapshots;
