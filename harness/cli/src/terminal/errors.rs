//! Errors on a terminal.

use std::env;

use console::Style;

use super::{NARROWEST, PIPED, indented};

/// Columns that errors may take: what `COLUMNS` says, else those of the terminal.
fn width() -> usize {
    let asked = env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let seen = || {
        console::Term::stderr()
            .size_checked()
            .map(|(_, columns)| columns.into())
    };
    asked.or_else(seen).unwrap_or(PIPED).max(NARROWEST)
}

/// An error as wide as the terminal: its causes indented, problems of a file in a line each, and last what was probably meant.
pub fn error(error: &anyhow::Error) -> String {
    let label = Style::new().for_stderr().red().bold().apply_to("error: ").to_string();
    let mut chain = error.chain().map(ToString::to_string);
    let mut text = drawn(&label, &chain.next().unwrap_or_default(), width());
    for cause in chain {
        text += &drawn("  because ", &cause, width());
    }
    text
}

fn drawn(label: &str, message: &str, width: usize) -> String {
    let mut text = String::new();
    for (place, line) in message.lines().enumerate() {
        let (line, meant) = probably_meant(line);
        let item = line.trim_start();
        let indent = " ".repeat(line.len() - item.len());
        text += &match (place, item.strip_prefix("- ")) {
            (0, _) => indented(label, item, width),
            (_, Some(item)) => indented(&format!("{indent}- "), item, width),
            (_, None) => indented(&indent, item, width),
        };
        if let Some(meant) = meant {
            let meant = Style::new().for_stderr().bold().apply_to(meant).to_string();
            text += &indented(&format!("{indent}  "), &meant, width);
        }
    }
    text
}

/// A message without its near miss, and that.
fn probably_meant(line: &str) -> (String, Option<&str>) {
    let parts = line
        .split_once("did you mean ")
        .and_then(|(before, rest)| Some((before, rest, rest.find('?')?)));
    let Some((before, rest, end)) = parts else {
        return (line.to_owned(), None);
    };
    let meant = &line[before.len()..line.len() - rest.len() + end + 1];
    let before = before.trim_end().trim_end_matches(';');
    let line = match rest[end + 1..].trim() {
        "" => before.to_owned(),
        after if after.starts_with(char::is_uppercase) => format!("{before}. {after}"),
        after => format!("{before}; {}", after.trim_start_matches([';', ' '])),
    };
    (line, Some(meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_stand_in_a_line_each_with_what_was_meant_below() {
        console::set_colors_enabled_stderr(false);
        let message = "a.toml: 2 problems\n  - a.toml:5: unknown key `nmae`; did you mean `name`?\n  - a.toml:7: a text that is \
                       too long for its line";
        assert_eq!(
            drawn("error: ", message, 40),
            "error: a.toml: 2 problems\n  - a.toml:5: unknown key `nmae`\n    did you mean `name`?\n  - a.toml:7: a text that is too long\n    \
             for its line\n"
        );
        let (line, meant) = probably_meant("no method `wnda`; did you mean `wanda`? methods: dense, wanda");
        assert_eq!(
            (line.as_str(), meant),
            ("no method `wnda`; methods: dense, wanda", Some("did you mean `wanda`?"))
        );
        assert_eq!(probably_meant("did you mean it"), ("did you mean it".to_owned(), None));
    }
}
