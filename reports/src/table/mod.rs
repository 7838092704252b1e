//! A table of typed entries, and the texts that it is written as.

mod csv;
mod entry;
mod html;
mod latex;
mod markdown;

use std::fmt;

use prunebench_results::CellKey;
use serde::{Deserialize, Serialize};

pub use self::entry::Entry;
pub(crate) use self::entry::grouped;
pub(crate) use self::markdown::escaped;

/// A table with everything a reader needs to judge it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What is compared.
    pub caption: String,
    /// The columns, left to right.
    pub columns: Vec<Column>,
    /// The rows, top to bottom, each as long as `columns`.
    pub rows: Vec<Vec<Entry>>,
    /// What the rows from some row on have in common, if the table is in parts: that row, and the words above it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headings: Vec<(usize, String)>,
    /// Entries that stand out among those of their column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// The records that rows or single entries rest on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// Protocols, sample counts, definitions and provenance.
    pub notes: Vec<String>,
}

/// An entry that is surely better than all others, or than all others but the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The entry's row.
    pub row: usize,
    /// The entry's column.
    pub column: usize,
    /// How good it is.
    pub rank: Rank,
}

/// The place of an entry among those of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// The best.
    Best,
    /// The second best.
    Second,
}

/// The records behind entries of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The row.
    pub row: usize,
    /// The column; absent if it is of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Of what was measured.
    pub records: Vec<CellKey>,
    /// Of the baseline, where an entry is relative to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<CellKey>,
}

/// A column of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// What the column holds.
    pub header: String,
    /// The unit of its numbers; empty for text and plain counts.
    pub unit: String,
    /// The side that its entries lean to.
    pub alignment: Alignment,
    /// Decimals of its numbers; as many as suit each if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimals: Option<usize>,
}

impl Column {
    /// A column of numbers.
    pub(crate) fn number(header: impl Into<String>, unit: impl Into<String>) -> Self {
        Self {
            header: header.into(),
            unit: unit.into(),
            alignment: Alignment::Right,
            decimals: None,
        }
    }

    /// A column of words.
    pub(crate) fn text(header: impl Into<String>) -> Self {
        Self {
            alignment: Alignment::Left,
            ..Self::number(header, "")
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.header)?;
        if self.unit.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.unit)
        }
    }
}

/// The side that the entries of a column lean to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

impl Table {
    /// How an entry is written, without its mark.
    pub fn text(&self, row: usize, column: usize) -> String {
        self.rows[row][column].rounded(self.columns[column].decimals)
    }

    fn rank(&self, row: usize, column: usize) -> Option<Rank> {
        let mut marks = self.marks.iter();
        let mark = marks.find(|mark| (mark.row, mark.column) == (row, column));
        mark.map(|mark| mark.rank)
    }

    /// The keys of all records that a row rests on, those of the baseline last.
    fn keys(&self, row: usize) -> Vec<&CellKey> {
        let of = || self.sources.iter().filter(|source| source.row == row);
        let mut keys: Vec<&CellKey> = Vec::new();
        for key in of()
            .flat_map(|source| &source.records)
            .chain(of().flat_map(|source| &source.baseline))
        {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// The words above a row, if a part begins there.
    pub fn heading(&self, row: usize) -> Option<&str> {
        let mut headings = self.headings.iter();
        headings
            .find(|(first, _)| *first == row)
            .map(|(_, words)| words.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table in two parts with marks and sources.
    pub(super) fn marked() -> Table {
        let number = |value, spread| Entry::Number { value, spread };
        let key = |digit: &str| CellKey::try_from(digit.repeat(64)).unwrap();
        let row = |name: &str, entry| vec![Entry::Text(name.into()), entry];
        let mark = |row, rank| Mark { row, column: 1, rank };
        Table {
            caption: "50 % of _x".into(),
            columns: vec![Column::text("method"), Column::number("perplexity", "± stderr")],
            rows: vec![
                row("wanda", number(2.5, Some(0.1))),
                row("random & <b>", number(3.0, None)),
                row("dense", Entry::Missing),
            ],
            headings: vec![(0, "tiny".into()), (2, "100 %_large".into())],
            marks: vec![mark(0, Rank::Best), mark(1, Rank::Second)],
            sources: vec![Source {
                row: 0,
                column: None,
                records: vec![key("a")],
                baseline: vec![key("b")],
            }],
            notes: vec!["one $ note".into(), "two".into()],
        }
    }
}
