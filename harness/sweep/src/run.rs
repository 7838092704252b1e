//! Runs what is not done, several cells at once, and stops at a baseline that comes out wrong.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prunebench_results::{Claim, Record, Status, Store, StoreError};

use crate::batch::SchedulerError;
use crate::gate;
use crate::machine::Machine;
use crate::plan::{Plan, Planned};
use crate::process::{Launcher, Terms, Watch};

/// How long a worker without work waits before it looks again at cells that other runs hold.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A way to carry out plans.
pub trait Executor {
    /// Sees to it that every cell of the plan without an `ok` record in `store` gets a record. Cells that failed before are
    /// tried again; those that others measure at the same time are left to them.
    ///
    /// # Errors
    /// If records can't be kept or processes can't be started; a cell that fails is a record, and no error. Other cells that
    /// were running then are recorded all the same where they can be.
    fn execute(&self, plan: &Plan, store: &Store, observer: &mut dyn Observer) -> Result<Outcome, Error>;
}

/// How the cells of a run are carried out on this machine.
#[derive(Debug)]
pub struct Local<'a> {
    /// The command that serves a cell.
    pub launcher: Launcher,
    /// Cells at once. One that measures speed runs alone.
    pub jobs: usize,
    /// The GPUs for cells on CUDA, as `CUDA_VISIBLE_DEVICES` names them, each for one cell at a time. If none is named, one such
    /// cell runs at a time, on the device that it names.
    pub gpus: Vec<String>,
    /// Ends the run once it is set: the running cells leave no record, and no other starts.
    pub interrupted: &'a AtomicBool,
}

/// What a sweep left.
#[derive(Debug)]
pub struct Outcome {
    /// How each of the plan's cells ended, in its order; `None` without a record.
    pub statuses: Vec<Option<Status>>,
    /// Cells measured now, by this run.
    pub measured: usize,
    /// Why the sweep stopped early, if it did.
    pub stopped: Option<String>,
}

impl Outcome {
    /// Whether every cell of the plan has its numbers, but for those that can't have any.
    pub fn is_complete(&self) -> bool {
        let settled = |status: &Option<Status>| matches!(status, Some(Status::Ok | Status::Skipped));
        self.statuses.iter().all(settled)
    }
}

/// What is heard of a running sweep. Cells are named by their place in the plan.
pub trait Observer {
    /// The process of a cell began.
    fn started(&mut self, cell: usize, process: u32);
    /// That process works on `phase`.
    fn progress(&mut self, cell: usize, phase: &str, done: usize, total: usize);
    /// A cell has its record; `measured` if by this run.
    fn finished(&mut self, cell: usize, record: &Record, measured: bool);
}

/// A sweep that can't go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The results folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process of a cell can't be started.
    #[error("the process of a cell can't be started ({0}); check that the program's file is still there")]
    Start(#[from] io::Error),
    /// A baseline that was measured before.
    #[error("{0}")]
    Baseline(String),
    /// A GPU that a cell won't see.
    #[error("a cell is for {0}, but each cell sees one GPU, which is `cuda` there; name `cuda` in the experiment")]
    Device(String),
    /// The batch system.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// The files of a submission.
    #[error("the files of what is submitted can't be read or written ({0}); check the results folder and the disk")]
    Files(io::Error),
}

enum Event {
    Started(u32),
    Progress { phase: String, done: usize, total: usize },
    Finished { record: Box<Record>, measured: bool },
}

impl Executor for Local<'_> {
    fn execute(&self, plan: &Plan, store: &Store, observer: &mut dyn Observer) -> Result<Outcome, Error> {
        let machine = Machine::look();
        let queue = Queue::new(plan, self);
        let (sender, events) = channel();
        let mut statuses = vec![None; plan.cells.len()];
        let mut newly = 0;
        let ended: Vec<Result<(), Error>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs.max(1))
                .map(|_| {
                    let sender = sender.clone();
                    let (queue, machine) = (&queue, &machine);
                    scope.spawn(move || {
                        let ended = queue.work(store, machine, &sender);
                        if ended.is_err() {
                            queue.stop("a cell's record or its process failed");
                        }
                        ended
                    })
                })
                .collect();
            drop(sender);
            for (cell, event) in events {
                match event {
                    Event::Started(process) => observer.started(cell, process),
                    Event::Progress { phase, done, total } => observer.progress(cell, &phase, done, total),
                    Event::Finished { record, measured } => {
                        newly += usize::from(measured);
                        observer.finished(cell, &record, measured);
                        statuses[cell] = Some(record.status);
                    }
                }
            }
            let joined = workers.into_iter().map(|worker| worker.join());
            joined
                .map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        ended.into_iter().collect::<Result<(), Error>>()?;
        let missing = statuses.iter().filter(|status| status.is_none()).count();
        let interrupted = || format!("interrupted with {missing} cells left; start the same command again to go on");
        let stopped = queue.lock().stopped.take();
        Ok(Outcome {
            statuses,
            measured: newly,
            stopped: stopped.or_else(|| queue.is_interrupted().then(interrupted)),
        })
    }
}

