//! What a gate found, as people read it: the verdict first.

use prunebench_reports::gate::{Objection, Report, Verdict};
use prunebench_reports::{Entry, Table};

use crate::terminal::{Grid, Line, Look, Side, bad, blocks, doubtful, good, heading, indented, more, wrapped};

/// The verdict, what is worse, what is inconclusive, and how each number fared; all that is known where it is `wide`, and with
/// `notes`.
pub fn drawn(report: &Report, [wide, notes]: [bool; 2], width: usize) -> String {
    let colour = match report.verdict {
        Verdict::Ok => good,
        Verdict::Regression => bad,
        Verdict::Inconclusive | Verdict::NotJudged => doubtful,
    };
    let verdict = format!("gate: {}", report.word());
    let mut text = indented(&format!("{}  ", heading(&colour(&verdict))), &report.counts(), width);
    let tables = report.tables();
    if wide {
        for table in &tables {
            text += &format!("\n{}\n{}", heading(&table.caption), blocks(table, width));
        }
    } else {
        for (what, objections) in [
            (bad(&heading("worse")), report.worse()),
            (doubtful(&heading("inconclusive")), report.inconclusive()),
        ] {
            if !objections.is_empty() {
                text += &format!("\n{what}\n{}", listed(&objections, width));
            }
        }
        if let Some(all) = tables.last().filter(|all| !all.rows.is_empty()) {
            text += &format!("\n{}", blocks(&in_short(all), width));
        }
    }
    if notes {
        text.push('\n');
        let notes = tables.iter().flat_map(|table| &table.notes);
        text += &notes.map(|note| indented("- ", note, width)).collect::<String>();
    }
    let options = [("--wide", wide), ("--notes", notes), ("--json", false)];
    text + "\n" + &more("prunebench gate …", &options, width)
}

/// Whole cells with what is wrong, then numbers with the reason below each.
fn listed(objections: &[Objection], width: usize) -> String {
    let mut text = String::new();
    for objection in objections.iter().filter(|objection| objection.number.is_none()) {
        text += &indented(&bad("✗ "), &objection.cell, width);
        text += &indented("    ", &objection.why, width);
    }
    let mut lines = Vec::new();
    for objection in objections {
        let Some([number, before, after, difference]) = objection.number.clone() else {
            continue;
        };
        lines.push(Line::Cells(
            vec![objection.cell.clone(), number, before, after, difference],
            Look::Plain,
        ));
        // Spaces at the beginning of a line are kept.
        let why = wrapped(&objection.why, width.saturating_sub(4));
        lines.extend(why.iter().map(|line| Line::Across(format!("    {line}"), Look::Faint)));
    }
    if lines.is_empty() {
        return text;
    }
    let grid = Grid {
        sides: vec![Side::Left, Side::Left, Side::Right, Side::Right, Side::Right],
        header: ["cell", "number", "baseline", "now", "difference"]
            .map(str::to_owned)
            .to_vec(),
        lines,
    };
    text + &grid.draw(width)
}

/// The table of all numbers without its last column and those that count none, and with empty places for none.
fn in_short(all: &Table) -> Table {
    let is_of_none = |column: &usize| all.rows.iter().all(|row| row[*column] == Entry::Count(0));
    let kept = 0..all.columns.len().saturating_sub(1);
    let kept: Vec<usize> = kept.filter(|column| !is_of_none(column)).collect();
    let of = |row: &Vec<Entry>| {
        let entries = kept.iter().map(|&column| match &row[column] {
            Entry::Count(0) => Entry::Text(String::new()),
            entry => entry.clone(),
        });
        entries.collect()
    };
    Table {
        columns: kept.iter().map(|&column| all.columns[column].clone()).collect(),
        rows: all.rows.iter().map(of).collect(),
        ..Table::default()
    }
}
