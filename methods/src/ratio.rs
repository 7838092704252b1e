//! The share of a model that a method is asked to remove.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A share strictly between 0 and 1: a ratio of 0 removes nothing, which is the method `dense`; a ratio of 1 removes all.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64")]
pub struct Ratio(f64);

impl TryFrom<f64> for Ratio {
    type Error = String;

    fn try_from(value: f64) -> std::result::Result<Self, String> {
        match value {
            _ if value > 0.0 && value < 1.0 => Ok(Self(value)),
            0.0 => Err("0 removes nothing; a number above 0 and below 1 is wanted, or the method `dense`".to_string()),
            1.0 => Err("1 removes everything; a number above 0 and below 1 is wanted".to_string()),
            _ => Err(format!("{value} is no share; a number above 0 and below 1 is wanted")),
        }
    }
}

impl Ratio {
    /// The share as a number.
    pub fn value(self) -> f64 {
        self.0
    }

    /// floor(ratio · total + 1e-9): as many of `total` as fit in the share. The 1e-9 makes 0.29 of 100 be 29, whose product
    /// in floating point is just below.
    pub(crate) fn floor_of(self, total: usize, things: &str, method: &'static str) -> Result<usize> {
        self.check((self.0 * total as f64 + 1e-9).floor() as usize, total, things, method)
    }

    /// round(ratio · total).
    pub(crate) fn round_of(self, total: usize, things: &str, method: &'static str) -> Result<usize> {
        self.check((self.0 * total as f64).round() as usize, total, things, method)
    }

    /// A share so small that it removes nothing would silently be `dense`.
    fn check(self, count: usize, total: usize, things: &str, method: &'static str) -> Result<usize> {
        let (removes, wanted) = match count {
            0 => ("nothing", format!("at least 1/{total}")),
            _ if count >= total => ("everything", format!("at most {}/{total}", total.saturating_sub(1))),
            _ => return Ok(count),
        };
        Err(Error::Config {
            what: method.to_string(),
            detail: format!(
                "key `ratio`: {} of {total} {things} removes {removes}; {wanted} is wanted",
                self.0
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(value: f64) -> Ratio {
        Ratio::try_from(value).unwrap()
    }

    #[test]
    fn a_share_whose_product_falls_just_below_a_whole_number_is_that_number() {
        assert_eq!(ratio(0.29).floor_of(100, "blocks", "m").unwrap(), 29);
        assert_eq!(ratio(0.3).floor_of(32, "blocks", "m").unwrap(), 9);
        assert_eq!(ratio(0.4).floor_of(32, "blocks", "m").unwrap(), 12);
    }

    #[test]
    fn a_share_of_none_or_all_says_which_share_is_enough() {
        let none = ratio(0.03).floor_of(30, "blocks", "m").unwrap_err().to_string();
        assert_eq!(
            none,
            "m: key `ratio`: 0.03 of 30 blocks removes nothing; at least 1/30 is wanted"
        );
        let all = ratio(0.99).round_of(4, "weights", "m").unwrap_err().to_string();
        assert_eq!(
            all,
            "m: key `ratio`: 0.99 of 4 weights removes everything; at most 3/4 is wanted"
        );
    }
}
