//! What counts as worse, as data.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::GateError;
use crate::paired::Smallest;
use crate::statistics::Interval;

/// The rules of a gate. A number is judged by the first rule that names it; numbers that no rule names are not judged.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The families that share the chance of a false alarm.
    pub family: BTreeMap<String, Family>,
    /// The rules, the most particular first.
    pub rule: Vec<Rule>,
}

/// Comparisons that are corrected together.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// The chance of a single false alarm in the whole family, which Holm's correction keeps.
    pub alpha: f64,
}

/// How much worse a number may get.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The numbers, by name, `*` for anything: `acc world_*`, `perplexity *`, `decode speed*`.
    pub metric: String,
    /// The cells, by name, `*` for anything: `tiny wanda(*) on candle *`. All if absent.
    #[serde(default = "all")]
    pub cells: String,
    /// How much worse a number may be without being a regression: points of an accuracy (0.02 is two points), else a share
    /// of the baseline's value.
    pub margin: f64,
    /// Which way is worse.
    pub direction: Direction,
    /// The family that it is corrected in.
    pub family: String,
}

/// Which way of a number is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// As of a perplexity.
    LowerIsBetter,
    /// As of an accuracy or a speed.
    HigherIsBetter,
    /// Any change is a regression.
    Unchanged,
}

fn all() -> String {
    "*".to_owned()
}

impl Rules {
    /// Reads rules from TOML.
    ///
    /// # Errors
    /// The first thing that is wrong with them, with its line where there is one.
    pub fn parse(text: &str) -> Result<Self, GateError> {
        let wrong = |problem: String| GateError::Rules { problem };
        let rules: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if rules.rule.is_empty() {
            return Err(wrong("there is no [[rule]]; without one nothing is judged".to_owned()));
        }
        for (name, family) in &rules.family {
            if !(family.alpha > 0.0 && family.alpha < 1.0) {
                let alpha = family.alpha;
                return Err(wrong(format!(
                    "[family.{name}]: alpha is {alpha}, a chance between 0 and 1 is wanted, such as 0.05"
                )));
            }
        }
        let mut used = BTreeSet::new();
        for rule in &rules.rule {
            let Rule {
                metric, margin, family, ..
            } = rule;
            if !(margin.is_finite() && *margin >= 0.0) {
                return Err(wrong(format!(
                    "the margin of `{metric}` is {margin}; a number from 0 on is wanted"
                )));
            }
            if !rules.family.contains_key(family) {
                return Err(wrong(format!(
                    "the family of `{metric}` is `{family}`, which is none; add [family.{family}] with its alpha"
                )));
            }
            used.insert(family);
        }
        match rules.family.keys().find(|family| !used.contains(family)) {
            Some(family) => Err(wrong(format!(
                "no rule is of the family `{family}`; take it out, or name it in a rule"
            ))),
            None => Ok(rules),
        }
    }

    /// The place of the first rule for a number of a cell.
    pub(super) fn find(&self, metric: &str, cell: &str) -> Option<usize> {
        let matches = |pattern: &str, text: &str| WildMatch::new(pattern).matches(text);
        self.rule
            .iter()
            .position(|rule| matches(&rule.metric, metric) && matches(&rule.cells, cell))
    }
}

impl Direction {
    /// By how much a difference is for the worse.
    pub(super) fn loss(self, difference: f64) -> f64 {
        match self {
            Self::LowerIsBetter => difference,
            Self::HigherIsBetter => -difference,
            Self::Unchanged => difference.abs(),
        }
    }

    /// The largest loss within a range of differences.
    pub(super) fn largest_loss(self, Interval { low, high }: Interval) -> f64 {
        self.loss(low).max(self.loss(high))
    }

    /// The smallest loss that could have been seen.
    pub(super) fn smallest_loss(self, smallest: Smallest) -> f64 {
        match self {
            Self::LowerIsBetter => smallest.rise,
            Self::HigherIsBetter => smallest.fall,
            Self::Unchanged => smallest.change(),
        }
    }
}
