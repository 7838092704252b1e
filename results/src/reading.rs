//! Records and their samples, as they are read.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    cell::{Cell, CellKey, FIRST_NUMERICS, NUMERICS_INPUT, RECORD},
    migration,
    record::{Record, RecordError, SCHEMA},
    samples,
    store_error::StoreError,
};

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

/// All records of a folder without their samples, ordered by file name. It takes no reservation: a record is there whole or not
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
    for path in files(folder, RECORD)? {
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
