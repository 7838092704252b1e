//! What is in the batch system's queue, and what becomes of what has left it without a record.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use prunebench_results::{CellKey, Record, Store};
use serde::Serialize;

use super::submission::{Submission, Task};
use super::{Batch, Ending, TaskId};
use crate::machine::{Machine, now};
use crate::plan::Planned;
use crate::run::Error;

/// Lines of a job's output that the record of a cell keeps which the job could not write itself.
const LAST_LINES: usize = 10;

/// A cell whose task hasn't ended.
#[derive(Debug, Clone, Serialize)]
pub struct Queued {
    /// Which cell.
    pub key: CellKey,
    /// Its task, as the batch system names it.
    pub task: String,
    /// The task's state, in the batch system's own words.
    pub state: String,
    #[serde(skip)]
    pub(super) job: String,
}

impl Batch<'_> {
    /// The cells of this experiment whose tasks haven't ended.
    ///
    /// # Errors
    /// If the queue or the files of the submissions can't be read.
    pub fn waiting(&self) -> Result<Vec<Queued>, Error> {
        self.look(false)
    }

    /// The cells of this experiment whose tasks haven't ended. The cells of those that have ended without leaving a record get
    /// one that says why, unless they were cancelled.
    ///
    /// # Errors
    /// As [`Batch::waiting`], and if a record can't be written.
    pub fn queue(&self) -> Result<Vec<Queued>, Error> {
        self.look(true)
    }

    fn look(&self, settle: bool) -> Result<Vec<Queued>, Error> {
        let submissions = Submission::all(&self.folder).map_err(Error::Files)?;
        let mut jobs = submissions.iter().flat_map(|submission| &submission.jobs);
        if jobs.all(|job| job.settled) {
            return Ok(Vec::new());
        }
        let store = settle.then(|| Store::open(self.records())).transpose()?;
        // Before any record is looked for: a task that ends now has left its record.
        let active = self.scheduler.active()?.into_iter();
        let active: HashMap<TaskId, String> = active.map(|active| (active.task, active.state)).collect();
        let mut queued = Vec::new();
        for mut submission in submissions {
            for place in 0..submission.jobs.len() {
                let job = &submission.jobs[place];
                if job.settled {
                    continue;
                }
                let mut settled = settle;
                for (id, task) in submission.tasks(job).map_err(Error::Files)? {
                    if let Some(state) = active.get(&id) {
                        settled = false;
                        queued.extend(task.plan.cells.into_iter().map(|planned| Queued {
                            key: planned.key,
                            task: id.to_string(),
                            state: state.clone(),
                            job: id.job.clone(),
                        }));
                    } else if let Some(store) = &store {
                        settled &= self.settle(&id, &task, &submission.logs(), store)?;
                    }
                }
                if settled {
                    submission.jobs[place].settled = true;
                    submission.write_jobs().map_err(Error::Files)?;
                }
            }
        }
        Ok(queued)
    }

    /// Writes what a task that has ended could not. Of several cells it was the first without a record that it worked on.
    /// Gives whether nothing is left to be done for it.
    fn settle(&self, id: &TaskId, task: &Task, logs: &Path, store: &Store) -> Result<bool, Error> {
        let mut left = None;
        for (planned, &before) in task.plan.cells.iter().zip(&task.tries) {
            if tries(store, planned)? == before {
                left = Some((planned, before));
                break;
            }
        }
        let Some((planned, before)) = left else {
            return Ok(true);
        };
        let log = fs::read(id.log(logs)).ok();
        let log = log.map(|log| String::from_utf8_lossy(&log).into_owned());
        let Ending::Cut(status, error) = self.scheduler.ending(id, log.as_deref())? else {
            return Ok(true);
        };
        let Some(mut reservation) = store.reserve(&planned.cell, &planned.key)? else {
            // Somebody else measures it now.
            return Ok(false);
        };
        if reservation.found().map_or(0, Record::tries) == before {
            let lines: Vec<&str> = log.as_deref().unwrap_or_default().lines().collect();
            let last = lines[lines.len().saturating_sub(LAST_LINES)..].iter();
            reservation.record(&Record {
                error: Some(error),
                log: last.map(ToString::to_string).collect(),
                ..planned.record(status, &task.plan.experiment, &Machine::look(), None, now())
            })?;
        }
        Ok(true)
    }

    /// Ends every task of this experiment, also those that haven't begun, and gives how many cells they had left.
    ///
    /// # Errors
    /// As [`Batch::queue`], and if the batch system refuses.
    pub fn cancel(&self) -> Result<usize, Error> {
        let queued = self.queue()?;
        let mut jobs: Vec<String> = queued.iter().map(|queued| queued.job.clone()).collect();
        jobs.sort();
        jobs.dedup();
        if !jobs.is_empty() {
            self.scheduler.cancel(&jobs)?;
        }
        Ok(queued.len())
    }
}

/// How often a cell was tried.
pub(super) fn tries(store: &Store, planned: &Planned) -> Result<usize, Error> {
    let found = store.find(&planned.cell, &planned.key)?;
    Ok(found.as_ref().map_or(0, Record::tries))
}
