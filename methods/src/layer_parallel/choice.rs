//! Which blocks are paired.

use prunebench_model::graph::Graph;

use super::config_error;
use crate::Result;
use crate::range::Range;

/// Why fewer pairs are possible where the end is searched.
const SEARCHED: &str = ", for the search leaves block 0 out; name `end` to pair it as well";

/// The range as the configuration gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Both ends.
    Range(Range),
    /// So many pairs that end there; somewhere, if there is no end.
    Pairs { pairs: usize, end: Option<usize> },
    /// As many pairs as make this effective depth.
    Depth { depth: usize, end: Option<usize> },
}

/// The range in a model.
pub(super) enum Resolved {
    Range(Range),
    /// The end is to be found.
    Search {
        pairs: usize,
    },
}

impl Choice {
    pub(super) fn new(
        start: Option<usize>,
        end: Option<usize>,
        pairs: Option<usize>,
        depth: Option<usize>,
    ) -> Result<Self> {
        match (start, end, pairs, depth) {
            (Some(start), Some(end), None, None) => even(Range { start, end }).map(Self::Range),
            (None, _, Some(0), None) => Err(config_error(
                "key `pairs`: 0 changes nothing; at least 1 is wanted, or the method `dense`",
            )),
            (None, end, Some(pairs), None) => Ok(Self::Pairs { pairs, end }),
            (None, end, None, Some(depth)) => Ok(Self::Depth { depth, end }),
            _ => Err(config_error(
                "wanted are `start` and `end`, or one of `pairs` and `depth` with or without `end`",
            )),
        }
    }

    pub(super) fn is_searched(self) -> bool {
        matches!(self, Self::Pairs { end: None, .. } | Self::Depth { end: None, .. })
    }

    pub(super) fn resolve(self, graph: &Graph) -> Result<Resolved> {
        let (pairs, end) = match self {
            Self::Range(range) => return Ok(Resolved::Range(range)),
            Self::Pairs { pairs, end } => (pairs, end),
            Self::Depth { depth, end } => {
                let now = graph.steps.len();
                // A pair takes a step away, and the search leaves the first block out.
                let (paired, hint) = match end {
                    Some(_) => (now, ""),
                    None => (now.saturating_sub(1), SEARCHED),
                };
                let least = now - paired / 2;
                if !(least..now).contains(&depth) {
                    return Err(config_error(format!(
                        "key `depth`: {depth} steps, but the model has {now}, and pairs leave {least} at least; {least} to {} is \
                         wanted{hint}",
                        now.saturating_sub(1)
                    )));
                }
                (now - depth, end)
            }
        };
        let Some(end) = end else {
            return Ok(Resolved::Search { pairs });
        };
        match end.checked_sub(pairs.saturating_mul(2)) {
            Some(start) => even(Range { start, end }).map(Resolved::Range),
            None => Err(config_error(format!(
                "key `end`: {pairs} pairs that end before block {end} would begin before the first block"
            ))),
        }
    }
}

/// Ends of the ranges of so many pairs that the search tries.
pub(super) fn ends(pairs: usize, blocks: usize) -> Result<std::ops::Range<usize>> {
    match pairs.checked_mul(2) {
        Some(paired) if paired < blocks => Ok(paired + 1..blocks + 1),
        _ => Err(config_error(format!(
            "key `pairs`: {pairs} pairs of {blocks} blocks; at most {} are wanted{SEARCHED}",
            blocks.saturating_sub(1) / 2
        ))),
    }
}

/// Refuses a range that is not in pairs.
fn even(range: Range) -> Result<Range> {
    let Range { start, end } = range;
    if start >= end {
        return Err(config_error(format!(
            "keys `start` and `end`: {start} to {end}, the end excluded, has no block; a start below the end is wanted"
        )));
    }
    if !(end - start).is_multiple_of(2) {
        return Err(config_error(format!(
            "keys `start` and `end`: {start} to {end}, the end excluded, is {} blocks, which are no pairs; move one end by one",
            end - start
        )));
    }
    Ok(range)
}
