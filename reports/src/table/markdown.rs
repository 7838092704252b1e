//! Tables as GitHub-flavoured Markdown.

use super::{Alignment, Rank, Table};

impl Table {
    /// Caption, table, notes; the best of a column is bold, the second best in italics.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("**{}**\n\n", escaped(&self.caption));
        let mut line = |entries: &mut dyn Iterator<Item = String>| {
            text.push_str(&format!("| {} |\n", entries.collect::<Vec<_>>().join(" | ")));
        };
        line(&mut self.columns.iter().map(|column| escaped(&column.to_string())));
        line(&mut self.columns.iter().map(|column| match column.alignment {
            Alignment::Left => ":--".into(),
            Alignment::Right => "--:".into(),
        }));
        for row in 0..self.rows.len() {
            if let Some(words) = self.heading(row) {
                let rest = self.columns.iter().skip(1).map(|_| String::new());
                line(&mut std::iter::once(format!("**{}**", escaped(words))).chain(rest));
            }
            line(&mut (0..self.columns.len()).map(|column| {
                let text = escaped(&self.text(row, column));
                match self.rank(row, column) {
                    Some(Rank::Best) => format!("**{text}**"),
                    Some(Rank::Second) => format!("*{text}*"),
                    None => text,
                }
            }));
        }
        text.push('\n');
        for note in &self.notes {
            text.push_str(&format!("- {}\n", escaped(note)));
        }
        text
    }
}

/// Text that means itself in a Markdown table: paths, errors and method names may hold anything.
pub(crate) fn escaped(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if matches!(c, '\\' | '|' | '*' | '_' | '`' | '<' | '~') {
            plain.push('\\');
        }
        plain.push(if c.is_control() { ' ' } else { c });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Entry, tests::marked};
    use super::*;

    #[test]
    fn markup_and_line_breaks_in_text_do_not_break_the_table() {
        let table = Table {
            caption: "a|b".into(),
            columns: vec![Column::text("x"), Column::number("y", "s")],
            rows: vec![vec![Entry::Text("p|q\nr_s".into()), Entry::Count(1)]],
            notes: vec!["note".into()],
            ..Table::default()
        };
        let expected = "**a\\|b**\n\n| x | y (s) |\n| :-- | --: |\n| p\\|q r\\_s | 1 |\n\n- note\n";
        assert_eq!(table.to_markdown(), expected);
    }

    #[test]
    fn parts_have_headings_and_the_best_stands_out() {
        let text = marked().to_markdown();
        let rows: Vec<&str> = text.lines().skip(4).take(5).collect();
        let expected = [
            "| **tiny** |  |",
            "| wanda | **2.50 ± 0.10** |",
            "| random & <b> | *3.00* |".replace('<', "\\<").leak() as &str,
            "| **100 %\\_large** |  |",
            "| dense | — |",
        ];
        assert_eq!(rows, expected);
    }
}
