//! What stands beside each recipe, with its sign of a difference that is no chance.

use prunebench_results::{Samples, Status, SuiteRequest, ThroughputResult};

use super::rows::Node;
use super::title::short;
use super::{OverviewColumn, OverviewRow, Show, Sort, Value, ViewError};
use crate::accuracy::Score;
use crate::comparison::{Comparison, Group};
use crate::definition::suggestion;
use crate::display::Phase;
use crate::paired::PairedDifference;
use crate::quantity::Quantity;
use crate::statistics::{Interval, holm};
use crate::table::{Entry, grouped};

/// The chance that any row of a column is marked where there is no difference.
const ALPHA: f64 = 0.05;

/// Differs from the baseline.
const DIFFERS: char = '*';

/// Has zeros.
const MASKED: char = '°';

/// The share of zeros from which on they are marked: a few are in any model.
const WORTH_A_MARK: f64 = 0.001;

/// The columns of an overview.
pub(super) struct Columns<'c> {
    comparison: &'c Comparison<'c>,
    score: Option<Score<'c>>,
    all: Vec<Column<'c>>,
    /// What follows a `±`.
    spread: &'static str,
}

/// What there is of a group.
type Of<'c, T> = Box<dyn Fn(&Group) -> Option<T> + 'c>;

struct Column<'c> {
    header: String,
    rank: u8,
    value: Of<'c, Value>,
    /// The difference from the baseline that a mark tells of.
    difference: Option<Of<'c, PairedDifference>>,
}

impl<'c> Columns<'c> {
    pub(super) fn of(
        comparison: &'c Comparison<'c>,
        mean: Option<&'c SuiteRequest>,
        show: &Show,
    ) -> Result<Self, ViewError> {
        let score = mean.map(Score::Suite);
        let all = match show {
            Show::Usual => usual(comparison, score),
            Show::Tasks => tasks(comparison, score),
            Show::Named(names) => named(comparison, names)?,
        };
        let spread = match show {
            Show::Tasks => "the standard error",
            Show::Usual | Show::Named(_) => "half the 95 % interval",
        };
        Ok(Self {
            comparison,
            score,
            all,
            spread,
        })
    }

    pub(super) fn headers(&self) -> Vec<OverviewColumn> {
        let column = |column: &Column| OverviewColumn {
            header: column.header.clone(),
            rank: column.rank,
        };
        self.all.iter().map(column).collect()
    }

    /// The values of each row, marked where they differ from the baseline's.
    pub(super) fn values(&self, nodes: &[Node]) -> Vec<Vec<Value>> {
        let mut rows: Vec<Vec<Value>> = vec![Vec::new(); nodes.len()];
        for column in &self.all {
            let values = nodes.iter().map(|node| (column.value)(node.group).unwrap_or_default());
            let mut values: Vec<Value> = values.collect();
            if let Some(difference) = &column.difference {
                let p = |(row, node): (usize, &Node)| Some((row, chance_of(&difference(node.group)?)?));
                let tests: Vec<(usize, f64)> = nodes.iter().enumerate().filter_map(p).collect();
                let adjusted = holm(&tests.iter().map(|(_, p)| *p).collect::<Vec<_>>());
                for ((row, _), p) in tests.iter().zip(adjusted) {
                    if p < ALPHA {
                        values[*row].mark = Some(DIFFERS);
                    }
                }
            }
            for (row, value) in rows.iter_mut().zip(values) {
                row.push(value);
            }
        }
        rows
    }

    /// What signs in these rows mean.
    pub(super) fn signs(&self, rows: &[OverviewRow]) -> Option<String> {
        let values = || rows.iter().flat_map(|row| &row.values);
        let has = |mark| values().any(|value| value.mark == Some(mark));
        let mut signs = Vec::new();
        let baseline = self.comparison.baseline.join(" + ");
        if has(DIFFERS) {
            let tested = rows
                .iter()
                .filter(|row| row.recipe != baseline && row.failed.is_none())
                .count();
            signs.push(format!(
                "{DIFFERS} differs from {baseline} (paired, 5 %, Holm over {tested} rows)."
            ));
        }
        if has(MASKED) {
            signs.push(format!("{MASKED} with zeros, which take memory and time."));
        }
        if values().any(|value| value.spread.is_some()) {
            signs.push(format!("± is {}.", self.spread));
        }
        (!signs.is_empty()).then(|| signs.join("  "))
    }

