//! The versions among a cell's inputs, and records of other versions than this program's.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;

use prunebench_datasets::Catalogue;
use prunebench_methods::Card;
use prunebench_results::{CellKey, FIRST_NUMERICS, NUMERICS_INPUT, Record, StoreError, visit_records};
use prunebench_tensor::Engine;
use serde::Serialize;

use crate::machine::engine_version;
use crate::plan::Plan;

const METHOD: &str = "method:";
const ENGINE: &str = "engine:";

/// The input that says which numerics an engine has.
pub(crate) fn numerics(engine: Engine) -> (String, String) {
    (
        format!("{NUMERICS_INPUT}{engine}"),
        format!("version {}", engine.numerics()),
    )
}

/// The input that says which version a method has.
pub(crate) fn method(card: &Card) -> (String, String) {
    (format!("{METHOD}{}", card.id), format!("version {}", card.version))
}

/// Records of a folder that were measured by other versions than this program's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Earlier {
    /// How many.
    pub records: usize,
    /// What differs, e.g. `numerics:torch is version 1, here version 2`, with the number of records.
    pub reasons: BTreeMap<String, usize>,
}

impl Earlier {
    /// Of the records of a results folder that are of no cell of the plan.
    ///
    /// # Errors
    /// If the records can't be read.
    pub fn beside(plan: &Plan, folder: &Path) -> Result<Self, StoreError> {
        let keys: HashSet<&CellKey> = plan.cells.iter().map(|planned| &planned.key).collect();
        let mut earlier = Self::default();
        visit_records(&folder.join("records"), &mut |record| {
            if !keys.contains(&record.key) {
                earlier.add(&record);
            }
        })?;
        Ok(earlier)
    }

    /// Of these records.
    pub(crate) fn among(records: &[Record]) -> Self {
        let mut earlier = Self::default();
        records.iter().for_each(|record| earlier.add(record));
        earlier
    }

    pub(crate) fn add(&mut self, record: &Record) {
        let reasons = differences(record);
        self.records += usize::from(!reasons.is_empty());
        for reason in reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }
}

/// `12 records of other versions than this program's: numerics:torch is version 1, here version 2`.
impl fmt::Display for Earlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<&str> = self.reasons.keys().map(String::as_str).collect();
        let plural = if self.records == 1 { "" } else { "s" };
        write!(
            f,
            "{} record{plural} of other versions than this program's: {}",
            self.records,
            reasons.join("; ")
        )
    }
}

/// How a record's versions differ from this program's; nothing where a cell planned today would have the same.
fn differences(record: &Record) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differs = |name: &str, found: &str, here: Option<String>| match here {
        Some(here) if here == found => {}
        Some(here) => differences.push(format!("{name} is {found}, here {here}")),
        None => differences.push(format!("{name} is {found}, here none")),
    };
    let cell = &record.cell;
    if let Ok(engine) = cell.engine.parse::<Engine>() {
        let (name, here) = numerics(engine);
        let found = record.inputs.get(&name).map_or(FIRST_NUMERICS, String::as_str);
        differs(&name, found, Some(here));
    }
    for (name, found) in &record.inputs {
        if let Some(id) = name.strip_prefix(METHOD) {
            let entry = prunebench_methods::find(id).ok();
            differs(name, found, entry.map(|entry| method(entry.card).1));
        } else if let Some(engine) = name.strip_prefix(ENGINE) {
            differs(name, found, engine.parse().ok().map(engine_version));
        }
    }
    if let Ok(catalogue) = Catalogue::embedded() {
        let unknown = |what: &str, id: &str| format!("{what} {id} is not in this program's catalogue");
        for request in &cell.evaluation.perplexity {
            if catalogue.protocol(&request.protocol).is_err() {
                differences.push(unknown("protocol", &request.protocol));
            }
        }
        for request in &cell.evaluation.tasks {
            if catalogue.task(&request.task).is_err() {
                differences.push(unknown("task", &request.task));
            }
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use prunebench_results::Status;

    use super::*;
    use crate::machine::{Machine, now};
    use crate::run::tests::planned;

    fn record() -> Record {
        planned("dense", "cpu", None).record(Status::Skipped, "e", &Machine::look(), None, now())
    }

    #[test]
    fn a_record_of_this_program_is_of_no_other_version() {
        let mut record = record();
        let wanda = prunebench_methods::find("wanda").unwrap();
        record.inputs.extend([
            numerics(Engine::Candle),
            method(wanda.card),
            ("engine:candle".to_owned(), engine_version(Engine::Candle)),
        ]);
        assert_eq!(differences(&record), Vec::<String>::new());
    }

    #[test]
    fn every_version_that_moved_is_named_with_the_one_of_this_program() {
        let mut record = record();
        record.inputs.extend([
            ("method:wanda".to_owned(), "version 0".to_owned()),
            ("method:gone".to_owned(), "version 3".to_owned()),
            ("engine:candle".to_owned(), "candle 0.1.0".to_owned()),
        ]);
        let found = differences(&record).join("\n");
        for part in [
            "numerics:candle is version 1, here version",
            "method:wanda is version 0, here version",
            "method:gone is version 3, here none",
            "engine:candle is candle 0.1.0, here candle",
        ] {
            assert!(found.contains(part), "{part}: {found}");
        }
    }
}
