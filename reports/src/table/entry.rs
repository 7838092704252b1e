//! What stands in a table, and how it is rounded for people.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::statistics::Interval;

/// One entry of a [`Table`](super::Table), unrounded. [`fmt::Display`] rounds it for people.
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
}
