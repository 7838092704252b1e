//! The rows of a task's split, by group.

use std::collections::HashMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::catalogue::{RowSource, Task, WorldRows};
use crate::error::{Error, Result};
use crate::fetch::{Origin, Places, check, hexadecimal};
use crate::world;

/// A row and its place in its split.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) number: usize,
    pub(super) fields: Value,
}

/// The rows of one group, or of a split without groups.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Option<String>,
    pub(super) rows: Vec<Row>,
}

/// The rows of `split`, in groups by their first row, each in the order of the split.
pub(super) fn grouped(task: &Task, split: &str, places: &Places) -> Result<(Vec<Group>, Origin)> {
    let (rows, origin) = match task.split(split)? {
        RowSource::File { hub, file } => places.rows(hub, file)?,
        RowSource::World(made) => world_rows(made)?,
    };
    let mut groups: Vec<Group> = Vec::new();
    let mut index: HashMap<Option<String>, usize> = HashMap::new();
    for (number, fields) in rows.into_iter().enumerate() {
        let name = match &task.prompt.group {
            Some(field) => Some(fields[field].as_str().map(str::to_owned).ok_or_else(|| Error::NoText {
                origin: origin.to_string(),
                row: number,
                field: field.clone(),
            })?),
            None => None,
        };
        let place = *index.entry(name).or_insert_with_key(|name| {
            groups.push(Group {
                name: name.clone(),
                rows: Vec::new(),
            });
            groups.len() - 1
        });
        groups[place].rows.push(Row { number, fields });
    }
    Ok((groups, origin))
}

/// The questions of the synthetic world, checked against the catalogue.
fn world_rows(made: &WorldRows) -> Result<(Vec<Value>, Origin)> {
    let rows = world::rows(made.domain, made.part);
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let origin = Origin::World {
        domains: vec![made.domain],
        part: made.part,
    };
    check(&hexadecimal(Sha256::new_with_prefix(lines)), &made.sha256, &origin)?;
    Ok((rows, origin))
}
