//! A folder of records, one file a cell, each written whole or not at all.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::{
    cell::{Cell, CellKey, FIRST_NUMERICS, NUMERICS_INPUT},
    claim::{self, Lock, Owner},
    migration,
    record::{Attempt, Record, RecordError, SCHEMA, SampleFile, Status},
    samples,
    store_error::StoreError,
};

/// Progress closer together than this isn't written.
const QUIET: Duration = Duration::from_secs(1);

/// A folder of records that any number of processes add to at once, each to the cells that it has claimed.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
    host: String,
}

impl Store {
    /// Opens the folder, makes it if it isn't there, clears away what killed processes left half done, and makes sure that
    /// a record can be written before anything is measured.
    ///
    /// # Errors
    /// If the folder can't be made or written, or its file system can't lock files.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        let prepare = || {
            fs::create_dir_all(folder.join(claim::CLAIMS))?;
            for (_, stem) in claim::abandoned(&folder)? {
                drop(Lock::take(&folder, &stem)?);
            }
            // As large as a small record, so that a full disk shows here and not after the first cell. The file has no
            // name, and is gone with this process.
            let mut probe = tempfile::tempfile_in(folder.join(claim::CLAIMS))?;
            probe.write_all(&[b' '; 4096])?;
            probe.sync_all()
        };
        match prepare() {
            Ok(()) => Ok(Self {
                folder,
                host: claim::host_name(),
            }),
            Err(source) => Err(StoreError::folder(&folder, source)),
        }
    }

    /// The store as the machine of this name uses it: its claims say so.
    pub fn on(self, host: &str) -> Self {
        Self {
            host: host.to_owned(),
            ..self
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The record of a cell, as [`find_record`].
    ///
    /// # Errors
    /// As there.
    pub fn find(&self, cell: &Cell, key: &CellKey) -> Result<Option<Record>, StoreError> {
        find_record(&self.folder, cell, key)
    }

    /// Claims a cell, so that nobody else measures it; `None` if somebody does, or looks at its claim just now. The claim
    /// ends when it is dropped, and with its process however that ends, so whoever got `None` asks again later.
    ///
    /// # Errors
    /// If the claim can't be written, or the cell's record can't be read.
    pub fn claim(&self, cell: &Cell, key: &CellKey) -> Result<Option<Claim>, StoreError> {
        let unwritable = |source| StoreError::folder(&self.folder.join(claim::CLAIMS), source);
        let Some(lock) = Lock::take(&self.folder, &cell.stem(key)).map_err(unwritable)? else {
            return Ok(None);
        };
        let owner = Owner::of(cell, &self.host);
        lock.sign(&owner).map_err(unwritable)?;
        // Only now: another process may have written it since the caller looked.
        let found = self.find(cell, key)?;
        Ok(Some(Claim {
            folder: self.folder.clone(),
            key: key.clone(),
            lock,
            owner,
            signed: Instant::now(),
            found,
        }))
    }

    /// Claims a cell as [`Store::claim`] does, and keeps the claim only if `may` then agrees. Of all who claim this way, on
    /// whatever machine, one is asked at a time: what [`crate::running`] and the records show cannot change by another of them
    /// meanwhile.
    ///
    /// # Errors
    /// As [`Store::claim`], and those of `may`.
    pub fn claim_if<E: From<StoreError>>(
        &self,
        cell: &Cell,
        key: &CellKey,
        may: impl FnOnce() -> Result<bool, E>,
    ) -> Result<Option<Claim>, E> {
        let turn = claim::turn(&self.folder);
        let turn = turn.map_err(|source| StoreError::folder(&self.folder.join(claim::CLAIMS), source))?;
        let kept = match self.claim(cell, key)? {
            Some(claim) => may()?.then_some(claim),
            None => None,
        };
        // Closing the file gives the turn up only once no process that is just being started shares it.
        let _ = turn.unlock();
        Ok(kept)
    }
}

/// The right to measure one cell and to write its record.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    key: CellKey,
    lock: Lock,
    owner: Owner,
    signed: Instant,
    found: Option<Record>,
}

