//! Handing a plan over to the batch system.

use std::collections::HashMap;
use std::path::PathBuf;

use prunebench_results::{CellKey, Store};
use serde::Serialize;

use super::queue::tries;
use super::submission::{Submission, Task};
use super::{Array, Batch, JobArray, Queued, Stage};
use crate::machine::Machine;
use crate::plan::{Plan, Planned};
use crate::run::Error;

/// What was handed over.
#[derive(Debug, Serialize)]
pub struct Submitted {
    /// Each array with the job that it became.
    pub jobs: Vec<(String, Array)>,
    /// Cells that have their numbers, or can't have any.
    pub done: usize,
    /// Cells that were in the queue already.
    pub queued: usize,
}

impl Batch<'_> {
    /// Submits what has no `ok` record and isn't in the queue, and writes down which cells can't be.
    ///
    /// # Errors
    /// As [`Batch::arrays`], and if the batch system refuses or files can't be written. What was submitted before that stays so.
    pub fn submit(&self, plan: &Plan, store: &Store) -> Result<Submitted, Error> {
        let queued = self.queue()?;
        let arrays = self.arrays(plan, &queued)?;
        let of_plan: HashMap<&CellKey, &Planned> = plan.cells.iter().map(|planned| (&planned.key, planned)).collect();
        let queued: Vec<&Queued> = queued
            .iter()
            .filter(|queued| of_plan.contains_key(&queued.key))
            .collect();
        let to_come: usize = arrays.iter().flat_map(|array| &array.tasks).map(Vec::len).sum();
        self.skip(plan, store)?;
        let mut submitted = Submitted {
            jobs: Vec::new(),
            done: plan.cells.len() - to_come - queued.len(),
            queued: queued.len(),
        };
        if arrays.is_empty() {
            return Ok(submitted);
        }
        let baselines = queued.iter().filter(|queued| of_plan[&queued.key].is_baseline());
        let mut baselines: Vec<String> = baselines.map(|queued| queued.job.clone()).collect();
        baselines.sort();
        baselines.dedup();
        let largest = self.scheduler.largest_array()?;
        let mut submission = Submission::new(&self.folder).map_err(Error::Files)?;
        for array in arrays {
            for tasks in array.tasks.chunks(largest) {
                let array = Array {
                    tasks: tasks.to_vec(),
                    ..array.clone()
                };
                let before = |stage: Stage| submitted.jobs.iter().filter(move |(_, array)| array.stage == stage);
                let names = |stage| before(stage).map(|(job, _)| job.clone());
                let (after_success, after): (Vec<String>, Vec<String>) = match array.stage {
                    Stage::Baseline => Default::default(),
                    Stage::Shared => (
                        baselines.iter().cloned().chain(names(Stage::Baseline)).collect(),
                        Vec::new(),
                    ),
                    Stage::Compressed => (
                        baselines.iter().cloned().chain(names(Stage::Baseline)).collect(),
                        names(Stage::Shared).collect(),
                    ),
                };
                let job = self.submit_array(plan, store, &mut submission, &array, [&after_success, &after])?;
                submitted.jobs.push((job, array));
            }
        }
        Ok(submitted)
    }

    fn submit_array(
        &self,
        plan: &Plan,
        store: &Store,
        submission: &mut Submission,
        array: &Array,
        [after_success, after]: [&[String]; 2],
    ) -> Result<String, Error> {
        let tasks: Vec<Task> = array
            .tasks
            .iter()
            .map(|cells| {
                let plan = plan.part(cells);
                let tries = plan.cells.iter().map(|planned| tries(store, planned));
                let tries = tries.collect::<Result<_, Error>>()?;
                Ok(Task { plan, tries })
            })
            .collect::<Result<_, Error>>()?;
        let file = submission.write_tasks(&tasks).map_err(Error::Files)?;
        let records = store.folder().canonicalize().map_err(Error::Files)?;
        let mut command = self.command.clone();
        command.extend([file.clone(), records].map(PathBuf::into_os_string));
        let job = self.scheduler.submit(&JobArray {
            name: &format!("prunebench-{}", plan.experiment),
            tasks: tasks.len(),
            shape: array.shape,
            after_success,
            after,
            command: &command,
            logs: &submission.logs(),
            options: &self.options,
        })?;
        submission.add(job.clone(), &file, array.shape).map_err(Error::Files)?;
        Ok(job)
    }

    /// Writes the records of the cells that can't be, which needs no machine.
    fn skip(&self, plan: &Plan, store: &Store) -> Result<(), Error> {
        let machine = Machine::look();
        for planned in &plan.cells {
            if let Some(reason) = &planned.skip
                && store.find(&planned.cell, &planned.key)?.is_none()
                && let Some(mut reservation) = store.reserve(&planned.cell, &planned.key)?
                && reservation.found().is_none()
            {
                reservation.record(&planned.skipped(&plan.experiment, reason, &machine))?;
            }
        }
        Ok(())
    }
}