    /// What rows are ordered by, the best first.
    pub(super) fn key(&self, sort: Sort, group: &Group) -> Option<f64> {
        match sort {
            Sort::Stored => stored(group),
            Sort::Perplexity => Some(self.comparison.perplexity(&group.records, 0)?.value),
            Sort::Accuracy => Some(-self.comparison.score(&group.records, self.score?)?.value),
            Sort::Speed => Some(-group.rate(decode)?.0),
        }
    }
}

fn usual<'c>(comparison: &'c Comparison<'c>, score: Option<Score<'c>>) -> Vec<Column<'c>> {
    let evaluation = &comparison.first().cell.evaluation;
    let baseline = comparison.baseline.join(" + ");
    let mut all = vec![Column::of("stored", 0, |group| {
        let masked = group.mean(|metrics| metrics.compression.mask_sparsity)? >= WORTH_A_MARK;
        Some(Value {
            mark: masked.then_some(MASKED),
            ..Value::plain(short(stored(group)?))
        })
    })];
    if !evaluation.perplexity.is_empty() {
        all.push(Column::of("perplexity", 0, |group| {
            let value = comparison.perplexity(&group.records, 0)?.value;
            Some(Value::plain(Entry::Number { value, spread: None }.to_string()))
        }));
        let difference = |group: &Group| {
            (!comparison.is_baseline(group.first()))
                .then(|| comparison.perplexity_difference(&group.records, 0))
                .flatten()
        };
        let ratio = move |group: &Group| {
            let difference = difference(group)?;
            Some(Value::with(1.0 + difference.difference, difference.interval, |value| {
                Entry::Ratio { value, interval: None }.to_string()
            }))
        };
        all.push(Column::of(&format!("× {baseline}"), 1, ratio).marked(difference));
    }
    if let Some(score) = score {
        all.push(Column::of("accuracy", 0, move |group| {
            let value = comparison.score(&group.records, score)?.value;
            Some(Value::plain(format!("{:.1} %", 100.0 * value)))
        }));
        let difference = move |group: &Group| comparison.score_difference(&group.records, score);
        let points = move |group: &Group| {
            let difference = difference(group)?;
            let points = |value: f64| format!("{:.1}", 100.0 * value).replace('-', "−");
            let mut value = Value::with(difference.difference, difference.interval, points);
            if difference.difference > 0.0 {
                value.text.insert(0, '+');
            }
            Some(value)
        };
        all.push(Column::of(&format!("− {baseline}"), 2, points).marked(difference));
    }
    if evaluation.throughput.is_some() {
        all.extend(speeds(comparison, &baseline));
    }
    all.push(Column::of("CPU s", 4, |group| {
        let value = group.mean(|metrics| metrics.budget.cpu_seconds)?;
        (value > 0.005).then(|| Value::plain(Entry::Number { value, spread: None }.to_string()))
    }));
    all.push(Column::of("peak MiB", 5, |group| {
        let ok = group.records.iter().filter(|record| record.status == Status::Ok);
        let peak = ok
            .filter_map(|record| Some(record.memory.as_ref()?.peak_resident_bytes))
            .max()?;
        Some(Value::plain(grouped(peak >> 20)))
    }));
    all
}

