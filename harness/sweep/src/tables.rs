//! The tables of a sweep, and their files beside the records.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use prunebench_reports::{Comparison, ComparisonError, Table};
use prunebench_results::{CellKey, Record, StoreError, read_records};

use crate::plan::{Plan, baseline};

/// File beside the records that lists the keys of the experiment's cells, so that the records of an earlier wording of the
/// experiment stay out of its tables.
const ORDER: &str = "cells.json";

/// One table per model, as people and as programs read it.
#[derive(Debug)]
pub struct Tables {
    /// In the order of the models' first records.
    pub tables: Vec<Table>,
    csv: Vec<u8>,
}

/// Tables that can't be made or written.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The records may not stand in one table.
    #[error(transparent)]
    Comparison(#[from] ComparisonError),
    /// The CSV can't be made.
    #[error("the CSV table can't be made ({0})")]
    Csv(String),
    /// The records can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The list of the experiment's cells can't be read.
    #[error("{} can't be read ({reason}); name a folder that `prunebench run` made, or run the experiment again", path.display())]
    Order {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file can't be written.
    #[error("{} can't be written ({source}); check the folder and the disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Tables {
    /// Compares the records of each model with its baseline's.
    ///
    /// # Errors
    /// Records that may not stand side by side, or none.
    pub fn new(records: &[Record]) -> Result<Self, TablesError> {
        let mut models: Vec<&str> = Vec::new();
        for record in records {
            if !models.contains(&record.cell.model.as_str()) {
                models.push(&record.cell.model);
            }
        }
        if models.is_empty() {
            return Err(ComparisonError::Empty.into());
        }
        let baseline = baseline();
        let mut tables = Vec::new();
        let mut csv = Vec::new();
        for model in models {
            let of_model: Vec<Record> = records
                .iter()
                .filter(|record| record.cell.model == model)
                .cloned()
                .collect();
            let comparison = Comparison::new(&of_model, &baseline)?;
            tables.push(comparison.table());
            let mut part = Vec::new();
            comparison
                .write_csv(&mut part)
                .map_err(|error| TablesError::Csv(error.to_string()))?;
            // One header serves all models.
            let header = if csv.is_empty() {
                0
            } else {
                part.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1)
            };
            csv.extend_from_slice(&part[header..]);
        }
        Ok(Self { tables, csv })
    }

    /// All tables as one Markdown text.
    pub fn markdown(&self) -> String {
        let tables: Vec<String> = self.tables.iter().map(Table::to_markdown).collect();
        tables.join("\n")
    }

    /// Writes `table.md` and `table.csv` into `folder`, each whole or not at all, and returns their paths.
    ///
    /// # Errors
    /// If either can't be written.
    pub fn write(&self, folder: &Path) -> Result<[PathBuf; 2], TablesError> {
        let write = |name: &str, content: &[u8]| {
            let path = folder.join(name);
            write_whole(folder, &path, content)
                .map_err(|source| TablesError::Write {
                    path: path.clone(),
                    source,
                })
                .map(|()| path)
        };
        Ok([
            write("table.md", self.markdown().as_bytes())?,
            write("table.csv", &self.csv)?,
        ])
    }
}

impl Plan {
    /// Writes the list of this plan's cells into its results folder, for [`ordered_records`].
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write_order(&self, folder: &Path) -> Result<(), TablesError> {
        let keys: Vec<&str> = self.cells.iter().map(|planned| planned.key.as_str()).collect();
        let path = folder.join(ORDER);
        let text = format!("{:#}\n", serde_json::json!(keys));
        write_whole(folder, &path, text.as_bytes()).map_err(|source| TablesError::Write { path, source })
    }
}

/// The records of a results folder that its experiment asks for, in the experiment's order.
///
/// # Errors
/// If the folder is none that a run made, or its records can't be read.
pub fn ordered_records(folder: &Path) -> Result<Vec<Record>, TablesError> {
    let path = folder.join(ORDER);
    let read = || -> Result<Vec<CellKey>, String> {
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    };
    let keys = read().map_err(|reason| TablesError::Order {
        path: path.clone(),
        reason,
    })?;
    let mut records = read_records(&folder.join("records"))?;
    let place = |record: &Record| keys.iter().position(|key| *key == record.key);
    records.retain(|record| place(record).is_some());
    records.sort_by_key(place);
    Ok(records)
}

fn write_whole(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    // A temporary file is private by default, and a table is for everyone whom the umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
