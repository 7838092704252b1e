//! What can be wrong with a folder of records.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::record::RecordError;

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
    /// A file can't be written. Nothing of it is left.
    #[error("{} can't be written ({source}): {}", path.display(), cure(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
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
    #[error("the record {} ends after {bytes} bytes, before it is complete: {MEND}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// A file among the records that isn't one.
    #[error("{} is no record of this program ({problem}): {MEND}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why it is none.
        problem: String,
    },
    /// A record of a version that this program doesn't know.
    #[error("{} can't be read: {}; use a newer prunebench", path.display(), RecordError::Schema { found: *found })]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The samples of a record are not those that were written with it.
    #[error("{}, the samples of a record, can't be used ({problem}): {MEND}", path.display())]
    Samples {
        /// The samples' file.
        path: PathBuf,
        /// What is wrong with them.
        problem: String,
    },
    /// Two records of one cell.
    #[error(
        "{} and {} answer the same cell, which would count it twice: delete one of them, or let `prunebench store check \
         --mend` move the second aside",
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
    #[error("the record {} can't be written: {problem}; record the cell as failed instead", path.display())]
    Unwritable {
        /// The record's file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

const MEND: &str =
    "`prunebench store check --mend` moves it aside, and the next run of the experiment measures its cell anew";

impl StoreError {
    pub(crate) fn folder(folder: &Path, source: io::Error) -> Self {
        let folder = folder.into();
        Self::Folder { folder, source }
    }

    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        let path = path.into();
        Self::Write { path, source }
    }
}

fn cure(error: &io::Error) -> &'static str {
    use io::ErrorKind::*;
    match error.kind() {
        PermissionDenied => "give yourself write access to it, or name another folder",
        ReadOnlyFilesystem => "it is on a read-only file system; name another folder",
        StorageFull | QuotaExceeded => "free some space, or name a folder on another disk; what was measured is kept",
        FileTooLarge => "raise the limit on file sizes (`ulimit -f`); what was measured is kept",
        NotADirectory | AlreadyExists => "a file stands in its way; move it, or name another folder",
        NotFound => "make the folder above it, or name another folder",
        Unsupported => "its file system can't lock files; name a folder on another disk",
        _ => "check the path and the disk, or name another folder",
    }
}