impl Plan {
    /// Measures one cell in a process of its own, and keeps nothing.
    ///
    /// # Errors
    /// If the process can't be started.
    pub fn measure_only(&self, cell: usize, launcher: &Launcher, observer: &mut dyn Observer) -> Result<Record, Error> {
        let terms = Terms {
            experiment: &self.experiment,
            limits: self.limits,
            machine: &Machine::look(),
            gpu: None,
            interrupted: &AtomicBool::new(false),
        };
        let record = launcher.record(&self.cells[cell], &terms, &mut Heard { cell, observer })?;
        // Nothing interrupts it.
        record.ok_or_else(|| Error::Start(io::ErrorKind::Interrupted.into()))
    }
}

/// The cells that wait, and what runs.
struct Queue<'a> {
    plan: &'a Plan,
    local: &'a Local<'a>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Places in the plan, in its order.
    waiting: VecDeque<usize>,
    running: Vec<usize>,
    /// Held by other runs when they were looked at last.
    elsewhere: Vec<usize>,
    gpus: Vec<Option<String>>,
    stopped: Option<String>,
}

/// A cell that may start now, on the GPU that it has to itself.
struct Start {
    cell: usize,
    gpu: Option<String>,
}

impl<'a> Queue<'a> {
    fn new(plan: &'a Plan, local: &'a Local<'a>) -> Self {
        let gpus = match local.gpus.as_slice() {
            [] => vec![None],
            gpus => gpus.iter().cloned().map(Some).collect(),
        };
        Self {
            plan,
            local,
            state: Mutex::new(State {
                waiting: (0..plan.cells.len()).collect(),
                running: Vec::new(),
                elsewhere: Vec::new(),
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

    /// Carries out cells until none is left.
    fn work(&self, store: &Store, machine: &Machine, events: &Sender<(usize, Event)>) -> Result<(), Error> {
        while let Some(start) = self.take() {
            let planned = &self.plan.cells[start.cell];
            let ended = self.carry_out(planned, &start, store, machine, events);
            if let Ok(Some((record, _))) = &ended
                && planned.is_baseline()
                && record.status != Status::Skipped
                && let Err(reason) = gate::check(record, &self.plan.expect)
            {
                self.stop(&reason);
            }
            // Only now, so that no cell starts between a baseline's end and its check.
            let mut state = self.lock();
            state.running.retain(|cell| *cell != start.cell);
            if planned.is_on_gpu() {
                state.gpus.push(start.gpu.clone());
            }
            if let Ok(None) = ended
                && !self.is_interrupted()
            {
                state.elsewhere.push(start.cell);
            }
            drop(state);
            if let Ok(Some((record, measured))) = &ended {
                let event = Event::Finished {
                    record: Box::new(record.clone()),
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

    /// The record of a cell, and whether it was measured now; `None` if another run holds it, or this one was interrupted.
    fn carry_out(
        &self,
        planned: &Planned,
        start: &Start,
        store: &Store,
        machine: &Machine,
        events: &Sender<(usize, Event)>,
    ) -> Result<Option<(Record, bool)>, Error> {
        let wanted = match planned.skip {
            Some(_) => Status::Skipped,
            None => Status::Ok,
        };
        let is_done = |record: &Record| record.status == wanted || record.status == Status::Ok;
        if let Some(done) = store.find(&planned.cell, &planned.key)?.filter(is_done) {
            return Ok(Some((done, false)));
        }
        let Some(mut claim) = store.claim(&planned.cell, &planned.key)? else {
            return Ok(None);
        };
        if let Some(done) = claim.found().filter(|record| is_done(record)) {
            return Ok(Some((done.clone(), false)));
        }
        if let Some(reason) = &planned.skip {
            let skipped = planned.skipped(&self.plan.experiment, reason, machine);
            return Ok(Some((claim.record(&skipped)?, false)));
        }
        for tries_left in (0..=self.plan.limits.retries).rev() {
            let terms = Terms {
                experiment: &self.plan.experiment,
                limits: self.plan.limits,
                machine,
                gpu: start.gpu.as_deref(),
                interrupted: self.local.interrupted,
            };
            let mut watch = Sent {
                cell: start.cell,
                events,
                claim: &mut claim,
            };
            let measured = self.local.launcher.record(planned, &terms, &mut watch)?;
            let Some(record) = measured else {
                return Ok(None);
            };
            let stored = claim.record(&record)?;
            if tries_left == 0 || stored.status != Status::Failed {
                return Ok(Some((stored, true)));
            }
        }
        Ok(None)
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

    fn is_interrupted(&self) -> bool {
        self.local.interrupted.load(Ordering::Relaxed)
    }
}

/// Sends what is heard of a cell to the one who tells it, and writes it where others see it.
struct Sent<'a> {
    cell: usize,
    events: &'a Sender<(usize, Event)>,
    claim: &'a mut Claim,
}

impl Watch for Sent<'_> {
    fn started(&mut self, process: u32) {
        let _ = self.events.send((self.cell, Event::Started(process)));
    }

    fn progress(&mut self, phase: &str, done: usize, total: usize) {
        self.claim.progress(phase, done, total);
        let phase = phase.to_owned();
        let _ = self.events.send((self.cell, Event::Progress { phase, done, total }));
    }
}

/// Tells what is heard of a cell.
struct Heard<'a> {
    cell: usize,
    observer: &'a mut dyn Observer,
}

impl Watch for Heard<'_> {
    fn started(&mut self, process: u32) {
        self.observer.started(self.cell, process);
    }

    fn progress(&mut self, phase: &str, done: usize, total: usize) {
        self.observer.progress(self.cell, phase, done, total);
    }
}

#[cfg(all(test, unix))]
#[path = "run_tests.rs"]
pub(crate) mod tests;
