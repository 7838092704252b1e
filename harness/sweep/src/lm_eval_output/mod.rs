//! A record's tasks as lm-eval writes them, so that tools made for its files read ours.

mod part;
mod results;

use std::io;
use std::path::{Path, PathBuf};

use prunebench_datasets::{Catalogue, Error as DataError, Places};
use prunebench_results::{Record, TaskRequest};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::evaluation::{documents, task_input};
use crate::plan::baseline;
use results::Results;

/// The files of one record: `results_TIME.json` and a `samples_TASK_TIME.jsonl` of each task, or of each group of a task
/// that lm-eval has as tasks of their own.
#[derive(Debug)]
pub struct LmEvalOutput {
    /// Folder within the one that is given, named for the model as lm-eval names it.
    folder: String,
    /// Names and contents.
    files: Vec<(String, String)>,
}

/// A record that can't be written in lm-eval's form.
#[derive(Debug, thiserror::Error)]
pub enum LmEvalError {
    /// The documents can't be had any more.
    #[error(transparent)]
    Data(#[from] DataError),
    /// There is no number to write.
    #[error("there is nothing to write in lm-eval's form: the cell {status}, or has no task")]
    Nothing {
        /// How the cell ended.
        status: String,
    },
    /// The documents are not those that were evaluated.
    #[error(
        "{task}: its documents changed since they were evaluated (sha256 {found}, then {evaluated}); leave the data alone, \
         and evaluate again"
    )]
    Changed {
        /// The task.
        task: String,
        /// Hash now.
        found: String,
        /// Hash in the record.
        evaluated: String,
    },
    /// lm-eval's files hold a task once.
    #[error(
        "{task} is evaluated with {first} and with {second} shots, and lm-eval's files hold a task once; give `shots`"
    )]
    Twice {
        /// The task.
        task: String,
        /// Shots of one.
        first: usize,
        /// Shots of the other.
        second: usize,
    },
    /// A file can't be written.
    #[error("{} can't be written ({source}); check the folder and the disk", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LmEvalOutput {
    /// Whether requests can be written: lm-eval's files hold a task once.
    ///
    /// # Errors
    /// If a task is asked with two numbers of shots.
    pub fn check(requests: &[TaskRequest]) -> Result<(), LmEvalError> {
        for (index, request) in requests.iter().enumerate() {
            if let Some(other) = requests[..index].iter().find(|other| other.task == request.task) {
                return Err(LmEvalError::Twice {
                    task: request.task.clone(),
                    first: other.shots,
                    second: request.shots,
                });
            }
        }
        Ok(())
    }

    /// The files of a record, whose documents are looked up again at `places`.
    ///
    /// # Errors
    /// A record without tasks, or with a task twice; documents that can't be had, or that are not those of the record.
    pub fn new(record: &Record, places: &Places) -> Result<Self, LmEvalError> {
        let metrics = record.metrics.as_ref().filter(|metrics| !metrics.tasks.is_empty());
        let metrics = metrics.ok_or_else(|| LmEvalError::Nothing {
            status: record.status.to_string(),
        })?;
        Self::check(&record.cell.evaluation.tasks)?;
        let catalogue = Catalogue::embedded()?;
        let time = file_time();
        let mut results = Results::default();
        let mut files = Vec::new();
        for result in &metrics.tasks {
            let request = &result.request;
            let task = catalogue.task(&request.task)?;
            let documents = documents(task, request, places)?;
            let evaluated = record.inputs.get(&task_input(request)).cloned().unwrap_or_default();
            if documents.sha256 != evaluated || documents.documents.len() != result.items.len() {
                return Err(LmEvalError::Changed {
                    task: request.task.clone(),
                    found: documents.sha256,
                    evaluated,
                });
            }
            for part in part::parts(task, result, &documents, places)? {
                let samples = part.samples(task, result);
                results.add(task, request.shots, result, &part, &samples);
                let lines: String = samples.iter().map(|sample| format!("{sample}\n")).collect();
                files.push((format!("samples_{}_{time}.jsonl", part.name), lines));
            }
            if !result.groups.is_empty() {
                results.add_group(task, request.shots, result);
            }
        }
        let name = model_name(record);
        let folder = sanitised(&name);
        let content = format!("{:#}", results.finish(record, &name, &folder));
        files.push((format!("results_{time}.json"), content));
        Ok(Self { folder, files })
    }

    /// Writes the files into the model's folder in `folder`, each whole or not at all, and returns their paths. The results
    /// come last, so that whoever sees them finds the samples too.
    ///
    /// # Errors
    /// If one of them can't be written.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, LmEvalError> {
        let folder = folder.join(&self.folder);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| LmEvalError::Write { path, source }
        };
        std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
        let write = |(name, content): &(String, String)| {
            let path = folder.join(name);
            prunebench_files::write(&path, content.as_bytes()).map_err(failed(&path))?;
            Ok(path)
        };
        self.files.iter().map(write).collect()
    }
}

/// The model, and what was done to it.
fn model_name(record: &Record) -> String {
    let cell = &record.cell;
    if cell.recipe == baseline() {
        cell.model.clone()
    } else {
        format!("{} {}", cell.model, cell.recipe.join(" + "))
    }
}

/// A name for a folder, as lm-eval makes it.
fn sanitised(name: &str) -> String {
    let mut plain = String::new();
    let mut special = false;
    for c in name.chars() {
        if "\"<>:/|\\?*[]".contains(c) {
            if !special {
                plain.push_str("__");
            }
            special = true;
        } else {
            plain.push(c);
            special = false;
        }
    }
    plain
}

/// Now, in UTC, as lm-eval puts it into file names.
fn file_time() -> String {
    let now = OffsetDateTime::now_utc();
    let now = PrimitiveDateTime::new(now.date(), now.time());
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second, micro) = now.as_hms_micro();
    format!(
        "{year:04}-{:02}-{day:02}T{hour:02}-{minute:02}-{second:02}.{micro:06}",
        u8::from(month)
    )
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
