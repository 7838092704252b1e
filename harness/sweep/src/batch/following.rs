//! Following a plan's jobs to their end.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use prunebench_results::{CellKey, Record, Status, Store};

use super::Batch;
use super::queue::tries;
use crate::dense_check;
use crate::plan::Plan;
use crate::run::{Error, Executor, Observer, Outcome};

/// How often records are looked for while jobs are followed.
const LOOK: Duration = Duration::from_secs(1);
/// How often the queue is asked then.
const ASK: Duration = Duration::from_secs(10);
/// Times in a row that the queue may not answer: a controller that starts again takes its time.
const PATIENCE: u32 = 30;
impl Batch<'_> {
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
                outcome.stopped = outcome.stopped.or(dense_check::check(&record, &plan.expect).err());
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

fn is_settled(record: &Record) -> bool {
    matches!(record.status, Status::Ok | Status::Skipped)
}
