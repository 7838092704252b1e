//! A table of one's own, and the names that its columns may have.

use std::path::{Path, PathBuf};

use anyhow::Context;
use prunebench_reports::{Comparison, Definition, Table};
use prunebench_results::Record;
use prunebench_sweep::{baseline, comparable_parts, ordered_records};

use super::Report;
use crate::Outcome;
use crate::output::print;

impl Report {
    pub(super) fn defined(&self, path: &Path) -> anyhow::Result<Table> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
        let of_file = || path.display().to_string();
        let definition = Definition::parse(&text).with_context(of_file)?;
        let stores = match self.folders.as_slice() {
            [] => &definition.stores,
            folders => folders,
        };
        anyhow::ensure!(
            !stores.is_empty(),
            "{}: it names no `stores`; name folders of results on the command line",
            path.display()
        );
        let (parts, baseline) = (comparable(stores)?, baseline());
        let comparisons = parts.iter().map(|part| Comparison::new(part, &baseline));
        let comparisons: Vec<Comparison> = comparisons.collect::<Result<_, _>>()?;
        definition.table(&comparisons).with_context(of_file)
    }

    pub(super) fn list_columns(&self) -> Outcome {
        let baseline = baseline();
        let mut names: Vec<String> = Vec::new();
        for part in comparable(&self.folders)? {
            for name in Comparison::new(&part, &baseline)?.number_names() {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        print(&(names.join("\n") + "\n"))?;
        Ok(true)
    }
}

/// The records of folders, those together that may stand side by side.
fn comparable(folders: &[PathBuf]) -> anyhow::Result<Vec<Vec<Record>>> {
    let mut parts = Vec::new();
    for folder in folders {
        parts.extend(comparable_parts(ordered_records(folder)?)?);
    }
    Ok(parts)
}
