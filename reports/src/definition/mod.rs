//! Tables as a TOML file defines them: which recipes stand in the rows, and which numbers in the columns.

mod marks;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;
use wildmatch::WildMatch;

use crate::{
    Comparison,
    differences::Field,
    notes,
    quantity::{Better, Quantity, Subject},
    table::{Column, Entry, Table},
};
use marks::mark;
use rows::{Cell, Row, rows};

/// A table that is to be made of records.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What the table is of; made of the model and its experiments if left out.
    pub caption: Option<String>,
    /// Folders of results to take, from the working folder; another may be given on the command line.
    #[serde(default)]
    pub stores: Vec<PathBuf>,
    /// Records to take, by patterns in which `*` stands for anything; all if left out.
    #[serde(rename = "where", default)]
    only: Patterns,
    /// What else than its recipe tells a row from others; each has a column of its own.
    #[serde(default)]
    by: Vec<Field>,
    /// What the rows of a part of the table have in common; the table is in one part if left out.
    #[serde(default)]
    group: Option<Field>,
    /// The header of the column of recipes.
    #[serde(default = "method")]
    label: String,
    /// The rows in order; every recipe in the order of the records if left out.
    #[serde(default)]
    rows: Vec<RowDefinition>,
    /// The columns in order.
    columns: Vec<ColumnDefinition>,
}

/// Values of parts of a cell, as patterns.
type Patterns = BTreeMap<Field, String>;

fn method() -> String {
    "method".to_owned()
}

/// Which recipes stand in a row.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowDefinition {
    /// A pattern of the whole recipe, its methods joined by ` + `.
    recipe: String,
    /// The row's name. All recipes of the pattern share it, and columns tell them apart by `where`; without a name each
    /// recipe has its own row.
    name: Option<String>,
}

/// What stands in a column.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnDefinition {
    /// The number, by the name that `prunebench report --columns` lists it under.
    show: String,
    /// Words above the column instead of the number's own.
    header: Option<String>,
    /// As many as suit each number if left out.
    decimals: Option<usize>,
    /// Accuracies and their changes in percent.
    #[serde(default)]
    percent: bool,
    /// Which end is the better one: the best and second best are marked where they surely are.
    best: Option<Better>,
    /// Which of the row's records stand here.
    #[serde(rename = "where", default)]
    only: Patterns,
}

/// A table that can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// The file is none.
    #[error("line {line}: {problem}")]
    Toml {
        /// The line.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A number that no record has.
    #[error("column {column}: no record has `{name}`{}; the numbers are: {}", did_you_mean(suggestion.as_deref()), known.join(", "))]
    Unknown {
        /// The column, from 1.
        column: usize,
        /// What was asked for.
        name: String,
        /// What it may have meant.
        suggestion: Option<String>,
        /// What there is.
        known: Vec<String>,
    },
    /// A row without records.
    #[error("row {row}: no record's recipe is `{recipe}`; the recipes are: {}", known.join(", "))]
    NoRow {
        /// The row, from 1.
        row: usize,
        /// The pattern.
        recipe: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Several numbers for one entry.
    #[error(
        "`{column}` of the row `{row}` has two numbers, of {first} and of {second}; tell them apart by `where` in the column, by \
         `by` or `group`, or leave one out by `where`"
    )]
    Ambiguous {
        /// The row's name.
        row: String,
        /// The column's header.
        column: String,
        /// Whose the first is.
        first: String,
        /// Whose the second is.
        second: String,
    },
    /// Numbers that can't stand in one column.
    #[error(
        "`{column}` has numbers that can't be compared: {first} has {first_value}, {second} has {second_value}; put them into parts \
         of the table by `group`, into columns of their own by `where`, or measure them again alike"
    )]
    Mixed {
        /// The column's header.
        column: String,
        /// The first.
        first: String,
        /// What it was measured over.
        first_value: String,
        /// The second.
        second: String,
        /// What it was measured over.
        second_value: String,
    },
}

