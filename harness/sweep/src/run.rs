//! Runs what is not done, one cell after another, and stops at a baseline that comes out wrong.

use std::collections::VecDeque;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use prunebench_results::{Record, Status, Store, StoreError, read_samples};

use crate::gate;
use crate::machine::Machine;
use crate::plan::{Plan, Planned};
use crate::process::{Launcher, Watch};

/// How long to wait before another look at a cell that another run measures.
const WAIT: Duration = Duration::from_millis(100);

/// What a sweep left.
#[derive(Debug)]
pub struct Outcome {
    /// The records of the plan's cells, in its order, as far as it came.
    pub records: Vec<Record>,
    /// Cells measured now; the other records were there.
    pub measured: usize,
    /// Why the sweep stopped early, if it did.
    pub stopped: Option<String>,
}

impl Outcome {
    /// Whether every cell of the plan has its numbers.
    pub fn is_complete(&self) -> bool {
        self.stopped.is_none() && self.records.iter().all(|record| record.status == Status::Ok)
    }
}

/// What is heard of a running sweep.
pub trait Observer: Watch {
    /// A cell needs no measurement, or has been measured now.
    fn finished(&mut self, record: &Record, measured: bool);
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
}

impl Plan {
    /// Measures every cell that has no `ok` record in `store`, and waits for those that another run measures. Cells that
    /// failed before are tried again.
    ///
    /// # Errors
    /// If records can't be kept or processes can't be started; a cell that fails is a record, and no error.
    pub fn run(&self, store: &Store, launcher: &Launcher, observer: &mut dyn Observer) -> Result<Outcome, Error> {
        let machine = Machine::look();
        let mut records: Vec<Option<Record>> = vec![None; self.cells.len()];
        let mut measured = 0;
        let mut stopped = None;
        let mut open: VecDeque<usize> = (0..self.cells.len()).collect();
        while let (Some(place), None) = (open.pop_front(), &stopped) {
            let planned = &self.cells[place];
            let Some((record, is_new)) = self.settle(planned, store, launcher, &machine, observer)? else {
                // Nothing comes before the baselines; of the others any may be next.
                match planned.is_baseline() {
                    true => open.push_front(place),
                    false => open.push_back(place),
                }
                sleep(WAIT);
                continue;
            };
            measured += usize::from(is_new);
            observer.finished(&record, is_new);
            if planned.is_baseline() {
                stopped = gate::check(&record, &self.expect).err();
            }
            records[place] = Some(record);
        }
        let mut records: Vec<Record> = records.into_iter().flatten().collect();
        for record in &mut records {
            read_samples(store.folder(), record)?;
        }
        Ok(Outcome {
            records,
            measured,
            stopped,
        })
    }

    /// The record of a cell, and whether it was measured now; `None` while another run measures it.
    fn settle(
        &self,
        planned: &Planned,
        store: &Store,
        launcher: &Launcher,
        machine: &Machine,
        watch: &mut dyn Watch,
    ) -> Result<Option<(Record, bool)>, Error> {
        let is_done = |record: &Record| record.status == Status::Ok;
        if let Some(done) = store.find(&planned.cell, &planned.key)?.filter(is_done) {
            return Ok(Some((done, false)));
        }
        let Some(mut claim) = store.claim(&planned.cell, &planned.key)? else {
            return Ok(None);
        };
        if let Some(done) = claim.found().filter(|record| is_done(record)) {
            return Ok(Some((done.clone(), false)));
        }
        let record = launcher.record(planned, &self.experiment, self.limits, machine, watch)?;
        Ok(Some((claim.record(&record)?, true)))
    }

    /// Measures one cell in a process of its own, and keeps nothing.
    ///
    /// # Errors
    /// If the process can't be started.
    pub fn measure_only(&self, planned: &Planned, launcher: &Launcher, watch: &mut dyn Watch) -> Result<Record, Error> {
        Ok(launcher.record(planned, &self.experiment, self.limits, &Machine::look(), watch)?)
    }
}
