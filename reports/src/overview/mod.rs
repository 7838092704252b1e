//! What a person sees first of a comparison: a row for each recipe with its size, its quality beside the baseline's and its
//! speed, in few columns. Everything else is in the tables of all numbers.

mod columns;
pub(crate) mod labels;
mod mean;
#[cfg(test)]
mod overview_tests;
mod places;
mod rows;
mod title;

use prunebench_results::Status;
use serde::{Deserialize, Serialize};

use self::columns::Columns;
pub use self::labels::Labels;
use self::mean::mean_of_all;
use self::places::Places;
use self::rows::{Node, flat, tree};
use crate::comparison::{Comparison, place};
use crate::display::status;

/// A row for each recipe, and the words above and below.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// The model, and what was measured of it.
    pub title: String,
    /// What stands beside each recipe.
    pub columns: Vec<OverviewColumn>,
    /// From the top.
    pub rows: Vec<OverviewRow>,
    /// What signs mean, and on which engines the numbers are.
    pub notes: Vec<String>,
    /// Cells without numbers.
    pub failures: Vec<Failure>,
    /// All cells.
    pub cells: usize,
}

/// A number of each row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverviewColumn {
    /// The words above.
    pub header: String,
    /// Where room is short, the column with the largest goes first.
    pub rank: u8,
}

/// A recipe on one engine, or on several that agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverviewRow {
    /// What its recipe has in common with others around it; absent of the baseline, and of rows in an order of their own.
    pub family: Option<String>,
    /// How many rows above it builds on: 1 of a recovery that stands below what it recovers.
    pub depth: usize,
    /// The recipe in short, less what the row above says.
    pub label: String,
    /// The recipe in full.
    pub recipe: String,
    /// A value for each column.
    pub values: Vec<Value>,
    /// How its cells ended, if none has numbers.
    pub failed: Option<String>,
}

/// A number as people read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// A sign before it, which a note explains.
    pub mark: Option<char>,
    /// The number with its unit, if the header names none; empty if there is none.
    pub text: String,
    /// What follows a `±`.
    pub spread: Option<String>,
}

/// A cell without numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its recipe in short and its engine.
    pub cell: String,
    /// How it ended.
    pub status: Status,
    /// The first line of its error.
    pub reason: String,
}

/// What is wanted of an overview.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// Only this engine.
    pub engine: Option<String>,
    /// Rows in this order, instead of by family in that of the records.
    pub sort: Option<Sort>,
    /// What stands beside each recipe.
    pub show: Show,
}

/// What stands beside each recipe.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Show {
    /// Size, quality and speed.
    #[default]
    Usual,
    /// Every task.
    Tasks,
    /// The numbers of these names, of all that [`Comparison::number_names`] lists.
    Named(Vec<String>),
}

/// What rows are ordered by, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Stored parameters.
    Stored,
    /// The first perplexity.
    Perplexity,
    /// The mean accuracy.
    Accuracy,
    /// Tokens a second while decoding.
    Speed,
}

/// A view that can't be had of these records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// Nothing ran on the engine.
    #[error("nothing was measured on `{engine}`; the engines are: {}", known.join(", "))]
    NoEngine {
        /// What was asked for.
        engine: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A number that no record has.
    #[error("no record has `{name}`{}; `--columns` alone lists the numbers", crate::definition::did_you_mean(suggestion.as_deref()))]
    NoNumber {
        /// What was asked for.
        name: String,
        /// What it may have meant.
        suggestion: Option<String>,
    },
    /// Nothing to order by.
    #[error("the rows can't be ordered by {0}, which was not measured")]
    NothingToSortBy(&'static str),
}

/// The family of a recipe.
pub type FamilyOf<'a> = &'a dyn Fn(&[String]) -> Option<String>;

impl Comparison<'_> {
    /// The overview of these records, whose recipes are of these families.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn overview(&self, families: FamilyOf, view: &View) -> Result<Overview, ViewError> {
        let only = self.on_engine(view.engine.as_deref())?;
        let places = Places::of(&only);
        // What is no suite's is taken together all the same.
        let mean = mean_of_all(&only);
        let columns = Columns::of(&only, mean.as_ref(), &view.show)?;
        let nodes = tree(&only, &places, families);
        let nodes: Vec<Node> = match view.sort {
            None => nodes,
            Some(sort) => {
                flat(nodes, |group| columns.key(sort, group)).ok_or(ViewError::NothingToSortBy(sort.words()))?
            }
        };
        let values = columns.values(&nodes);
        let rows = nodes.iter().zip(values).map(|(node, values)| OverviewRow {
            family: node.family.clone(),
            depth: node.depth,
            label: node.label.clone(),
            recipe: node.group.first().cell.recipe.join(" + "),
            failed: node.group.metrics().next().is_none().then(|| status(node.group)),
            values,
        });
        let rows: Vec<OverviewRow> = rows.collect();
        let mut notes = places.notes(&only);
        notes.extend(columns.signs(&rows));
        let labels = Labels::of(only.recipes());
        let failures = only.records().filter(|record| record.status != Status::Ok);
        let failures = failures.map(|record| Failure {
            cell: format!("{} on {}", labels.whole(&record.cell.recipe), place(record)),
            status: record.status,
            reason: record
                .error
                .as_deref()
                .unwrap_or_default()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        });
        Ok(Overview {
            title: title::title(&only, mean.as_ref()),
            columns: columns.headers(),
            rows,
            notes,
            failures: failures.collect(),
            cells: only.records().count(),
        })
    }

    fn on_engine(&self, engine: Option<&str>) -> Result<Comparison<'_>, ViewError> {
        let groups = self.groups.iter();
        let groups = groups.filter(|group| engine.is_none_or(|engine| group.first().cell.engine == engine));
        let groups: Vec<_> = groups.map(crate::comparison::Group::again).collect();
        if let Some(engine) = engine.filter(|_| groups.is_empty()) {
            let mut known: Vec<String> = self.records().map(|record| record.cell.engine.clone()).collect();
            known.sort();
            known.dedup();
            let engine = engine.to_owned();
            return Err(ViewError::NoEngine { engine, known });
        }
        Ok(Comparison::of_groups(groups, self.baseline))
    }
}

impl Sort {
    fn words(self) -> &'static str {
        match self {
            Self::Stored => "stored parameters",
            Self::Perplexity => "perplexity",
            Self::Accuracy => "accuracy",
            Self::Speed => "speed",
        }
    }
}
