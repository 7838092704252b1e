//! Which records of a results folder count: those of the cells that its experiment asks for.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use prunebench_results::{CellKey, Record, read_samples, visit_records};

use crate::plan::Plan;
use crate::tables::TablesError;

/// File beside the records that lists the keys of the experiment's cells, so that the records of an earlier wording of the
/// experiment stay out of everything that is made of them.
pub(crate) const ORDER: &str = "cells.json";

impl Plan {
    /// Writes the list of this plan's cells into its results folder, for [`listed_records`].
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write_order(&self, folder: &Path) -> Result<(), TablesError> {
        let keys: Vec<&str> = self.cells.iter().map(|planned| planned.key.as_str()).collect();
        let path = folder.join(ORDER);
        let text = format!("{:#}\n", serde_json::json!(keys));
        prunebench_files::write(&path, text.as_bytes()).map_err(|source| TablesError::Write { path, source })
    }
}

/// The cells that the last run of a results folder was of, in its order.
pub(crate) fn ordered_keys(folder: &Path) -> Result<Vec<CellKey>, TablesError> {
    let path = folder.join(ORDER);
    let read = || -> Result<Vec<CellKey>, String> {
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    };
    read().map_err(|reason| TablesError::Order {
        path: path.clone(),
        reason,
    })
}

/// Where the records of a results folder lie, which may be a folder of records itself.
pub fn records_folder(folder: &Path) -> PathBuf {
    let inside = folder.join("records");
    if inside.is_dir() { inside } else { folder.to_owned() }
}

/// The places of the keys that count; `None` if all do, in a folder of records that no list lies beside.
fn places(folder: &Path) -> Result<Option<HashMap<CellKey, usize>>, TablesError> {
    let above = folder.parent().filter(|_| folder.ends_with("records"));
    let above = above.filter(|above| above.join(ORDER).is_file());
    let is_of_records = records_folder(folder) == folder;
    let Some(listed) = (if is_of_records { above } else { Some(folder) }) else {
        return Ok(None);
    };
    let keys = ordered_keys(listed)?;
    Ok(Some(keys.into_iter().zip(0..).collect()))
}

/// Reads the records of a results folder that its experiment asks for, without their samples, one at a time and in any order. Of
/// a folder of records alone it reads those that the list beside it asks for, or all if there is none.
///
/// # Errors
/// If a results folder has no list of its experiment's cells, or its records can't be read.
pub fn visit_listed(folder: &Path, visit: &mut dyn FnMut(Record)) -> Result<(), TablesError> {
    let places = places(folder)?;
    visit_records(&records_folder(folder), &mut |record| {
        if places.as_ref().is_none_or(|places| places.contains_key(&record.key)) {
            visit(record);
        }
    })?;
    Ok(())
}

/// As [`visit_listed`], all of them in the experiment's order, or by name where there is no list.
///
/// # Errors
/// As of [`visit_listed`].
pub fn listed_records(folder: &Path) -> Result<Vec<Record>, TablesError> {
    let mut records = Vec::new();
    visit_listed(folder, &mut |record| records.push(record))?;
    if let Some(places) = places(folder)? {
        records.sort_by_key(|record| places.get(&record.key));
    }
    Ok(records)
}

/// As [`listed_records`], with their samples.
///
/// # Errors
/// As of [`listed_records`].
pub fn ordered_records(folder: &Path) -> Result<Vec<Record>, TablesError> {
    let mut records = listed_records(folder)?;
    let inside = records_folder(folder);
    for record in &mut records {
        read_samples(&inside, record)?;
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../results/fixtures/v1");

    #[test]
    fn records_count_that_the_list_names_in_its_order_or_all_of_a_folder_of_records_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let records = folder.path().join("records");
        fs::create_dir(&records).unwrap();
        for entry in fs::read_dir(FIXTURES).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, records.join(path.file_name().unwrap())).unwrap();
        }
        let keys = |folder: &Path| -> Vec<CellKey> {
            let records = ordered_records(folder).unwrap();
            records.into_iter().map(|record| record.key).collect()
        };
        let all = keys(&records);
        assert_eq!(all.len(), 3);
        let error = listed_records(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("cells.json") && error.contains("prunebench run"),
            "{error}"
        );

        let listed = [all[2].clone(), all[0].clone()];
        fs::write(folder.path().join(ORDER), serde_json::json!(listed).to_string()).unwrap();
        assert_eq!(keys(folder.path()), listed);
        assert_eq!(keys(&records), listed);
        let mut visited = 0;
        visit_listed(folder.path(), &mut |record| {
            visited += usize::from(listed.contains(&record.key))
        })
        .unwrap();
        assert_eq!(visited, 2);
    }
}
