//! Numbers among what methods report of themselves, by the name `detail METHOD/PATH`.

use prunebench_results::MethodReport;
use serde_json::Value;

use super::contrast::mean;

/// `detail shortgpt/block_influence/3`, or `lowest of detail shortgpt/block_influence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detail {
    /// What is made of a list or a map; without it the path leads to a number.
    of_all: Option<OfAll>,
    method: String,
    /// From a method's details on, as RFC 6901 has it: `/block_influence/3`.
    path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfAll {
    Lowest,
    Highest,
    Mean,
    /// The highest less the lowest.
    Range,
}

/// Of many keys the first so many are named.
const NAMED: usize = 8;

impl Detail {
    /// A metric of this form; `None` if it is another kind of metric.
    ///
    /// # Errors
    /// If it begins like one and isn't.
    pub(super) fn parse(metric: &str) -> Result<Option<Self>, String> {
        let (word, rest) = match (metric.split_once(" of detail"), metric.strip_prefix("detail")) {
            (Some((word, rest)), _) => (Some(word), rest),
            (None, Some(rest)) => (None, rest),
            (None, None) => return Ok(None),
        };
        let of_all = match word {
            None => None,
            Some("lowest") => Some(OfAll::Lowest),
            Some("highest") => Some(OfAll::Highest),
            Some("mean") => Some(OfAll::Mean),
            Some("range") => Some(OfAll::Range),
            Some(word) => {
                let known = "`lowest of`, `highest of`, `mean of` or `range of`";
                return Err(format!("metric `{metric}`: `{word} of` is none of {known}"));
            }
        };
        let parts = rest.strip_prefix(' ').and_then(|rest| rest.split_once('/'));
        match parts {
            Some((method, path)) if !method.is_empty() && !path.is_empty() && !metric.contains('*') => Ok(Some(Self {
                of_all,
                method: method.to_owned(),
                path: format!("/{path}"),
            })),
            _ => Err(format!(
                "metric `{metric}`: write a method and a path in its details without `*`, such as \
                 `detail shortgpt/block_influence/3` or `mean of detail shortgpt/block_influence`"
            )),
        }
    }

    pub(super) fn method(&self) -> &str {
        &self.method
    }

    /// The number among the reports of a recipe's methods, or why it isn't there; `None` if the method isn't either.
    pub(super) fn of(&self, reports: &[MethodReport]) -> Option<Result<f64, String>> {
        let mut its = reports.iter().filter(|report| report.method == self.method);
        let report = its.next()?;
        let method = &self.method;
        Some(match its.next() {
            Some(_) => Err(format!("a recipe has {method} twice, and which is meant can't be said")),
            None => self.number(&report.details),
        })
    }

    fn number(&self, details: &Value) -> Result<f64, String> {
        let Self { method, path, .. } = self;
        let value = details.pointer(path).ok_or_else(|| self.absent(details))?;
        let Some(of_all) = self.of_all else {
            return value.as_f64().ok_or_else(|| {
                let hint = "a path to one number is wanted, or `mean of` and the like before `detail`";
                format!("{method}{path} is {}: {hint}", kind(value))
            });
        };
        let all: Option<Vec<f64>> = match value {
            Value::Array(items) => items.iter().map(Value::as_f64).collect(),
            Value::Object(items) => items.values().map(Value::as_f64).collect(),
            _ => None,
        };
        let all = all.filter(|all| !all.is_empty());
        let all = all.ok_or_else(|| format!("{method}{path} is {}, and a list of numbers is wanted", kind(value)))?;
        let [lowest, highest] = [f64::min, f64::max].map(|of| all.iter().copied().fold(all[0], of));
        Ok(match of_all {
            OfAll::Lowest => lowest,
            OfAll::Highest => highest,
            OfAll::Mean => mean(&all),
            OfAll::Range => highest - lowest,
        })
    }

    /// Where the path ends, and what is there.
    fn absent(&self, details: &Value) -> String {
        let Self { method, path, .. } = self;
        let mut known = path.as_str();
        let there = loop {
            known = &known[..known.rfind('/').unwrap_or(0)];
            if let Some(there) = details.pointer(known) {
                break kind(there);
            }
        };
        format!("{method} reports nothing at {path}: {method}{known} is {there}")
    }
}

/// What a value is, in words.
fn kind(value: &Value) -> String {
    match value {
        Value::Object(items) => {
            let mut names: Vec<&str> = items.keys().map(String::as_str).collect();
            names.sort_unstable();
            if names.len() > NAMED {
                names.truncate(NAMED);
                names.push("…");
            }
            format!("a map of {}: {}", items.len(), names.join(", "))
        }
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Number(_) => "a number".to_owned(),
        other => other.to_string(),
    }
}
