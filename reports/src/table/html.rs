//! Tables as HTML.

use super::{Alignment, Rank, Table};
use minijinja::{AutoEscape, Environment, Value, context};

const TEMPLATE: &str = include_str!("table.html");

impl Table {
    /// A `<table>` with its notes below it, to be put into a page. The best of a column is `<strong>`, the second best `<u>`;
    /// the title of an entry, which is shown under the pointer, names its records.
    ///
    /// # Errors
    /// If the template can't be filled.
    pub fn to_html(&self) -> Result<String, minijinja::Error> {
        let entry = |row, column| {
            let mark = self.rank(row, column).map(|rank| match rank {
                Rank::Best => "best",
                Rank::Second => "second",
            });
            let number = self.columns[column].alignment == Alignment::Right;
            context! { text => self.text(row, column), mark, number, source => self.source(row, column) }
        };
        let rows: Vec<Value> = (0..self.rows.len())
            .map(|row| {
                let entries: Vec<Value> = (0..self.columns.len()).map(|column| entry(row, column)).collect();
                context! { heading => self.heading(row), entries }
            })
            .collect();
        let columns: Vec<String> = self.columns.iter().map(ToString::to_string).collect();
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.render_str(
            TEMPLATE,
            context! { caption => self.caption.as_str(), columns, rows, notes => self.notes.clone() },
        )
    }

    /// The records of an entry in a few words; empty if there are none.
    fn source(&self, row: usize, column: usize) -> String {
        let of = |source: &&super::Source| source.row == row && source.column.is_none_or(|of| of == column);
        let words = self.sources.iter().filter(of).map(|source| {
            let short = |keys: &[prunebench_results::CellKey]| {
                keys.iter()
                    .map(|key| key.short().to_owned())
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            match source.baseline.as_slice() {
                [] => format!("records {}", short(&source.records)),
                baseline => format!("records {}, baseline {}", short(&source.records), short(baseline)),
            }
        });
        words.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::marked;

    #[test]
    fn entries_name_their_records_and_text_is_no_markup() {
        let text = marked().to_html().unwrap();
        for part in [
            "<caption>50 % of _x</caption>",
            "<th colspan=\"2\">tiny</th>",
            "<td title=\"records aaaaaaaaaaaaaaaa, baseline bbbbbbbbbbbbbbbb\"",
            "<strong>2.50 ± 0.10</strong>",
            "random &amp; &lt;b&gt;",
            "<u>3.00</u>",
            "<li>two</li>",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
