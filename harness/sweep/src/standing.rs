//! How far a sweep is, as anybody can see who sees its folder.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use prunebench_results::{CellKey, Running, Status, running, statistics, visit_records};
use serde::Serialize;
use time::OffsetDateTime;

use crate::forecast::{duration, moment};
use crate::listed::ordered_keys;
use crate::tables::TablesError;
use crate::versions::Earlier;

/// How far the cells of a sweep are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Cells of the last run's plan.
    pub cells: usize,
    /// How many of them ended how; one that failed and runs again isn't counted.
    pub ended: BTreeMap<Status, usize>,
    /// Of them, those that somebody measures now.
    pub running: Vec<Running>,
    /// The others.
    pub waiting: usize,
    /// Those that ended without numbers and not by being skipped, ordered by name.
    pub unsuccessful: Vec<Unsuccessful>,
    /// Records of the folder that were measured by other versions than this program's, of cells of the plan or not.
    pub earlier: Earlier,
    /// Cells measured, over the time from the first start to the last end, pauses included; absent of too short a time.
    pub cells_per_hour: Option<f64>,
    /// What the rest takes if each cell takes the median time of those that are `ok` and as many run at once as now; absent
    /// if nothing runs or nothing is `ok`.
    pub seconds_left: Option<f64>,
}

/// A cell without numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unsuccessful {
    /// Its key.
    pub key: CellKey,
    /// Its name.
    pub cell: String,
    /// How it ended.
    pub status: Status,
    /// Why.
    pub error: String,
}

impl Standing {
    /// Looks at a results folder, which runs may be adding to.
    ///
    /// # Errors
    /// If the folder is none that a run made, or its reservations or records can't be read.
    pub fn of(folder: &Path) -> Result<Self, TablesError> {
        let keys = ordered_keys(folder)?;
        let records = folder.join("records");
        // First the reservations: a cell that ends in between has its record then.
        let running = running(&records)?;
        let mut statuses: HashMap<&str, Option<Status>> = keys.iter().map(|key| (key.short(), None)).collect();
        let mut unsuccessful = Vec::new();
        let mut seconds = Vec::new();
        let mut time = Time::default();
        let mut earlier = Earlier::default();
        visit_records(&records, &mut |record| {
            earlier.add(&record);
            let Some(status) = statuses.get_mut(record.key.short()) else {
                return;
            };
            *status = Some(record.status);
            match record.status {
                Status::Skipped => return,
                Status::Ok => seconds.extend(duration(&record)),
                _ => unsuccessful.push(Unsuccessful {
                    cell: record.cell.to_string(),
                    status: record.status,
                    error: record.error.unwrap_or_default(),
                    key: record.key,
                }),
            }
            time.add(&record.provenance.started_at, &record.provenance.finished_at);
        })?;
        let short = |running: &Running| running.stem.rsplit('-').next().unwrap_or_default().to_owned();
        let is_open = |running: &Running| {
            let status = statuses.get(short(running).as_str());
            status.is_some_and(|status| *status != Some(Status::Ok))
        };
        let running: Vec<Running> = running.into_iter().filter(is_open).collect();
        for cell in &running {
            if let Some(status) = statuses.get_mut(short(cell).as_str()) {
                *status = None;
            }
            unsuccessful.retain(|other| other.key.short() != short(cell));
        }
        let mut ended = BTreeMap::new();
        for status in statuses.values().flatten() {
            *ended.entry(*status).or_default() += 1;
        }
        let left = statuses.values().filter(|status| status.is_none()).count();
        let at_once = (!running.is_empty()).then_some(running.len() as f64);
        Ok(Self {
            cells: keys.len(),
            ended,
            waiting: left - running.len(),
            unsuccessful,
            earlier,
            cells_per_hour: time.cells_per_hour(),
            seconds_left: at_once.and_then(|at_once| Some(statistics::median(&seconds)? * left as f64 / at_once)),
            running,
        })
    }
}

/// When cells were measured.
#[derive(Default)]
struct Time {
    cells: usize,
    first: Option<OffsetDateTime>,
    last: Option<OffsetDateTime>,
}

impl Time {
    fn add(&mut self, start: &str, end: &str) {
        let (Some(start), Some(end)) = (moment(start), moment(end)) else {
            return;
        };
        self.cells += 1;
        self.first = Some(self.first.map_or(start, |first| first.min(start)));
        self.last = self.last.max(Some(end));
    }

    fn cells_per_hour(&self) -> Option<f64> {
        let seconds = (self.last? - self.first?).as_seconds_f64();
        // Records know their times to the second.
        (seconds >= 1.0).then(|| self.cells as f64 / seconds * 3600.0)
    }
}
