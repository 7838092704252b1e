//! The options of a method, as its README explains them.

/// What a README says of its method's options.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// Keys with their defaults and meanings.
    Keys(Vec<[String; 3]>),
    /// Words between or after tables of keys.
    Words(String),
}

/// The tables of keys in a README, and the sentences that go on from them.
pub fn options(readme: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut follows = false;
    for block in readme.split("\n\n") {
        let mut lines = block.trim_matches('\n').lines();
        let first = lines.next().unwrap_or_default();
        if is_of_keys(first) {
            // Below the header is a line of dashes.
            let rows = lines.skip(1).map(cells);
            parts.push(Part::Keys(
                rows.map(|row| [0, 1, 2].map(|place| at(&row, place))).collect(),
            ));
            follows = true;
        } else if follows && first.starts_with(char::is_lowercase) {
            parts.push(Part::Words(plain(&block.replace('\n', " "))));
        } else {
            follows = false;
        }
    }
    parts
}

/// The paragraph under a bold word, without it.
pub fn paragraph(readme: &str, title: &str) -> Option<String> {
    let mut blocks = readme.split("\n\n");
    let text = blocks.find_map(|block| block.trim().strip_prefix(&format!("**{title}.**")))?;
    Some(plain(&text.trim().replace('\n', " ")))
}

fn is_of_keys(line: &str) -> bool {
    line.starts_with('|') && cells(line) == ["key", "default", "meaning"]
}

fn at(row: &[String], place: usize) -> String {
    row.get(place).cloned().unwrap_or_default()
}

/// The cells of a row of a Markdown table.
fn cells(line: &str) -> Vec<String> {
    const BAR: char = '\u{0}';
    let line = line.trim().replace("\\|", &BAR.to_string());
    let inside = line.strip_prefix('|').unwrap_or(&line);
    let inside = inside.strip_suffix('|').unwrap_or(inside);
    let cells = inside.split('|');
    cells.map(|cell| plain(&cell.trim().replace(BAR, "|"))).collect()
}

/// Markdown without its signs for code, bold and links.
fn plain(text: &str) -> String {
    let text = text.replace("**", "").replace('`', "");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('[') {
        plain += before;
        match after
            .split_once("](")
            .and_then(|(words, link)| Some((words, link.split_once(')')?.1)))
        {
            Some((words, after)) if !words.contains(['[', ']']) => {
                plain += words;
                rest = after;
            }
            _ => {
                plain.push('[');
                rest = after;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use prunebench_methods::registry;

    use super::*;

    #[test]
    fn tables_of_keys_are_read_with_what_goes_on_from_them_and_others_are_not() {
        let readme = "# a\n\n| `rule` | what |\n| --- | --- |\n| x | y |\n\n| key | default | meaning |\n| --- | --- | --- |\n\
                      | `k` | none | of \\|y\\| as in [b](../b/README.md), `[1]` |\n\nand **more**:\n`a`\n\nAnother.\n\n\
                      **Cost.** One\npass.\n";
        assert_eq!(
            options(readme),
            [
                Part::Keys(vec![["k", "none", "of |y| as in b, [1]"].map(str::to_owned)]),
                Part::Words("and more: a".into())
            ]
        );
        assert_eq!(paragraph(readme, "Cost").as_deref(), Some("One pass."));
        assert_eq!(paragraph(readme, "Needs"), None);
    }

    #[test]
    fn every_method_with_a_configuration_has_options_without_markdown() {
        for entry in registry() {
            let parts = options(entry.card.readme);
            assert_eq!(parts.is_empty(), entry.card.id == "dense", "{}", entry.card.id);
            for part in parts {
                let texts = match part {
                    Part::Keys(keys) => keys.concat(),
                    Part::Words(words) => vec![words],
                };
                for text in texts {
                    assert!(!text.contains(['`', '\\']) && !text.contains("]("), "{text}");
                }
            }
        }
    }
}
