//! What tells the two sides of a comparison apart.

use std::collections::BTreeSet;

use prunebench_results::Cell;
use serde::{Deserialize, Serialize};

use crate::definition::suggestion;
use crate::gate::{Observed, Snapshot};

/// A part of a cell that may tell two sides apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The model source.
    Model,
    /// The whole recipe, its methods joined by ` + `.
    Recipe,
    /// The tensor engine.
    Engine,
    /// The device.
    Device,
    /// The element type.
    Dtype,
}

/// What tells the two sides apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Differing {
    /// The part of the cells.
    pub field: Field,
    /// What it is on the first side, and on the second.
    pub values: [String; 2],
}

/// Two sides that can't be compared at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// A value that no cell has.
    #[error("no record has the {field} `{value}`; {hint}it is one of: {}", found.join(", "))]
    NoSuch {
        /// The part of a cell.
        field: &'static str,
        /// What was asked for.
        value: String,
        /// What was probably meant, as a question; empty if nothing is near.
        hint: String,
        /// What there is.
        found: Vec<String>,
    },
    /// Nothing on one side is on the other.
    #[error(
        "no cell is on both sides: the first has e.g. `{first}`, the second `{second}`; cells are matched by everything but what is \
         given as an option, evaluation and seed included"
    )]
    NoneMatches {
        /// A cell of the first side.
        first: String,
        /// A cell of the second.
        second: String,
    },
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Model, Self::Recipe, Self::Engine, Self::Device, Self::Dtype];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Recipe => "recipe",
            Self::Engine => "engine",
            Self::Device => "device",
            Self::Dtype => "dtype",
        }
    }

    pub(crate) fn value(self, cell: &Cell) -> String {
        match self {
            Self::Model => cell.model.clone(),
            Self::Recipe => cell.recipe.join(" + "),
            Self::Engine => cell.engine.clone(),
            Self::Device => cell.device.clone(),
            Self::Dtype => cell.dtype.clone(),
        }
    }

    pub(super) fn clear(self, cell: &mut Cell) {
        match self {
            Self::Model => cell.model.clear(),
            Self::Recipe => cell.recipe.clear(),
            Self::Engine => cell.engine.clear(),
            Self::Device => cell.device.clear(),
            Self::Dtype => cell.dtype.clear(),
        }
    }
}

impl Differing {
    /// What tells two whole stores apart: each part of which either side has a single value, another than the other side's.
    /// The recipe `dense`, which every store has, is not looked at.
    pub fn found(sides: [&Snapshot; 2], dense: &[String]) -> Vec<Self> {
        let single = |field: Field, side: &Snapshot| {
            let cells = side.cells.iter().map(|cell| &cell.cell);
            let values: BTreeSet<String> = cells
                .filter(|cell| cell.recipe != dense)
                .map(|cell| field.value(cell))
                .collect();
            values.into_iter().next().filter(|first| {
                let mut cells = side.cells.iter().map(|cell| &cell.cell);
                cells.all(|cell| cell.recipe == dense || field.value(cell) == *first)
            })
        };
        let differing = |field| {
            let [a, b] = sides.map(|side| single(field, side));
            let values = [a?, b?];
            (values[0] != values[1]).then_some(Self { field, values })
        };
        Field::ALL.into_iter().filter_map(differing).collect()
    }
}

/// The cells of a store whose `field` is `value`.
///
/// # Errors
/// If there is none.
pub fn part(store: &Snapshot, field: Field, value: &str) -> Result<Snapshot, CompareError> {
    let cells = store.cells.iter().filter(|cell| field.value(&cell.cell) == value);
    let cells: Vec<Observed> = cells.cloned().collect();
    if cells.is_empty() {
        let found: BTreeSet<String> = store.cells.iter().map(|cell| field.value(&cell.cell)).collect();
        let near = suggestion(value, found.iter());
        return Err(CompareError::NoSuch {
            field: field.name(),
            value: value.to_owned(),
            hint: near.map_or_else(String::new, |near| format!("did you mean `{near}`? ")),
            found: found.into_iter().collect(),
        });
    }
    Ok(Snapshot { cells })
}
