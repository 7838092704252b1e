//! The numbers of a page: a row for the records that differ in nothing but their seed.

use std::collections::{BTreeMap, HashMap, HashSet};

use prunebench_results::{Inputs, Status};
use rayon::prelude::*;
use serde::Serialize;

use super::{
    Origin,
    charts::Chart,
    measure::{Measure, NONZERO, STORED, plain_measure},
    scatter::{NamedLook, PlotAxis, axes, looks},
};
use crate::dense;
use crate::gate::{Observed, Series};
use crate::paired::{PairedDifference, alone};
use crate::quantity::Better;
use crate::statistics::Interval;

/// The records of a store that have one model and one evaluation.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) store: String,
    pub(super) model: String,
    /// What of the evaluation its numbers' names leave open.
    pub(super) setting: String,
    pub(super) groups: Vec<Group>,
    /// By what tells them apart.
    pub(super) group_of: HashMap<(Apart, Inputs), usize>,
    /// The cells that are in one of them, each with its seed.
    pub(super) cells: HashSet<(Apart, u64)>,
}

/// Recipe, engine, device and dtype.
pub(super) type Apart = [String; 4];

/// The records that differ in nothing but their seed, inputs included.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) cells: Vec<Observed>,
    pub(super) origins: Vec<Origin>,
    /// Numbers that are not compared item by item, of each seed.
    pub(super) plain: Vec<BTreeMap<String, f64>>,
    pub(super) charts: Vec<Chart>,
}

/// A number as the page has it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Number {
    pub(super) value: f64,
    /// 95 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interval: Option<[f64; 2]>,
    /// The same items of the dense model beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) change: Option<Beside>,
}

/// A difference to the dense model, in points or as a share of it.
#[derive(Debug, Serialize)]
pub(super) struct Beside {
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<f64>,
}

/// The numbers of a section, and how they are drawn.
#[derive(Debug, Serialize)]
pub(super) struct Numbers<'a> {
    /// Those of quality first.
    pub(super) measures: Vec<Measure>,
    pub(super) axes: Vec<PlotAxis>,
    /// Of points, in the order of a legend.
    pub(super) looks: Vec<NamedLook>,
    /// The dense model's first.
    pub(super) rows: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    pub(super) recipe: String,
    pub(super) place: String,
    pub(super) dense: bool,
    /// Whether a mask made zeros, which are stored all the same.
    pub(super) masked: bool,
    /// The place of its look.
    pub(super) look: usize,
    pub(super) seeds: usize,
    pub(super) ok: usize,
    pub(super) status: String,
    pub(super) numbers: BTreeMap<&'a str, Number>,
    pub(super) origins: &'a [Origin],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) charts: &'a [Chart],
}

impl Section {
    /// What is shown of the section.
    pub(super) fn numbers(&self, dense: &[String]) -> Numbers<'_> {
        let uncompressed: Vec<&Group> = self.groups.iter().filter(|group| group.is_of(dense)).collect();
        let made: Vec<_> = self
            .groups
            .par_iter()
            .filter_map(|group| group.row(&uncompressed, dense))
            .collect();
        let (mut rows, mut measures) = (Vec::with_capacity(made.len()), Vec::<Measure>::new());
        for (row, found) in made {
            rows.push(row);
            for measure in found {
                match measures.iter_mut().find(|other| other.name == measure.name) {
                    Some(other) => other.scale = other.scale.or(measure.scale),
                    None => measures.push(measure),
                }
            }
        }
        measures.sort_by_key(|measure| {
            (
                !measure.quality,
                measure.quality && matches!(measure.better, Some(Better::Higher)),
            )
        });
        rows.sort_by_key(|row| !row.dense);
        Numbers {
            axes: axes(&measures),
            looks: looks(&mut rows),
            measures,
            rows,
        }
    }
}

impl Group {
    fn is_of(&self, recipe: &[String]) -> bool {
        self.cells.first().is_some_and(|cell| cell.cell.recipe == recipe)
    }

    /// The group's row and what is in it; `uncompressed` are those of the recipe `dense`.
    fn row(&self, uncompressed: &[&Group], dense: &[String]) -> Option<(Row<'_>, Vec<Measure>)> {
        let first = self.cells.first()?;
        let (cell, is_dense) = (&first.cell, self.is_of(dense));
        let others = uncompressed.iter().filter(|_| !is_dense).flat_map(|group| &group.cells);
        let beside = dense::beside(first, others, dense);
        let (mut numbers, mut measures) = (BTreeMap::new(), Vec::new());
        let names = self.cells.iter().zip(&self.plain);
        for name in names.flat_map(|(cell, plain)| cell.series.keys().chain(plain.keys())) {
            if numbers.contains_key(name.as_str()) {
                continue;
            }
            if let Some((number, measure)) = self.number(name, &beside) {
                measures.push(measure);
                numbers.insert(name.as_str(), number);
            }
        }
        let failed = self.cells.iter().find(|cell| cell.status != Status::Ok);
        let row = Row {
            recipe: cell.recipe.join(" + "),
            place: format!("{} {} {}", cell.engine, cell.device, cell.dtype),
            dense: is_dense,
            masked: !is_dense && is_masked(&self.cells, &beside),
            look: 0,
            seeds: self.cells.len(),
            ok: self.cells.iter().filter(|cell| cell.status == Status::Ok).count(),
            status: failed.map_or_else(|| Status::Ok.to_string(), Observed::outcome),
            numbers,
            origins: &self.origins,
            charts: &self.charts,
        };
        Some((row, measures))
    }

    /// A number over the seeds that have it, beside the dense model's, and what it is.
    fn number(&self, name: &str, dense: &[&Observed]) -> Option<(Number, Measure)> {
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
        let (value, interval) = alone(&series)?;
        let change = self.change(name, dense);
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
    fn change(&self, name: &str, dense: &[&Observed]) -> Option<PairedDifference> {
        let dense: Vec<(u64, &Series)> = dense.iter().filter_map(|cell| of_seed(cell, name)).collect();
        let own: Vec<(u64, &Series)> = self.cells.iter().filter_map(|cell| of_seed(cell, name)).collect();
        PairedDifference::of_seeds(&dense, &own).ok()
    }
}

fn of_seed<'a>(cell: &'a Observed, name: &str) -> Option<(u64, &'a Series)> {
    Some((cell.cell.seed, cell.series.get(name)?))
}

/// Whether cells have more zeros than those of the dense model, by over a hundredth of what they store: training and merging make a
/// few as well.
fn is_masked(cells: &[Observed], dense: &[&Observed]) -> bool {
    let count = |cell: &Observed, name: &str| match cell.series.get(name) {
        Some(Series::Count { value }) => Some(*value),
        _ => None,
    };
    let zeros = |cell: &Observed| {
        let stored = count(cell, STORED)?;
        Some((stored - count(cell, NONZERO)?, stored))
    };
    let own = dense
        .iter()
        .find_map(|cell| zeros(cell))
        .map_or(0.0, |(zeros, _)| zeros);
    let found = cells.iter().find_map(zeros);
    found.is_some_and(|(zeros, stored)| zeros - own > stored / 100.0)
}

/// To seven digits, which is more than a page shows.
fn short(value: f64) -> f64 {
    format!("{value:.6e}").parse().unwrap_or(value)
}
