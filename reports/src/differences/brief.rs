//! A comparison in few words: what differs, and how much of the rest there is.

use std::cmp::Ordering;

use super::{ALPHA, Difference, Differences, Field};
use crate::short_names::ShortNames;
use crate::table::{Column, Entry, Table, grouped};

/// Stands before differences that are no chance.
const MARK: char = '*';

impl Differences {
    /// Whether that many of the numbers differ, in a line.
    pub fn title(&self) -> String {
        let numbers = grouped(self.numbers.len() as u64);
        let found = match self.numbers.iter().filter(|number| number.is_found()).count() {
            0 => format!("none of {numbers} numbers differs"),
            1 => format!("1 of {numbers} numbers differs"),
            found => format!("{found} of {numbers} numbers differ"),
        };
        let sides = self.between.iter().map(|differing| differing.values.clone());
        let (first, second): (Vec<String>, Vec<String>) = sides.map(|[first, second]| (first, second)).unzip();
        match first.is_empty() {
            true => found,
            false => format!("{} → {}: {found}", first.join(", "), second.join(", ")),
        }
    }

    /// The numbers that differ, the surest and largest differences first; no rows if there is none.
    pub fn found(&self) -> Table {
        let mut found: Vec<&Difference> = self.numbers.iter().filter(|number| number.is_found()).collect();
        found.sort_by(|a, b| a.order(b));
        let known: Vec<Field> = self.between.iter().map(|differing| differing.field).collect();
        let names = ShortNames::of(self.numbers.iter().map(|number| &number.of), &known);
        // Cells with the same numbers share a row.
        let mut rows: Vec<(Vec<String>, Vec<Entry>)> = Vec::new();
        for number in found {
            let mark = if number.p_adjusted.is_some() {
                MARK.to_string()
            } else {
                String::new()
            };
            let difference = number.scale.brief(number.difference, number.interval);
            let entries = vec![
                Entry::Text(number.number.clone()),
                Entry::Text(number.value(0).to_string()),
                Entry::Text(number.value(1).to_string()),
                Entry::Text(format!("{mark}{difference}")),
            ];
            let name = names.name(&number.of);
            match rows.iter_mut().find(|(_, known)| *known == entries) {
                Some((names, _)) => names.push(name),
                None => rows.push((vec![name], entries)),
            }
        }
        let rows = rows.into_iter().map(|(mut names, entries)| {
            names.sort();
            let mut row = vec![Entry::Text(names.join("; "))];
            row.extend(entries);
            row
        });
        Table {
            columns: vec![
                Column::text("cell"),
                Column::text("number"),
                Column::number("first", ""),
                Column::number("second", ""),
                Column::number("difference", ""),
            ],
            rows: rows.collect(),
            ..Table::default()
        }
    }

    /// What is to say of the numbers that are not among [`Self::found`], a sentence each.
    pub fn rest(&self) -> Vec<String> {
        let count = |is_it: &dyn Fn(&Difference) -> bool| self.numbers.iter().filter(|number| is_it(number)).count();
        let mut rest = Vec::new();
        let tests = grouped(self.comparisons as u64);
        match (
            self.comparisons,
            count(&|number| number.test.is_some() && number.is_found()),
        ) {
            (0, _) => {}
            (_, 0) => rest.push(format!(
                "No difference has p < {ALPHA} after correction for {tests} tests."
            )),
            _ => rest.push(format!(
                "{MARK} p < {ALPHA} after correction for {tests} tests. ± is half the 95 % interval."
            )),
        }
        let alike = count(&|number| number.test.is_some() && !number.is_found() && !number.unchanged);
        let unchanged = count(&|number| number.unchanged);
        let mut parts = Vec::new();
        if alike > 0 {
            parts.push(format!("{} differ by what may be chance", grouped(alike as u64)));
        }
        if unchanged > 0 {
            parts.push(format!("{} are the same to the last digit", grouped(unchanged as u64)));
        }
        if !self.not_compared.is_empty() {
            parts.push(format!("{} can't be compared", grouped(self.not_compared.len() as u64)));
        }
        if !parts.is_empty() {
            rest.push(format!("Of the others {}.", parts.join(", ")));
        }
        for (side, cells) in ["first", "second"].iter().zip(&self.unmatched) {
            if !cells.is_empty() {
                rest.push(format!("{} cells are only on the {side} side.", cells.len()));
            }
        }
        rest
    }
}

impl Difference {
    /// Whether it is no chance, or has no noise and is not the same.
    fn is_found(&self) -> bool {
        !self.unchanged && self.p_adjusted.map_or(self.test.is_none(), |p| p < ALPHA)
    }

    /// The surest first, of equally sure ones the largest; what has no noise last.
    fn order(&self, other: &Self) -> Ordering {
        let p = |number: &Self| number.p_adjusted.unwrap_or(f64::INFINITY);
        let size = |number: &Self| number.difference.abs();
        p(self).total_cmp(&p(other)).then(size(other).total_cmp(&size(self)))
    }
}
