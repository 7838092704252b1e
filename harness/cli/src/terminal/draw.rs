//! Tables of reports on a terminal.

use prunebench_reports::{Alignment, Table};

use super::{Grid, Line, Look, Side, heading, indented, wrapped};

/// A table with its caption and its notes. Where its columns don't fit side by side, those further right stand below, beside
/// the first column again.
pub fn table(table: &Table, width: usize) -> String {
    let caption = wrapped(&table.caption, width).into_iter();
    let mut text: String = caption.map(|line| heading(&line) + "\n").collect();
    text.push('\n');
    text += &blocks(table, width);
    if !table.notes.is_empty() {
        text.push('\n');
    }
    for note in &table.notes {
        text += &indented("- ", note, width);
    }
    text
}

/// The rows of a table alone.
pub fn blocks(table: &Table, width: usize) -> String {
    let columns = table.columns.len();
    let mut drawn = Vec::new();
    let mut next = 0;
    while next < columns {
        // The first column says what a row is of.
        let mut shown: Vec<usize> = if next == 0 { Vec::new() } else { vec![0] };
        let first = shown.len();
        while next < columns {
            shown.push(next);
            if shown.len() > first + 1 && grid(table, &shown).least_width() > width {
                shown.pop();
                break;
            }
            next += 1;
        }
        drawn.push(grid(table, &shown).draw(width));
    }
    drawn.join("\n")
}

fn grid(table: &Table, columns: &[usize]) -> Grid {
    let mut lines = Vec::new();
    for row in 0..table.rows.len() {
        if let Some(heading) = table.heading(row) {
            lines.push(Line::Across(heading.to_owned(), Look::Heading));
        }
        let cells = columns.iter().map(|&column| table.text(row, column));
        lines.push(Line::Cells(cells.collect(), Look::Plain));
    }
    let of = |&column: &usize| &table.columns[column];
    Grid {
        sides: columns.iter().map(of).map(|column| side(column.alignment)).collect(),
        header: columns.iter().map(of).map(ToString::to_string).collect(),
        lines,
    }
}

fn side(alignment: Alignment) -> Side {
    match alignment {
        Alignment::Left => Side::Left,
        Alignment::Right => Side::Right,
    }
}
