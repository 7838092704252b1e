//! A folder of records, one file a cell, each written whole or not at all.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    cell::CellKey,
    record::{Record, RecordError, SCHEMA, Status},
};

const LOCK: &str = ".lock";
/// Files under this prefix are records that are still being written; nothing ever reads them.
const PARTIAL: &str = ".partial-";

/// A folder of records that this process alone may add to.
///
/// The lock belongs to the open file and not to its name, so the operating system lifts it when the
/// owner ends, however it ends, and no stale lock can stay behind.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    lock: File,
}

impl Store {
    /// Opens the folder, makes it if it isn't there, and makes sure that a record can be written to
    /// it before anything is measured.
    ///
    /// # Errors
    /// If the folder can't be made, written or locked, or another process holds it.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        let unusable = |source| StoreError::folder(&folder, source);
        fs::create_dir_all(&folder).map_err(unusable)?;
        let lock = lock(&folder)?;
        remove_partial_files(&folder).map_err(unusable)?;
        // As large as a small record, so that a full disk shows here and not after the first cell.
        write_partial(&folder, &[b' '; 4096])
            .and_then(|probe| probe.close())
            .map_err(unusable)?;
        Ok(Self { folder, lock })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a record and returns its path. It takes the place of a record of the same cell that
    /// isn't `ok`.
    ///
    /// # Errors
    /// If the record contradicts itself or holds numbers that JSON can't, if the cell has an `ok`
    /// record already, or if it can't be written.
    pub fn record(&self, record: &Record) -> Result<PathBuf, StoreError> {
        let path = self.folder.join(record.file_name());
        let unwritable = |problem| StoreError::Unwritable {
            path: path.clone(),
            problem,
        };
        record.check().map_err(|error| unwritable(error.to_string()))?;
        if self.find(&record.key)?.is_some_and(|old| old.status == Status::Ok) {
            return Err(StoreError::AlreadyMeasured { path });
        }
        let mut text = serde_json::to_vec_pretty(record).map_err(|error| unwritable(error.to_string()))?;
        text.push(b'\n');
        // JSON has no NaN and no infinity: they would be written as null and lost.
        match serde_json::from_slice::<Record>(&text) {
            Ok(same) if same == *record => {}
            Ok(_) => return Err(unwritable("a number in it isn't finite".into())),
            Err(error) => return Err(unwritable(format!("a number in it isn't finite ({error})"))),
        }
        let write = || {
            write_partial(&self.folder, &text)?.persist(&path)?;
            sync_folder(&self.folder)
        };
        write().map_err(|source: io::Error| StoreError::folder(&self.folder, source))?;
        Ok(path)
    }

    /// The record of a cell, whatever its status.
    ///
    /// # Errors
    /// If the cell has two records, or one that can't be read.
    pub fn find(&self, key: &CellKey) -> Result<Option<Record>, StoreError> {
        let ending = format!("-{}.json", key.short());
        let mut paths = record_paths(&self.folder)?.into_iter().filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().ends_with(&ending))
        });
        match (paths.next(), paths.next()) {
            (Some(first), Some(second)) => Err(StoreError::Duplicate { first, second }),
            (Some(path), None) => {
                let record = read_record(&path)?;
                if record.key == *key {
                    Ok(Some(record))
                } else {
                    let problem = format!("its name belongs to the key {key}, its content to {}", record.key);
                    Err(StoreError::Foreign { path, problem })
                }
            }
            _ => Ok(None),
        }
    }

    /// All records, ordered by file name.
    ///
    /// # Errors
    /// As [`read_records`].
    pub fn all(&self) -> Result<Vec<Record>, StoreError> {
        read_records(&self.folder)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Closing the file lifts the lock only once no process that is just being started shares it.
        let _ = self.lock.unlock();
    }
}

/// All records of a folder, ordered by file name. It takes no lock: a record is there whole or not
/// at all, also while another process adds some.
///
/// # Errors
/// If the folder can't be read, a `.json` file in it is no whole record of this format, or a cell
/// has two records.
pub fn read_records(folder: &Path) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    visit_records(folder, &mut |record| records.push(record))?;
    Ok(records)
}

/// Reads as [`read_records`], one record at a time, so that a folder of many need not fit into memory.
///
/// # Errors
/// As [`read_records`], after those that were visited before.
pub fn visit_records(folder: &Path, visit: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
    let mut first_of: HashMap<CellKey, PathBuf> = HashMap::new();
    for path in record_paths(folder)? {
        let record = read_record(&path)?;
        if let Some(first) = first_of.insert(record.key.clone(), path.clone()) {
            return Err(StoreError::Duplicate { first, second: path });
        }
        visit(record);
    }
    Ok(())
}

