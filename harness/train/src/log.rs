//! The training log: a CSV line for each step.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Result, TrainError};

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1.
    pub step: u64,
    /// Read so far, padding excluded.
    pub tokens: u64,
    /// Spent in steps so far, validation and checkpoints excluded.
    pub seconds: f64,
    /// Of this step.
    pub tokens_per_second: f64,
    /// Training loss of this step, nats per prediction.
    pub loss: f64,
    /// What callbacks added to it, if one did; no column of the log.
    pub penalty: Option<f64>,
    /// Peak rate times the schedule's factor.
    pub learning_rate: f64,
    /// Norm of the whole gradient before clipping.
    pub gradient_norm: f64,
    /// Validation loss by set, nats per prediction; empty between validations.
    #[serde(deserialize_with = "losses")]
    pub validation: Vec<(String, f64)>,
}

/// JSON has no NaN, and writes `null` for it.
fn losses<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<(String, f64)>, D::Error> {
    let losses = Vec::<(String, Option<f64>)>::deserialize(deserializer)?;
    let number = |(set, loss): (String, Option<f64>)| (set, loss.unwrap_or(f64::NAN));
    Ok(losses.into_iter().map(number).collect())
}

/// Writes entries to a file as they come.
pub struct Log {
    path: PathBuf,
    writer: csv::Writer<File>,
    /// Names of the validation sets, in the order of their columns.
    sets: Vec<String>,
}

const COLUMNS: [&str; 7] = [
    "step",
    "tokens",
    "seconds",
    "tokens_per_second",
    "loss",
    "learning_rate",
    "gradient_norm",
];

impl Log {
    /// A log with a column for each validation set. Of an existing file the lines up to `step` stay: those of the run that is
    /// gone on with.
    pub fn after(step: u64, path: &Path, sets: &[String]) -> Result<Self> {
        let kept = match csv::Reader::from_path(path) {
            Ok(mut reader) if step > 0 => reader
                .records()
                .map(|record| record.map_err(|error| file(path, error)))
                .take_while(|record| match record {
                    Ok(record) => record
                        .get(0)
                        .and_then(|cell| cell.parse().ok())
                        .is_some_and(|at: u64| at <= step),
                    Err(_) => true,
                })
                .collect::<Result<_>>()?,
            _ => Vec::new(),
        };
        let mut log = Self {
            path: path.to_path_buf(),
            writer: csv::Writer::from_path(path).map_err(|error| file(path, error))?,
            sets: sets.to_vec(),
        };
        let sets = sets.iter().map(|set| format!("validation_loss.{set}"));
        log.record(COLUMNS.iter().map(ToString::to_string).chain(sets))?;
        for line in kept {
            log.record(line.iter().map(str::to_owned))?;
        }
        Ok(log)
    }

    /// Adds a line.
    pub fn write(&mut self, entry: &Entry) -> Result<()> {
        let numbers = [
            entry.step.to_string(),
            entry.tokens.to_string(),
            format!("{:.3}", entry.seconds),
            format!("{:.1}", entry.tokens_per_second),
            entry.loss.to_string(),
            entry.learning_rate.to_string(),
            entry.gradient_norm.to_string(),
        ];
        let loss = |set: &String| {
            let found = entry.validation.iter().find(|(name, _)| name == set);
            found.map_or(String::new(), |(_, loss)| loss.to_string())
        };
        let validation: Vec<String> = self.sets.iter().map(loss).collect();
        self.record(numbers.into_iter().chain(validation))
    }

    /// A line on the disk, so that a run that is killed leaves its log.
    fn record(&mut self, cells: impl Iterator<Item = String>) -> Result<()> {
        self.writer
            .write_record(cells)
            .map_err(|error| file(&self.path, error))?;
        self.writer.flush().map_err(|error| file(&self.path, error))
    }
}

fn file(path: &Path, error: impl std::fmt::Display) -> TrainError {
    TrainError::File {
        path: path.to_path_buf(),
        detail: format!("the training log: {error}"),
    }
}
