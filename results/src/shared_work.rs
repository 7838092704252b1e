//! Work that several cells want, made by one of them and kept for the others: a folder of files named for what decides their
//! content, up to a size.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use prunebench_files::intended_name;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::lock::{self, Lock};

/// How long to wait before looking again whether another process has done the work.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Bytes of the SHA-256 that a file begins with.
const DIGEST: usize = 32;

/// A piece of work, by everything that decides what comes out of it but the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedWork {
    /// What records call it.
    pub name: String,
    /// SHA-256 of what decides it: equal for two cells exactly if one can take it from the other.
    pub key: String,
}

impl SharedWork {
    /// The work that `name` and a JSON value with everything that decides it stand for.
    pub fn new(name: String, mut decided_by: serde_json::Value) -> Self {
        decided_by.sort_all_objects();
        let key = hex(&Sha256::digest(format!("{name}\n{decided_by}")));
        Self { name, key }
    }
}

/// A folder of work that any number of processes share. Each file is whole or absent, begins with the SHA-256 of the rest,
/// and is named for its work, its part and the machine, so that it holds the very numbers that whoever takes it would have
/// made. When the files exceed the limit, those go whose last use, the time of their last modification, is longest ago.
///
/// Nothing that is wrong with the folder keeps a cell from its numbers: they are made anew, and [`SharedWorkCache::faults`]
/// tells.
#[derive(Debug)]
pub struct SharedWorkCache {
    folder: PathBuf,
    limit: u64,
    machine: String,
    taken: RefCell<BTreeSet<String>>,
    faults: RefCell<Vec<String>>,
}

impl SharedWorkCache {
    /// A folder, made when the first work is kept in it, of at most `limit` bytes. `machine` names the hardware whose
    /// numbers these are: the last digits of another's may differ.
    pub fn new(folder: impl Into<PathBuf>, limit: u64, machine: impl Into<String>) -> Self {
        Self {
            folder: folder.into(),
            limit,
            machine: machine.into(),
            taken: RefCell::default(),
            faults: RefCell::default(),
        }
    }

    /// A part of the work: the one that is kept, else `make`'s, which is then kept unless it is larger than the limit. Of
    /// several processes that ask at once, one makes it and the others wait. `make` must not ask for the same part.
    ///
    /// # Errors
    /// Those of `make` alone.
    pub fn share<T, E>(
        &self,
        work: &SharedWork,
        part: impl Serialize,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
    {
        let name = match self.file_name(work, &part) {
            Ok(name) => name,
            Err(error) => {
                self.fault(work, format!("its part can't be named ({error})"));
                return make();
            }
        };
        if let Some(kept) = self.find(work, &name) {
            return Ok(kept);
        }
        let _lock = match self.lock(&name) {
            Ok(lock) => lock,
            Err(error) => {
                self.fault(work, format!("{} can't be used ({error})", self.folder.display()));
                return make();
            }
        };
        // Only now: another process may have made it since.
        if let Some(kept) = self.find(work, &name) {
            return Ok(kept);
        }
        let made = make()?;
        if let Err(error) = self.keep(&name, &made) {
            self.fault(
                work,
                format!("{} can't be written ({error})", self.path(&name).display()),
            );
        }
        Ok(made)
    }

    /// Names of the work of which parts were taken and not made, each once.
    pub fn taken(&self) -> Vec<String> {
        self.taken.borrow().iter().cloned().collect()
    }

    /// What was wrong with the folder or a file in it.
    pub fn faults(&self) -> Vec<String> {
        self.faults.borrow().clone()
    }

    fn file_name(&self, work: &SharedWork, part: &impl Serialize) -> postcard::Result<String> {
        let decided_by = postcard::to_stdvec(&(&work.key, &self.machine, part))?;
        Ok(hex(&Sha256::digest(decided_by)))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn fault(&self, work: &SharedWork, what: String) {
        self.faults.borrow_mut().push(format!("{}: {what}", work.name));
    }

    fn find<T: DeserializeOwned>(&self, work: &SharedWork, name: &str) -> Option<T> {
        let path = self.path(name);
        // The whole file at once, so that it may be removed from now on.
        let content = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            content => content,
        };
        let found = content.map_err(|error| error.to_string()).and_then(|content| {
            let (digest, value) = content.split_at_checked(DIGEST).ok_or("it is too short")?;
            if Sha256::digest(value)[..] != *digest {
                return Err("its sha256 is another".to_owned());
            }
            postcard::from_bytes(value).map_err(|error| error.to_string())
        });
        match found {
            Ok(value) => {
                // Another process may have removed it; its content is here.
                let _ = touch(&path);
                self.taken.borrow_mut().insert(work.name.clone());
                Some(value)
            }
            Err(problem) => {
                let _ = fs::remove_file(&path);
                let path = path.display();
                self.fault(
                    work,
                    format!("{path} could not be used ({problem}), was removed, and was made anew"),
                );
                None
            }
        }
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        fs::create_dir_all(self.folder.join(lock::LOCKS))?;
        loop {
            if let Some(lock) = Lock::take(&self.folder, name)? {
                return Ok(lock);
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn keep(&self, name: &str, made: &impl Serialize) -> io::Result<()> {
        let value = postcard::to_stdvec(made).map_err(io::Error::other)?;
        let content = [&Sha256::digest(&value)[..], &value].concat();
        if content.len() as u64 > self.limit {
            return Ok(());
        }
        prunebench_files::write(&self.path(name), &content)?;
        self.make_room(name)
    }

    /// Removes what was used longest ago, until the rest is within the limit; `newest` stays.
    fn make_room(&self, newest: &str) -> io::Result<()> {
        // What killed processes left half written counts for nobody.
        lock::clear(&self.folder)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let is_whole = entry.file_name().to_str().and_then(intended_name).is_none();
            // One that is gone was removed by another process.
            if let Ok(metadata) = entry.metadata()
                && metadata.is_file()
                && is_whole
            {
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if total <= self.limit {
                break;
            }
            if path != self.path(newest) {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => total -= length,
                }
            }
        }
        Ok(())
    }
}

fn touch(path: &Path) -> io::Result<()> {
    File::options().append(true).open(path)?.set_modified(SystemTime::now())
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "shared_work_tests.rs"]
mod tests;
