//! What tables can show of a group of records, by name.

use prunebench_results::CellKey;
use serde::{Deserialize, Serialize};

use crate::{
    comparison::{Comparison, Group},
    table::{Column, Entry, Source},
};

/// A column that a table may have.
pub(crate) struct Quantity<'a> {
    /// Its name in definitions of tables, which no other has.
    pub(crate) name: String,
    /// As the tables of all numbers show it.
    pub(crate) column: Column,
    /// What it is about.
    pub(crate) subject: Subject,
    /// The name of the samples that it is made of, if it is of any.
    pub(crate) series: Option<String>,
    /// Whether a test of those is one of this number.
    pub(crate) is_tested: bool,
    /// Whether it is relative to the baseline.
    pub(crate) relative: bool,
    /// What it is of a group; `None` if there is no such number.
    pub(crate) entry: EntryOf<'a>,
}

/// The better end of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// What a column shows of a group.
pub(crate) type EntryOf<'a> = Box<dyn Fn(&Group) -> Option<Entry> + Send + Sync + 'a>;

/// What a number is about: the notes that it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// Which model and recipe.
    Identity,
    /// A perplexity.
    Perplexity,
    /// A perplexity over the baseline's.
    PerplexityRatio,
    /// Tokens a second.
    Speed,
    /// Its share of what the device can do at most.
    Utilisation,
    /// What the driver of a GPU tells.
    Gpu,
    /// Tokens a second over the baseline's.
    SpeedRatio,
    /// What was removed.
    Compression,
    /// Memory.
    Memory,
    /// What the recipe took.
    Cost,
    /// The score of a task or suite.
    Score,
    /// That against the baseline's.
    ScoreChange,
}

impl<'a> Quantity<'a> {
    /// One that goes by the header of its column.
    pub(crate) fn new(
        column: Column,
        subject: Subject,
        entry: impl Fn(&Group) -> Option<Entry> + Send + Sync + 'a,
    ) -> Self {
        Self {
            name: column.header.clone(),
            column,
            subject,
            series: None,
            is_tested: false,
            relative: false,
            entry: Box::new(entry),
        }
    }

    /// Under another name than the header of its column.
    pub(crate) fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// Made of these samples.
    pub(crate) fn over(self, series: impl Into<String>) -> Self {
        Self {
            series: Some(series.into()),
            ..self
        }
    }

    /// Made of these samples, by which it can be tested too.
    pub(crate) fn of_series(self, series: impl Into<String>) -> Self {
        Self {
            is_tested: true,
            ..self.over(series)
        }
    }

    /// Relative to the baseline.
    pub(crate) fn relative(self) -> Self {
        Self { relative: true, ..self }
    }
}

impl Comparison<'_> {
    /// Where the entries of a row of a group come from.
    pub(crate) fn source(&self, row: usize, group: &Group) -> Source {
        let keys = |group: &Group| -> Vec<CellKey> { group.records.iter().map(|record| record.key.clone()).collect() };
        let baseline = self
            .baseline_of(group.first())
            .filter(|_| !self.is_baseline(group.first()));
        Source {
            row,
            column: None,
            records: keys(group),
            baseline: baseline.map(keys).unwrap_or_default(),
        }
    }
}
