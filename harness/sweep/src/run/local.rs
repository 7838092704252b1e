//! Plans carried out on this machine, several cells at once.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::{fs, io};

use prunebench_results::{Record, Reservation, Status, Store, StoreError};

use super::queue::{Ended, Event, Queue, Start};
use super::{Error, Executor, Observer, Outcome};
use crate::host::Host;
use crate::machine::Machine;
use crate::plan::{Plan, Planned};
use crate::process::{Launcher, Terms, Watch};
use crate::round::{Elsewhere, elsewhere};

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

impl Executor for Local<'_> {
    fn execute(&self, plan: &Plan, store: &Store, observer: &mut dyn Observer) -> Result<Outcome, Error> {
        let store = &store.clone().on(&self.host.name);
        let machine = Machine::look().named(&self.host.name);
        let queue = Queue::new(plan, &self.gpus, self.interrupted);
        let (sender, events) = channel();
        let mut statuses = vec![None; plan.cells.len()];
        let mut newly = 0;
        let ended: Vec<Result<(), Error>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs.max(1))
                .map(|_| {
                    let sender = sender.clone();
                    let (queue, machine) = (&queue, &machine);
                    scope.spawn(move || {
                        let work = Work {
                            plan,
                            local: self,
                            store,
                            machine,
                            queue,
                            events: &sender,
                        };
                        queue.work(&sender, &|start| work.carry_out(start))
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
        // A run that was stopped did not come to all that was measured before.
        for (planned, status) in plan
            .cells
            .iter()
            .zip(&mut statuses)
            .filter(|(_, status)| status.is_none())
        {
            *status = done(store, planned)?.map(|record| record.status);
        }
        let missing = statuses.iter().filter(|status| status.is_none()).count();
        let interrupted = || format!("interrupted with {missing} cells left; start the same command again to go on");
        let given_up = || {
            let rounds = queue.given_up();
            let (seeds, machines): (Vec<String>, BTreeSet<&str>) = rounds
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
            stopped: queue
                .stopped()
                .or_else(|| queue.is_interrupted().then(interrupted))
                .or_else(given_up),
        })
    }
}

/// The record of a cell that has nothing left to be done.
fn done(store: &Store, planned: &Planned) -> Result<Option<Record>, Error> {
    let found = store.find(&planned.cell, &planned.key)?;
    Ok(found.filter(|record| is_done(planned, record)))
}

fn is_done(planned: &Planned, record: &Record) -> bool {
    let wanted = match planned.skip {
        Some(_) => Status::Skipped,
        None => Status::Ok,
    };
    record.status == wanted || record.status == Status::Ok
}

/// What a worker carries out cells with.
struct Work<'a> {
    plan: &'a Plan,
    local: &'a Local<'a>,
    store: &'a Store,
    machine: &'a Machine,
    queue: &'a Queue<'a>,
    events: &'a Sender<(usize, Event)>,
}

impl Work<'_> {
    fn carry_out(&self, start: &Start) -> Result<Ended, Error> {
        let (planned, store) = (&self.plan.cells[start.cell], self.store);
        let recorded = |record: Record, measured| Ended::Recorded(Box::new(record), measured);
        if let Some(done) = done(store, planned)? {
            return Ok(recorded(done, false));
        }
        let reserved = match self.plan.in_rounds && planned.skip.is_none() {
            true => self.reserve_in_round(planned)?,
            false => store.reserve(&planned.cell, &planned.key)?.ok_or(Ended::Held),
        };
        let mut reservation = match reserved {
            Ok(reservation) => reservation,
            Err(ended) => return Ok(ended),
        };
        if let Some(done) = reservation.found().filter(|record| is_done(planned, record)) {
            return Ok(recorded(done.clone(), false));
        }
        if let Some(reason) = &planned.skip {
            let skipped = planned.skipped(&self.plan.experiment, reason, self.machine);
            return Ok(recorded(reservation.record(&skipped)?, false));
        }
        for tries_left in (0..=self.plan.limits.retries).rev() {
            let terms = Terms {
                experiment: &self.plan.experiment,
                limits: self.plan.limits,
                machine: self.machine,
                gpu: start.gpu.as_deref(),
                interrupted: self.local.interrupted,
            };
            let mut watch = Sent {
                cell: start.cell,
                events: self.events,
                reservation: &mut reservation,
            };
            let (host, goes_on) = (&self.local.host, || self.queue.goes_on());
            let Some(entered) = host.enter(planned, &goes_on, &mut |reason| watch.waits(reason))? else {
                return Ok(Ended::Held);
            };
            let measured = self.local.launcher.record(planned, &terms, &mut watch)?;
            drop(entered);
            let Some(record) = measured else {
                return Ok(Ended::Held);
            };
            let stored = reservation.record(&record)?;
            if let (Status::Ok, Some(checkpoints)) = (stored.status, &planned.request.checkpoints) {
                // Whoever finds some left behind may delete them.
                let _ = fs::remove_dir_all(&checkpoints.folder);
            }
            if tries_left == 0 || stored.status != Status::Failed {
                return Ok(recorded(stored, true));
            }
        }
        Ok(Ended::Held)
    }

    /// The reservation on a cell of a round, unless another run holds it or another machine began the round.
    fn reserve_in_round(&self, planned: &Planned) -> Result<Result<Reservation, Ended>, Error> {
        if let Some(machine) = self.queue.given_up().remove(&planned.cell.seed) {
            return Ok(Err(Ended::Elsewhere(Elsewhere {
                machine,
                goes_on: false,
            })));
        }
        let mut begun = None;
        let reservation = self.store.reserve_if(&planned.cell, &planned.key, || {
            begun = elsewhere(self.plan, planned, self.store, &self.local.host, self.machine)?;
            Ok::<_, StoreError>(begun.is_none())
        })?;
        Ok(reservation.ok_or_else(|| begun.map_or(Ended::Held, Ended::Elsewhere)))
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

/// Sends what is heard of a cell to the one who tells it, and writes it where others see it.
struct Sent<'a> {
    cell: usize,
    events: &'a Sender<(usize, Event)>,
    reservation: &'a mut Reservation,
}

impl Sent<'_> {
    fn waits(&mut self, reason: String) {
        self.reservation.progress(&reason, 0, 1);
        let _ = self.events.send((self.cell, Event::Waits(reason)));
    }
}

impl Watch for Sent<'_> {
    fn started(&mut self, process: u32) {
        let _ = self.events.send((self.cell, Event::Started(process)));
    }

    fn progress(&mut self, phase: &str, done: usize, total: usize) {
        self.reservation.progress(phase, done, total);
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
