//! Accuracies as people read them: a row per recipe with a column per task, and their changes against the baseline line by
//! line.

use prunebench_results::MetricName;

use crate::{
    accuracy::{Mean, Score, ScoreChange, ScoreEstimate},
    comparison::{Comparison, Group, RatioEstimate, method, place},
    gate::{suite_name, task_name},
    notes,
    quantity::{EntryOf, Quantity, Subject},
    table::{Column, Entry, Table},
    task_notes,
};

impl Comparison<'_> {
    /// Everything: the comparison, then if there are tasks their accuracies, and if there is something beside the
    /// baseline its changes of them.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = vec![self.table()];
        tables.extend(self.accuracies());
        tables.extend(self.changes());
        tables
    }

    /// A row per recipe, engine, device and dtype, as in [`Self::table`]; a column per task and suite.
    fn accuracies(&self) -> Option<Table> {
        let scores = self.score_quantities();
        let mut columns = identity();
        columns.push(Column::number("seeds", ""));
        columns.extend(scores.iter().map(|score| score.column.clone()));
        let row = |group: &Group| {
            let mut row = identity_of(group);
            row.push(Entry::Count(group.metrics().count() as u64));
            row.extend(
                scores
                    .iter()
                    .map(|score| (score.entry)(group).unwrap_or(Entry::Missing)),
            );
            row
        };
        (!scores.is_empty()).then(|| Table {
            caption: notes::caption_of(self, "accuracy"),
            rows: self.groups.iter().map(row).collect(),
            sources: (0..)
                .zip(&self.groups)
                .map(|(row, group)| self.source(row, group))
                .collect(),
            notes: task_notes::tasks(self),
            columns,
            ..Table::default()
        })
    }

    /// A row per score of each recipe other than the baseline.
    fn changes(&self) -> Option<Table> {
        let others: Vec<&Group> = self
            .groups
            .iter()
            .filter(|group| !self.is_baseline(group.first()) && group.metrics().next().is_some())
            .collect();
        let mut columns = identity();
        columns.push(Column::text("score"));
        let (mut rows, mut sources) = (Vec::new(), Vec::new());
        let scores: Vec<(String, Vec<Quantity>)> = self
            .scores()
            .into_iter()
            .map(|score| (self.score_name(score), self.change_quantities(score)))
            .collect();
        let changes = scores.first().into_iter().flat_map(|(_, changes)| changes);
        columns.extend(changes.map(|change| change.column.clone()));
        for group in &others {
            for (name, changes) in &scores {
                let mut row = identity_of(group);
                row.push(Entry::Text(name.clone()));
                row.extend(
                    changes
                        .iter()
                        .map(|change| (change.entry)(group).unwrap_or(Entry::Missing)),
                );
                sources.push(self.source(rows.len(), group));
                rows.push(row);
            }
        }
        let baseline = self.baseline.join(" + ");
        (!rows.is_empty()).then(|| Table {
            caption: notes::caption_of(self, &format!("change of accuracy against {baseline}")),
            columns,
            rows,
            sources,
            notes: task_notes::changes(self),
            ..Table::default()
        })
    }

    /// Each score.
    pub(crate) fn score_quantities(&self) -> Vec<Quantity<'_>> {
        let quantity = |score| {
            let column = Column::number(self.score_name(score), "± stderr");
            let entry = move |group: &Group| Some(estimate(score, self.score(&group.records, score)?));
            let name = self.series_name(score);
            Quantity::new(column, Subject::Score, entry)
                .named(&name)
                .of_series(name)
        };
        self.scores().into_iter().map(quantity).collect()
    }

    /// A score against the baseline's.
    pub(crate) fn change_quantities<'a>(&'a self, score: Score<'a>) -> Vec<Quantity<'a>> {
        let name = self.series_name(score);
        let header = format!("Δ to {}", self.baseline.join(" + "));
        let quantity = |what: &str, column, entry: EntryOf<'a>| {
            let name = format!("{what} {name}");
            Quantity::new(column, Subject::ScoreChange, entry)
                .named(name)
                .relative()
        };
        let change = move |group: &Group| self.change(&group.records, score);
        vec![
            quantity(
                "change of",
                Column::number(header, "95 % interval"),
                Box::new(move |group| change(group).map(difference)),
            )
            .of_series(&name),
            quantity(
                "retained of",
                Column::number("retained", "95 % interval"),
                Box::new(move |group| change(group).and_then(retained).map(ratio)),
            )
            .of_series(&name),
            quantity(
                "flips of",
                Column::number("flips", "± stderr"),
                Box::new(move |group| self.flips(&group.records, score).map(mean)),
            )
            .over(&name),
            quantity(
                "KL of",
                Column::number("KL", "nats ± stderr"),
                Box::new(move |group| self.divergence(&group.records, score).map(mean)),
            )
            .over(&name),
            quantity(
                "seed sd of",
                Column::number("seed sd", ""),
                Box::new(move |group| {
                    let sd = self.score(&group.records, score)?.seed_sd?;
                    Some(sized(score, sd, None, 0))
                }),
            )
            .over(&name),
        ]
    }

    /// The name of a score's samples.
    fn series_name(&self, score: Score) -> String {
        match score {
            Score::Task { index, metric } => task_name(metric, &self.first().cell.evaluation.tasks[index]),
            Score::Suite(suite) => suite_name(suite),
        }
    }
}

fn identity() -> Vec<Column> {
    vec![Column::text("method"), Column::text("engine")]
}

fn identity_of(group: &Group) -> Vec<Entry> {
    vec![Entry::Text(method(group.first())), Entry::Text(place(group.first()))]
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

fn difference(change: ScoreChange) -> Entry {
    match change {
        ScoreChange::Difference { value, interval, .. } => Entry::Difference { value, interval },
        ScoreChange::Ratio(estimate) => ratio(estimate),
    }
}

fn retained(change: ScoreChange) -> Option<RatioEstimate> {
    match change {
        ScoreChange::Difference { retained, .. } => retained,
        ScoreChange::Ratio(_) => None,
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
