//! The tables of a sweep, and their files beside the records.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prunebench_methods::Recipe;
use prunebench_reports::{Comparison, ComparisonError, Overview, PlotError, Table, View, ViewError};
use prunebench_results::{Record, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::listed::{ORDER, ordered_keys, ordered_records};
use crate::plan::baseline;
use crate::versions::Earlier;

/// File of the tables themselves, with what they were made of, so that nobody waits for them again.
const MADE: &str = "tables.json";

/// The tables of a results folder, one for each model and setting of throughput, as people and as programs read them.
#[derive(Debug)]
pub struct Tables {
    /// In the order of their first records.
    pub tables: Vec<Table>,
    /// One for each of these models and settings, in the same order.
    pub overviews: Vec<Overview>,
    /// `table.md`, `table.csv` and, if there are tasks, `tasks.csv`.
    pub files: Vec<PathBuf>,
}

type Hash = [u8; 32];

/// Tables with what decides them.
#[derive(Serialize, Deserialize)]
struct Made {
    /// Of the program and of the records.
    of: Hash,
    /// Names of the files, with what they hold.
    files: Vec<(String, Hash)>,
    tables: Vec<Table>,
    overviews: Vec<Overview>,
}

/// Tables that can't be made or written.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The records may not stand in one table.
    #[error(transparent)]
    Comparison(#[from] ComparisonError),
    /// They can't be viewed so.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The picture can't be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// A file can't be made.
    #[error("the tables can't be written as text ({0})")]
    Text(String),
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
    /// Compares the records of each model and setting in a results folder with the baseline's, and writes the files, each
    /// whole or not at all. Tables of the same records by the same program are only read.
    ///
    /// # Errors
    /// A folder that no run made; records that can't be read or may not stand side by side, or none; files that can't be
    /// written.
    pub fn of(folder: &Path) -> Result<Self, TablesError> {
        ordered_keys(folder)?;
        // What can't be read shows below.
        let of = fingerprint(folder).ok();
        let path = |(name, _): &(String, Hash)| folder.join(name);
        if let Some(made) = made(folder).filter(|made| Some(made.of) == of) {
            let files = made.files.iter().map(path).collect();
            let Made { tables, overviews, .. } = made;
            return Ok(Self {
                tables,
                overviews,
                files,
            });
        }
        let (tables, overviews, contents) = make(ordered_records(folder)?)?;
        let write = |name: &str, content: &[u8]| {
            let path = folder.join(name);
            prunebench_files::write(&path, content).map_err(|source| TablesError::Write { path, source })
        };
        let mut files = Vec::new();
        for (name, content) in &contents {
            write(name, content)?;
            files.push(((*name).to_owned(), Sha256::digest(content).into()));
        }
        let paths = files.iter().map(path).collect();
        let Some(of) = of else {
            return Ok(Self {
                tables,
                overviews,
                files: paths,
            });
        };
        let made = Made {
            of,
            files,
            tables,
            overviews,
        };
        let text = serde_json::to_vec(&made).map_err(|error| TablesError::Text(error.to_string()))?;
        write(MADE, &text)?;
        Ok(Self {
            tables: made.tables,
            overviews: made.overviews,
            files: paths,
        })
    }
}

/// Tables, overviews, and the names and contents of the files.
type Contents = (Vec<Table>, Vec<Overview>, Vec<(&'static str, Vec<u8>)>);

/// What is wanted to be seen of the records of a results folder, for each model and setting of throughput.
///
/// # Errors
/// As of [`Tables::of`], and if the view can't be had of any of them.
pub fn overviews(folder: &Path, view: &View) -> Result<Vec<Overview>, TablesError> {
    let baseline = baseline();
    let (mut overviews, mut error) = (Vec::new(), None);
    for records in comparable_parts(ordered_records(folder)?)? {
        match Comparison::new(&records, &baseline)?.overview(&family, view) {
            Ok(overview) => overviews.push(overview),
            Err(problem) => error = Some(problem),
        }
    }
    match error.filter(|_| overviews.is_empty()) {
        Some(error) => Err(error.into()),
        None => Ok(overviews),
    }
}

/// The family of a recipe; `None` of one that this program doesn't know.
fn family(recipe: &[String]) -> Option<String> {
    Some(Recipe::parse(recipe).ok()?.family().to_string())
}

/// The records of each model and setting of throughput, which may stand side by side, in the order of the first of each.
///
/// # Errors
/// If there is none.
pub fn comparable_parts(records: Vec<Record>) -> Result<Vec<Vec<Record>>, ComparisonError> {
    let mut parts: Vec<Vec<Record>> = Vec::new();
    for record in records {
        let beside = |part: &&mut Vec<Record>| {
            let (a, b) = (&part[0].cell, &record.cell);
            (&a.model, a.evaluation.throughput) == (&b.model, b.evaluation.throughput)
        };
        match parts.iter_mut().find(beside) {
            Some(part) => part.push(record),
            None => parts.push(vec![record]),
        }
    }
    if parts.is_empty() {
        return Err(ComparisonError::Empty);
    }
    Ok(parts)
}

fn make(records: Vec<Record>) -> Result<Contents, TablesError> {
    let parts = comparable_parts(records)?;
    let baseline = baseline();
    let (mut tables, mut overviews) = (Vec::new(), Vec::new());
    let (mut csv, mut tasks_csv) = (Vec::new(), Vec::new());
    for records in parts {
        let comparison = Comparison::new(&records, &baseline)?;
        overviews.push(comparison.overview(&family, &View::default())?);
        let mut of_part = comparison.tables();
        let earlier = Earlier::among(&records);
        if !earlier.is_empty() {
            of_part
                .iter_mut()
                .for_each(|table| table.notes.push(format!("{earlier}.")));
        }
        tables.extend(of_part);
        let unwritable = |error: &dyn std::fmt::Display| TablesError::Text(error.to_string());
        let (mut part, mut tasks) = (Vec::new(), Vec::new());
        comparison.write_csv(&mut part).map_err(|error| unwritable(&error))?;
        comparison
            .write_tasks_csv(&mut tasks)
            .map_err(|error| unwritable(&error))?;
        append(&mut csv, &part);
        append(&mut tasks_csv, &tasks);
    }
    let markdown: Vec<String> = tables.iter().map(Table::to_markdown).collect();
    let mut files = vec![("table.md", markdown.join("\n").into_bytes()), ("table.csv", csv)];
    if !tasks_csv.is_empty() {
        files.push(("tasks.csv", tasks_csv));
    }
    Ok((tables, overviews, files))
}

/// The tables that lie in a folder, if their files are there as they were written.
fn made(folder: &Path) -> Option<Made> {
    let made: Made = serde_json::from_slice(&fs::read(folder.join(MADE)).ok()?).ok()?;
    let is_there = |(name, hash): &(String, Hash)| {
        let content = fs::read(folder.join(name));
        content.is_ok_and(|content| Hash::from(Sha256::digest(content)) == *hash)
    };
    made.files.iter().all(is_there).then_some(made)
}

/// Hash of everything that decides the tables of a folder: its records with the hashes of their samples, the list of its
/// cells, and this program.
fn fingerprint(folder: &Path) -> io::Result<Hash> {
    let mut all = Sha256::new();
    let program = fs::metadata(std::env::current_exe()?)?;
    all.update(format!("{} {:?}\n", program.len(), program.modified()?));
    let records = folder.join("records");
    let mut paths = vec![folder.join(ORDER)];
    for entry in fs::read_dir(&records)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("json")) {
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        let content = fs::read(&path)?;
        all.update(format!("{} {}\n", path.display(), content.len()));
        all.update(content);
    }
    Ok(all.finalize().into())
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
    let plot = Comparison::new(records, &baseline)?.depth_plot(families)?;
    let path = folder.join(format!("{}.svg", plot.name));
    match prunebench_files::write(&path, plot.svg.as_bytes()) {
        Ok(()) => Ok(path),
        Err(source) => Err(TablesError::Write { path, source }),
    }
}
