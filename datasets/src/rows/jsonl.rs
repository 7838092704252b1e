//! JSON lines: one object a line.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

pub(super) fn read(path: &Path) -> Result<Vec<Value>> {
    let content = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    content
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| row(line).map_err(|reason| fault(path, number, reason)))
        .collect()
}

fn row(line: &str) -> std::result::Result<Value, String> {
    match serde_json::from_str(line) {
        Ok(row @ Value::Object(_)) => Ok(row),
        Ok(_) => Err("not an object of fields".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn fault(path: &Path, number: usize, reason: String) -> Error {
    Error::Row {
        path: path.to_owned(),
        line: number + 1,
        reason,
    }
}
