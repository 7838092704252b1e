//! A published table with what was measured here beside it.

mod mapping;
mod measure;
mod text;

pub use mapping::{Mapping, MappingError};
use mapping::{RowMapping, TableMapping};
pub use measure::Measured;
use prunebench_results::{Paper, Published, PublishedError, PublishedTable, Record, Status, Trust};
use serde::Serialize;

use crate::comparison::{method, place};

/// A published table, row by row, each with the rows that were measured for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PaperTable {
    /// The paper's id.
    pub paper: String,
    /// The table's id.
    pub table: String,
    /// What it shows.
    pub title: String,
    /// Where its values stand.
    pub source: String,
    /// How the published values were measured, as far as known.
    pub protocol: String,
    /// What the first entries of a row are.
    pub labels: Vec<String>,
    /// What the others are.
    pub columns: Vec<String>,
    /// As published, in order.
    pub rows: Vec<PaperRow>,
    #[serde(skip)]
    plan: Option<toml::Table>,
    /// The columns that it fills.
    #[serde(skip)]
    fillable: Vec<usize>,
}

/// A published row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PaperRow {
    /// Its labels.
    pub labels: Vec<String>,
    /// The model it is about, if the paper says it.
    pub model: Option<String>,
    /// Its values, column by column.
    pub published: Vec<PublishedCell>,
    /// What was measured for it, one row a model, place and recipe; empty if nothing was.
    pub measured: Vec<MeasuredRow>,
    /// Why nothing was measured.
    pub missing: Option<String>,
    #[serde(skip)]
    recipe: Option<Vec<String>>,
}

/// A published value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PublishedCell {
    /// As the paper prints it; empty if it has none.
    pub text: String,
    /// The number, if it is one.
    pub number: Option<f64>,
    /// How far it can be trusted.
    pub trust: Trust,
    /// What follows from the rest of the row instead, where the paper is wrong.
    pub recomputed: Option<f64>,
    /// What else there is to know.
    pub remarks: Vec<String>,
}

/// What was measured for a row with one recipe on one model at one place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredRow {
    /// The model's source.
    pub model: String,
    /// Engine, device and dtype.
    pub place: String,
    /// What was done to the model.
    pub recipe: Vec<String>,
    /// Whether that is what the mapping names first for the row.
    #[serde(skip)]
    pub(crate) usual: bool,
    /// Column by column; absent if it wasn't measured.
    pub cells: Vec<Option<MeasuredCell>>,
    /// What went wrong, if no number came out.
    pub failed: Option<String>,
}

/// A measured value beside its published one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredCell {
    /// The number and what it rests on.
    #[serde(flatten)]
    pub measured: Measured,
    /// It less the published one, if that is a number.
    pub difference: Option<f64>,
    /// Whether the difference says something about the method alone.
    pub comparable: bool,
    /// Why it doesn't.
    pub reasons: Vec<String>,
    /// Whether it follows from model and recipe, with nothing measured.
    #[serde(skip)]
    pub(crate) counted: bool,
}

impl PaperTable {
    /// Joins a published table with the records, samples included, that its mapping names. Differences are of the same units;
    /// ratios are to the records whose recipe is `baseline`.
    ///
    /// # Errors
    /// If the paper has no such table.
    pub fn new(
        paper: &Paper,
        id: &str,
        mapping: &Mapping,
        records: &[Record],
        baseline: &[String],
    ) -> Result<Self, PublishedError> {
        let published = paper.table(id)?;
        let here = mapping.table(id);
        let rows = (0..published.rows.len()).map(|index| {
            let labels = published.row_labels(index);
            let row = here.and_then(|table| table.row(&labels));
            let measured = match (here, row) {
                (Some(table), Some(row)) => measured_rows(published, index, mapping, table, row, records, baseline),
                _ => Vec::new(),
            };
            let recipe = row.and_then(|row| row.recipes.first());
            let missing = match (row.and_then(|row| row.not_measured.as_ref()), recipe, here) {
                (Some(why), ..) => Some(format!("not measured here: {why}")),
                (None, Some(recipe), _) => Some(format!("not run: {}", recipe.join(" + "))),
                (None, None, Some(table)) => Some(format!("not measured here: {}", table.not_measured)),
                (None, None, None) => Some("not measured here: nothing is mapped to this table".to_owned()),
            };
            PaperRow {
                labels: labels.into_iter().map(str::to_owned).collect(),
                model: published.model_of(index).map(str::to_owned),
                published: (0..published.columns.len())
                    .map(|column| published_cell(published, index, column))
                    .collect(),
                missing: missing.filter(|_| measured.is_empty()),
                measured,
                recipe: recipe.cloned(),
            }
        });
        Ok(Self {
            paper: paper.id.clone(),
            table: published.id.clone(),
            title: published.title.clone(),
            source: published.source.clone(),
            protocol: published.protocol.clone(),
            labels: published.labels.clone(),
            columns: published.columns.clone(),
            rows: rows.collect(),
            plan: here.and_then(|table| table.plan.clone()),
            fillable: (0..published.columns.len())
                .filter(|&column| here.is_some_and(|table| table.fills(&published.columns[column])))
                .collect(),
        })
    }

