//! Cells as jobs of a cluster.
//!
//! What knows of a certain batch system is one implementation of [`Scheduler`]; the rest works with any. A job carries out a
//! small plan, most often of one cell, by the same means as a run on this machine. So records, claims, limits and retries are
//! the same, and what a job can't write down itself, because it was ended from outside, is written down when the queue is next
//! looked at.

mod scheduler;
mod shape;
mod slurm;
mod submission;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use prunebench_results::{CellKey, Record, Status, Store, find_record};
use serde::Serialize;

pub use scheduler::{Active, Ending, JobArray, Scheduler, SchedulerError, Shape, TaskId};
pub use slurm::Slurm;

use crate::gate;
use crate::machine::{Machine, now};
use crate::plan::{Plan, Planned};
use crate::run::{Error, Executor, Observer, Outcome};
use shape::{Known, shape};
use submission::{Submission, Task};

/// How often records are looked for while jobs are followed.
const LOOK: Duration = Duration::from_secs(1);
/// How often the queue is asked then.
const ASK: Duration = Duration::from_secs(10);
/// Times in a row that the queue may not answer: a controller that starts again takes its time.
const PATIENCE: u32 = 30;
/// Lines of a job's output that the record of a cell keeps which the job could not write itself.
const LAST_LINES: usize = 10;

/// Carries out plans by a batch system.
pub struct Batch<'a> {
    /// The batch system.
    pub scheduler: &'a dyn Scheduler,
    /// Program and first arguments of a task; the files of its tasks and of the records, and its number, are appended.
    /// It carries out [`task_plan`].
    pub command: Vec<OsString>,
    /// Folder of the experiment's results.
    pub folder: PathBuf,
    /// What the batch system is told beside what the plan needs, in its own words.
    pub options: Vec<String>,
    /// Ends the following of the jobs, which go on.
    pub interrupted: &'a AtomicBool,
}

/// Tasks of one shape that wait for the same.
#[derive(Debug, Clone, Serialize)]
pub struct Array {
    /// What each task gets.
    #[serde(flatten)]
    pub shape: Shape,
    /// What it waits for.
    pub stage: Stage,
    /// Of each task the cells, by their place in the plan.
    pub tasks: Vec<Vec<usize>>,
}

