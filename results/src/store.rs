//! A folder of records, one file a cell, each written whole or not at all.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use crate::{
    cell::{Cell, CellKey},
    lock::{self, Lock, Owner},
    reading::find_record,
    record::Record,
    reservation::Reservation,
    store_error::StoreError,
};

/// A folder of records that any number of processes add to at once, each to the cells that it has reserved.
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
            fs::create_dir_all(folder.join(lock::LOCKS))?;
            lock::clear(&folder)?;
            // As large as a small record, so that a full disk shows here and not after the first cell. The file has no
            // name, and is gone with this process.
            let mut probe = tempfile::tempfile_in(folder.join(lock::LOCKS))?;
            probe.write_all(&[b' '; 4096])?;
            probe.sync_all()
        };
        match prepare() {
            Ok(()) => Ok(Self {
                folder,
                host: lock::host_name(),
            }),
            Err(source) => Err(StoreError::folder(&folder, source)),
        }
    }

    /// The store as the machine of this name uses it: its reservations say so.
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

    /// Reserves a cell, so that nobody else measures it; `None` if somebody does, or looks at its reservation just now. The
    /// reservation ends when it is dropped, and with its process however that ends, so whoever got `None` asks again later.
    ///
    /// # Errors
    /// If the reservation can't be written, or the cell's record can't be read.
    pub fn reserve(&self, cell: &Cell, key: &CellKey) -> Result<Option<Reservation>, StoreError> {
        let unwritable = |source| StoreError::folder(&self.folder.join(lock::LOCKS), source);
        let Some(lock) = Lock::take(&self.folder, &cell.stem(key)).map_err(unwritable)? else {
            return Ok(None);
        };
        let owner = Owner::of(cell, &self.host);
        lock.sign(&owner).map_err(unwritable)?;
        // Only now: another process may have written it since the caller looked.
        let found = self.find(cell, key)?;
        Ok(Some(Reservation::new(
            self.folder.clone(),
            key.clone(),
            lock,
            owner,
            found,
        )))
    }

    /// Reserves a cell as [`Store::reserve`] does, and keeps the reservation only if `may` then agrees. Of all who reserve this
    /// way, on whatever machine, one is asked at a time: what [`crate::running`] and the records show cannot change by another
    /// of them meanwhile.
    ///
    /// # Errors
    /// As [`Store::reserve`], and those of `may`.
    pub fn reserve_if<E: From<StoreError>>(
        &self,
        cell: &Cell,
        key: &CellKey,
        may: impl FnOnce() -> Result<bool, E>,
    ) -> Result<Option<Reservation>, E> {
        let turn = lock::turn(&self.folder);
        let turn = turn.map_err(|source| StoreError::folder(&self.folder.join(lock::LOCKS), source))?;
        let kept = match self.reserve(cell, key)? {
            Some(reservation) => may()?.then_some(reservation),
            None => None,
        };
        // Closing the file gives the turn up only once no process that is just being started shares it.
        let _ = turn.unlock();
        Ok(kept)
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
pub(crate) mod tests;