pub(crate) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The known name that another may have meant.
pub(crate) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<String> {
    let close = |known: &&String| strsim::jaro_winkler(known, name);
    let closest = known.max_by(|a, b| close(a).total_cmp(&close(b)));
    closest.filter(|known| close(known) > 0.85).cloned()
}

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// [`DefinitionError::Toml`].
    pub fn parse(text: &str) -> Result<Self, DefinitionError> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            DefinitionError::Toml {
                line: 1 + text.bytes().take(start).filter(|&byte| byte == b'\n').count(),
                problem: error.message().to_owned(),
            }
        })
    }

    /// The table of these comparisons, each of one model and setting.
    ///
    /// # Errors
    /// If a row or column has no number, or too many, or some that can't be compared.
    pub fn table(&self, comparisons: &[Comparison]) -> Result<Table, DefinitionError> {
        let sources: Vec<Source> = comparisons.iter().map(Source::of).collect();
        self.check_names(&sources)?;
        let rows = rows(self, &sources)?;
        let mut table = Table::default();
        let mut columns = vec![Column::text(&self.label)];
        columns.extend(self.by.iter().map(|field| Column::text(field.name())));
        let before = columns.len();
        let mut cells: Vec<Vec<Option<Cell>>> = Vec::new();
        for row in &rows {
            let of = self.columns.iter().map(|column| row.cell(column, &sources));
            cells.push(of.collect::<Result<_, _>>()?);
        }
        for (index, defined) in self.columns.iter().enumerate() {
            let first = cells.iter().find_map(|row| row[index].as_ref());
            let mut column = match first {
                Some(cell) => cell.quantity.column.clone(),
                None => Column::number(&defined.show, ""),
            };
            if let Some(header) = &defined.header {
                column.header.clone_from(header);
            }
            if defined.percent {
                column.unit = format!("% {}", column.unit).trim_end().to_owned();
            }
            column.decimals = defined.decimals.or(defined.percent.then_some(1));
            columns.push(column);
            for part in parts(&rows) {
                let of_part = || part.clone().filter_map(|row| Some((row, cells[row][index].as_ref()?)));
                rows::check_alike(
                    &defined.header.clone().unwrap_or_else(|| defined.show.clone()),
                    of_part().map(|(_, cell)| cell),
                )?;
                if let Some(better) = defined.best {
                    let ranked = mark(better, &of_part().collect::<Vec<_>>());
                    table.marks.extend(ranked.into_iter().map(|mark| crate::table::Mark {
                        column: before + index,
                        ..mark
                    }));
                }
            }
        }
        for part in parts(&rows) {
            table
                .headings
                .extend(rows[part.start].heading.clone().map(|words| (part.start, words)));
        }
        for (place, (row, cells)) in rows.iter().zip(&cells).enumerate() {
            let mut entries = vec![Entry::Text(row.name.clone())];
            entries.extend(row.by.iter().cloned().map(Entry::Text));
            for (index, (cell, defined)) in cells.iter().zip(&self.columns).enumerate() {
                let Some(cell) = cell else {
                    entries.push(Entry::Missing);
                    continue;
                };
                entries.push(cell.entry(defined.percent));
                let mut source = cell.source.comparison.source(place, cell.group);
                source.column = Some(before + index);
                if !cell.quantity.relative {
                    source.baseline.clear();
                }
                table.sources.push(source);
            }
            table.rows.push(entries);
        }
        table.columns = columns;
        self.describe(&mut table, &cells);
        Ok(table)
    }

    /// Caption and notes.
    fn describe(&self, table: &mut Table, cells: &[Vec<Option<Cell>>]) {
        let mut shown: Vec<(&Comparison, BTreeSet<Subject>)> = Vec::new();
        for cell in cells.iter().flatten().flatten() {
            let comparison = cell.source.comparison;
            match shown.iter_mut().find(|(other, _)| std::ptr::eq(*other, comparison)) {
                Some((_, subjects)) => drop(subjects.insert(cell.quantity.subject)),
                None => shown.push((comparison, [cell.quantity.subject].into())),
            }
        }
        let captions = shown.iter().map(|(comparison, _)| notes::caption(comparison));
        table.caption = self
            .caption
            .clone()
            .unwrap_or_else(|| captions.collect::<Vec<_>>().join("; "));
        for (comparison, subjects) in &shown {
            for note in notes::notes(comparison, subjects) {
                if !table.notes.contains(&note) {
                    table.notes.push(note);
                }
            }
        }
        if self.columns.iter().any(|column| column.best.is_some()) {
            table.notes.push(marks::NOTE.to_owned());
        }
    }

    fn check_names(&self, sources: &[Source]) -> Result<(), DefinitionError> {
        let known = || {
            sources
                .iter()
                .flat_map(|source| &source.quantities)
                .map(|quantity| &quantity.name)
        };
        for (place, column) in (1..).zip(&self.columns) {
            if !known().any(|name| *name == column.show) {
                let all: BTreeSet<&String> = known().collect();
                return Err(DefinitionError::Unknown {
                    column: place,
                    name: column.show.clone(),
                    suggestion: suggestion(&column.show, known()),
                    known: all.into_iter().cloned().collect(),
                });
            }
        }
        Ok(())
    }
}

/// A comparison with everything that can be shown of it.
struct Source<'a> {
    comparison: &'a Comparison<'a>,
    quantities: Vec<Quantity<'a>>,
}

impl<'a> Source<'a> {
    fn of(comparison: &'a Comparison<'a>) -> Self {
        let quantities = comparison.all_quantities();
        Self { comparison, quantities }
    }
}

impl<'a> Comparison<'a> {
    /// The names of all numbers that a table may show of these records.
    pub fn number_names(&self) -> Vec<String> {
        self.all_quantities()
            .into_iter()
            .map(|quantity| quantity.name)
            .collect()
    }

    pub(crate) fn all_quantities(&'a self) -> Vec<Quantity<'a>> {
        let mut all = self.quantities();
        all.extend(self.score_quantities());
        for score in self.scores() {
            all.extend(self.change_quantities(score));
        }
        all
    }
}

/// Whether a cell is of these patterns.
fn fits(patterns: &Patterns, cell: &prunebench_results::Cell) -> bool {
    patterns
        .iter()
        .all(|(field, pattern)| WildMatch::new(pattern).matches(&field.value(cell)))
}

/// The rows of each part of the table.
fn parts(rows: &[Row]) -> Vec<std::ops::Range<usize>> {
    let mut start = 0;
    let runs = rows.chunk_by(|a, b| a.heading == b.heading).map(|run| {
        let part = start..start + run.len();
        start = part.end;
        part
    });
    runs.collect()
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