/// The order of arrays: each stage waits for those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing: baselines, and cells that bring their own.
    Baseline,
    /// The baselines, which must come out as expected: the first cell of those that share work ([`Planned::shares`]).
    Shared,
    /// The cells that share their work, too, so that nothing is made twice.
    Compressed,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baseline => "at once",
            Self::Shared => "after the baselines",
            Self::Compressed => "after all of these",
        })
    }
}

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
    job: String,
}

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
    /// The arrays of the cells that have no `ok` record and aren't in the queue.
    ///
    /// # Errors
    /// If records can't be read, a baseline that is done isn't as expected, or a cell names a GPU beside the only one that its
    /// job sees.
    pub fn arrays(&self, plan: &Plan, queued: &[Queued]) -> Result<Vec<Array>, Error> {
        let queued: HashSet<&CellKey> = queued.iter().map(|queued| &queued.key).collect();
        let mut found: HashMap<usize, Record> = HashMap::new();
        let mut todo = Vec::new();
        for (cell, planned) in plan.cells.iter().enumerate() {
            let record = find_record(&self.records(), &planned.cell, &planned.key)?;
            match record {
                Some(record) if record.status == Status::Ok => {
                    if planned.is_baseline() {
                        gate::check(&record, &plan.expect).map_err(Error::Baseline)?;
                    }
                    continue;
                }
                _ if planned.skip.is_some() || queued.contains(&planned.key) => continue,
                record => found.extend(record.map(|record| (cell, record))),
            }
            if let Some(device) = planned.beyond_one_gpu() {
                return Err(Error::Device(device.to_owned()));
            }
            todo.push(cell);
        }
        let forecast = plan.forecast(self.folder.parent().unwrap_or(Path::new(".")))?;
        let shape_of = |cells: &[usize]| {
            let known = cells.iter().map(|&cell| Known {
                planned: &plan.cells[cell],
                estimate: forecast.cells[cell].estimate,
                found: found.get(&cell),
            });
            shape(&known.collect::<Vec<_>>(), plan.limits)
        };
        let mut arrays: BTreeMap<(Stage, Shape), Vec<Vec<usize>>> = BTreeMap::new();
        // Rounds mean nothing unless one machine runs them all, interleaved.
        if plan.in_rounds {
            if !todo.is_empty() {
                arrays.insert((Stage::Baseline, shape_of(&todo)), vec![todo]);
            }
        } else {
            let makers = makers(plan, &todo);
            for cell in todo {
                let stage = match plan.cells[cell].is_baseline() {
                    true => Stage::Baseline,
                    false if makers.contains(&cell) => Stage::Shared,
                    false => Stage::Compressed,
                };
                arrays.entry((stage, shape_of(&[cell]))).or_default().push(vec![cell]);
            }
        }
        let arrays = arrays.into_iter();
        Ok(arrays
            .map(|((stage, shape), tasks)| Array { shape, stage, tasks })
            .collect())
    }

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
                && let Some(mut claim) = store.claim(&planned.cell, &planned.key)?
                && claim.found().is_none()
            {
                claim.record(&planned.skipped(&plan.experiment, reason, &machine))?;
            }
        }
        Ok(())
    }

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

    fn records(&self) -> PathBuf {
        self.folder.join("records")
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
        let Some(mut claim) = store.claim(&planned.cell, &planned.key)? else {
            // Somebody else measures it now.
            return Ok(false);
        };
        if claim.found().map_or(0, Record::tries) == before {
            let lines: Vec<&str> = log.as_deref().unwrap_or_default().lines().collect();
            let last = lines[lines.len().saturating_sub(LAST_LINES)..].iter();
            claim.record(&Record {
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

    /// Hears of each cell as its record appears, until no task of the plan is left in the queue.
    fn follow(&self, plan: &Plan, store: &Store, before: &[usize], observer: &mut dyn Observer) -> Result<(), Error> {
        let mut open: Vec<usize> = (0..plan.cells.len()).collect();
        let (mut asked, mut failures, mut last_look) = (Instant::now(), 0, false);
        loop {
            let mut left = Vec::new();
            for cell in open {
                let planned = &plan.cells[cell];
                match store.find(&planned.cell, &planned.key)? {
                    Some(record) if is_settled(&record) || record.tries() > before[cell] => {
                        observer.finished(cell, &record, record.tries() > before[cell]);
                    }
                    _ => left.push(cell),
                }
            }
            open = left;
            if open.is_empty() || last_look || self.interrupted.load(Ordering::Relaxed) {
                return Ok(());
            }
            sleep(LOOK);
            if asked.elapsed() < ASK {
                continue;
            }
            match self.queue() {
                Ok(queue) => {
                    failures = 0;
                    let queued: HashSet<&CellKey> = queue.iter().map(|queued| &queued.key).collect();
                    last_look = !open.iter().any(|&cell| queued.contains(&plan.cells[cell].key));
                }
                Err(Error::Scheduler(_)) if failures < PATIENCE => failures += 1,
                Err(error) => return Err(error),
            }
            asked = Instant::now();
        }
    }
}

impl Executor for Batch<'_> {
    /// Submits the plan and follows its jobs to their end, or until it is interrupted, while they go on.
    fn execute(&self, plan: &Plan, store: &Store, observer: &mut dyn Observer) -> Result<Outcome, Error> {
        let before = plan.cells.iter().map(|planned| tries(store, planned));
        let before: Vec<usize> = before.collect::<Result<_, _>>()?;
        self.submit(plan, store)?;
        self.follow(plan, store, &before, observer)?;
        let mut outcome = Outcome {
            statuses: Vec::with_capacity(plan.cells.len()),
            measured: 0,
            stopped: None,
        };
        for (planned, before) in plan.cells.iter().zip(before) {
            let record = store.find(&planned.cell, &planned.key)?;
            outcome.statuses.push(record.as_ref().map(|record| record.status));
            let Some(record) = record else {
                continue;
            };
            outcome.measured += usize::from(record.tries() > before);
            if planned.is_baseline() && record.status != Status::Skipped {
                outcome.stopped = outcome.stopped.or(gate::check(&record, &plan.expect).err());
            }
        }
        let left = outcome.statuses.iter().filter(|status| status.is_none()).count();
        if self.interrupted.load(Ordering::Relaxed) && left > 0 {
            let reason = format!(
                "not followed any more with {left} cells left, whose jobs go on; `prunebench cancel` ends them"
            );
            outcome.stopped = outcome.stopped.or(Some(reason));
        }
        Ok(outcome)
    }
}

/// The plan of the task of this number in a file of tasks.
///
/// # Errors
/// A file without that task.
pub fn task_plan(tasks: &Path, index: usize) -> Result<Plan, Error> {
    Ok(submission::task(tasks, index).map_err(Error::Files)?.plan)
}

/// Of the cells that share work with others of these, those that do a piece of it first.
fn makers(plan: &Plan, cells: &[usize]) -> HashSet<usize> {
    let mut sharing: HashMap<&str, Vec<usize>> = HashMap::new();
    for &cell in cells {
        for product in plan.cells[cell].shares() {
            sharing.entry(product).or_default().push(cell);
        }
    }
    let several = sharing.into_values().filter(|cells| cells.len() > 1);
    several.filter_map(|cells| cells.first().copied()).collect()
}

fn is_settled(record: &Record) -> bool {
    matches!(record.status, Status::Ok | Status::Skipped)
}

/// How often a cell was tried.
fn tries(store: &Store, planned: &Planned) -> Result<usize, Error> {
    let found = store.find(&planned.cell, &planned.key)?;
    Ok(found.as_ref().map_or(0, Record::tries))
}

#[cfg(test)]
mod tests;
