//! The cells that wait, and what may run beside each other.

use std::any::Any;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prunebench_results::{Record, Status};

use super::Error;
use crate::dense_check;
use crate::plan::Plan;
use crate::round::Elsewhere;

/// How long a worker without work waits before it looks again at cells that other runs hold.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How often in a row it may find that nobody goes on with a round that another machine began, before it gives the round up: one
/// cell may just have ended there, and the next not begun.
const PATIENCE: u32 = 4;

/// What is heard of a cell.
pub(super) enum Event {
    Waits(String),
    Started(u32),
    Progress { phase: String, done: usize, total: usize },
    Finished { record: Box<Record>, measured: bool },
}

/// The cells that wait, and what runs.
pub(super) struct Queue<'a> {
    plan: &'a Plan,
    interrupted: &'a AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Places in the plan, in its order.
    waiting: VecDeque<usize>,
    running: Vec<usize>,
    /// Held by other runs, or of a round that another machine is at, when they were looked at last.
    elsewhere: Vec<usize>,
    /// Seeds of the rounds that wait for another machine, with the times in a row that nobody there went on with them.
    idle: HashMap<u64, u32>,
    /// Seeds of the rounds that nobody goes on with, and the machine that began each.
    given_up: BTreeMap<u64, String>,
    gpus: Vec<Option<String>>,
    stopped: Option<String>,
}

impl State {
    /// Leaves a cell, and those that wait with it for the same round, to the machine that began it. Gives whether that is news.
    fn leave(&mut self, cell: usize, elsewhere: &Elsewhere, plan: &Plan) -> bool {
        let seed = plan.cells[cell].cell.seed;
        let is_news = !self.idle.contains_key(&seed);
        let idle = self.idle.entry(seed).or_default();
        *idle = if elsewhere.goes_on { 0 } else { *idle + 1 };
        if *idle >= PATIENCE {
            self.given_up.insert(seed, elsewhere.machine.clone());
            return false;
        }
        let of_round = |waiting: &usize| plan.cells[*waiting].cell.seed == seed;
        let (with_it, rest) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<VecDeque<usize>, _>(of_round);
        self.waiting = rest;
        self.elsewhere.push(cell);
        self.elsewhere.extend(with_it);
        is_news
    }
}

/// How the work on a cell ended.
pub(super) enum Ended {
    /// With its record; whether it was measured now.
    Recorded(Box<Record>, bool),
    /// Another run holds it, or this one was interrupted.
    Held,
    /// Another machine began its round.
    Elsewhere(Elsewhere),
}

/// A cell that may start now, on the GPU that it has to itself.
pub(super) struct Start {
    pub(super) cell: usize,
    pub(super) gpu: Option<String>,
}

