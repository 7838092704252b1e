//! A comparison as people read it.

use std::collections::BTreeMap;

use super::{ALPHA, Difference, Differences};
use crate::gate::POWER;
use crate::paired::Scale;
use crate::table::{Column, Entry, Table, grouped};

impl Differences {
    /// What came out in a line.
    pub fn headline(&self) -> String {
        let found = self
            .numbers
            .iter()
            .filter(|number| number.p_adjusted.is_some_and(|p| p < ALPHA))
            .count();
        let [first, second] = &self.unmatched;
        format!(
            "{} numbers compared, of which {} were tested and {found} differ (p < {ALPHA} after correction); {} not compared; cells on \
             one side only: {} and {}",
            grouped(self.numbers.len() as u64),
            self.comparisons,
            self.not_compared.len(),
            first.len(),
            second.len()
        )
    }

    /// The differences as people read them: numbers with noise, and of those without it the ones that differ.
    pub fn table(&self) -> Table {
        let shown = self
            .numbers
            .iter()
            .filter(|number| number.test.is_some() || !number.unchanged);
        let text = |text: String| Entry::Text(text);
        let rows = shown.map(|number| {
            let p = |p: Option<f64>| p.map_or(Entry::Missing, |p| text(format!("{p:.2e}")));
            vec![
                text(number.cell.clone()),
                text(number.number.clone()),
                number.value(0),
                number.value(1),
                text(number.scale.show(number.difference, number.interval)),
                p(number.p),
                p(number.p_adjusted),
                number.flips.map_or(Entry::Missing, |flips| {
                    text(format!("+{} −{}", flips.gained, flips.lost))
                }),
                number
                    .smallest
                    .map_or(Entry::Missing, |smallest| text(number.scale.show(smallest, None))),
                Entry::Count((number.samples * number.seeds) as u64),
            ]
        });
        Table {
            caption: format!("Differences, second less first{}", self.sides()),
            rows: rows.collect(),
            columns: vec![
                Column::text("cell"),
                Column::text("number"),
                Column::number("first", ""),
                Column::number("second", ""),
                Column::number("difference [95 %]", ""),
                Column::number("p", ""),
                Column::number("p (BH)", ""),
                Column::number("answers", ""),
                Column::number("would have been seen", ""),
                Column::number("samples", ""),
            ],
            notes: self.notes(),
            ..Table::default()
        }
    }

    fn sides(&self) -> String {
        let sides = self.between.iter().map(|differing| {
            let [first, second] = &differing.values;
            format!(": {} {first} → {second}", differing.field.name())
        });
        sides.collect()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            format!(
                "p (BH): corrected by Benjamini and Hochberg for {} comparisons: of those below 0.05, one in twenty is expected to be \
                 chance. Intervals are of each difference alone.",
                self.comparisons
            ),
            "Answers: how many only the second side has right (+), and only the first (−), over all seeds.".to_owned(),
            format!(
                "Would have been seen: the smallest difference that is found with probability {POWER} at level {ALPHA}, shared by all \
                 comparisons."
            ),
        ];
        if !self.inputs.is_empty() {
            let inputs: Vec<&str> = self.inputs.iter().map(String::as_str).collect();
            notes.push(format!("Inputs that differ in matched cells: {}.", inputs.join(", ")));
        }
        let unchanged = self
            .numbers
            .iter()
            .filter(|number| number.test.is_none() && number.unchanged)
            .count();
        if unchanged > 0 {
            notes.push(format!(
                "Sizes, depths and ratios that are equal, and left out: {unchanged}."
            ));
        }
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for not in &self.not_compared {
            let what = not.number.as_ref().unwrap_or(&not.cell);
            *reasons.entry(format!("{what}: {}", not.reason)).or_default() += 1;
        }
        notes.extend(reasons.iter().map(|(reason, count)| match count {
            1 => format!("Not compared: {reason}."),
            _ => format!("Not compared, {count} times: {reason}."),
        }));
        for (side, cells) in ["first", "second"].iter().zip(&self.unmatched) {
            if !cells.is_empty() {
                notes.push(format!("Only on the {side} side: {}.", cells.join("; ")));
            }
        }
        notes
    }
}

impl Difference {
    /// The number on a side, 0 or 1.
    pub(super) fn value(&self, side: usize) -> Entry {
        let value = self.values[side];
        match self.scale {
            Scale::Points => Entry::Fraction {
                value,
                spread: None,
                nan_items: 0,
            },
            Scale::Relative => Entry::Number { value, spread: None },
        }
    }
}
