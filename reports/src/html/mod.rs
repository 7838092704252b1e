//! Records as one HTML file that needs nothing else: tables, plots, and where every number comes from.

mod charts;
mod curves;
mod measure;
mod plots;
mod rows;
mod scatter;

use std::collections::{HashMap, HashSet};

use minijinja::{Environment, context};
use prunebench_results::{Evaluation, Provenance, Record};
use serde::Serialize;

use self::charts::charts;
use self::measure::{SIZES, plain_numbers, setting};
use self::rows::{Group, Numbers, Section};
use crate::claims::Scorecard;
use crate::figure::ScaleRules;
use crate::gate::{GateError, Snapshot, machine};
use crate::plot::{Plot, PlotError};

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
    scorecards: Vec<Scorecard>,
    records: usize,
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

/// All that the page's script shows.
#[derive(Serialize)]
struct Data<'a> {
    records: usize,
    places: &'a [Place],
    scorecards: &'a [Scorecard],
    sizes: [&'a str; 3],
    scale: ScaleRules,
    sections: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    store: &'a str,
    model: &'a str,
    setting: &'a str,
    #[serde(flatten)]
    numbers: Numbers<'a>,
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
            scorecards: Vec::new(),
            records: 0,
        }
    }

    /// Adds what became of a paper's claims, above the records.
    pub fn add_scorecard(&mut self, scorecard: Scorecard) {
        self.scorecards.push(scorecard);
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
                setting: setting(&cell.evaluation),
                groups: Vec::new(),
                group_of: HashMap::new(),
                cells: HashSet::new(),
            });
            self.sections.len() - 1
        });
        let place = self.place(&record.provenance);
        let section = &mut self.sections[section];
        let apart = [
            cell.recipe.join(" + "),
            cell.engine.clone(),
            cell.device.clone(),
            cell.dtype.clone(),
        ];
        if !section.cells.insert((apart.clone(), cell.seed)) {
            return Err(GateError::Twice { cell: cell.to_string() }.into());
        }
        let group = *section
            .group_of
            .entry((apart, record.inputs.clone()))
            .or_insert_with(|| {
                section.groups.push(Group {
                    cells: Vec::new(),
                    origins: Vec::new(),
                    plain: Vec::new(),
                    charts: Vec::new(),
                });
                section.groups.len() - 1
            });
        let group = &mut section.groups[group];
        let observed = Snapshot::of(std::slice::from_ref(record), self.dense)?.cells;
        group.cells.extend(observed);
        if group.charts.is_empty() {
            group.charts = record.metrics.as_ref().map(charts).unwrap_or_default();
        }
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
        let sections = self.sections.iter().map(|section| Shown {
            store: &section.store,
            model: &section.model,
            setting: &section.setting,
            numbers: section.numbers(self.dense),
        });
        let data = Data {
            records: self.records,
            places: &self.places,
            scorecards: &self.scorecards,
            sizes: SIZES,
            scale: ScaleRules::ALL,
            sections: sections.collect(),
        };
        // Inside of a script element nothing but `<` can end it.
        let data = serde_json::to_string(&data)?.replace('<', "\\u003c");
        let context = context! { title, data, style => STYLE, script => SCRIPT };
        Ok(Environment::new().render_named_str("page.html", TEMPLATE, context)?)
    }

    /// Quality against size and speed, and what methods report of blocks and steps, as pictures.
    ///
    /// # Errors
    /// If there is nothing to draw.
    pub fn plots(&self) -> Result<Vec<Plot>, PlotError> {
        plots::plots(&self.sections, self.dense)
    }
}

#[cfg(test)]
mod html_tests;