impl<'a> Queue<'a> {
    pub(super) fn new(plan: &'a Plan, gpus: &[String], interrupted: &'a AtomicBool) -> Self {
        let gpus = match gpus {
            [] => vec![None],
            gpus => gpus.iter().cloned().map(Some).collect(),
        };
        Self {
            plan,
            interrupted,
            state: Mutex::new(State {
                waiting: (0..plan.cells.len()).collect(),
                running: Vec::new(),
                elsewhere: Vec::new(),
                idle: HashMap::new(),
                given_up: BTreeMap::new(),
                gpus,
                stopped: None,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, reason: &str) {
        self.lock().stopped.get_or_insert_with(|| reason.to_owned());
        self.changed.notify_all();
    }

    /// Whether another cell may begin.
    pub(super) fn goes_on(&self) -> bool {
        !self.is_interrupted() && self.lock().stopped.is_none()
    }

    /// Why no other cell was begun, if that was so.
    pub(super) fn stopped(&self) -> Option<String> {
        self.lock().stopped.clone()
    }

    /// Seeds of the rounds that nobody goes on with, and the machine that began each.
    pub(super) fn given_up(&self) -> BTreeMap<u64, String> {
        self.lock().given_up.clone()
    }

    /// Takes cells and carries them out until none is left.
    ///
    /// # Errors
    /// Those of `carry_out`, a panic of it among them. The cell that it was at is given back, so that nobody waits for it.
    pub(super) fn work(
        &self,
        events: &Sender<(usize, Event)>,
        carry_out: &dyn Fn(&Start) -> Result<Ended, Error>,
    ) -> Result<(), Error> {
        while let Some(start) = self.take() {
            let planned = &self.plan.cells[start.cell];
            // What it leaves half done is the reservation, which ends with it, and locks that nobody here asks whether they are
            // poisoned.
            let ended = catch_unwind(AssertUnwindSafe(|| carry_out(&start)));
            let ended = ended.unwrap_or_else(|panic| {
                Err(Error::Panicked {
                    cell: planned.cell.to_string(),
                    message: words_of(panic.as_ref()),
                })
            });
            if ended.is_err() {
                self.stop("a cell's record or its process failed");
            }
            if let Ok(Ended::Recorded(record, _)) = &ended
                && planned.is_baseline()
                && record.status != Status::Skipped
                && let Err(reason) = dense_check::check(record, &self.plan.expect)
            {
                self.stop(&reason);
            }
            // Only now, so that no cell starts between an error and the stop, or a baseline's end and its check.
            let mut state = self.lock();
            state.running.retain(|cell| *cell != start.cell);
            if planned.is_on_gpu() {
                state.gpus.push(start.gpu.clone());
            }
            match &ended {
                Ok(Ended::Held) if !self.is_interrupted() => state.elsewhere.push(start.cell),
                Ok(Ended::Elsewhere(elsewhere)) => {
                    let is_news = state.leave(start.cell, elsewhere, self.plan);
                    if is_news {
                        let reason = format!("waits for the round that {} began", elsewhere.machine);
                        let _ = events.send((start.cell, Event::Waits(reason)));
                    }
                }
                _ => {}
            }
            drop(state);
            if let Ok(Ended::Recorded(record, measured)) = &ended {
                let event = Event::Finished {
                    record: record.clone(),
                    measured: *measured,
                };
                // The receiver outlives all workers.
                let _ = events.send((start.cell, event));
            }
            self.changed.notify_all();
            ended?;
        }
        Ok(())
    }

    /// The next cell, once it may start; `None` when there is no more.
    fn take(&self) -> Option<Start> {
        let mut state = self.lock();
        loop {
            let nothing_left = state.waiting.is_empty() && state.elsewhere.is_empty();
            if state.stopped.is_some() || self.is_interrupted() || nothing_left {
                return None;
            }
            if let Some(place) = self.startable(&state) {
                let cell = state.waiting.remove(place)?;
                state.running.push(cell);
                let gpu = match self.plan.cells[cell].is_on_gpu() {
                    true => state.gpus.pop().flatten(),
                    false => None,
                };
                return Some(Start { cell, gpu });
            }
            let (back, waited) = self
                .changed
                .wait_timeout(state, LOOK_AGAIN)
                .unwrap_or_else(PoisonError::into_inner);
            state = back;
            if waited.timed_out() {
                let again = std::mem::take(&mut state.elsewhere);
                state.waiting.extend(again);
                state.waiting.make_contiguous().sort_unstable();
            }
        }
    }

    /// The place in the queue of the first cell that may start. A cell that waits to be alone lets none behind it pass, or it
    /// would wait for ever; one that waits for a GPU does.
    fn startable(&self, state: &State) -> Option<usize> {
        let cells = &self.plan.cells;
        let alone = |cell: usize| cells[cell].measures_speed();
        let open_baseline = |before: usize| {
            let open = state.waiting.iter().chain(&state.running).chain(&state.elsewhere);
            open.copied().any(|cell| cell < before && cells[cell].is_baseline())
        };
        for (place, &cell) in state.waiting.iter().enumerate() {
            let room = match alone(cell) {
                true => state.running.is_empty(),
                false => !state.running.iter().any(|&running| alone(running)),
            };
            if !room || (!cells[cell].is_baseline() && open_baseline(cell)) {
                return None;
            }
            if !cells[cell].is_on_gpu() || !state.gpus.is_empty() {
                return Some(place);
            }
        }
        None
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

/// What a panic said.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().map(ToString::to_string);
    let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
    words.unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(all(test, unix))]
#[path = "queue_tests.rs"]
mod tests;
