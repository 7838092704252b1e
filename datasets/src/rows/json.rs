//! JSON: one object a line, or one array of objects.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

pub(super) fn lines(path: &Path) -> Result<Vec<Value>> {
    content(path)?
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            let row = serde_json::from_str(line).map_err(|error| fault(path, number + 1, error.to_string()))?;
            object(row).ok_or_else(|| fault(path, number + 1, "not an object of fields".to_owned()))
        })
        .collect()
}

pub(super) fn array(path: &Path) -> Result<Vec<Value>> {
    let rows: Vec<Value> =
        serde_json::from_str(&content(path)?).map_err(|error| fault(path, error.line(), error.to_string()))?;
    let rows = rows.into_iter().enumerate().map(|(number, row)| {
        let reason = || format!("item {number} of the array (the first is 0) is not an object of fields");
        object(row).ok_or_else(|| fault(path, 1, reason()))
    });
    rows.collect()
}

fn content(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn object(row: Value) -> Option<Value> {
    row.is_object().then_some(row)
}

fn fault(path: &Path, line: usize, reason: String) -> Error {
    Error::Row {
        path: path.to_owned(),
        line,
        reason,
    }
}
