//! The rows of a defined table, and the number that stands in each of their columns.

use prunebench_results::{MODEL_INPUT, Status, ThroughputResult};
use wildmatch::WildMatch;

use super::{ColumnDefinition, Definition, DefinitionError, Source, fits};
use crate::{
    comparison::{Group, method, name},
    display::status,
    gate::{Series, series::series},
    paired::is_of_program,
    quantity::Quantity,
    statistics::Interval,
    table::Entry,
};

/// A row with the records that may stand in it.
pub(super) struct Row<'a> {
    pub(super) heading: Option<String>,
    pub(super) name: String,
    /// What else tells it from others.
    pub(super) by: Vec<String>,
    /// By the place of their source.
    groups: Vec<(usize, &'a Group<'a>)>,
}

/// The number at a place of the table, or what became of it.
pub(super) struct Cell<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) quantity: &'a Quantity<'a>,
    pub(super) group: &'a Group<'a>,
    entry: Entry,
}

/// All rows, those of a part together.
pub(super) fn rows<'a>(definition: &Definition, sources: &'a [Source<'a>]) -> Result<Vec<Row<'a>>, DefinitionError> {
    let groups = || {
        let of =
            |(place, source): (usize, &'a Source<'a>)| source.comparison.groups.iter().map(move |group| (place, group));
        let groups = sources.iter().enumerate().flat_map(of);
        groups.filter(|(_, group)| fits(&definition.only, &group.first().cell))
    };
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |name: &str, (place, group): (usize, &'a Group<'a>)| {
        let cell = &group.first().cell;
        let heading = definition.group.map(|field| field.value(cell));
        let by: Vec<String> = definition.by.iter().map(|field| field.value(cell)).collect();
        let same = |row: &&mut Row| row.name == name && row.by == by && row.heading == heading;
        match rows.iter_mut().find(same) {
            Some(row) => row.groups.push((place, group)),
            None => rows.push(Row {
                heading,
                name: name.to_owned(),
                by,
                groups: vec![(place, group)],
            }),
        }
    };
    if definition.rows.is_empty() {
        groups().for_each(|group| add(&method(group.1.first()), group));
    }
    for (place, row) in (1..).zip(&definition.rows) {
        let pattern = WildMatch::new(&row.recipe);
        let mut found = false;
        for group in groups() {
            let recipe = method(group.1.first());
            if pattern.matches(&recipe) {
                found = true;
                add(row.name.as_deref().unwrap_or(&recipe), group);
            }
        }
        if !found {
            let mut known: Vec<String> = groups().map(|(_, group)| method(group.first())).collect();
            known.dedup();
            return Err(DefinitionError::NoRow {
                row: place,
                recipe: row.recipe.clone(),
                known,
            });
        }
    }
    let headings: Vec<Option<String>> = rows.iter().map(|row| row.heading.clone()).collect();
    rows.sort_by_key(|row| headings.iter().position(|heading| *heading == row.heading));
    Ok(rows)
}

impl<'a> Row<'a> {
    /// What stands in a column; `None` if nothing was asked for there.
    pub(super) fn cell(
        &self,
        column: &ColumnDefinition,
        sources: &'a [Source<'a>],
    ) -> Result<Option<Cell<'a>>, DefinitionError> {
        let mut found: Vec<Cell> = Vec::new();
        for &(place, group) in &self.groups {
            let source = &sources[place];
            let quantity = source.quantities.iter().find(|quantity| quantity.name == column.show);
            let Some(quantity) = quantity.filter(|_| fits(&column.only, &group.first().cell)) else {
                continue;
            };
            let failed = || group.records.iter().all(|record| record.status != Status::Ok);
            let entry = match (quantity.entry)(group) {
                Some(entry) => entry,
                None if failed() => Entry::Text(status(group)),
                None => Entry::Missing,
            };
            found.push(Cell {
                source,
                quantity,
                group,
                entry,
            });
        }
        if let [first, second, ..] = found.as_slice() {
            let whose = |cell: &Cell| format!("{} ({})", name(cell.group.first()), cell.group.first().cell.model);
            return Err(DefinitionError::Ambiguous {
                row: self.name.clone(),
                column: column.header.clone().unwrap_or_else(|| column.show.clone()),
                first: whose(first),
                second: whose(second),
            });
        }
        Ok(found.pop())
    }
}

impl Cell<'_> {
    /// What is shown of it, accuracies in percent if asked for.
    pub(super) fn entry(&self, percent: bool) -> Entry {
        let times = |interval: Interval| Interval {
            low: 100.0 * interval.low,
            high: 100.0 * interval.high,
        };
        match self.entry.clone() {
            Entry::Fraction {
                value,
                spread,
                nan_items,
            } if percent => Entry::Fraction {
                value: 100.0 * value,
                spread: spread.map(|spread| 100.0 * spread),
                nan_items,
            },
            Entry::Difference { value, interval } if percent => Entry::Difference {
                value: 100.0 * value,
                interval: interval.map(times),
            },
            entry => entry,
        }
    }

    /// The number alone, to be ranked by.
    pub(super) fn value(&self) -> Option<f64> {
        match self.entry {
            Entry::Share(value)
            | Entry::Number { value, .. }
            | Entry::Ratio { value, .. }
            | Entry::Fraction { value, .. }
            | Entry::Difference { value, .. } => Some(value),
            Entry::Count(count) => Some(count as f64),
            Entry::Text(_) | Entry::Missing => None,
        }
    }

    /// What the number was measured over; nothing if it is no measurement.
    fn scope(&self) -> Option<String> {
        let record = self.group.records.iter().find(|record| record.metrics.is_some())?;
        let metrics = record.metrics.as_ref()?;
        let baseline = self.source.comparison.baseline;
        match series(record, metrics, baseline, &[]).remove(self.quantity.series.as_ref()?)? {
            Series::Losses { scope, .. } | Series::Answers { scope, .. } => Some(scope),
            Series::Speed { .. } => metrics.throughput.as_ref().map(ThroughputResult::setting),
            Series::Count { .. } => None,
        }
    }
}

/// Checks that the numbers of a column, within a part of the table, were measured over the same.
pub(super) fn check_alike<'a>(
    header: &str,
    mut cells: impl Iterator<Item = &'a Cell<'a>>,
) -> Result<(), DefinitionError> {
    let Some(first) = cells.by_ref().find(|cell| cell.scope().is_some()) else {
        return Ok(());
    };
    for cell in cells {
        let (Some(a), Some(b)) = (first.scope(), cell.scope()) else {
            continue;
        };
        let [one, other] = [first, cell].map(|cell| cell.group.first());
        let mixed = |first_value: String, second_value: String| DefinitionError::Mixed {
            column: header.to_owned(),
            first: format!("{} of {}", name(one), one.cell.model),
            first_value,
            second: format!("{} of {}", name(other), other.cell.model),
            second_value,
        };
        if a != b {
            return Err(mixed(a, b));
        }
        let of_model = |input: &str| input == MODEL_INPUT && one.cell.model != other.cell.model;
        for (input, value) in &one.inputs {
            match other.inputs.get(input) {
                Some(is) if is != value && !is_of_program(input) && !of_model(input) => {
                    return Err(mixed(format!("{input} = {value}"), format!("{input} = {is}")));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
