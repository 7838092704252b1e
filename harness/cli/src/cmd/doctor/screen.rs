//! What `doctor` found, as people read it: what needs a hand first.

use super::{Check, State};
use crate::terminal::{bad, doubtful, faint, good, heading, indented, names};

/// What is broken and what is absent, each with its cure, then what is fine in a line each, and whether all is well.
pub fn drawn(checks: &[Check], width: usize) -> String {
    let of = |state: State| {
        checks
            .iter()
            .filter(move |check| check.state == state)
            .collect::<Vec<_>>()
    };
    let (broken, absent, fine) = (of(State::Broken), of(State::Absent), of(State::Ok));
    let mut text = String::new();
    if !broken.is_empty() {
        text += &format!("{}\n", bad(&heading("broken")));
        text += &to_mend(&broken, &bad("✗ "), width);
        text.push('\n');
    }
    if !absent.is_empty() {
        text += &format!("{}\n", doubtful(&heading("absent, which some uses need")));
        text += &to_mend(&absent, &doubtful("· "), width);
        text.push('\n');
    }
    if !fine.is_empty() {
        text += &format!("{}\n", good(&heading("fine")));
        text += &in_short(&fine, width);
        text.push('\n');
    }
    let things = |count: usize| match count {
        1 => "1 thing".to_owned(),
        count => format!("{count} things"),
    };
    let last = match (broken.len(), absent.len()) {
        (0, 0) => good("All is well."),
        (0, absent) => good(&format!(
            "All is well; {} that some uses need are absent.",
            things(absent)
        )),
        (broken, _) => bad(&format!("{} to mend, see above.", things(broken))),
    };
    text + &last + "\n"
}

/// Checks with the same state and cure, in one item.
struct Item<'a> {
    what: Vec<&'a str>,
    found: &'a str,
    cure: Option<&'a str>,
}

/// Each with what was found and the cure; texts that want the same are one item.
fn to_mend(checks: &[&Check], sign: &str, width: usize) -> String {
    let mut items: Vec<Item> = Vec::new();
    for check in checks {
        let (found, cure) = (check.found.as_str(), check.cure.as_deref());
        let alike = |item: &&mut Item| item.found == found && item.cure == cure;
        match items.iter_mut().find(alike) {
            Some(item) => item.what.push(check.name.strip_prefix(TEXT).unwrap_or(&check.name)),
            None => items.push(Item {
                what: vec![&check.name],
                found,
                cure,
            }),
        }
    }
    let mut text = String::new();
    for item in items {
        let what = names(sign, item.what.iter().copied(), ",", width);
        text += &what;
        text += &indented("    ", item.found, width);
        if let Some(cure) = item.cure {
            text += &indented(&format!("    {}", faint("to mend: ")), cure, width);
        }
    }
    text
}

const TEXT: &str = "text ";

/// A line each; all texts that were found alike are one.
fn in_short(checks: &[&Check], width: usize) -> String {
    let (texts, others): (Vec<&Check>, Vec<&Check>) = checks.iter().partition(|check| check.name.starts_with(TEXT));
    let longest = others.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let longest = longest.max("texts".len());
    let mut text = String::new();
    for check in others {
        let first = format!("{}{:<longest$}  ", good("✓ "), check.name);
        text += &indented(&first, &short_hashes(&check.found), width);
    }
    if !texts.is_empty() {
        let split = |check: &&Check| {
            check
                .name
                .strip_prefix(TEXT)?
                .split_once('/')
                .map(|(set, _)| set.to_owned())
        };
        let mut counts: Vec<(String, usize)> = Vec::new();
        for set in texts.iter().filter_map(split) {
            match counts.last_mut() {
                Some((last, count)) if *last == set => *count += 1,
                _ => counts.push((set, 1)),
            }
        }
        let counts = counts.iter().map(|(set, count)| match count {
            1 => format!("{set} (1 split)"),
            count => format!("{set} ({count} splits)"),
        });
        let first = format!("{}{:<longest$}  ", good("✓ "), "texts");
        let words = format!("{}, sha256 as pinned", counts.collect::<Vec<_>>().join(", "));
        text += &indented(&first, &words, width);
    }
    text
}

/// Of hashes only what tells them apart.
fn short_hashes(text: &str) -> String {
    let is_hash = |word: &str| word.len() == 64 && word.chars().all(|digit| digit.is_ascii_hexdigit());
    let words = text.split(' ').map(|word| match is_hash(word) {
        true => format!("{}…", &word[..12]),
        false => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, state: State, found: &str, cure: Option<&str>) -> Check {
        Check {
            name: name.to_owned(),
            state,
            found: found.to_owned(),
            cure: cure.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_broken_comes_first_and_texts_with_one_cure_are_one_item() {
        console::set_colors_enabled(false);
        let mut checks = vec![
            check("engine", State::Ok, "1.0, computes", None),
            check("text a/test", State::Absent, "not here", Some("fetch a")),
            check("text a/train", State::Absent, "not here", Some("fetch a")),
            check("text b/one", State::Ok, "there", None),
        ];
        let well = "absent, which some uses need\n· text a/test, a/train\n    not here\n    to mend: fetch a\n\nfine\n✓ engine  \
                    1.0, computes\n✓ texts   b (1 split), sha256 as pinned\n\nAll is well; 2 things that some uses need are \
                    absent.\n";
        assert_eq!(drawn(&checks, 80), well);
        checks.push(check("results folder", State::Broken, "no space", Some("free some")));
        let ill = drawn(&checks, 80);
        assert!(
            ill.starts_with("broken\n✗ results folder\n    no space\n    to mend: free some\n"),
            "{ill}"
        );
        assert!(ill.ends_with("\n1 thing to mend, see above.\n"), "{ill}");
    }
}
