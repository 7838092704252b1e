//! The right to write one cell's record, and its writing.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::{
    cell::CellKey,
    lock::{Lock, Owner},
    record::{Attempt, Record, SampleFile, Status},
    samples,
    store_error::StoreError,
};

/// Progress closer together than this isn't written.
const QUIET: Duration = Duration::from_secs(1);

/// The right to measure one cell and to write its record.
#[derive(Debug)]
pub struct Reservation {
    folder: PathBuf,
    key: CellKey,
    lock: Lock,
    owner: Owner,
    signed: Instant,
    found: Option<Record>,
}

impl Reservation {
    pub(crate) fn new(folder: PathBuf, key: CellKey, lock: Lock, owner: Owner, found: Option<Record>) -> Self {
        Self {
            folder,
            key,
            lock,
            owner,
            signed: Instant::now(),
            found,
        }
    }

    /// The record that the cell had when it was reserved: `ok` if another process finished it a moment ago, else the last
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

    /// Writes the cell's record, first its samples, and gives it back as [`crate::Store::find`] will. A record that isn't `ok` is
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
            let problem = format!(
                "the reservation is on the cell {}, the record of {}",
                self.key, record.key
            );
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
        let path = self.folder.join(name);
        prunebench_files::write(&path, content).map_err(|source| StoreError::write(&path, source))
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
