//! Lists of numbers in what methods report, such as scores of blocks and losses of a training, as charts.

use prunebench_results::Metrics;
use serde::Serialize;
use serde_json::Value;

/// Most points of a chart: a page is to stay small.
const MOST: usize = 256;

/// Numbers with what each is of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Chart {
    pub(super) method: String,
    pub(super) name: String,
    /// The horizontal axis.
    pub(super) across: String,
    /// The place of each number: a name, or a number.
    pub(super) places: Vec<Value>,
    pub(super) values: Vec<f64>,
}

impl Chart {
    /// Whether both have the same numbers of different recipes, so that one picture can have them.
    pub(super) fn is_of_the_same(&self, other: &Self) -> bool {
        let numeric = |chart: &Self| chart.places.iter().all(Value::is_number);
        (&self.method, &self.name, &self.across, numeric(self))
            == (&other.method, &other.name, &other.across, numeric(other))
    }
}

/// Every list and map of two to 256 numbers, and every list of objects with the same numbers in each, against the first.
pub(super) fn charts(metrics: &Metrics) -> Vec<Chart> {
    let mut charts = Vec::new();
    for report in &metrics.compression.method_reports {
        let Some(details) = report.details.as_object() else {
            continue;
        };
        for (name, value) in details {
            let chart = |name: String, across: &str, points: Vec<(Value, f64)>| {
                let fits = (2..=MOST).contains(&points.len());
                let (places, values) = points.into_iter().unzip();
                fits.then(|| Chart {
                    method: report.method.clone(),
                    name,
                    across: across.replace('_', " "),
                    places,
                    values,
                })
            };
            let words = name.replace('_', " ");
            match value {
                Value::Array(items) if items.iter().all(Value::is_number) && !is_list_of_places(items) => {
                    let points = items.iter().enumerate();
                    let points = points.filter_map(|(place, item)| Some((place.into(), item.as_f64()?)));
                    charts.extend(chart(words, "position", points.collect()));
                }
                Value::Object(items) => {
                    let points = items
                        .iter()
                        .map(|(place, item)| Some((place.as_str().into(), item.as_f64()?)));
                    if let Some(points) = points.collect::<Option<Vec<_>>>() {
                        charts.extend(chart(words, "", points));
                    }
                }
                Value::Array(items) => {
                    let items: Vec<Vec<(String, f64)>> = items.iter().map(numbers).collect();
                    let Some([(across, _), rest @ ..]) = items.first().map(Vec::as_slice) else {
                        continue;
                    };
                    for (number, (name, _)) in (1..).zip(rest) {
                        let points = items
                            .iter()
                            .map(|item| Some((item.first()?.1.into(), item.get(number)?.1)));
                        if let Some(points) = points.collect::<Option<Vec<_>>>() {
                            charts.extend(chart(format!("{words}: {name}"), across, points));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    charts
}

/// The numbers of an object, those of objects in it under both names.
fn numbers(item: &Value) -> Vec<(String, f64)> {
    let Value::Object(fields) = item else { return Vec::new() };
    let mut all = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Object(_) => all.extend(
                numbers(value)
                    .into_iter()
                    .map(|(inner, x)| (format!("{name} {inner}"), x)),
            ),
            value => all.extend(value.as_f64().map(|x| (name.clone(), x))),
        }
    }
    all
}

/// Whole numbers name blocks, and are no curve.
fn is_list_of_places(items: &[Value]) -> bool {
    items.iter().all(Value::is_u64)
}