impl Claim {
    /// The record that the cell had when it was claimed: `ok` if another process finished it a moment ago, else the last
    /// try that failed.
    pub fn found(&self) -> Option<&Record> {
        self.found.as_ref()
    }

    /// Tells those who watch ([`crate::running`]) how far the cell is: that it began with something, and once a second how much
    /// of it is done.
    pub fn progress(&mut self, phase: &str, done: usize, total: usize) {
        let goes_on = self.owner.phase.is_some() && total == self.owner.total && done > self.owner.done;
        if goes_on && self.signed.elapsed() < QUIET {
            return;
        }
        self.owner.phase = Some(phase.to_owned());
        (self.owner.done, self.owner.total) = (done, total);
        self.signed = Instant::now();
        // The cell is measured all the same if nobody hears of it.
        let _ = self.lock.sign(&self.owner);
    }

    /// Writes the cell's record, first its samples, and gives it back as [`Store::find`] will. A record that isn't `ok` is
    /// replaced, and stays as one of the [`Record::attempts`].
    ///
    /// # Errors
    /// If it is another cell's record, contradicts itself, lacks samples or holds numbers that JSON can't, if the cell has
    /// an `ok` record, or if it can't be written.
    pub fn record(&mut self, record: &Record) -> Result<Record, StoreError> {
        let path = self.folder.join(record.file_name());
        let unwritable = |problem| StoreError::Unwritable {
            path: path.clone(),
            problem,
        };
        record.check().map_err(|error| unwritable(error.to_string()))?;
        if record.key != self.key {
            let problem = format!("the claim is on the cell {}, the record of {}", self.key, record.key);
            return Err(unwritable(problem));
        }
        if let Some(problem) = record.metrics.as_ref().and_then(samples::missing) {
            return Err(unwritable(problem));
        }
        let attempts = match &self.found {
            Some(found) if found.status == Status::Ok => return Err(StoreError::AlreadyMeasured { path }),
            Some(found) => found.as_attempts(),
            None => Vec::new(),
        };
        let mut whole = Record {
            attempts,
            ..record.clone()
        };
        let mut stored = whole.clone();
        let content = samples::split(&mut stored).map_err(|error| unwritable(error.to_string()))?;
        stored.samples = content.as_ref().map(|content| SampleFile {
            file: record.cell.sample_file_name(&record.key),
            sha256: samples::sha256(content),
        });
        whole.samples = stored.samples.clone();
        let mut text = serde_json::to_vec_pretty(&stored).map_err(|error| unwritable(error.to_string()))?;
        text.push(b'\n');
        // JSON has no NaN and no infinity: they would be written as null and lost.
        let read_back = || -> Option<Record> {
            let mut read = serde_json::from_slice(&text).ok()?;
            content
                .as_ref()
                .map_or(Ok(()), |content| samples::join(&mut read, content))
                .ok()?;
            Some(read)
        };
        if read_back() != Some(whole) {
            return Err(unwritable("a number in it isn't finite".into()));
        }
        if let (Some(samples), Some(content)) = (&stored.samples, &content) {
            self.write(&samples.file, content)?;
        }
        self.write(&stored.file_name(), &text)?;
        self.found = Some(stored.clone());
        Ok(stored)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let written = self.lock.write(&self.folder, name, content);
        written.map_err(|source| StoreError::write(&self.folder.join(name), source))
    }
}

