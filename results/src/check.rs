//! Whether a folder of records is sound, and what of it can be mended.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use prunebench_files::sync;
use serde::Serialize;

use crate::{
    cell::{CellKey, RECORD, SAMPLES},
    lock::{self, Lock, stem},
    reading::{files, read_record, read_samples},
    record::Record,
    store_error::StoreError,
};

/// Files of programs that wrote records of version 1 and were killed.
const OLD_PARTIAL: &str = ".partial-";

/// Something that is wrong with a folder of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub cure: String,
    /// Whether that was done.
    pub mended: bool,
}

/// What mends a finding.
enum Cure {
    /// Move the file to the damaged ones, so that its cell is measured anew.
    Aside,
    /// Give the file its own name.
    Rename(PathBuf),
    /// Remove what a killed process left of the cell of this stem.
    Remove(String),
    /// What only the user can do.
    User(&'static str),
}

/// Looks through a folder of records and samples for what is damaged, superfluous, or there twice. With a folder for
/// `damaged` files it mends what it can: it moves them there and removes what never was whole, so that the next run measures
/// those cells anew. It takes no file away from a process that is measuring.
///
/// # Errors
/// If the folder can't be read, or something can't be moved.
pub fn check_store(folder: &Path, damaged: Option<&Path>) -> Result<Vec<Finding>, StoreError> {
    let mut check = Check {
        folder,
        damaged,
        findings: Vec::new(),
    };
    let owned = check.records()?;
    check.samples(&owned)?;
    check.leftovers()?;
    Ok(check.findings)
}

struct Check<'a> {
    folder: &'a Path,
    damaged: Option<&'a Path>,
    findings: Vec<Finding>,
}

