//! One model over several ranks, each a thread with its share of the heads and of the FFN columns.

mod collective;
mod shard;

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use prunebench_tensor::{concurrently, no_grad};

pub use collective::{Collective, SharedMemory};

use crate::{Decoder, Graph, ModelError};

/// Whether so many ranks can share a model's single blocks, which its graph alone tells.
///
/// # Errors
/// [`ModelError::Graph`] for no ranks, or sizes that they don't divide.
pub fn check(graph: &Graph, ranks: usize) -> crate::Result<()> {
    if ranks == 0 {
        return Err(ModelError::Graph(
            "a model can't be split over 0 ranks; at least 1 is wanted".to_owned(),
        ));
    }
    shard::check_blocks(graph, ranks)
}

/// Runs `work` on every rank at once, and gives their answers in order. A rank is a decoder of its own, with a smaller share
/// of the heads and FFN columns, whose sublayers are summed over the ranks before they update the residual stream; all ranks have
/// to make the same forward passes. Each has an equal share of the caller's compute threads, at least one, and nothing is recorded
/// for gradients.
///
/// A single block is split as in Megatron-LM (Shoeybi et al. 2019): query, key, value, gate and up projections by output features,
/// the projections back to the stream by input features. Of a pair with parallel sublayers ([`crate::graph::Step::ParallelSublayers`])
/// the first half of the ranks holds the attention of its first block, the second half that of the second, and every rank a slice of both
/// FFNs. Either way a step takes two all-reduces, one for each sublayer. Embedding, final norm and head are not split: every rank
/// holds them, and computes them for itself. `latency` is waited for after each all-reduce, as on a wire. Adapters are merged.
///
/// # Errors
/// [`ModelError::Graph`] for sizes that the ranks don't divide, an odd number of ranks with pairs, and other parallel steps. When a
/// rank fails or panics, the others' next all-reduce fails with [`ModelError::Rank`]; the error is that of the first.
pub fn run<T, E>(
    decoder: &Decoder,
    ranks: usize,
    latency: Duration,
    work: impl Fn(&Decoder, &dyn Collective) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E>
where
    T: Send,
    E: From<ModelError> + Display + Send,
{
    check(&decoder.graph, ranks)?;
    let members = SharedMemory::group(ranks, latency);
    let mut jobs = Vec::with_capacity(ranks);
    for member in &members {
        let mut decoder = shard::shard(decoder, member.rank(), ranks)?;
        let group: Arc<dyn Collective> = Arc::clone(member) as _;
        decoder.group = Some(group);
        let work = &work;
        jobs.push(move || {
            let answer = catch_unwind(AssertUnwindSafe(|| no_grad(|| work(&decoder, member.as_ref()))));
            let answer = answer.unwrap_or_else(|panic| {
                let (rank, cause) = (member.rank(), words(panic.as_ref()).to_owned());
                Err(ModelError::Rank { rank, cause }.into())
            });
            member.leave(match &answer {
                Ok(_) => format!("its work ended after {} all-reduces", member.all_reduces()),
                Err(error) => error.to_string(),
            });
            answer
        });
    }
    let mut answers = concurrently(jobs).map_err(ModelError::from)?;
    let first = members[0].first_to_leave().unwrap_or_default();
    if answers[first].is_err() {
        answers.swap(0, first);
    }
    answers.into_iter().collect()
}

/// What a thread panicked with.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it panicked")
}

#[cfg(test)]
mod tests;
