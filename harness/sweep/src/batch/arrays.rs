//! Which cells become tasks, which tasks an array, and which arrays wait for which.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;

use prunebench_results::{CellKey, Record, Status, find_record};
use serde::Serialize;

use super::shape::{Known, shape};
use super::{Batch, Queued, Shape};
use crate::dense_check;
use crate::plan::Plan;
use crate::run::Error;

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
                        dense_check::check(&record, &plan.expect).map_err(Error::Baseline)?;
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
}

/// Of the cells that share work with others of these, those that do a piece of it first.
fn makers(plan: &Plan, cells: &[usize]) -> HashSet<usize> {
    let mut sharing: HashMap<&str, Vec<usize>> = HashMap::new();
    for &cell in cells {
        for work in plan.cells[cell].shares() {
            sharing.entry(work).or_default().push(cell);
        }
    }
    let several = sharing.into_values().filter(|cells| cells.len() > 1);
    several.filter_map(|cells| cells.first().copied()).collect()
}
