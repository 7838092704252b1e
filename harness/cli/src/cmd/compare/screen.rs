//! How two sides differ, as people read it.

use prunebench_reports::Differences;

use crate::terminal::{blocks, faint, heading, indented, more, wrapped};

/// The headline, what differs, and how much of the rest there is; of all numbers where it is `wide`, and with `notes`.
pub fn drawn(differences: &Differences, [wide, notes]: [bool; 2], width: usize) -> String {
    let lines = |text: &str, look: &dyn Fn(&str) -> String| -> String {
        wrapped(text, width).iter().map(|line| look(line) + "\n").collect()
    };
    let mut text = lines(&differences.title(), &heading);
    let all = differences.table();
    let found = if wide { &all } else { &differences.found() };
    if !found.rows.is_empty() {
        text += &format!("\n{}", blocks(found, width));
    }
    text.push('\n');
    for sentence in differences.rest() {
        text += &lines(&sentence, &faint);
    }
    if notes {
        text.push('\n');
        text += &all
            .notes
            .iter()
            .map(|note| indented("- ", note, width))
            .collect::<String>();
    }
    let options = [("--wide", wide), ("--notes", notes), ("--json", false)];
    text + "\n" + &more("prunebench compare …", &options, width)
}
