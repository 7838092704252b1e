//! Records as one HTML file that needs nothing else: tables, plots, and where every number comes from.

mod charts;

use std::collections::{BTreeMap, HashMap};

use minijinja::{Environment, context};
use prunebench_results::{Cell, Evaluation, Metrics, Provenance, Record, Status};
use serde::Serialize;

use self::charts::{Chart, charts};
use crate::gate::{Change, GateError, Observed, Scale, Series, Snapshot, machine, plain};
use crate::statistics::Interval;
use crate::table::Table;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A page in the making, to which records are given one by one, so that their samples need not be held together.
#[derive(Debug)]
pub struct Page<'a> {
    dense: &'a [String],
    sections: Vec<Section>,
    section_of: HashMap<(String, String, Evaluation), usize>,
    places: Vec<Place>,
    place_of: HashMap<Place, usize>,
    tables: Vec<PlainTable>,
    records: usize,
}

/// The records of a store that have one model and one evaluation.
#[derive(Debug)]
struct Section {
    store: String,
    model: String,
    groups: Vec<Group>,
    group_of: HashMap<Cell, usize>,
}

/// The records that differ in nothing but their seed.
#[derive(Debug)]
struct Group {
    cells: Vec<Observed>,
    origins: Vec<Origin>,
    /// Numbers that are not compared item by item, of each seed.
    plain: Vec<BTreeMap<String, f64>>,
    charts: Vec<Chart>,
}

/// What a record rests on.
#[derive(Debug, Serialize)]
struct Origin {
    key: String,
    seed: u64,
    status: String,
    place: usize,
    experiment: String,
    started: String,
    finished: String,
    attempts: usize,
}

/// Where a record was measured and by what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
struct Place {
    revision: String,
    prunebench: String,
    engine: String,
    rustc: String,
    machine: String,
    os: String,
}