fn record_paths(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || -> io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    let mut paths = list().map_err(|source| StoreError::folder(folder, source))?;
    paths.retain(|path| path.extension() == Some(OsStr::new("json")));
    paths.sort();
    Ok(paths)
}

fn read_record(path: &Path) -> Result<Record, StoreError> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: u32,
    }
    let path = path.to_path_buf();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(StoreError::Unreadable { path, source }),
    };
    let problem = |error: serde_json::Error| {
        let path = path.clone();
        if error.is_eof() {
            StoreError::Truncated {
                path,
                bytes: text.len(),
            }
        } else {
            StoreError::Foreign {
                path,
                problem: error.to_string(),
            }
        }
    };
    // The version comes first: a record of another format should be called that, and not misspelt.
    let Versioned { schema } = serde_json::from_slice(&text).map_err(problem)?;
    if schema != SCHEMA {
        let problem = RecordError::Schema { found: schema }.to_string();
        return Err(StoreError::Foreign { path, problem });
    }
    let record: Record = serde_json::from_slice(&text).map_err(problem)?;
    match record.check() {
        Ok(()) => Ok(record),
        Err(error) => Err(StoreError::Foreign {
            path,
            problem: error.to_string(),
        }),
    }
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK);
    let unusable = |source| StoreError::folder(folder, source);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // The owner's number only makes the message better; the lock stands without it.
            let _ = file.read_to_string(&mut owner);
            return Err(StoreError::Busy {
                folder: folder.into(),
                owner: owner.trim().into(),
            });
        }
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(unusable)?;
    Ok(file)
}

fn remove_partial_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn write_partial(folder: &Path, content: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL);
    // A temporary file is private by default, and a record is for everyone whom the umask allows.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Makes a rename last through a power cut. Only Unix can open a folder for that.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

/// A folder of records that can't be used, or a file in it that is no record.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder can't be made, written, locked or listed.
    #[error("the results folder {} can't be used ({source}): {}", folder.display(), cure(source))]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another run holds the folder.
    #[error(
        "the results folder {} is in use by the process {owner}: wait for it to end, or give \
         another folder", folder.display()
    )]
    Busy {
        /// The folder.
        folder: PathBuf,
        /// The process number in the lock file.
        owner: String,
    },
    /// A record can't be read.
    #[error("the record {} can't be read ({source}): {}", path.display(), cure(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A record ends too early.
    #[error(
        "the record {} ends after {bytes} bytes, before it is complete: delete it, and run the \
         experiment again to measure its cell anew", path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// A file among the records that isn't one.
    #[error(
        "{} is no record of this program ({problem}): move it out of the results folder; if it was \
         a record, run the experiment again to measure its cell anew", path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why it is none.
        problem: String,
    },
    /// Two records of one cell.
    #[error(
        "{} and {} answer the same cell, which would count it twice: delete one of them",
        first.display(), second.display()
    )]
    Duplicate {
        /// The first file.
        first: PathBuf,
        /// The second file.
        second: PathBuf,
    },
    /// The cell was measured before.
    #[error("{} is there already: delete it to measure its cell anew", path.display())]
    AlreadyMeasured {
        /// The record's file.
        path: PathBuf,
    },
    /// A record that can't be written as it is.
    #[error(
        "the record {} can't be written: {problem}; record the cell as failed instead",
        path.display()
    )]
    Unwritable {
        /// The record's file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl StoreError {
    fn folder(folder: &Path, source: io::Error) -> Self {
        Self::Folder {
            folder: folder.into(),
            source,
        }
    }
}

fn cure(error: &io::Error) -> &'static str {
    use io::ErrorKind::*;
    match error.kind() {
        PermissionDenied => "give yourself write access to it, or name another folder",
        ReadOnlyFilesystem => "it is on a read-only file system; name another folder",
        StorageFull | QuotaExceeded => "free some space, or name a folder on another disk",
        NotADirectory | AlreadyExists => "a file stands in its way; move it, or name another folder",
        NotFound => "make the folder above it, or name another folder",
        Unsupported => "its file system can't lock files; name a folder on a local disk",
        _ => "check the path and the disk, or name another folder",
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
