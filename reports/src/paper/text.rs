//! A paper's table as people read it.

use std::collections::BTreeSet;

use prunebench_results::Trust;

use crate::{
    paper::measure::Measured,
    paper::{MeasuredCell, MeasuredRow, PaperRow, PaperTable, PublishedCell},
    table::{Column, Entry, Source, Table},
};

impl PaperTable {
    /// The table for people: below each published row what was measured, with its interval and its difference, and whether
    /// that is comparable; the reasons are numbered in the notes.
    pub fn to_table(&self) -> Table {
        let mut notes = Notes::default();
        let mut columns: Vec<Column> = self.labels.iter().map(Column::text).collect();
        columns.push(Column::text("value"));
        columns.extend(self.columns.iter().map(|name| Column::number(name, "")));
        columns.push(Column::text("comparable"));
        let (mut rows, mut sources) = (Vec::new(), Vec::new());
        for row in &self.rows {
            let labels = || row.labels.iter().cloned();
            let values = row.published.iter().map(PublishedCell::shown);
            rows.push(texts(
                labels().chain(["published".to_owned()]).chain(values),
                row.missing.clone().unwrap_or_default(),
            ));
            for measured in &row.measured {
                let place = measured.site();
                let values = measured
                    .cells
                    .iter()
                    .map(|cell| cell.as_ref().map_or_else(dash, |cell| cell.shown()));
                let cells = (labels().count() + 1..).zip(&measured.cells);
                sources.extend(cells.filter_map(|(column, cell)| {
                    Some(Source {
                        row: rows.len(),
                        column: Some(column),
                        records: cell.as_ref()?.measured.records.clone(),
                        baseline: Vec::new(),
                    })
                }));
                rows.push(texts(
                    labels().chain([place]).chain(values),
                    measured.comparable(&mut notes),
                ));
            }
        }
        let mut all = vec![
            format!("published: {}; {}", self.source, self.protocol),
            "measured: value [95 % interval over items] (difference to the published one)".to_owned(),
        ];
        all.extend(self.trusts());
        for row in &self.rows {
            all.extend(row.remarks(&self.columns));
        }
        all.extend(
            notes
                .0
                .iter()
                .enumerate()
                .map(|(index, reason)| format!("({}) {reason}", index + 1)),
        );
        Table {
            caption: format!("{}, table {}: {}", self.paper, self.table, self.title),
            columns,
            rows,
            notes: all,
            sources,
            ..Table::default()
        }
    }

    /// The same in few words: what was measured with half its interval, reasons by number, and of a row without values here only
    /// that it has none; the notes say the rest.
    pub fn in_short(&self) -> Table {
        let whole = self.to_table();
        let labels = self.labels.len();
        let mut columns = vec![Column::text(self.labels.join(", "))];
        columns.extend(whole.columns[labels + 1..].iter().cloned());
        let (mut rows, mut missing) = (Vec::new(), Vec::new());
        let mut place = 0;
        for row in &self.rows {
            let label = row.labels.iter().filter(|label| !label.is_empty()).cloned();
            let label = label.collect::<Vec<_>>().join(", ");
            let absent = row
                .missing
                .as_ref()
                .map(|why| why.split(':').next().unwrap_or(why).to_owned());
            missing.extend(row.missing.as_ref().map(|why| format!("{label}: {why}")));
            let values = row.published.iter().map(PublishedCell::shown);
            rows.push(texts(std::iter::once(label).chain(values), absent.unwrap_or_default()));
            for (below, measured) in (1..).zip(&row.measured) {
                // What the whole table says there, with the same numbers of reasons.
                let comparable = whole.rows[place + below].last().map(Entry::to_string);
                let comparable = match &measured.failed {
                    Some(_) => "failed".to_owned(),
                    None => comparable.unwrap_or_default(),
                };
                missing.extend(
                    measured
                        .failed
                        .as_ref()
                        .map(|why| format!("{}: {why}", measured.site())),
                );
                let values = measured
                    .cells
                    .iter()
                    .map(|cell| cell.as_ref().map_or_else(dash, MeasuredCell::in_short));
                let site = format!("  {}", measured.site());
                rows.push(texts(std::iter::once(site).chain(values), comparable));
            }
            place += 1 + row.measured.len();
        }
        let mut notes = whole.notes;
        notes[1] = "measured: value ± half its 95 % interval over items".to_owned();
        notes.extend(missing);
        Table {
            caption: whole.caption,
            columns,
            rows,
            notes,
            ..Table::default()
        }
    }

