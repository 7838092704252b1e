//! An overview on a terminal.

use console::measure_text_width;
use prunebench_reports::{Overview, OverviewRow, Value};

use super::{Grid, Line, Look, Side, bad, doubtful, faint, heading, indented, wrapped};

/// Recipes are broken into lines sooner than columns are left out.
const RECIPE: usize = 28;

/// The rows under their title, with as many columns as there is room for, and what is to say about them.
pub fn overview(overview: &Overview, width: usize) -> String {
    let mut text = String::new();
    for line in parts(&overview.title, width) {
        text += &format!("{}\n", heading(&line));
    }
    text.push('\n');
    let (shown, left_out) = fitting(overview, width);
    text += &drawn(overview, &shown, width);
    text.push('\n');
    let mut notes = overview.notes.clone();
    if !left_out.is_empty() {
        notes.push(format!(
            "Not shown: {} (a wider terminal, --column NAME, --wide).",
            left_out.join(", ")
        ));
    }
    for note in notes {
        text += &wrapped(&note, width)
            .iter()
            .map(|line| faint(line) + "\n")
            .collect::<String>();
    }
    for failure in &overview.failures {
        let line = format!("{}, {}: {}", failure.cell, failure.status, failure.reason);
        let skipped = failure.status == prunebench_results::Status::Skipped;
        let sign = if skipped { doubtful("· ") } else { bad("✗ ") };
        text += &indented(&sign, &line, width);
    }
    text
}

/// A title in lines that end between its parts.
fn parts(title: &str, width: usize) -> Vec<String> {
    const BETWEEN: &str = " · ";
    let mut lines: Vec<String> = Vec::new();
    for part in title.split(BETWEEN) {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + measure_text_width(part) + 3 <= width => {
                *line += &format!("{BETWEEN}{part}");
            }
            _ => lines.extend(wrapped(part, width)),
        }
    }
    lines
}

/// The columns that there is room for, and the headers of the others.
fn fitting(overview: &Overview, width: usize) -> (Vec<usize>, Vec<String>) {
    let mut shown: Vec<usize> = (0..overview.columns.len()).collect();
    loop {
        let last = shown
            .iter()
            .copied()
            .max_by_key(|&column| overview.columns[column].rank)
            .filter(|&column| overview.columns[column].rank > 0);
        match last.filter(|_| needed(&grid(overview, &shown)) > width) {
            Some(last) => shown.retain(|&column| column != last),
            None => break,
        }
    }
    let left_out = (0..overview.columns.len()).filter(|column| !shown.contains(column));
    let left_out = left_out.map(|column| overview.columns[column].header.clone()).collect();
    (shown, left_out)
}

/// The rows with these columns; where they don't fit side by side, those further right below, beside the recipes again.
fn drawn(overview: &Overview, columns: &[usize], width: usize) -> String {
    let mut parts: Vec<Vec<usize>> = vec![Vec::new()];
    for &column in columns {
        let last = parts.len() - 1;
        parts[last].push(column);
        if parts[last].len() > 1 && needed(&grid(overview, &parts[last])) > width {
            parts[last].pop();
            parts.push(vec![column]);
        }
    }
    let parts = parts.iter().map(|part| grid(overview, part).draw(width));
    parts.collect::<Vec<_>>().join("\n")
}

/// The width of a grid whose recipes are broken into lines where they are long.
fn needed(grid: &Grid) -> usize {
    let recipe = grid.column_width(0);
    grid.natural_width() - recipe + recipe.min(RECIPE)
}

fn grid(overview: &Overview, shown: &[usize]) -> Grid {
    let cells: Vec<Vec<String>> = shown.iter().map(|&column| aligned(&overview.rows, column)).collect();
    let mut lines = Vec::new();
    let mut family = None;
    for (place, row) in overview.rows.iter().enumerate() {
        if row.family != family {
            family.clone_from(&row.family);
            lines.extend(family.iter().map(|family| Line::Across(family.clone(), Look::Heading)));
        }
        let indent = 2 * (row.depth + usize::from(row.family.is_some()));
        let mut line = vec![format!("{:indent$}{}", "", row.label)];
        line.extend(cells.iter().map(|column| column[place].clone()));
        let look = if row.failed.is_some() { Look::Bad } else { Look::Plain };
        lines.push(Line::Cells(line, look));
    }
    let mut header = vec!["recipe".to_owned()];
    header.extend(shown.iter().map(|&column| overview.columns[column].header.clone()));
    Grid {
        sides: std::iter::once(Side::Left)
            .chain(shown.iter().map(|_| Side::Right))
            .collect(),
        header,
        lines,
    }
}

/// The values of a column, so that what follows `±` stands below each other too.
fn aligned(rows: &[OverviewRow], column: usize) -> Vec<String> {
    let length = |text: &str| text.chars().count();
    let of = |row: &OverviewRow| row.values.get(column).cloned().unwrap_or_default();
    let spread = rows
        .iter()
        .filter_map(|row| of(row).spread.map(|spread| length(&spread)))
        .max();
    let cell = |row: &OverviewRow| {
        let Value {
            mark,
            text,
            spread: own,
        } = of(row);
        let text = match (text.is_empty(), &row.failed) {
            (false, _) => text,
            (true, Some(_)) => "—".to_owned(),
            (true, None) => String::new(),
        };
        let text = format!("{}{text}", mark.map(String::from).unwrap_or_default());
        match (own, spread) {
            (Some(own), Some(spread)) => format!("{text} ± {own:<spread$}"),
            (None, Some(spread)) => format!("{text}{:1$}", "", spread + 3),
            _ => text,
        }
    };
    rows.iter().map(cell).collect()
}
