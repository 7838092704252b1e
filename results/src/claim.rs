//! Who is measuring a cell: a lock on a small file of its own, which ends with the process that holds it.

use std::{
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Folder of the claims beside the records.
pub(crate) const CLAIMS: &str = ".claims";
const LOCK: &str = "lock";
const PARTIAL: &str = "partial";

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
                let lock = Self { file, path };
                lock.sign()?;
                return Ok(Some(lock));
            }
        }
    }

    /// Writes for a curious user who holds the lock; it stands without that.
    fn sign(&self) -> io::Result<()> {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        self.file.set_len(0)?;
        (&self.file).write_all(format!("process {} {}\n", std::process::id(), host.trim()).as_bytes())
    }

    /// Writes a file of the locked cell, whole or not at all.
    pub(crate) fn write(&self, records: &Path, name: &str, content: &[u8]) -> io::Result<()> {
        let partial = self.partial();
        let write = || {
            let mut file = File::create(&partial)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&partial, records.join(name))
        };
        if let Err(error) = write() {
            // The error is the full disk's; a part that stays is never read.
            let _ = fs::remove_file(&partial);
            return Err(error);
        }
        sync_folder(records)
    }

    fn partial(&self) -> PathBuf {
        self.path.with_extension(PARTIAL)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that can't be removed now is taken over by the next owner.
        let _ = fs::remove_file(self.partial());
        let _ = fs::remove_file(&self.path);
        // Closing the file lifts the lock only once no process that is just being started shares it.
        let _ = self.file.unlock();
    }
}

/// Whether somebody holds the lock of a cell.
pub(crate) fn is_held(records: &Path, stem: &str) -> io::Result<bool> {
    let file = match File::options().read(true).write(true).open(path(records, stem, LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match file.try_lock() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What processes that are gone left: locks and half-written files, with the stems of their cells.
pub(crate) fn abandoned(records: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    let claims = match fs::read_dir(records.join(CLAIMS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        claims => claims?,
    };
    for entry in claims {
        let path = entry?.path();
        let ours = [LOCK, PARTIAL]
            .map(OsStr::new)
            .contains(&path.extension().unwrap_or_default());
        if let Some(stem) = path.file_stem().and_then(OsStr::to_str).filter(|_| ours)
            && !is_held(records, stem)?
            && path.exists()
        {
            found.push((path.clone(), stem.to_owned()));
        }
    }
    found.sort();
    Ok(found)
}

fn path(records: &Path, stem: &str, extension: &str) -> PathBuf {
    // Not `with_extension`: a stem may have dots.
    records.join(CLAIMS).join(format!("{stem}.{extension}"))
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

/// Makes a rename last through a power cut. Only Unix can open a folder for that.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
