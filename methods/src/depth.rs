//! How many blocks a depth-pruning method removes.

use prunebench_model::graph::{Graph, Step};

use crate::{Error, Ratio, Result};

/// A number of blocks, asked for as a share or as a count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Depth {
    Ratio(Ratio),
    Blocks(usize),
}

impl Depth {
    /// From the two keys, of which exactly one must be there.
    pub(crate) fn new(method: &'static str, ratio: Option<Ratio>, blocks: Option<usize>) -> Result<Self> {
        let error = |detail: &str| Error::Config {
            what: method.to_string(),
            detail: detail.to_string(),
        };
        match (ratio, blocks) {
            (Some(ratio), None) => Ok(Self::Ratio(ratio)),
            (None, Some(0)) => Err(error(
                "key `blocks`: 0 removes nothing; at least 1 is wanted, or the method `dense`",
            )),
            (None, Some(blocks)) => Ok(Self::Blocks(blocks)),
            (None, None) => Err(error("one of the keys `ratio` and `blocks` is wanted")),
            (Some(_), Some(_)) => Err(error(
                "only one of the keys `ratio` and `blocks` is wanted, both are given",
            )),
        }
    }

    /// Blocks to remove of `total`: at least 1, and at most `total` − 1.
    pub(crate) fn count(self, method: &'static str, total: usize) -> Result<usize> {
        match self {
            Self::Ratio(ratio) => ratio.floor_of(total, "blocks", method),
            Self::Blocks(blocks) if blocks < total => Ok(blocks),
            Self::Blocks(blocks) => Err(Error::Config {
                what: method.to_string(),
                detail: format!(
                    "key `blocks`: {blocks} of {total} blocks removes everything; at most {} is wanted",
                    total.saturating_sub(1)
                ),
            }),
        }
    }

    /// The share asked for.
    pub(crate) fn nominal(self, total: usize) -> f64 {
        match self {
            Self::Ratio(ratio) => ratio.value(),
            Self::Blocks(blocks) => blocks as f64 / total as f64,
        }
    }
}

/// The blocks in the order of execution, of a graph that runs each exactly once and one after another.
pub(crate) fn sequential_blocks(method: &'static str, graph: &Graph) -> Result<Vec<usize>> {
    let mut order = Vec::with_capacity(graph.steps.len());
    if let Some(index) = graph
        .blocks
        .iter()
        .position(|block| block.shortcuts().flatten().next().is_some())
    {
        return Err(Error::Model {
            method,
            detail: format!(
                "blocks that share one basis of the residual stream are wanted, but block {index} has a shortcut matrix; put \
                 {method} before the method that sliced the stream"
            ),
        });
    }
    for (index, step) in graph.steps.iter().enumerate() {
        match step {
            Step::Block(block) if !order.contains(block) => order.push(*block),
            _ => {
                return Err(Error::Model {
                    method,
                    detail: format!(
                        "blocks that run once and one after another are wanted, but step {index} is {step:?}; put {method} before \
                         the method that rearranged the blocks"
                    ),
                });
            }
        }
    }
    Ok(order)
}
