//! Tables as LaTeX, with the rules of the package booktabs.

use super::{Alignment, Rank, Table};

impl Table {
    /// A `table` environment, which wants `\\usepackage{booktabs}`: the best of a column is bold, the second best underlined, notes
    /// stand below in small print, and the keys of a row's records in a comment after it.
    pub fn to_latex(&self) -> String {
        let columns = self.columns.iter().map(|column| match column.alignment {
            Alignment::Left => 'l',
            Alignment::Right => 'r',
        });
        let columns: String = columns.collect();
        let mut text = format!(
            "\\begin{{table}}\n\\centering\n\\caption{{{}}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n",
            escaped(&self.caption)
        );
        let headers = self.columns.iter().map(|column| escaped(&column.to_string()));
        text.push_str(&format!(
            "{} \\\\\n\\midrule\n",
            headers.collect::<Vec<_>>().join(" & ")
        ));
        for row in 0..self.rows.len() {
            if let Some(words) = self.heading(row) {
                let rule = if row > 0 { "\\midrule\n" } else { "" };
                let (width, words) = (self.columns.len(), escaped(words));
                text.push_str(&format!(
                    "{rule}\\multicolumn{{{width}}}{{l}}{{\\textit{{{words}}}}} \\\\\n"
                ));
            }
            let entries = (0..self.columns.len()).map(|column| {
                let text = escaped(&self.text(row, column));
                match self.rank(row, column) {
                    Some(Rank::Best) => format!("\\textbf{{{text}}}"),
                    Some(Rank::Second) => format!("\\underline{{{text}}}"),
                    None => text,
                }
            });
            let entries: Vec<String> = entries.collect();
            text.push_str(&format!("{} \\\\", entries.join(" & ")));
            let keys = self.keys(row);
            if !keys.is_empty() {
                let keys: Vec<&str> = keys.iter().map(|key| key.short()).collect();
                text.push_str(&format!(" % records {}", keys.join(" ")));
            }
            text.push('\n');
        }
        text.push_str("\\bottomrule\n\\end{tabular}\n");
        if !self.notes.is_empty() {
            let notes: Vec<String> = self.notes.iter().map(|note| escaped(note)).collect();
            let notes = notes.join("\\par\n");
            text.push_str(&format!(
                "\\par\\smallskip\n\\begin{{minipage}}{{\\linewidth}}\\footnotesize\n{notes}\n\\end{{minipage}}\n"
            ));
        }
        text.push_str("\\end{table}\n");
        text
    }
}

/// Text that means itself in LaTeX.
fn escaped(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => plain.extend(['\\', c]),
            '\\' => plain.push_str("\\textbackslash{}"),
            '~' => plain.push_str("\\textasciitilde{}"),
            '^' => plain.push_str("\\textasciicircum{}"),
            '<' | '>' | '|' => plain.push_str(&format!(
                "${}$",
                if c == '|' {
                    "\\vert"
                } else if c == '<' {
                    "<"
                } else {
                    ">"
                }
            )),
            // What fonts of old encodings have no letter for.
            '±' => plain.push_str("$\\pm$"),
            '×' => plain.push_str("$\\times$"),
            'Δ' => plain.push_str("$\\Delta$"),
            'Σ' => plain.push_str("$\\Sigma$"),
            '²' => plain.push_str("$^2$"),
            '−' => plain.push_str("$-$"),
            '→' => plain.push_str("$\\rightarrow$"),
            '—' => plain.push_str("---"),
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::super::tests::marked;
    use super::*;

    #[test]
    fn a_table_has_rules_parts_marks_and_the_keys_of_its_records() {
        let text = marked().to_latex();
        for part in [
            "\\caption{50 \\% of \\_x}",
            "\\begin{tabular}{lr}\n\\toprule\nmethod & perplexity ($\\pm$ stderr) \\\\\n\\midrule\n\\multicolumn{2}{l}{\\textit{tiny}} \\\\\n",
            "wanda & \\textbf{2.50 $\\pm$ 0.10} \\\\ % records aaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbb\n",
            "random \\& $<$b$>$ & \\underline{3.00} \\\\\n\\midrule\n\\multicolumn{2}{l}{\\textit{100 \\%\\_large}} \\\\\n",
            "dense & --- \\\\\n\\bottomrule\n\\end{tabular}\n",
            "one \\$ note\\par\ntwo",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn every_character_with_a_meaning_of_its_own_loses_it() {
        assert_eq!(
            escaped("a\\b~c^d{e}#"),
            "a\\textbackslash{}b\\textasciitilde{}c\\textasciicircum{}d\\{e\\}\\#"
        );
    }
}