#[derive(Debug, Serialize)]
struct PlainTable {
    caption: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

/// A number as the page has it.
#[derive(Debug, Default, Serialize)]
struct Number {
    value: f64,
    /// 95 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<[f64; 2]>,
    /// The same items of the dense model beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Beside>,
}

/// A difference to the dense model, in points or as a share of it.
#[derive(Debug, Serialize)]
struct Beside {
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<f64>,
}

/// What the page knows of a number's name.
#[derive(Debug, Clone, Serialize)]
struct Measure {
    name: String,
    unit: &'static str,
    /// Which end is good; absent where neither is.
    better: Option<Better>,
    /// Whether it says how good a model is, rather than what it costs.
    quality: bool,
    /// What differences to the dense model are in.
    scale: Option<Scale>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Better {
    Lower,
    Higher,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    recipe: String,
    place: String,
    dense: bool,
    seeds: usize,
    ok: usize,
    status: String,
    numbers: BTreeMap<&'a str, Number>,
    origins: &'a [Origin],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    charts: &'a [Chart],
}

/// A page that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// There is nothing to show, or a cell twice.
    #[error(transparent)]
    Records(#[from] GateError),
    /// The data can't be written as JSON.
    #[error("the page's data can't be written ({0})")]
    Data(#[from] serde_json::Error),
    /// The template can't be filled.
    #[error("the page can't be made ({0})")]
    Template(#[from] minijinja::Error),
}

impl<'a> Page<'a> {
    /// A page without records. Differences are to the records of the recipe `dense`.
    pub fn new(dense: &'a [String]) -> Self {
        Self {
            dense,
            sections: Vec::new(),
            section_of: HashMap::new(),
            places: Vec::new(),
            place_of: HashMap::new(),
            tables: Vec::new(),
            records: 0,
        }
    }

    /// Adds a table as it is, such as a list of verdicts, above the records.
    pub fn add_table(&mut self, table: &Table) {
        self.tables.push(PlainTable {
            caption: table.caption.clone(),
            columns: table.columns.iter().map(ToString::to_string).collect(),
            rows: table
                .rows
                .iter()
                .map(|row| row.iter().map(ToString::to_string).collect())
                .collect(),
            notes: table.notes.clone(),
        });
    }

    /// Adds a record, samples included, of the store that is called `store`.
    ///
    /// # Errors
    /// If its cell is there already.
    pub fn add(&mut self, store: &str, record: &Record) -> Result<(), PageError> {
        let cell = &record.cell;
        let key = (store.to_owned(), cell.model.clone(), cell.evaluation.clone());
        let section = *self.section_of.entry(key).or_insert_with(|| {
            self.sections.push(Section {
                store: store.to_owned(),
                model: cell.model.clone(),
                groups: Vec::new(),
                group_of: HashMap::new(),
            });
            self.sections.len() - 1
        });
        let place = self.place(&record.provenance);
        let section = &mut self.sections[section];
        let seedless = Cell {
            seed: 0,
            ..cell.clone()
        };
        let group = *section.group_of.entry(seedless).or_insert_with(|| {
            section.groups.push(Group {
                cells: Vec::new(),
                origins: Vec::new(),
                plain: Vec::new(),
                charts: record.metrics.as_ref().map(charts).unwrap_or_default(),
            });
            section.groups.len() - 1
        });
        let group = &mut section.groups[group];
        if group.cells.iter().any(|other| other.cell.seed == cell.seed) {
            return Err(GateError::Twice { cell: cell.to_string() }.into());
        }
        let observed = Snapshot::of(std::slice::from_ref(record), self.dense)?.cells;
        group.cells.extend(observed);
        group.plain.push(
            record
                .metrics
                .as_ref()
                .map(|m| plain_numbers(record, m))
                .unwrap_or_default(),
        );
        group.origins.push(Origin {
            key: record.key.to_string(),
            seed: cell.seed,
            status: match &record.error {
                None => record.status.to_string(),
                Some(error) => format!("{}: {error}", record.status),
            },
            place,
            experiment: record.experiment.clone(),
            started: record.provenance.started_at.clone(),
            finished: record.provenance.finished_at.clone(),
            attempts: record.attempts.len() + 1,
        });
        self.records += 1;
        Ok(())
    }

    fn place(&mut self, provenance: &Provenance) -> usize {
        let revision = provenance.git_revision.as_deref().unwrap_or("unknown");
        let place = Place {
            revision: format!("{revision}{}", if provenance.git_dirty { " dirty" } else { "" }),
            prunebench: provenance.prunebench_version.clone(),
            engine: provenance.engine_version.clone(),
            rustc: provenance.rustc.clone(),
            machine: machine(provenance),
            os: provenance.os.clone(),
        };
        *self.place_of.entry(place).or_insert_with_key(|place| {
            self.places.push(place.clone());
            self.places.len() - 1
        })
    }

    /// The page under this title.
    ///
    /// # Errors
    /// If there is no record.
    pub fn to_html(&self, title: &str) -> Result<String, PageError> {
        if self.records == 0 {
            return Err(GateError::Empty { what: "what was given" }.into());
        }
        let sections: Vec<_> = self
            .sections
            .iter()
            .map(|section| {
                let (measures, rows) = self.rows(section);
                serde_json::json!({
                    "store": section.store, "model": section.model, "measures": measures, "rows": rows,
                })
            })
            .collect();
        let data = serde_json::json!({
            "records": self.records, "places": self.places, "tables": self.tables, "sections": sections,
        });
        // Inside of a script element nothing but `<` can end it.
        let data = serde_json::to_string(&data)?.replace('<', "\\u003c");
        let context = context! { title, data, style => STYLE, script => SCRIPT };
        Ok(Environment::new().render_named_str("page.html", TEMPLATE, context)?)
    }

    fn rows<'s>(&self, section: &'s Section) -> (Vec<Measure>, Vec<Row<'s>>) {
        let mut measures: Vec<Measure> = Vec::new();
        let mut rows = Vec::new();
        for group in &section.groups {
            let Some(first) = group.cells.first() else { continue };
            let cell = &first.cell;
            let beside = section.groups.iter().find(|other| {
                other.cells.first().is_some_and(|other| {
                    let other = &other.cell;
                    other.recipe == self.dense
                        && (&other.engine, &other.device, &other.dtype) == (&cell.engine, &cell.device, &cell.dtype)
                })
            });
            let is_dense = cell.recipe == self.dense;
            let mut numbers = BTreeMap::new();
            let names = group.cells.iter().zip(&group.plain);
            let names = names.flat_map(|(cell, plain)| cell.series.keys().chain(plain.keys()));
            for name in names {
                if numbers.contains_key(name.as_str()) {
                    continue;
                }
                let Some((number, measure)) = group.number(name, beside.filter(|_| !is_dense)) else {
                    continue;
                };
                match measures.iter_mut().find(|other| other.name == *name) {
                    Some(other) => other.scale = other.scale.or(measure.scale),
                    None => measures.push(measure),
                }
                numbers.insert(name.as_str(), number);
            }
            let failed = group.cells.iter().find(|cell| cell.status != Status::Ok);
            rows.push(Row {
                recipe: cell.recipe.join(" + "),
                place: format!("{} {} {}", cell.engine, cell.device, cell.dtype),
                dense: is_dense,
                seeds: group.cells.len(),
                ok: group.cells.iter().filter(|cell| cell.status == Status::Ok).count(),
                status: failed.map_or_else(|| Status::Ok.to_string(), Observed::outcome),
                numbers,
                origins: &group.origins,
                charts: &group.charts,
            });
        }
        measures.sort_by_key(|measure| {
            (
                !measure.quality,
                measure.quality && matches!(measure.better, Some(Better::Higher)),
            )
        });
        rows.sort_by_key(|row| !row.dense);
        (measures, rows)
    }
}

impl Group {
    /// A number over the seeds that have it, and what it is.
    fn number(&self, name: &str, dense: Option<&Group>) -> Option<(Number, Measure)> {
        let measure = |unit, better, quality, scale| Measure {
            name: name.to_owned(),
            unit,
            better,
            quality,
            scale,
        };
        let series: Vec<&Series> = self.cells.iter().filter_map(|cell| cell.series.get(name)).collect();
        let Some(first) = series.first() else {
            let values: Vec<f64> = self.plain.iter().filter_map(|plain| plain.get(name).copied()).collect();
            let value = prunebench_results::statistics::mean(&values)?;
            let (unit, better) = plain_measure(name);
            let number = Number {
                value: short(value),
                ..Number::default()
            };
            return Some((number, measure(unit, better, false, None)));
        };
        let (value, interval) = plain(&series)?;
        // Of answers that are all alike nothing is known of how they might vary, and no share is beyond all.
        let interval = interval.filter(|ends| ends.low < ends.high).map(|ends| match first {
            Series::Answers { .. } => Interval {
                low: ends.low.max(0.0),
                high: ends.high.min(1.0),
            },
            _ => ends,
        });
        let change = dense.and_then(|dense| self.beside(name, dense));
        let scale = change.as_ref().map(|change| change.scale);
        let ends = |interval: Option<Interval>| interval.map(|ends| [short(ends.low), short(ends.high)]);
        let number = Number {
            value: match first {
                Series::Count { .. } => value,
                _ => short(value),
            },
            interval: ends(interval),
            change: change.map(|change| Beside {
                value: short(change.difference),
                interval: ends(change.interval),
                p: change.test.map(|(_, p)| short(p)),
            }),
        };
        Some((
            number,
            match first {
                Series::Losses { .. } => measure("", Some(Better::Lower), true, scale),
                Series::Answers { .. } => measure("share right", Some(Better::Higher), true, scale),
                Series::Speed { .. } => return None,
                Series::Count { .. } => {
                    let (unit, better) = plain_measure(name);
                    measure(unit, better, false, None)
                }
            },
        ))
    }

    /// The change against the dense model, each seed with its own, or with the first where the dense model has no such seed.
    fn beside(&self, name: &str, dense: &Group) -> Option<Change> {
        let has = |cell: &&Observed| {
            matches!(
                cell.series.get(name),
                Some(Series::Losses { .. } | Series::Answers { .. })
            )
        };
        let pairs: Vec<(&Observed, &Observed)> = self
            .cells
            .iter()
            .filter(has)
            .filter_map(|cell| {
                let same_seed = dense
                    .cells
                    .iter()
                    .filter(has)
                    .find(|other| other.cell.seed == cell.cell.seed);
                Some((same_seed.or_else(|| dense.cells.iter().find(has))?, cell))
            })
            .collect();
        Change::of_numbers(name, &pairs).ok()
    }
}

/// Numbers of a record that are not made of items.
fn plain_numbers(record: &Record, metrics: &Metrics) -> BTreeMap<String, f64> {
    let mut numbers = BTreeMap::from([
        ("method cost".to_owned(), metrics.budget.cpu_seconds),
        (
            "calibration tokens".to_owned(),
            metrics.budget.calibration_tokens as f64,
        ),
        ("training tokens".to_owned(), metrics.budget.training_tokens as f64),
    ]);
    if let Some(memory) = &record.memory {
        numbers.insert("peak memory".to_owned(), (memory.peak_resident_bytes >> 20) as f64);
    }
    if let Some(throughput) = &metrics.throughput {
        numbers.insert("prefill speed".to_owned(), throughput.prefill.median);
        numbers.insert("decode speed".to_owned(), throughput.decode.median);
    }
    numbers
}

/// Unit and good end of a number that is not made of items.
fn plain_measure(name: &str) -> (&'static str, Option<Better>) {
    match name {
        "prefill speed" | "decode speed" => ("tokens/s", Some(Better::Higher)),
        "method cost" => ("CPU s", Some(Better::Lower)),
        "peak memory" => ("MiB", Some(Better::Lower)),
        "stored bytes" | "kv bytes per token" => ("bytes", Some(Better::Lower)),
        "stored parameters" | "nonzero parameters" | "flops per token" | "effective depth" => ("", Some(Better::Lower)),
        _ => ("", None),
    }
}

/// To seven digits, which is more than a page shows.
fn short(value: f64) -> f64 {
    format!("{value:.6e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod html_tests;
