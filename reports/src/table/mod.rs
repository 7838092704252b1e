//! A table of typed entries, and the texts that it is written as.

mod csv;
mod html;
mod latex;
mod markdown;

use std::fmt;

use prunebench_results::CellKey;
use serde::{Deserialize, Serialize};

use crate::statistics::Interval;

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

/// One entry of a [`Table`], unrounded. [`fmt::Display`] rounds it for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// Words.
    Text(String),
    /// A share of one, shown in percent.
    Share(f64),
    /// A whole number.
    Count(u64),
    /// A measured value, with its spread as the column says.
    Number {
        /// The value.
        value: f64,
        /// Its standard error or deviation.
        spread: Option<f64>,
    },
    /// A value relative to the baseline's.
    Ratio {
        /// The value.
        value: f64,
        /// The range that it plausibly lies in.
        interval: Option<Interval>,
    },
    /// A value around one, shown with four decimals.
    Fraction {
        /// The value.
        value: f64,
        /// Its standard error or deviation.
        spread: Option<f64>,
        /// Items whose answer was no number, which the value rests on all the same.
        nan_items: usize,
    },
    /// How far such a value is from the baseline's.
    Difference {
        /// The value less the baseline's.
        value: f64,
        /// The range that it plausibly lies in.
        interval: Option<Interval>,
    },
    /// There is no number.
    Missing,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rounded(None))
    }
}

impl Entry {
    /// With so many decimals, or as many as suit the number.
    pub fn rounded(&self, places: Option<usize>) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Share(share) => format!("{:.*} %", places.unwrap_or(1), 100.0 * share),
            Self::Count(count) => grouped(*count),
            Self::Number { value, spread } => {
                let places = places.or_else(|| decimals(*value));
                with_spread(rounded(*value, places), *spread, places)
            }
            Self::Ratio { value, interval } => {
                let ratio = |ratio: f64| rounded(ratio, places.or_else(|| decimals(ratio).map(|n| n + 1)));
                with_interval(ratio(*value), *interval, ratio)
            }
            Self::Fraction {
                value,
                spread,
                nan_items,
            } => {
                let places = places.unwrap_or(4);
                let text = with_spread(format!("{value:.places$}"), *spread, Some(places));
                match nan_items {
                    0 => text,
                    items => format!("{text} ({items} NaN)"),
                }
            }
            Self::Difference { value, interval } => {
                let places = places.unwrap_or(4);
                let signed = |value: f64| format!("{value:+.places$}");
                with_interval(signed(*value), *interval, signed)
            }
            Self::Missing => "—".to_owned(),
        }
    }
}

fn with_spread(value: String, spread: Option<f64>, places: Option<usize>) -> String {
    match spread {
        Some(spread) => format!("{value} ± {}", rounded_spread(spread, places)),
        None => value,
    }
}

fn with_interval(value: String, interval: Option<Interval>, end: impl Fn(f64) -> String) -> String {
    match interval {
        Some(Interval { low, high }) => format!("{value} [{}, {}]", end(low), end(high)),
        None => value,
    }
}

/// Decimals that a value is shown with; `None` if only powers of ten keep it short.
fn decimals(value: f64) -> Option<usize> {
    match value.abs() {
        size if size >= 1e5 => None,
        size if size >= 1e3 => Some(0),
        size if size >= 1e2 => Some(1),
        _ => Some(2),
    }
}

fn rounded(value: f64, decimals: Option<usize>) -> String {
    match decimals {
        Some(decimals) => format!("{value:.decimals$}"),
        None => format!("{value:.2e}"),
    }
}

/// A spread with the decimals of its value; one too small to show is not shown as zero.
fn rounded_spread(spread: f64, decimals: Option<usize>) -> String {
    let Some(places) = decimals else {
        return rounded(spread, None);
    };
    let smallest = 0.1f64.powi(places as i32);
    if spread > 0.0 && spread < smallest / 2.0 {
        format!("<{smallest:.places$}")
    } else {
        rounded(spread, decimals)
    }
}

/// A whole number with a comma between thousands.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
    fn heading(&self, row: usize) -> Option<&str> {
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

    fn number(value: f64, spread: f64) -> String {
        Entry::Number {
            value,
            spread: Some(spread),
        }
        .to_string()
    }

    #[test]
    fn numbers_of_any_size_stay_short() {
        assert_eq!(number(24.145445, 0.5432), "24.15 ± 0.54");
        assert_eq!(number(235.589, 12.34), "235.6 ± 12.3");
        assert_eq!(number(6675.894, 321.0), "6676 ± 321");
        assert_eq!(number(12751471.998, 3456789.0), "1.28e7 ± 3.46e6");
    }

    #[test]
    fn a_small_spread_is_not_shown_as_none() {
        assert_eq!(number(24.145445, 0.0004), "24.15 ± <0.01");
        assert_eq!(number(24.145445, 0.0), "24.15 ± 0.00");
    }

    #[test]
    fn ratios_shares_and_counts_read_as_such() {
        let interval = Some(Interval {
            low: 1.19876,
            high: 1.3,
        });
        assert_eq!(
            Entry::Ratio { value: 1.25, interval }.to_string(),
            "1.250 [1.199, 1.300]"
        );
        assert_eq!(
            Entry::Ratio {
                value: 528112.3,
                interval: None
            }
            .to_string(),
            "5.28e5"
        );
        assert_eq!(Entry::Share(0.49994).to_string(), "50.0 %");
        assert_eq!(Entry::Count(134_515_008).to_string(), "134,515,008");
        assert_eq!((grouped(7), grouped(1000)), ("7".into(), "1,000".into()));
        assert_eq!(Entry::Missing.to_string(), "—");
    }

    #[test]
    fn accuracies_have_four_decimals_a_sign_for_changes_and_name_answers_without_a_number() {
        let fraction = |spread, nan_items| {
            Entry::Fraction {
                value: 0.475,
                spread,
                nan_items,
            }
            .to_string()
        };
        assert_eq!(fraction(Some(0.0799), 0), "0.4750 ± 0.0799");
        assert_eq!(fraction(Some(1e-6), 3), "0.4750 ± <0.0001 (3 NaN)");
        let interval = Some(Interval { low: -0.05, high: 0.01 });
        let difference = |value, interval| Entry::Difference { value, interval }.to_string();
        assert_eq!(difference(-0.02, interval), "-0.0200 [-0.0500, +0.0100]");
        assert_eq!(difference(0.0, None), "+0.0000");
    }
}
