//! Sums over the members of a group, and the group of threads that share memory.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prunebench_tensor::Tensor;

use crate::{ModelError, Result};

/// A member of a group of ranks that hold a model together.
pub trait Collective: Debug + Send + Sync {
    /// This member's number, from 0.
    fn rank(&self) -> usize;

    /// Members of the group.
    fn size(&self) -> usize;

    /// The sum of what all members give, which are tensors of one shape. Every member calls it equally often, and gets the same
    /// elements.
    ///
    /// # Errors
    /// [`ModelError::Rank`] once a member has left the group, so that the others don't wait for it.
    fn all_reduce_sum(&self, x: &Tensor) -> Result<Tensor>;

    /// Sums that this member has received.
    fn all_reduces(&self) -> u64;
}

/// A member of a group of threads. Sums are added up in the order of ranks, whoever comes first.
#[derive(Debug)]
pub struct SharedMemory {
    rank: usize,
    size: usize,
    latency: Duration,
    all_reduces: AtomicU64,
    board: Arc<Board>,
}

#[derive(Debug)]
struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// What the ranks have given to the sum that is being made.
    parts: Vec<Option<Tensor>>,
    /// Sums made.
    sums: u64,
    /// The last of them.
    last: Option<Sum>,
    /// The first rank to leave, and why.
    left: Option<(usize, String)>,
}

#[derive(Clone, Debug)]
struct Sum {
    number: u64,
    value: Tensor,
    made: Instant,
}

impl State {
    /// An error once a rank has left.
    fn complete(&self) -> Result<()> {
        match &self.left {
            None => Ok(()),
            Some((rank, cause)) => Err(ModelError::Rank {
                rank: *rank,
                cause: cause.clone(),
            }),
        }
    }

    fn add_up(&mut self) -> Result<()> {
        let mut sum: Option<Tensor> = None;
        for part in self.parts.iter_mut().filter_map(Option::take) {
            sum = Some(sum.map_or(Ok(part.clone()), |sum| sum.add(&part))?);
        }
        self.last = sum.map(|value| Sum {
            number: self.sums,
            value,
            made: Instant::now(),
        });
        self.sums += 1;
        Ok(())
    }
}

impl SharedMemory {
    /// A group of `size` members. A sum reaches them `latency` after the last of them has given its part, as over a wire.
    pub fn group(size: usize, latency: Duration) -> Vec<Arc<Self>> {
        let board = Arc::new(Board {
            state: Mutex::new(State {
                parts: vec![None; size],
                sums: 0,
                last: None,
                left: None,
            }),
            changed: Condvar::new(),
        });
        let member = |rank| SharedMemory {
            rank,
            size,
            latency,
            all_reduces: AtomicU64::new(0),
            board: Arc::clone(&board),
        };
        (0..size).map(|rank| Arc::new(member(rank))).collect()
    }

    /// Leaves the group: every sum that another member waits for, or asks for later, is an error with this `cause`.
    pub fn leave(&self, cause: String) {
        self.state().left.get_or_insert((self.rank, cause));
        self.board.changed.notify_all();
    }

    /// The first member that left.
    pub fn first_to_leave(&self) -> Option<usize> {
        self.state().left.as_ref().map(|(rank, _)| *rank)
    }

    /// The state, which no panic can leave half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.board.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collective for SharedMemory {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_reduce_sum(&self, x: &Tensor) -> Result<Tensor> {
        let mut state = self.state();
        state.complete()?;
        let mine = state.sums;
        state.parts[self.rank] = Some(x.clone());
        if state.parts.iter().all(Option::is_some) {
            if let Err(error) = state.add_up() {
                drop(state);
                self.leave(error.to_string());
                return Err(error);
            }
            self.board.changed.notify_all();
        }
        let sum = loop {
            // The next sum needs this rank's part, so this one is still there.
            match &state.last {
                Some(sum) if sum.number == mine => break sum.clone(),
                _ => state.complete()?,
            }
            state = self.board.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        drop(state);
        // A sleeping thread wakes up tens of microseconds late, which is as much as the latencies of interest.
        while sum.made.elapsed() < self.latency {
            std::thread::yield_now();
        }
        self.all_reduces.fetch_add(1, Ordering::Relaxed);
        Ok(sum.value)
    }

    fn all_reduces(&self) -> u64 {
        self.all_reduces.load(Ordering::Relaxed)
    }
}
