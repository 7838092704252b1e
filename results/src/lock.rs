//! Who is measuring a cell: a lock on a small file of its own, which ends with the process that holds it.

use std::{
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io::{self, BufRead, BufReader, Seek, Write},
    path::{Path, PathBuf},
};

use prunebench_files::intended_name;
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    cell::{Cell, RECORD, SAMPLES},
    store_error::StoreError,
};

/// Folder of the locks beside the records, under the name that it has for every version of this program.
pub(crate) const LOCKS: &str = ".claims";
const LOCK: &str = "lock";
/// Of all who reserve cells one after another, the one whose turn it is has locked it.
const TURN: &str = "turn";
/// What earlier versions had half written lay beside the locks.
const OLD_PARTIAL: &str = "partial";

/// What the owner of a reservation says in its file, as a line of JSON, to those who watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The cell, as it displays itself.
    pub cell: String,
    /// The process that sees to it.
    pub process: u32,
    /// The name of its machine.
    pub host: String,
    /// When it reserved the cell, RFC 3339 in UTC.
    pub since: String,
    /// The job that it is of, if a scheduler started it: what `PRUNEBENCH_JOB` says.
    pub job: Option<String>,
    /// What it works on; absent before the first word of it.
    pub phase: Option<String>,
    /// How much of the phase is done.
    pub done: usize,
    /// What `done` will be at its end.
    pub total: usize,
}

/// The name of this machine, empty where it isn't known.
pub fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| String::new(), |name| name.trim().into())
}

impl Owner {
    /// This process on the machine `host`, from now on.
    pub(crate) fn of(cell: &Cell, host: &str) -> Self {
        Self {
            cell: cell.to_string(),
            process: std::process::id(),
            host: host.to_owned(),
            // Years beyond 9999 have no such form.
            since: OffsetDateTime::now_utc()
                .truncate_to_second()
                .format(&Rfc3339)
                .unwrap_or_default(),
            job: std::env::var("PRUNEBENCH_JOB").ok(),
            phase: None,
            done: 0,
            total: 0,
        }
    }
}

/// A cell that is reserved now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Running {
    /// What the names of its files begin with. It ends with the digits of [`crate::CellKey::short`].
    pub stem: String,
    /// What its owner says; absent while that is being written.
    pub owner: Option<Owner>,
}

/// The cells of a folder that are reserved now, ordered by name. Nobody is kept from reserving or measuring by it.
///
/// # Errors
/// If the reservations can't be read.
pub fn running(folder: &Path) -> Result<Vec<Running>, StoreError> {
    let held = || -> io::Result<Vec<Running>> {
        let mut running = Vec::new();
        for path in entries(&folder.join(LOCKS))? {
            if path.extension() == Some(OsStr::new(LOCK))
                && let Some(stem) = path.file_stem().and_then(OsStr::to_str)
                && is_held(folder, stem)?
            {
                running.push(Running {
                    stem: stem.to_owned(),
                    owner: owner(&path),
                });
            }
        }
        running.sort_by(|a, b| a.stem.cmp(&b.stem));
        Ok(running)
    };
    held().map_err(|source| StoreError::folder(&folder.join(LOCKS), source))
}

/// What the first line says if it is whole: the owner may be writing, or gone.
fn owner(path: &Path) -> Option<Owner> {
    let mut line = String::new();
    BufReader::new(File::open(path).ok()?).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// The right to write the files of one cell.
///
/// The lock belongs to the open file and not to its name, so the operating system lifts it when the owner ends, however it
/// ends. What a killed owner leaves is an unlocked file, which the next owner of the cell takes over.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of the cell whose files begin with `stem`; `None` if somebody has it.
    pub(crate) fn take(records: &Path, stem: &str) -> io::Result<Option<Self>> {
        let path = path(records, stem, LOCK);
        loop {
            let options = &mut File::options();
            let file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // An earlier owner may have removed the file between the two steps, and then the lock keeps nobody out.
            if is_at(&file, &path)? {
                // What an earlier owner said of itself.
                file.set_len(0)?;
                return Ok(Some(Self { file, path }));
            }
        }
    }

    /// Writes who holds the lock and what for.
    pub(crate) fn sign(&self, owner: &Owner) -> io::Result<()> {
        let mut line = serde_json::to_vec(owner)?;
        line.push(b'\n');
        (&self.file).rewind()?;
        (&self.file).write_all(&line)?;
        self.file.set_len(line.len() as u64)
    }

    /// Removes what an earlier owner, who is gone, left at `leftover`, and the lock itself.
    pub(crate) fn clear(self, leftover: &Path) -> io::Result<()> {
        // Not the lock's own file: from then on another may be locked in its place, and the end of this lock would remove it.
        if leftover == self.path {
            return Ok(());
        }
        match fs::remove_file(leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that can't be removed now is taken over by the next owner.
        let _ = fs::remove_file(&self.path);
        // Closing the file lifts the lock only once no process that is just being started shares it.
        let _ = self.file.unlock();
    }
}

/// Waits for the turn among those who reserve cells one after another, on whatever machine. It ends when the file is closed.
pub(crate) fn turn(records: &Path) -> io::Result<File> {
    let options = &mut File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.open(records.join(LOCKS).join(TURN))?;
    file.lock()?;
    Ok(file)
}

/// Whether somebody holds the lock of a cell. Several may ask at once: each takes a share of it for an instant.
pub(crate) fn is_held(records: &Path, stem: &str) -> io::Result<bool> {
    let file = match File::open(path(records, stem, LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What the names of all files of a cell begin with.
pub(crate) fn stem(name: &str) -> &str {
    let endings = [SAMPLES, RECORD];
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending));
    stem.unwrap_or(name)
}

/// What processes that are gone left: locks and half-written files, with the stems of their cells.
pub(crate) fn abandoned(records: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let locks = entries(&records.join(LOCKS))?.into_iter().filter_map(|path| {
        let is_ours = [LOCK, OLD_PARTIAL].map(OsStr::new).contains(&path.extension()?);
        let stem = path.file_stem().and_then(OsStr::to_str).filter(|_| is_ours)?.to_owned();
        Some((path, stem))
    });
    let parts = entries(records)?.into_iter().filter_map(|path| {
        let name = intended_name(path.file_name()?.to_str()?)?;
        let stem = stem(name).to_owned();
        Some((path, stem))
    });
    let mut found = Vec::new();
    for (path, stem) in locks.chain(parts) {
        if !is_held(records, &stem)? && path.exists() {
            found.push((path, stem));
        }
    }
    found.sort();
    Ok(found)
}

/// Removes what processes that are gone left.
pub(crate) fn clear(records: &Path) -> io::Result<()> {
    for (path, stem) in abandoned(records)? {
        if let Some(lock) = Lock::take(records, &stem)? {
            lock.clear(&path)?;
        }
    }
    Ok(())
}

/// All that is in a folder; nothing where there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

fn path(records: &Path, stem: &str, extension: &str) -> PathBuf {
    // Not `with_extension`: a stem may have dots.
    records.join(LOCKS).join(format!("{stem}.{extension}"))
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(path) {
        Ok(there) => Ok(identity(there) == identity(file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Elsewhere a file that is open keeps its name.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
