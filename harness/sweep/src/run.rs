//! Runs what is not done, one cell after another, and stops at a baseline that comes out wrong.

use std::io;

use prunebench_results::{Record, Status, Store, StoreError};

use crate::gate;
use crate::machine::Machine;
use crate::plan::{Plan, Planned};
use crate::process::{Launcher, Watch};

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
    /// Measures every cell that has no `ok` record in `store`. Cells that failed before are tried again.
    ///
    /// # Errors
    /// If records can't be kept or processes can't be started; a cell that fails is a record, and no error.
    pub fn run(&self, store: &Store, launcher: &Launcher, observer: &mut dyn Observer) -> Result<Outcome, Error> {
        let machine = Machine::look();
        let mut outcome = Outcome {
            records: Vec::with_capacity(self.cells.len()),
            measured: 0,
            stopped: None,
        };
        for planned in &self.cells {
            let done = store.find(&planned.key)?.filter(|record| record.status == Status::Ok);
            let measured = done.is_none();
            let record = match done {
                Some(record) => record,
                None => self.measure(planned, store, launcher, &machine, observer)?,
            };
            outcome.measured += usize::from(measured);
            observer.finished(&record, measured);
            if planned.is_baseline() {
                outcome.stopped = gate::check(&record, &self.expect).err();
            }
            outcome.records.push(record);
            if outcome.stopped.is_some() {
                break;
            }
        }
        Ok(outcome)
    }

    /// Measures one cell in a process of its own, and keeps nothing.
    ///
    /// # Errors
    /// If the process can't be started.
    pub fn measure_only(&self, planned: &Planned, launcher: &Launcher, watch: &mut dyn Watch) -> Result<Record, Error> {
        Ok(launcher.record(planned, &self.experiment, self.limits, &Machine::look(), watch)?)
    }

    fn measure(
        &self,
        planned: &Planned,
        store: &Store,
        launcher: &Launcher,
        machine: &Machine,
        watch: &mut dyn Watch,
    ) -> Result<Record, Error> {
        let mut record = launcher.record(planned, &self.experiment, self.limits, machine, watch)?;
        match store.record(&record) {
            // A number that no record can hold: the cell failed, and that is a record.
            Err(error @ StoreError::Unwritable { .. }) => {
                record.status = Status::Failed;
                record.error = Some(error.to_string());
                record.metrics = None;
                store.record(&record)?;
            }
            other => {
                other?;
            }
        }
        Ok(record)
    }
}
