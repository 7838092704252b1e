//! What of a plan is done, and what the rest may take, by earlier records.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use prunebench_results::{Cell, CellKey, Evaluation, Record, Status, StoreError, statistics, visit_records};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::plan::Plan;

/// What earlier records say a cell takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Median time on the clock.
    pub seconds: f64,
    /// The most bytes that one of them held; absent if none was measured.
    pub peak_resident_bytes: Option<u64>,
    /// Records that this rests on.
    pub records: usize,
    /// What they have in common with the cell.
    pub same: Likeness,
}

/// What records have in common with a cell, the closest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// Model, place (engine, device and dtype), recipe and evaluation.
    Cell,
    /// Model, place and recipe.
    Recipe,
    /// Model and evaluation.
    Evaluation,
    /// Model.
    Model,
}

/// A cell of a plan before it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// How it ended, if it was tried.
    pub status: Option<Status>,
    /// Absent if there is no record of its model.
    pub estimate: Option<Estimate>,
}

/// What is left of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Remaining {
    /// Cells that a run would measure.
    pub cells: usize,
    /// Of them, those without an estimate.
    pub unknown: usize,
    /// Of the others, one after another.
    pub seconds: f64,
    /// The most that one of them may hold.
    pub peak_resident_bytes: Option<u64>,
    /// Records that this rests on.
    pub records: usize,
}

/// What a plan would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Of each cell, in the plan's order.
    pub cells: Vec<Outlook>,
    /// Of all that are to be measured.
    pub remaining: Remaining,
    /// Folders of other experiments whose records can't be read, and why.
    pub unread: Vec<String>,
}

impl Plan {
    /// Looks up every cell among the records in `results`, a folder with one for each experiment: the plan's own says what is
    /// done, all together say what the rest may take.
    ///
    /// # Errors
    /// If the plan's own records can't be read.
    pub fn forecast(&self, results: &Path) -> Result<Forecast, StoreError> {
        let mut history = History::default();
        let mut unread = Vec::new();
        let own = results.join(&self.experiment);
        let mut statuses: HashMap<CellKey, Status> = HashMap::new();
        visit(&own, &mut |record| {
            history.add(&record);
            statuses.insert(record.key, record.status);
        })?;
        for folder in experiments(results).into_iter().filter(|folder| *folder != own) {
            if let Err(error) = visit(&folder, &mut |record| history.add(&record)) {
                unread.push(error.to_string());
            }
        }
        let mut rests_on = vec![false; history.seconds.len()];
        let groups = history.groups();
        let mut remaining = Remaining::default();
        let mut cells = Vec::with_capacity(self.cells.len());
        for planned in &self.cells {
            let status = statuses.get(&planned.key).copied();
            let group = kinds(&planned.cell).into_iter().find_map(|kind| groups.get(&kind));
            if status != Some(Status::Ok) && planned.skip.is_none() {
                remaining.cells += 1;
                match group {
                    Some(group) => {
                        remaining.seconds += group.estimate.seconds;
                        remaining.peak_resident_bytes =
                            remaining.peak_resident_bytes.max(group.estimate.peak_resident_bytes);
                        group.members.iter().for_each(|&member| rests_on[member] = true);
                    }
                    None => remaining.unknown += 1,
                }
            }
            cells.push(Outlook {
                status,
                estimate: group.map(|group| group.estimate),
            });
        }
        remaining.records = rests_on.into_iter().filter(|&used| used).count();
        Ok(Forecast {
            cells,
            remaining,
            unread,
        })
    }
}

/// The folders of experiments; none if there are no results yet.
fn experiments(results: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(results).into_iter().flatten();
    let mut folders: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    folders
}

fn visit(experiment: &Path, add: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
    let records = experiment.join("records");
    if records.is_dir() {
        visit_records(&records, add)
    } else {
        Ok(())
    }
}

/// What records have in common; what is absent may differ.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    same: Likeness,
    model: String,
    place: Option<[String; 3]>,
    recipe: Option<Vec<String>>,
    evaluation: Option<Evaluation>,
}

/// The kinds that a cell is of, the closest first.
fn kinds(cell: &Cell) -> [Kind; 4] {
    use Likeness::{Cell as WholeCell, Evaluation as OneEvaluation, Model, Recipe};
    [WholeCell, Recipe, OneEvaluation, Model].map(|same| {
        let recipe = matches!(same, WholeCell | Recipe);
        Kind {
            same,
            model: cell.model.clone(),
            place: recipe.then(|| [&cell.engine, &cell.device, &cell.dtype].map(String::clone)),
            recipe: recipe.then(|| cell.recipe.clone()),
            evaluation: matches!(same, WholeCell | OneEvaluation).then(|| cell.evaluation.clone()),
        }
    })
}

/// What cells took.
#[derive(Default)]
struct History {
    seconds: Vec<f64>,
    peaks: Vec<Option<u64>>,
    of: HashMap<Kind, Vec<usize>>,
}

/// Records of one kind.
struct Group {
    estimate: Estimate,
    members: Vec<usize>,
}

impl History {
    /// Only if it ended well: a cell that was cut short says too little.
    fn add(&mut self, record: &Record) {
        let Some(seconds) = duration(record).filter(|_| record.status == Status::Ok) else {
            return;
        };
        for kind in kinds(&record.cell) {
            self.of.entry(kind).or_default().push(self.seconds.len());
        }
        self.seconds.push(seconds);
        self.peaks
            .push(record.memory.as_ref().map(|memory| memory.peak_resident_bytes));
    }

    fn groups(self) -> HashMap<Kind, Group> {
        let Self { seconds, peaks, of } = self;
        let groups = of.into_iter().filter_map(|(kind, members)| {
            let times: Vec<f64> = members.iter().map(|&member| seconds[member]).collect();
            let estimate = Estimate {
                seconds: statistics::median(&times)?,
                peak_resident_bytes: members.iter().filter_map(|&member| peaks[member]).max(),
                records: members.len(),
                same: kind.same,
            };
            Some((kind, Group { estimate, members }))
        });
        groups.collect()
    }
}

/// From start to end, to the second.
pub(crate) fn duration(record: &Record) -> Option<f64> {
    let provenance = &record.provenance;
    let duration = moment(&provenance.finished_at)? - moment(&provenance.started_at)?;
    Some(duration.as_seconds_f64().max(0.0))
}

/// A time as records have it.
pub(crate) fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
#[path = "forecast_tests.rs"]
mod tests;