/// Tokens a second; where nothing else was measured, of both phases and beside the baseline's of the same round.
fn speeds<'c>(comparison: &'c Comparison<'c>, baseline: &str) -> Vec<Column<'c>> {
    let rate = |samples: fn(&ThroughputResult) -> &Samples| {
        move |group: &Group| {
            let value = group.rate(samples)?.0;
            Some(Value::plain(if value < 100.0 {
                format!("{value:.1}")
            } else {
                grouped(value.round() as u64)
            }))
        }
    };
    if !comparison.is_in_rounds() {
        return vec![Column::of("decode tokens/s", 3, rate(decode))];
    }
    let phases: [Phase; 2] = [("prefill", prefill), ("decode", decode)];
    let columns = phases.into_iter().flat_map(|(phase, samples)| {
        let ratio = move |group: &Group| {
            let ratio = comparison.speed_ratio(&group.records, samples)?;
            Some(Value::with(ratio.value, ratio.interval, |value| {
                Entry::Ratio { value, interval: None }.to_string()
            }))
        };
        [
            Column::of(&format!("{phase} tokens/s"), 0, rate(samples)),
            Column::of(&format!("{phase} × {baseline}"), 1, ratio),
        ]
    });
    columns.collect()
}

fn tasks<'c>(comparison: &'c Comparison<'c>, mean: Option<Score<'c>>) -> Vec<Column<'c>> {
    let several = mean.filter(|mean| matches!(mean, Score::Suite(suite) if suite.members.len() > 1));
    let own = comparison
        .scores()
        .into_iter()
        .filter(|score| matches!(score, Score::Task { .. }));
    let column = |score: Score<'c>| {
        let value = move |group: &Group| {
            let estimate = comparison.score(&group.records, score)?;
            if comparison.is_perplexity(score) {
                return Some(Value::plain(
                    Entry::Number {
                        value: estimate.value,
                        spread: None,
                    }
                    .to_string(),
                ));
            }
            Some(Value {
                spread: estimate.stderr.map(|stderr| format!("{:.1}", 100.0 * stderr)),
                ..Value::plain(format!("{:.1}", 100.0 * estimate.value))
            })
        };
        Column::of(&comparison.score_name(score), 0, value)
            .marked(move |group: &Group| comparison.score_difference(&group.records, score))
    };
    several.into_iter().chain(own).map(column).collect()
}

fn named<'c>(comparison: &'c Comparison<'c>, names: &[String]) -> Result<Vec<Column<'c>>, ViewError> {
    let mut quantities: Vec<Option<Quantity<'c>>> = comparison.all_quantities().into_iter().map(Some).collect();
    let mut columns = Vec::new();
    for name in names {
        let found = quantities
            .iter_mut()
            .find(|quantity| quantity.as_ref().is_some_and(|quantity| quantity.name == *name));
        let Some(quantity) = found.and_then(Option::take) else {
            let known = comparison.number_names();
            return Err(ViewError::NoNumber {
                suggestion: suggestion(name, known.iter()),
                name: name.clone(),
            });
        };
        let header = quantity.column.to_string();
        columns.push(Column::of(&header, 0, move |group| {
            Some(Value::plain((quantity.entry)(group)?.to_string()))
        }));
    }
    Ok(columns)
}

impl<'c> Column<'c> {
    fn of(header: &str, rank: u8, value: impl Fn(&Group) -> Option<Value> + 'c) -> Self {
        Self {
            header: header.to_owned(),
            rank,
            value: Box::new(value),
            difference: None,
        }
    }

    fn marked(self, difference: impl Fn(&Group) -> Option<PairedDifference> + 'c) -> Self {
        Self {
            difference: Some(Box::new(difference)),
            ..self
        }
    }
}

impl Value {
    fn plain(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }

    /// With half the width of an interval.
    fn with(value: f64, interval: Option<Interval>, text: impl Fn(f64) -> String) -> Self {
        let half = interval.map(|Interval { low, high }| (high - low) / 2.0);
        Self {
            spread: half.map(&text),
            ..Self::plain(text(value))
        }
    }
}

/// The p-value of a difference; `None` where there is too little for a test.
fn chance_of(difference: &PairedDifference) -> Option<f64> {
    let unchanged = difference.unchanged.then_some(1.0);
    difference.test.map(|(_, p)| p).or(unchanged)
}

fn stored(group: &Group) -> Option<f64> {
    group.mean(|metrics| metrics.accounting.stored_parameters as f64)
}

fn prefill(result: &ThroughputResult) -> &Samples {
    &result.prefill
}

fn decode(result: &ThroughputResult) -> &Samples {
    &result.decode
}
