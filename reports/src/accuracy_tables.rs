//! Accuracies as people read them: a row per recipe with a column per task, and their changes against the baseline line by
//! line.

use prunebench_results::MetricName;

use crate::{
    accuracy::{Change, Mean, Score, ScoreEstimate},
    comparison::{Comparison, Group, RatioEstimate, method, place},
    notes,
    table::{Alignment, Column, Entry, Table},
    task_notes,
};

impl Comparison<'_> {
    /// Everything: the comparison, then if there are tasks their accuracies, and if there is something beside the
    /// baseline its changes of them.
    pub fn tables(&self) -> Vec<Table> {
        self.resample();
        let mut tables = vec![self.table()];
        tables.extend(self.accuracies());
        tables.extend(self.changes());
        tables
    }

    /// A row per recipe, engine, device and dtype, as in [`Self::table`]; a column per task and suite.
    fn accuracies(&self) -> Option<Table> {
        let scores = self.scores();
        let names = scores.iter().map(|&score| self.score_name(score));
        let mut columns = identity();
        columns.push(right("seeds", ""));
        columns.extend(names.map(|name| right(&name, "± stderr")));
        let row = |group: &Group| {
            let mut row = identity_of(group);
            row.push(Entry::Count(group.metrics().count() as u64));
            row.extend(
                scores
                    .iter()
                    .map(|&score| entry(self.score(&group.records, score), |number| estimate(score, number))),
            );
            row
        };
        (!scores.is_empty()).then(|| Table {
            caption: notes::caption_of(self, "accuracy"),
            rows: self.groups.iter().map(row).collect(),
            notes: task_notes::tasks(self),
            columns,
        })
    }

    /// A row per score of each recipe other than the baseline.
    fn changes(&self) -> Option<Table> {
        let others: Vec<&Group> = self
            .groups
            .iter()
            .filter(|group| !self.is_baseline(group.first()) && group.metrics().next().is_some())
            .collect();
        let baseline = self.baseline.join(" + ");
        let mut columns = identity();
        columns.push(Column {
            alignment: Alignment::Left,
            ..right("score", "")
        });
        columns.extend([
            right(&format!("Δ to {baseline}"), "95 % interval"),
            right("retained", "95 % interval"),
            right("flips", "± stderr"),
            right("KL", "nats ± stderr"),
            right("seed sd", ""),
        ]);
        let mut rows = Vec::new();
        for group in &others {
            for score in self.scores() {
                let records = &group.records;
                let seed_sd = self.score(records, score).and_then(|estimate| estimate.seed_sd);
                let change = self.change(records, score);
                let mut row = identity_of(group);
                row.extend([
                    Entry::Text(self.score_name(score)),
                    entry(change, difference),
                    entry(change.and_then(retained), ratio),
                    entry(self.flips(records, score), mean),
                    entry(self.divergence(records, score), mean),
                    entry(seed_sd, |sd| sized(score, sd, None, 0)),
                ]);
                rows.push(row);
            }
        }
        (!rows.is_empty()).then(|| Table {
            caption: notes::caption_of(self, &format!("change of accuracy against {baseline}")),
            columns,
            rows,
            notes: task_notes::changes(self),
        })
    }
}

fn identity() -> Vec<Column> {
    let left = |header: &str| Column {
        alignment: Alignment::Left,
        ..right(header, "")
    };
    vec![left("method"), left("engine")]
}

fn identity_of(group: &Group) -> Vec<Entry> {
    vec![Entry::Text(method(group.first())), Entry::Text(place(group.first()))]
}

fn right(header: &str, unit: &str) -> Column {
    Column {
        header: header.into(),
        unit: unit.into(),
        alignment: Alignment::Right,
    }
}

fn entry<T>(number: Option<T>, entry: impl FnOnce(T) -> Entry) -> Entry {
    number.map_or(Entry::Missing, entry)
}

fn estimate(score: Score, estimate: ScoreEstimate) -> Entry {
    sized(score, estimate.value, estimate.stderr, estimate.nan_items)
}

/// Perplexities have any size, everything else is about one.
fn sized(score: Score, value: f64, spread: Option<f64>, nan_items: usize) -> Entry {
    match score {
        Score::Task {
            metric: MetricName::Perplexity,
            ..
        } => Entry::Number { value, spread },
        _ => Entry::Fraction {
            value,
            spread,
            nan_items,
        },
    }
}

fn mean((value, spread): Mean) -> Entry {
    Entry::Fraction {
        value,
        spread,
        nan_items: 0,
    }
}

fn difference(change: Change) -> Entry {
    match change {
        Change::Difference { value, interval, .. } => Entry::Difference { value, interval },
        Change::Ratio(estimate) => ratio(estimate),
    }
}

fn retained(change: Change) -> Option<RatioEstimate> {
    match change {
        Change::Difference { retained, .. } => retained,
        Change::Ratio(_) => None,
    }
}

fn ratio(estimate: RatioEstimate) -> Entry {
    Entry::Ratio {
        value: estimate.value,
        interval: estimate.interval,
    }
}

#[cfg(test)]
#[path = "accuracy_tests.rs"]
pub(crate) mod tests;
