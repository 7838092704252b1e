//! Pieces of work side by side, each with compute threads of its own.

use std::panic::resume_unwind;
use std::thread;

use rayon::ThreadPoolBuilder;

use crate::{Error, Result};

/// Runs all of `work` at once, each piece on a thread of its own with an equal share of the caller's compute threads, at least
/// one. The answers come in the order of the pieces; a piece's panic goes on in the caller once all have ended.
pub fn concurrently<T: Send>(work: Vec<impl FnOnce() -> T + Send>) -> Result<Vec<T>> {
    let share = |threads: usize| (threads / work.len().max(1)).max(1);
    // Host kernels and candle compute on the pool that calls them.
    let pool = || {
        ThreadPoolBuilder::new()
            .num_threads(share(rayon::current_num_threads()))
            .build()
    };
    let pools = work.iter().map(|_| pool()).collect::<std::result::Result<Vec<_>, _>>();
    let pools = pools.map_err(|e| Error::Engine {
        op: "concurrently",
        detail: e.to_string(),
    })?;
    #[cfg(feature = "torch")]
    let (all, each) = (tch::get_num_threads(), share(tch::get_num_threads() as usize) as i32);
    let ended: Vec<thread::Result<T>> = thread::scope(|scope| {
        let started: Vec<_> = work
            .into_iter()
            .zip(&pools)
            .map(|(work, pool)| {
                scope.spawn(move || {
                    pool.install(|| {
                        #[cfg(feature = "torch")]
                        tch::set_num_threads(each);
                        work()
                    })
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join()).collect()
    });
    // libtorch counts threads for each thread, and starts new ones with the last count that any of them has set.
    #[cfg(feature = "torch")]
    tch::set_num_threads(all);
    let answer = |ended: thread::Result<T>| ended.unwrap_or_else(|panic| resume_unwind(panic));
    Ok(ended.into_iter().map(answer).collect())
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;

    use super::*;

    /// Compute threads of rayon and libtorch here.
    fn threads() -> [usize; 2] {
        #[cfg(feature = "torch")]
        let torch = tch::get_num_threads() as usize;
        #[cfg(not(feature = "torch"))]
        let torch = rayon::current_num_threads();
        [rayon::current_num_threads(), torch]
    }

    #[test]
    fn pieces_run_at_once_with_their_share_of_threads_and_the_caller_keeps_its_own() {
        let before = threads();
        let check_after = || {
            assert_eq!(threads(), before);
            assert_eq!(thread::spawn(threads).join().unwrap(), before);
        };
        for pieces in [1, 2, 3] {
            let all_at_once = Barrier::new(pieces);
            let work = (0..pieces).map(|piece| {
                let all_at_once = &all_at_once;
                move || {
                    all_at_once.wait();
                    (piece, threads())
                }
            });
            let share = before.map(|threads| (threads / pieces).max(1));
            let wanted: Vec<_> = (0..pieces).map(|piece| (piece, share)).collect();
            assert_eq!(concurrently(work.collect()).unwrap(), wanted);
            check_after();
        }
        // In this test, because the threads of libtorch are those of the process.
        let panics: Vec<Box<dyn FnOnce() + Send>> = vec![Box::new(|| panic!("a piece failed")), Box::new(|| ())];
        assert!(catch_unwind(AssertUnwindSafe(|| concurrently(panics))).is_err());
        check_after();
    }
}
