//! Runs what is not done, several cells at once, and stops at a baseline that comes out wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prunebench_results::{Claim, Record, Status, Store, StoreError};

use crate::batch::SchedulerError;
use crate::gate;
use crate::host::{Host, HostError};
use crate::machine::Machine;
use crate::plan::{Plan, Planned};
use crate::process::{Launcher, Terms, Watch};
use crate::round::{Elsewhere, elsewhere};

/// How long a worker without work waits before it looks again at cells that other runs hold.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How often in a row it may find that nobody goes on with a round that another machine began, before it gives the round up: one
/// cell may just have ended there, and the next not begun.
const PATIENCE: u32 = 4;

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
    /// The machine. A cell that measures speed runs alone on it.
    pub host: Host,
    /// Cells at once.
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
    /// A cell can't begin yet, for the reason given.
    fn waits(&mut self, cell: usize, reason: &str);
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
    /// The locks of the machine.
    #[error(transparent)]
    Host(#[from] HostError),
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
    Waits(String),
    Started(u32),
    Progress { phase: String, done: usize, total: usize },
    Finished { record: Box<Record>, measured: bool },
}

impl Executor for Local<'_> {
    fn execute(&self, plan: &Plan, store: &Store, observer: &mut dyn Observer) -> Result<Outcome, Error> {
        let store = &store.clone().on(&self.host.name);
        let machine = Machine::look().named(&self.host.name);
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
                    Event::Waits(reason) => observer.waits(cell, &reason),
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
        let mut state = queue.lock();
        let stopped = state.stopped.take();
        let given_up = || {
            let (seeds, machines): (Vec<String>, BTreeSet<&str>) = state
                .given_up
                .iter()
                .map(|(seed, machine)| (seed.to_string(), machine.as_str()))
                .unzip();
            (!seeds.is_empty()).then(|| {
                format!(
                    "the rounds of seeds {} were begun on {}, where nobody goes on with them; start the same command there, or, if \
                     that machine is gone, take another --results folder, or move the records of these seeds out of {}: then these \
                     rounds are measured anew, all of them here",
                    seeds.join(", "),
                    machines.into_iter().collect::<Vec<_>>().join(" and "),
                    store.folder().display()
                )
            })
        };
        Ok(Outcome {
            statuses,
            measured: newly,
            stopped: stopped
                .or_else(|| queue.is_interrupted().then(interrupted))
                .or_else(given_up),
        })
    }
}

impl Plan {
    /// Measures one cell in a process of its own, and keeps nothing.
    ///
    /// # Errors
    /// If the process can't be started, or the machine not be locked.
    pub fn measure_only(
        &self,
        cell: usize,
        launcher: &Launcher,
        host: &Host,
        observer: &mut dyn Observer,
    ) -> Result<Record, Error> {
        let terms = Terms {
            experiment: &self.experiment,
            limits: self.limits,
            machine: &Machine::look().named(&host.name),
            gpu: None,
            interrupted: &AtomicBool::new(false),
        };
        let planned = &self.cells[cell];
        let _entered = host.enter(planned, &|| true, &mut |reason| observer.waits(cell, &reason))?;
        let record = launcher.record(planned, &terms, &mut Heard { cell, observer })?;
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
enum Ended {
    /// With its record; whether it was measured now.
    Recorded(Box<Record>, bool),
    /// Another run holds it, or this one was interrupted.
    Held,
    /// Another machine began its round.
    Elsewhere(Elsewhere),
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

    /// Carries out cells until none is left.
    fn work(&self, store: &Store, machine: &Machine, events: &Sender<(usize, Event)>) -> Result<(), Error> {
        while let Some(start) = self.take() {
            let planned = &self.plan.cells[start.cell];
            let ended = self.carry_out(planned, &start, store, machine, events);
            if let Ok(Ended::Recorded(record, _)) = &ended
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

    fn carry_out(
        &self,
        planned: &Planned,
        start: &Start,
        store: &Store,
        machine: &Machine,
        events: &Sender<(usize, Event)>,
    ) -> Result<Ended, Error> {
        let recorded = |record: Record, measured| Ended::Recorded(Box::new(record), measured);
        let wanted = match planned.skip {
            Some(_) => Status::Skipped,
            None => Status::Ok,
        };
        let is_done = |record: &Record| record.status == wanted || record.status == Status::Ok;
        if let Some(done) = store.find(&planned.cell, &planned.key)?.filter(is_done) {
            return Ok(recorded(done, false));
        }
        let claimed = match self.plan.in_rounds && planned.skip.is_none() {
            true => self.claim_in_round(planned, store, machine)?,
            false => store.claim(&planned.cell, &planned.key)?.ok_or(Ended::Held),
        };
        let mut claim = match claimed {
            Ok(claim) => claim,
            Err(ended) => return Ok(ended),
        };
        if let Some(done) = claim.found().filter(|record| is_done(record)) {
            return Ok(recorded(done.clone(), false));
        }
        if let Some(reason) = &planned.skip {
            let skipped = planned.skipped(&self.plan.experiment, reason, machine);
            return Ok(recorded(claim.record(&skipped)?, false));
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
            let goes_on = || !self.is_interrupted() && self.lock().stopped.is_none();
            let host = &self.local.host;
            let Some(entered) = host.enter(planned, &goes_on, &mut |reason| watch.waits(reason))? else {
                return Ok(Ended::Held);
            };
            let measured = self.local.launcher.record(planned, &terms, &mut watch)?;
            drop(entered);
            let Some(record) = measured else {
                return Ok(Ended::Held);
            };
            let stored = claim.record(&record)?;
            if tries_left == 0 || stored.status != Status::Failed {
                return Ok(recorded(stored, true));
            }
        }
        Ok(Ended::Held)
    }

    /// The claim on a cell of a round, unless another run holds it or another machine began the round.
    fn claim_in_round(
        &self,
        planned: &Planned,
        store: &Store,
        machine: &Machine,
    ) -> Result<Result<Claim, Ended>, Error> {
        let given_up = self.lock().given_up.get(&planned.cell.seed).cloned();
        if let Some(machine) = given_up {
            return Ok(Err(Ended::Elsewhere(Elsewhere {
                machine,
                goes_on: false,
            })));
        }
        let mut begun = None;
        let claim = store.claim_if(&planned.cell, &planned.key, || {
            begun = elsewhere(self.plan, planned, store, &self.local.host, machine)?;
            Ok::<_, StoreError>(begun.is_none())
        })?;
        Ok(claim.ok_or_else(|| begun.map_or(Ended::Held, Ended::Elsewhere)))
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

impl Sent<'_> {
    fn waits(&mut self, reason: String) {
        self.claim.progress(&reason, 0, 1);
        let _ = self.events.send((self.cell, Event::Waits(reason)));
    }
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