    /// How far the published values can be trusted.
    fn trusts(&self) -> Vec<String> {
        let cells = || {
            self.rows
                .iter()
                .flat_map(|row| &row.published)
                .filter(|cell| !cell.text.is_empty())
        };
        let mut kinds: Vec<Trust> = Vec::new();
        for cell in cells() {
            if !kinds.contains(&cell.trust) {
                kinds.push(cell.trust);
            }
        }
        match kinds.as_slice() {
            [] => Vec::new(),
            [trust] => vec![format!("trust of the published values: {trust}")],
            _ => {
                let count = |trust: &Trust| format!("{trust} {}", cells().filter(|cell| cell.trust == *trust).count());
                let counts: Vec<String> = kinds.iter().map(count).collect();
                vec![format!("trust of the published values: {}", counts.join(", "))]
            }
        }
    }
}

impl PaperRow {
    /// What is to say about its values, each remark once.
    fn remarks(&self, columns: &[String]) -> Vec<String> {
        let mut told: Vec<&String> = Vec::new();
        let mut notes = Vec::new();
        for (cell, column) in self.published.iter().zip(columns) {
            for remark in &cell.remarks {
                if told.contains(&remark) {
                    continue;
                }
                told.push(remark);
                let shared = self.published.iter().all(|cell| cell.remarks.contains(remark)) && columns.len() > 1;
                let of = if shared { String::new() } else { format!(", {column}") };
                let follows = cell
                    .recomputed
                    .map(|value| format!(" ({value} follows)"))
                    .unwrap_or_default();
                notes.push(format!("{}{of}{follows}: {remark}", self.labels.join(", ")));
            }
        }
        notes
    }
}

impl PublishedCell {
    fn shown(&self) -> String {
        match (self.text.as_str(), self.recomputed) {
            ("", _) => dash(),
            (text, Some(_)) => format!("{text} (!)"),
            (text, None) => text.to_owned(),
        }
    }
}

impl MeasuredRow {
    /// The model, where it ran, and what was done to it where that isn't what the row is usually of.
    fn site(&self) -> String {
        let recipe = if self.usual {
            String::new()
        } else {
            format!(", {}", self.recipe.join(" + "))
        };
        format!("{}, {}{recipe}", self.model, self.place)
    }

    fn comparable(&self, notes: &mut Notes) -> String {
        if let Some(failed) = &self.failed {
            return failed.clone();
        }
        let cells: Vec<&MeasuredCell> = self.cells.iter().flatten().collect();
        let reasons = cells.iter().flat_map(|cell| &cell.reasons);
        let numbers: BTreeSet<usize> = reasons.map(|reason| notes.number(reason)).collect();
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        let (yes, all) = (cells.iter().filter(|cell| cell.comparable).count(), cells.len());
        match yes {
            _ if yes == all => "yes".to_owned(),
            0 => format!("no ({})", numbers.join(", ")),
            _ => format!("{yes} of {all} ({})", numbers.join(", ")),
        }
    }
}

impl MeasuredCell {
    fn in_short(&self) -> String {
        let Measured {
            value,
            interval,
            decimals,
            ..
        } = &self.measured;
        let spread = interval.map(|interval| format!(" ± {:.decimals$}", (interval.high - interval.low) / 2.0));
        format!("{value:.decimals$}{}", spread.unwrap_or_default())
    }

    fn shown(&self) -> String {
        let Measured {
            value,
            interval,
            decimals,
            ..
        } = &self.measured;
        let mut text = format!("{value:.decimals$}");
        if let Some(interval) = interval {
            text += &format!(" [{:.decimals$}, {:.decimals$}]", interval.low, interval.high);
        }
        if let Some(difference) = self.difference {
            text += &format!(" ({difference:+.decimals$})");
        }
        text
    }
}

/// Reasons, each once.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    /// The number of a reason, from 1.
    fn number(&mut self, reason: &String) -> usize {
        let known = self.0.iter().position(|known| known == reason);
        known.unwrap_or_else(|| {
            self.0.push(reason.clone());
            self.0.len() - 1
        }) + 1
    }
}

fn dash() -> String {
    Entry::Missing.to_string()
}

fn texts(row: impl Iterator<Item = String>, last: String) -> Vec<Entry> {
    row.chain([last]).map(Entry::Text).collect()
}
