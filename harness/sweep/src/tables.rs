//! The tables of a sweep, and their files beside the records.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use prunebench_reports::{Comparison, ComparisonError, Table};
use prunebench_results::{CellKey, Record, StoreError, read_records, read_samples};

use crate::plan::{Plan, baseline};

/// File beside the records that lists the keys of the experiment's cells, so that the records of an earlier wording of the
/// experiment stay out of its tables.
const ORDER: &str = "cells.json";

/// The tables of each model and setting of throughput, as people and as programs read them.
#[derive(Debug)]
pub struct Tables {
    /// In the order of their first records.
    pub tables: Vec<Table>,
    csv: Vec<u8>,
    /// Empty if there is no task.
    tasks_csv: Vec<u8>,
}

/// Tables that can't be made or written.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The records may not stand in one table.
    #[error(transparent)]
    Comparison(#[from] ComparisonError),
    /// The picture can't be drawn.
    #[error("the picture can't be drawn: {0}")]
    Plot(String),
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
    /// Compares the records of each model and setting with the baseline's.
    ///
    /// # Errors
    /// Records that may not stand side by side, or none.
    pub fn new(records: &[Record]) -> Result<Self, TablesError> {
        let apart = |record: &Record| (record.cell.model.clone(), record.cell.evaluation.throughput);
        let mut parts = Vec::new();
        for part in records.iter().map(apart) {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        if parts.is_empty() {
            return Err(ComparisonError::Empty.into());
        }
        let baseline = baseline();
        let mut tables = Self {
            tables: Vec::new(),
            csv: Vec::new(),
            tasks_csv: Vec::new(),
        };
        for part in parts {
            let of_part: Vec<Record> = records.iter().filter(|record| apart(record) == part).cloned().collect();
            let comparison = Comparison::new(&of_part, &baseline)?;
            tables.tables.extend(comparison.tables());
            let unwritable = |error: &dyn std::fmt::Display| TablesError::Csv(error.to_string());
            let (mut part, mut tasks) = (Vec::new(), Vec::new());
            comparison.write_csv(&mut part).map_err(|error| unwritable(&error))?;
            comparison
                .write_tasks_csv(&mut tasks)
                .map_err(|error| unwritable(&error))?;
            append(&mut tables.csv, &part);
            append(&mut tables.tasks_csv, &tasks);
        }
        Ok(tables)
    }

    /// All tables as one Markdown text.
    pub fn markdown(&self) -> String {
        let tables: Vec<String> = self.tables.iter().map(Table::to_markdown).collect();
        tables.join("\n")
    }

    /// Writes `table.md`, `table.csv` and, if there are tasks, `tasks.csv` into `folder`, each whole or not at all, and
    /// returns their paths.
    ///
    /// # Errors
    /// If one of them can't be written.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, TablesError> {
        let markdown = self.markdown();
        let files = [
            ("table.md", markdown.as_bytes()),
            ("table.csv", &self.csv),
            ("tasks.csv", &self.tasks_csv),
        ];
        let write = |(name, content): (&str, &[u8])| {
            let path = folder.join(name);
            match write_whole(folder, &path, content) {
                Ok(()) => Ok(path),
                Err(source) => Err(TablesError::Write { path, source }),
            }
        };
        files
            .into_iter()
            .filter(|(_, content)| !content.is_empty())
            .map(write)
            .collect()
    }
}

/// Appends a CSV, without its header if there is one already: one header serves all models.
fn append(csv: &mut Vec<u8>, part: &[u8]) {
    let header = part.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    csv.extend_from_slice(&part[if csv.is_empty() { 0 } else { header }..]);
}

/// Draws perplexity against effective depth into `depth.svg` of a results folder, a line for each of `families`
/// ([`Comparison::depth_plot`]), and returns its path.
///
/// # Errors
/// Records that may not stand side by side, a family that none of them is of, or a folder that can't be written.
pub fn write_depth_plot(records: &[Record], families: &[String], folder: &Path) -> Result<PathBuf, TablesError> {
    let baseline = baseline();
    let plot = Comparison::new(records, &baseline)?.depth_plot(families);
    let svg = plot.and_then(|plot| plot.to_svg()).map_err(TablesError::Plot)?;
    let path = folder.join("depth.svg");
    match write_whole(folder, &path, svg.as_bytes()) {
        Ok(()) => Ok(path),
        Err(source) => Err(TablesError::Write { path, source }),
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
    let places: HashMap<&CellKey, usize> = keys.iter().zip(0..).collect();
    let place = |record: &Record| places.get(&record.key);
    let folder = folder.join("records");
    let mut records = read_records(&folder)?;
    records.retain(|record| place(record).is_some());
    records.sort_by_key(place);
    for record in &mut records {
        read_samples(&folder, record)?;
    }
    Ok(records)
}

/// Writes a file of `folder` whole or not at all.
///
/// # Errors
/// If the folder or the disk doesn't take it.
pub fn write_whole(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
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
