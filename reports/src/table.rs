//! A table of typed entries, and its Markdown.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::statistics::Interval;

/// A table with everything a reader needs to judge it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What is compared.
    pub caption: String,
    /// The columns, left to right.
    pub columns: Vec<Column>,
    /// The rows, top to bottom, each as long as `columns`.
    pub rows: Vec<Vec<Entry>>,
    /// Protocols, sample counts, definitions and provenance.
    pub notes: Vec<String>,
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
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Share(share) => write!(f, "{:.1} %", 100.0 * share),
            Self::Count(count) => f.write_str(&grouped(*count)),
            Self::Number { value, spread } => {
                f.write_str(&rounded(*value, decimals(*value)))?;
                match spread {
                    Some(spread) => write!(f, " ± {}", rounded_spread(*spread, decimals(*value))),
                    None => Ok(()),
                }
            }
            Self::Ratio { value, interval } => {
                let ratio = |ratio: f64| rounded(ratio, decimals(ratio).map(|n| n + 1));
                f.write_str(&ratio(*value))?;
                match interval {
                    Some(Interval { low, high }) => {
                        write!(f, " [{}, {}]", ratio(*low), ratio(*high))
                    }
                    None => Ok(()),
                }
            }
            Self::Fraction {
                value,
                spread,
                nan_items,
            } => {
                write!(f, "{value:.4}")?;
                if let Some(spread) = spread {
                    write!(f, " ± {}", rounded_spread(*spread, Some(4)))?;
                }
                match nan_items {
                    0 => Ok(()),
                    items => write!(f, " ({items} NaN)"),
                }
            }
            Self::Difference { value, interval } => {
                write!(f, "{value:+.4}")?;
                match interval {
                    Some(Interval { low, high }) => write!(f, " [{low:+.4}, {high:+.4}]"),
                    None => Ok(()),
                }
            }
            Self::Missing => f.write_str("—"),
        }
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
    /// The table as GitHub-flavoured Markdown: caption, table, notes.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("**{}**\n\n", escaped(&self.caption));
        let mut row = |entries: &mut dyn Iterator<Item = String>| {
            text.push_str(&format!("| {} |\n", entries.collect::<Vec<_>>().join(" | ")));
        };
        row(&mut self.columns.iter().map(|column| escaped(&column.to_string())));
        row(&mut self.columns.iter().map(|column| match column.alignment {
            Alignment::Left => ":--".into(),
            Alignment::Right => "--:".into(),
        }));
        for entries in &self.rows {
            row(&mut entries.iter().map(|entry| escaped(&entry.to_string())));
        }
        text.push('\n');
        for note in &self.notes {
            text.push_str(&format!("- {}\n", escaped(note)));
        }
        text
    }
}

/// Text that means itself in a Markdown table: paths, errors and method names may hold anything.
fn escaped(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if matches!(c, '\\' | '|' | '*' | '_' | '`' | '<' | '~') {
            plain.push('\\');
        }
        plain.push(if c.is_control() { ' ' } else { c });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn markup_and_line_breaks_in_text_do_not_break_the_table() {
        let column = |header: &str, unit: &str, alignment| Column {
            header: header.into(),
            unit: unit.into(),
            alignment,
        };
        let table = Table {
            caption: "a|b".into(),
            columns: vec![column("x", "", Alignment::Left), column("y", "s", Alignment::Right)],
            rows: vec![vec![Entry::Text("p|q\nr_s".into()), Entry::Count(1)]],
            notes: vec!["note".into()],
        };
        let expected = "**a\\|b**\n\n| x | y (s) |\n| :-- | --: |\n| p\\|q r\\_s | 1 |\n\n- note\n";
        assert_eq!(table.to_markdown(), expected);
    }
}