/// The record of a cell in a folder, whatever its status, without its samples ([`read_samples`]). It looks at one file only.
///
/// # Errors
/// If that file is no whole record of this cell.
pub fn find_record(folder: &Path, cell: &Cell, key: &CellKey) -> Result<Option<Record>, StoreError> {
    let path = folder.join(cell.file_name(key));
    let record = match read_record(&path) {
        Err(StoreError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        record => record?,
    };
    if record.key == *key {
        return Ok(Some(record));
    }
    let problem = format!("its name belongs to the key {key}, its content to {}", record.key);
    Err(StoreError::Foreign { path, problem })
}

/// All records of a folder without their samples, ordered by file name. It takes no claim: a record is there whole or not
/// at all, also while other processes add some.
///
/// # Errors
/// If the folder can't be read, a `.json` file in it is no whole record, or a cell has two records.
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
    for path in files(folder, ".json")? {
        let record = read_record(&path)?;
        if let Some(first) = first_of.insert(record.key.clone(), path.clone()) {
            return Err(StoreError::Duplicate { first, second: path });
        }
        visit(record);
    }
    Ok(())
}

/// Joins a record of a folder with its samples, and checks that they are those that were written with it. A record that has
/// them, or needs none, stays as it is.
///
/// # Errors
/// If they can't be read, are others, or are not all there.
pub fn read_samples(folder: &Path, record: &mut Record) -> Result<(), StoreError> {
    let missing = |record: &Record| record.metrics.as_ref().and_then(samples::missing);
    let Some(problem) = missing(record) else {
        return Ok(());
    };
    let Some(samples) = &record.samples else {
        let path = folder.join(record.file_name());
        let problem = format!("{problem}, and no file is named for the rest");
        return Err(StoreError::Foreign { path, problem });
    };
    let path = folder.join(&samples.file);
    let wrong = |problem| StoreError::Samples {
        path: path.clone(),
        problem,
    };
    let content = fs::read(&path).map_err(|error| wrong(error.to_string()))?;
    let found = samples::sha256(&content);
    if found != samples.sha256 {
        return Err(wrong(format!(
            "its sha256 is {found}, the record says {}",
            samples.sha256
        )));
    }
    samples::join(record, &content).map_err(wrong)?;
    missing(record).map_or(Ok(()), |problem| Err(wrong(problem)))
}

/// The files of a folder with this ending, ordered by name.
pub(crate) fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, StoreError> {
    let list = || -> io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    let mut paths = list().map_err(|source| StoreError::folder(folder, source))?;
    let name = |path: &PathBuf| path.file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
    paths.retain(|path| name(path).ends_with(ending) && !name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

pub(crate) fn read_record(path: &Path) -> Result<Record, StoreError> {
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
            let bytes = text.len();
            StoreError::Truncated { path, bytes }
        } else {
            let problem = error.to_string();
            StoreError::Foreign { path, problem }
        }
    };
    // The version comes first: a record of another format should be called that, and not misspelt.
    let Versioned { schema } = serde_json::from_slice(&text).map_err(problem)?;
    let mut record: Record = match schema {
        SCHEMA => serde_json::from_slice(&text).map_err(problem)?,
        1..SCHEMA => {
            let mut value = serde_json::from_slice(&text).map_err(problem)?;
            migration::migrate(&mut value, schema);
            serde_json::from_value(value).map_err(problem)?
        }
        0 => {
            let problem = RecordError::Schema { found: schema }.to_string();
            return Err(StoreError::Foreign { path, problem });
        }
        found => return Err(StoreError::Newer { path, found }),
    };
    // Whatever compares records by their inputs can then tell them from those of later numerics.
    let numerics = format!("{NUMERICS_INPUT}{}", record.cell.engine);
    record
        .inputs
        .entry(numerics)
        .or_insert_with(|| FIRST_NUMERICS.to_owned());
    match record.check() {
        Ok(()) => Ok(record),
        Err(error) => {
            let problem = error.to_string();
            Err(StoreError::Foreign { path, problem })
        }
    }
}

impl Record {
    /// How often the cell was tried.
    pub fn tries(&self) -> usize {
        self.attempts.len() + 1
    }

    /// What of this record stays when another one takes its place.
    fn as_attempts(&self) -> Vec<Attempt> {
        let mut tries = self.attempts.clone();
        tries.push(Attempt {
            status: self.status,
            error: self.error.clone().unwrap_or_default(),
            started_at: self.provenance.started_at.clone(),
        });
        tries
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
pub(crate) mod tests;
