//! Papers and their tables, as people read them.

use prunebench_reports::PaperTable;
use prunebench_results::Paper;

use crate::terminal::{Grid, Line, Look, Side, blocks, command, faint, heading, indented, wrapped};

/// The papers with their tables.
pub fn list(papers: &[Paper], width: usize) -> String {
    let mut lines = Vec::new();
    for paper in papers {
        let title = format!("{}: {} ({})", paper.id, paper.title, paper.reference);
        lines.push(Line::Across(title, Look::Heading));
        for table in &paper.tables {
            let cells = vec![format!("  {}", table.id), table.title.clone(), table.trust.to_string()];
            lines.push(Line::Cells(cells, Look::Plain));
        }
    }
    let grid = Grid {
        sides: vec![Side::Left; 3],
        header: Vec::new(),
        lines,
    };
    let further = "a table, with what was measured beside it";
    grid.draw(width) + "\n" + &command("prunebench paper flexigpt --table 1", further, width)
}

/// Tables with what was measured; all that is known of each value where it is `wide`, and with `notes`.
pub fn drawn(tables: &[PaperTable], left_out: &[String], [wide, notes]: [bool; 2], width: usize) -> String {
    let mut text = String::new();
    let mut kept_back = left_out.len();
    for paper_table in tables {
        let table = if wide {
            paper_table.to_table()
        } else {
            paper_table.in_short()
        };
        let caption = wrapped(&table.caption, width).into_iter();
        text += &caption.map(|line| heading(&line) + "\n").collect::<String>();
        text += &format!("\n{}\n", blocks(&table, width));
        kept_back += table.notes.len();
        if notes {
            text += &table
                .notes
                .iter()
                .map(|note| indented("- ", note, width))
                .collect::<String>();
            text.push('\n');
        }
    }
    if notes && !left_out.is_empty() {
        text += &format!("{}\n", heading("not in these tables"));
        text += &left_out
            .iter()
            .map(|note| indented("- ", note, width))
            .collect::<String>();
        text.push('\n');
    }
    let mut more = Vec::new();
    if !notes {
        more.push(format!("--notes for {kept_back} notes: sources, reasons, remarks"));
    }
    if !wide {
        more.push("--wide for intervals and differences".to_owned());
    }
    more.push("--plan for the experiment that fills a table".to_owned());
    for (place, option) in more.iter().enumerate() {
        let first = if place == 0 { faint("more  ") } else { " ".repeat(6) };
        text += &indented(&first, option, width);
    }
    text
}
