//! What a gate found.

use std::collections::BTreeMap;

use prunebench_results::{Cell, CellKey};
use serde::Serialize;

use super::snapshot::Origin;
use crate::paired::Scale;
use crate::statistics::Interval;

/// The probability with which the smallest effects that are reported would have been found.
pub const POWER: f64 = 0.8;

/// What came out, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing to object to.
    Ok,
    /// A difference would mean nothing.
    NotJudged,
    /// A loss beyond the margin could have gone unseen.
    Inconclusive,
    /// A loss beyond the margin that is no chance, or a number that should be there and isn't.
    Regression,
}

/// Everything that a gate found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// `regression` if there are failures, else the worst of the single ones that were judged, else `inconclusive`; never
    /// `not_judged`.
    pub verdict: Verdict,
    /// Why nothing was judged, though no cell is missing or failed; absent if something was.
    pub nothing_judged: Option<String>,
    /// Cells that are missing, failed, or measured otherwise than in the baseline. Each is a regression.
    pub failures: Vec<CellFailure>,
    /// Every number that a rule names, in the order of the baseline's cells.
    pub findings: Vec<Finding>,
    /// How many comparisons each family's level is shared by.
    pub families: Vec<FamilySize>,
    /// Cells of the baseline.
    pub cells: usize,
    /// Cells that the baseline doesn't have, which are not judged.
    pub new_cells: Vec<String>,
    /// Where the baseline comes from.
    pub baseline: Origin,
    /// Where the store comes from.
    pub store: Origin,
}

/// A cell without the numbers that it should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CellFailure {
    /// The cell, with its seed where it is a single one.
    pub cell: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// A number before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What came out.
    pub verdict: Verdict,
    /// Why, in words.
    pub reason: String,
    /// The cells, which differ in nothing but their seed.
    pub cell: String,
    /// The number.
    pub metric: String,
    /// The family that it was corrected in.
    pub family: String,
    /// How much worse it might get, in units of `scale`.
    pub margin: f64,
    /// What came out of the comparison; absent if it was not judged.
    pub change: Option<Compared>,
    /// The keys of the records that it rests on, of the baseline and of the store.
    pub records: Vec<[CellKey; 2]>,
    /// A cell of the baseline.
    #[serde(skip)]
    pub(crate) of: Cell,
}

/// The numbers of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// What `difference`, `interval` and `smallest` are in.
    pub scale: Scale,
    /// The baseline's value.
    pub before: f64,
    /// The store's.
    pub after: f64,
    /// The difference, without a sign of better or worse.
    pub difference: f64,
    /// 95 %, of this comparison alone.
    pub interval: Option<Interval>,
    /// Whether all samples are the same to the last digit.
    pub unchanged: bool,
    /// Windows, items or rounds in a seed.
    pub samples: usize,
    /// Seeds.
    pub seeds: usize,
    /// The test of no difference; absent of a number without noise.
    pub test: Option<&'static str>,
    /// Its p-value.
    pub p: Option<f64>,
    /// Corrected by Holm within the family.
    pub p_adjusted: Option<f64>,
    /// The smallest loss that this test would have found with probability [`POWER`] at the family's level, shared by its
    /// comparisons.
    pub smallest: Option<f64>,
}

/// A family of this gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FamilySize {
    /// Its name.
    pub family: String,
    /// The chance of a false alarm in all of it.
    pub alpha: f64,
    /// Comparisons with a test.
    pub comparisons: usize,
}

/// How many of the numbers were not judged for each reason.
pub(super) fn not_judged(findings: &[Finding]) -> BTreeMap<&str, usize> {
    let mut reasons = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::NotJudged) {
        *reasons.entry(finding.reason.as_str()).or_default() += 1;
    }
    reasons
}
