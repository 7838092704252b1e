//! Rows of a file: JSON or parquet.

mod json;
pub(crate) mod parquet;

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

/// The rows of the file at `path`, each an object of its fields, in order. `name` decides the format by its ending.
///
/// # Errors
/// [`Error::Read`], [`Error::Row`] or [`Error::Parquet`] for a file that is absent or damaged; [`Error::Format`] for
/// another ending.
pub(crate) fn read(path: &Path, name: &str) -> Result<Vec<Value>> {
    match name.rsplit_once('.') {
        Some((_, "jsonl")) => json::lines(path),
        Some((_, "json")) => json::array(path),
        Some((_, "parquet")) => parquet::rows(path),
        _ => Err(Error::Format { path: path.to_owned() }),
    }
}