impl Check<'_> {
    /// Finds records that are none, are named as others, answer the same cell or lack their samples, and gives the names of
    /// the samples of all others.
    fn records(&mut self) -> Result<HashSet<String>, StoreError> {
        let mut sound = Vec::new();
        for path in files(self.folder, RECORD)? {
            match read_record(&path) {
                Ok(record) => sound.push((path, record)),
                // Gone since it was listed: a check beside this one mended it.
                Err(StoreError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.unsound(&path, error)?,
            }
        }
        // Of two records of a cell the one that has its own name stays.
        let named = |path: &Path, record: &Record| path.file_name() == Some(OsStr::new(&record.file_name()));
        sound.sort_by_key(|(path, record)| !named(path, record));
        let mut first_of: HashMap<CellKey, PathBuf> = HashMap::new();
        let mut owned = HashSet::new();
        for (path, mut record) in sound {
            if let Some(first) = first_of.get(&record.key) {
                let problem = format!("it answers the same cell as {}", first.display());
                self.found(&path, problem, Cure::Aside)?;
                continue;
            }
            first_of.insert(record.key.clone(), path.clone());
            if let Err(error) = read_samples(self.folder, &mut record) {
                self.unsound(&path, error)?;
                continue;
            }
            owned.extend(record.samples.as_ref().map(|samples| samples.file.clone()));
            if !named(&path, &record) {
                let name = record.file_name();
                let problem = format!("it is looked for as {name}, and is not found");
                self.found(&path, problem, Cure::Rename(self.folder.join(name)))?;
            }
        }
        Ok(owned)
    }

    fn unsound(&mut self, path: &Path, error: StoreError) -> Result<(), StoreError> {
        let (problem, cure) = match error {
            StoreError::Truncated { bytes, .. } => (
                format!("it ends after {bytes} bytes, before it is complete"),
                Cure::Aside,
            ),
            StoreError::Foreign { problem, .. } => (format!("it is no record ({problem})"), Cure::Aside),
            StoreError::Samples { path, problem } => (
                format!("its samples {} can't be used ({problem})", path.display()),
                Cure::Aside,
            ),
            StoreError::Newer { found, .. } => (
                format!("it is of record format {found}, which this program doesn't know"),
                Cure::User("use a newer prunebench"),
            ),
            other => (other.to_string(), Cure::User("make it readable")),
        };
        self.found(path, problem, cure)
    }

    /// Finds samples that no sound record names.
    fn samples(&mut self, owned: &HashSet<String>) -> Result<(), StoreError> {
        for path in files(self.folder, SAMPLES)? {
            let Some(name) = path
                .file_name()
                .and_then(OsStr::to_str)
                .filter(|name| !owned.contains(*name))
            else {
                continue;
            };
            let busy = lock::is_held(self.folder, stem(name));
            let busy = busy.map_err(|source| StoreError::folder(self.folder, source))?;
            // Between its samples and its record, or done since the records were read.
            if !busy && self.is_orphan(name) {
                self.found(&path, "no sound record names it".to_owned(), Cure::Aside)?;
            }
        }
        Ok(())
    }

    fn is_orphan(&self, samples: &str) -> bool {
        let record = read_record(&self.folder.join(format!("{}.json", stem(samples))));
        let of_record = |mut record: Record| record.samples.is_some() && read_samples(self.folder, &mut record).is_ok();
        !record.is_ok_and(of_record)
    }

    /// Finds what killed processes left half done.
    fn leftovers(&mut self) -> Result<(), StoreError> {
        let unreadable = |source| StoreError::folder(self.folder, source);
        for (path, stem) in lock::abandoned(self.folder).map_err(unreadable)? {
            let problem = "the process that reserved this cell is gone".to_owned();
            self.found(&path, problem, Cure::Remove(stem))?;
        }
        for entry in fs::read_dir(self.folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            if name.starts_with(OLD_PARTIAL) {
                let problem = "the process that wrote it was killed".to_owned();
                self.found(&path, problem, Cure::Remove(name.to_owned()))?;
            }
        }
        Ok(())
    }

    fn found(&mut self, path: &Path, problem: String, cure: Cure) -> Result<(), StoreError> {
        let mended = match self.damaged {
            Some(damaged) => self.mend(path, &cure, damaged)?,
            None => false,
        };
        self.findings.push(Finding {
            file: path.to_owned(),
            problem,
            cure: match cure {
                Cure::Aside => "move it aside; the next run measures its cell anew".to_owned(),
                Cure::Rename(to) => format!("rename it to {}", to.display()),
                Cure::Remove(_) => "remove it".to_owned(),
                Cure::User(cure) => cure.to_owned(),
            },
            mended,
        });
        Ok(())
    }

    /// Does what the cure says, unless somebody has reserved the file's cell; whether it was done.
    fn mend(&self, path: &Path, cure: &Cure, damaged: &Path) -> Result<bool, StoreError> {
        let unusable = |source| StoreError::folder(self.folder, source);
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        fs::create_dir_all(self.folder.join(lock::LOCKS)).map_err(unusable)?;
        let cell = match cure {
            Cure::Rename(to) => stem(to.file_name().and_then(OsStr::to_str).unwrap_or_default()),
            Cure::Remove(stem) => stem.as_str(),
            Cure::Aside | Cure::User(_) => stem(name),
        };
        let Some(lock) = Lock::take(self.folder, cell).map_err(unusable)? else {
            return Ok(false);
        };
        let to = match cure {
            Cure::User(_) => return Ok(false),
            Cure::Remove(_) => return lock.clear(path).map(|()| true).map_err(unusable),
            Cure::Aside if name.ends_with(SAMPLES) && !self.is_orphan(name) => return Ok(false),
            Cure::Aside => {
                fs::create_dir_all(damaged).map_err(|source| StoreError::folder(damaged, source))?;
                let mut names = (0..).map(|number| match number {
                    0 => damaged.join(name),
                    number => damaged.join(format!("{number}-{name}")),
                });
                names.find(|to| !to.exists()).unwrap_or_default()
            }
            Cure::Rename(to) if to.exists() => return Ok(false),
            Cure::Rename(to) => to.clone(),
        };
        let unwritable = |source| StoreError::write(&to, source);
        fs::rename(path, &to).map_err(unwritable)?;
        for folder in [self.folder, to.parent().unwrap_or(self.folder)] {
            sync(folder).map_err(unwritable)?;
        }
        Ok(true)
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
