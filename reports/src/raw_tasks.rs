//! Accuracies for programs: a line per record, task, metric and group, unrounded.

use std::io::Write;

use prunebench_results::{Record, TaskMetric, TaskRequest, TaskResult};
use serde::Serialize;

use crate::{
    accuracy::{Score, ScoreChange},
    comparison::{Comparison, method},
};

/// One number of a record; the header is the fields' names.
#[derive(Default, Serialize)]
struct Row<'a> {
    model: &'a str,
    method: String,
    engine: &'a str,
    device: &'a str,
    dtype: &'a str,
    seed: u64,
    status: String,
    /// `task` or `suite`.
    kind: &'a str,
    task: &'a str,
    shots: Option<usize>,
    shots_split: Option<&'a str>,
    shots_seed: Option<u64>,
    limit: Option<usize>,
    /// Empty over all items.
    group: Option<&'a str>,
    metric: String,
    /// Whether it is one of the task's own metrics.
    own: Option<bool>,
    value: Option<f64>,
    stderr: Option<f64>,
    n: Option<usize>,
    documents_available: Option<usize>,
    baseline: String,
    difference_to_baseline: Option<f64>,
    ratio_to_baseline: Option<f64>,
    change_low: Option<f64>,
    change_high: Option<f64>,
    retained: Option<f64>,
    retained_low: Option<f64>,
    retained_high: Option<f64>,
    flips: Option<f64>,
    flips_stderr: Option<f64>,
    kl: Option<f64>,
    kl_stderr: Option<f64>,
    requests: Option<usize>,
    tokens_scored: Option<usize>,
    tokens_read: Option<usize>,
    bos_added: Option<bool>,
    prefix_token: Option<u32>,
    truncated_requests: Option<usize>,
    tied_items: Option<usize>,
    nan_items: Option<usize>,
    key: &'a str,
}

impl Comparison<'_> {
    /// Writes CSV with a header, in the order of the tables: of each record every metric of each task over all items and
    /// over each group, then its suites. A record that failed has one line per task, without numbers. Changes and flips
    /// are of this record alone against the baseline's seeds. Nothing is written if there is no task.
    ///
    /// # Errors
    /// If `out` can't be written.
    pub fn write_tasks_csv(&self, out: impl Write) -> Result<(), csv::Error> {
        let mut writer = csv::Writer::from_writer(out);
        for record in self.records() {
            for row in self.task_rows(record) {
                writer.serialize(row)?;
            }
        }
        Ok(writer.flush()?)
    }

    fn task_rows<'a>(&self, record: &'a Record) -> Vec<Row<'a>> {
        let evaluation = &record.cell.evaluation;
        let Some(metrics) = &record.metrics else {
            let failed = |request| self.asked(record, request);
            return evaluation.tasks.iter().map(failed).collect();
        };
        let mut rows = Vec::new();
        for (index, result) in metrics.tasks.iter().enumerate() {
            for metric in &result.metrics {
                let score = Score::Task {
                    index,
                    metric: metric.name,
                };
                let row = counted(self.measured(record, result, metric), result);
                rows.push(self.compared(row, record, score));
            }
            for group in &result.groups {
                rows.extend(group.metrics.iter().map(|metric| Row {
                    group: Some(&group.group),
                    n: Some(group.items),
                    ..self.measured(record, result, metric)
                }));
            }
        }
        for suite in &evaluation.suites {
            let mean = suite.mean(&metrics.tasks);
            let row = Row {
                kind: "suite",
                task: &suite.suite,
                metric: "mean".into(),
                value: mean.map(|(value, _)| value),
                stderr: mean.and_then(|(_, stderr)| stderr),
                ..self.identity(record)
            };
            rows.push(self.compared(row, record, Score::Suite(suite)));
        }
        rows
    }

    fn identity<'a>(&self, record: &'a Record) -> Row<'a> {
        let cell = &record.cell;
        Row {
            model: &cell.model,
            method: method(record),
            engine: &cell.engine,
            device: &cell.device,
            dtype: &cell.dtype,
            seed: cell.seed,
            status: record.status.to_string(),
            baseline: self.baseline.join(" + "),
            key: record.key.as_str(),
            ..Row::default()
        }
    }

    fn asked<'a>(&self, record: &'a Record, request: &'a TaskRequest) -> Row<'a> {
        Row {
            kind: "task",
            task: &request.task,
            shots: Some(request.shots),
            shots_split: request.shots_split.as_deref(),
            shots_seed: Some(request.shots_seed),
            limit: request.limit,
            ..self.identity(record)
        }
    }

    fn measured<'a>(&self, record: &'a Record, result: &'a TaskResult, metric: &TaskMetric) -> Row<'a> {
        Row {
            metric: metric.name.to_string(),
            own: Some(result.own().iter().any(|own| own.name == metric.name)),
            value: Some(metric.value),
            stderr: metric.stderr,
            ..self.asked(record, &result.request)
        }
    }

    fn compared<'a>(&self, row: Row<'a>, record: &Record, score: Score) -> Row<'a> {
        let (difference, ratio, interval, retained) = match self.change(&[record], score) {
            Some(ScoreChange::Difference {
                value,
                interval,
                retained,
            }) => (Some(value), None, interval, retained),
            Some(ScoreChange::Ratio(ratio)) => (None, Some(ratio.value), ratio.interval, None),
            None => (None, None, None, None),
        };
        let retained_interval = retained.and_then(|retained| retained.interval);
        let flips = self.flips(&[record], score);
        let kl = self.divergence(&[record], score);
        Row {
            difference_to_baseline: difference,
            ratio_to_baseline: ratio,
            change_low: interval.map(|interval| interval.low),
            change_high: interval.map(|interval| interval.high),
            retained: retained.map(|retained| retained.value),
            retained_low: retained_interval.map(|interval| interval.low),
            retained_high: retained_interval.map(|interval| interval.high),
            flips: flips.map(|(value, _)| value),
            flips_stderr: flips.and_then(|(_, stderr)| stderr),
            kl: kl.map(|(value, _)| value),
            kl_stderr: kl.and_then(|(_, stderr)| stderr),
            ..row
        }
    }
}

fn counted<'a>(row: Row<'a>, result: &TaskResult) -> Row<'a> {
    let scoring = &result.scoring;
    Row {
        n: Some(result.documents),
        documents_available: Some(result.documents_available),
        requests: Some(scoring.requests),
        tokens_scored: Some(scoring.tokens_scored),
        tokens_read: Some(scoring.tokens_read),
        bos_added: Some(scoring.bos_added),
        prefix_token: scoring.prefix_token,
        truncated_requests: Some(scoring.truncated_requests),
        tied_items: Some(result.tied_items),
        nan_items: Some(result.nan_items),
        ..row
    }
}