    /// The experiment that fills the rows of which a model of the mapping's plan lacks something, as TOML; `None` if there is
    /// nothing that can be filled.
    ///
    /// # Errors
    /// If the plan can't be written as TOML.
    pub fn plan(&self) -> Result<Option<String>, toml::ser::Error> {
        let Some(plan) = &self.plan else { return Ok(None) };
        let models = plan.get("models").and_then(toml::Value::as_array);
        let models: Vec<&str> = models.into_iter().flatten().filter_map(toml::Value::as_str).collect();
        let whole = |row: &PaperRow, model: &str| {
            let mut of_model = row.measured.iter().filter(|measured| measured.model == model);
            of_model.any(|measured| self.fillable.iter().all(|&column| measured.cells[column].is_some()))
        };
        let mut recipes: Vec<toml::Value> = Vec::new();
        for row in &self.rows {
            if let Some(recipe) = &row.recipe
                && !models.iter().all(|model| whole(row, model))
            {
                let recipe = toml::Value::from(recipe.clone());
                if !recipes.contains(&recipe) {
                    recipes.push(recipe);
                }
            }
        }
        if recipes.is_empty() {
            return Ok(None);
        }
        let name = format!("{}-{}", self.paper, self.table)
            .replace('_', "-")
            .to_lowercase();
        let mut experiment = toml::Table::new();
        experiment.insert("name".to_owned(), name.into());
        let description = format!(
            "Rows of table {} of {} that are not measured yet: {}.",
            self.table, self.paper, self.title
        );
        experiment.insert("description".to_owned(), description.into());
        experiment.insert("recipes".to_owned(), recipes.into());
        experiment.extend(plan.clone());
        toml::to_string_pretty(&experiment).map(Some)
    }
}

fn published_cell(table: &PublishedTable, row: usize, column: usize) -> PublishedCell {
    let own = |remark: &&prunebench_results::Remark| remark.column.is_some();
    PublishedCell {
        text: table.text(row, column),
        number: table.number(row, column),
        trust: table.trust_of(row, column),
        recomputed: table
            .remarks_on(row, column)
            .filter(own)
            .find_map(|remark| remark.recomputed),
        remarks: table
            .remarks_on(row, column)
            .map(|remark| remark.text.clone())
            .collect(),
    }
}

/// What the records of a row's recipes give, one row a model, place and recipe, in the order of the records.
fn measured_rows(
    published: &PublishedTable,
    index: usize,
    mapping: &Mapping,
    table: &TableMapping,
    row: &RowMapping,
    records: &[Record],
    baseline: &[String],
) -> Vec<MeasuredRow> {
    let of_row: Vec<&Record> = records.iter().filter(|record| row.holds(&record.cell.recipe)).collect();
    let mut sites: Vec<(&str, String, &Vec<String>)> = Vec::new();
    for record in &of_row {
        let site = (record.cell.model.as_str(), place(record), &record.cell.recipe);
        if !sites.contains(&site) {
            sites.push(site);
        }
    }
    let site = |(model, at, recipe): (&str, String, &Vec<String>)| {
        let here =
            |record: &&&Record| record.cell.model == model && place(record) == at && record.cell.recipe == *recipe;
        let of_site: Vec<&Record> = of_row.iter().filter(here).copied().collect();
        let cells: Vec<Option<MeasuredCell>> = (0..published.columns.len())
            .map(|column| {
                measured_cell(
                    published,
                    [index, column],
                    mapping,
                    table,
                    row,
                    (&of_site, records),
                    baseline,
                )
            })
            .collect();
        let failed = of_site.iter().find(|record| record.status != Status::Ok).map(|record| {
            let error = record.error.as_deref().unwrap_or_default();
            format!("{}: {}: {error}", record.status, method(record))
        });
        let empty = !cells.iter().flatten().any(|cell| !cell.counted);
        // Records of the recipe that measured something else say nothing about the row.
        (!empty || failed.is_some()).then(|| MeasuredRow {
            model: model.to_owned(),
            place: at,
            recipe: recipe.clone(),
            usual: row.recipes.first() == Some(recipe),
            failed: failed.filter(|_| empty),
            cells,
        })
    };
    sites.into_iter().filter_map(site).collect()
}

fn measured_cell(
    published: &PublishedTable,
    [index, column]: [usize; 2],
    mapping: &Mapping,
    table: &TableMapping,
    row: &RowMapping,
    (of_site, records): (&[&Record], &[Record]),
    baseline: &[String],
) -> Option<MeasuredCell> {
    let name = &published.columns[column];
    let columns = table.columns.iter().filter(|mapped| mapped.name == *name);
    let mut found = columns.filter_map(|mapped| {
        let decimals = published.decimals(column);
        let (measured, part) = Measured::best(&mapped.measured, of_site, records, baseline, decimals)?;
        Some((mapped, measured, part))
    });
    let (mapped, measured, part) = found.next()?;
    let mut reasons = Vec::new();
    let source = &of_site.first()?.cell.model;
    match published.model_of(index) {
        Some(model) if mapping.is_model(model, source) => {}
        Some(model) => reasons.push(format!("another model: {source}, not {model}")),
        None => reasons.push(format!("the paper doesn't name its model; here it is {source}")),
    }
    reasons.extend(row.differs.as_ref().map(|why| format!("{}: {why}", row.row.join(", "))));
    reasons.extend(mapped.differs.as_ref().map(|why| format!("{name}: {why}")));
    reasons.extend(part.map(|part| format!("{name}: {part}")));
    Some(MeasuredCell {
        difference: match published.value(index, column) {
            Published::Number(number) => Some(measured.value - number),
            Published::Text(_) => None,
        },
        measured,
        comparable: reasons.is_empty(),
        counted: mapped.measured.is_counted(),
        reasons,
    })
}

#[cfg(test)]
mod paper_tests;
