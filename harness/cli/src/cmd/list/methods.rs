//! Methods, by family and one by one.

use prunebench_methods::{Card, Need, find, registry};
use serde_json::json;

use super::options::{Part, options, paragraph};
use super::{Entry, Listing};
use crate::terminal::{Grid, Line, Look, Side, command, faint, heading, indented, names, wrapped};

pub fn listing() -> Listing {
    let entry = |card: &Card| {
        let needs: Vec<String> = card.needs.iter().map(|need| format!("{need:?}")).collect();
        Entry {
            name: card.id.to_owned(),
            cells: vec![card.id.to_owned()],
            value: json!({
                "id": card.id, "title": card.title, "paper": card.paper, "changes": card.changes,
                "example": card.example, "needs": needs, "version": card.version, "deviations": card.deviations,
            }),
        }
    };
    Listing {
        entries: registry().iter().map(|method| entry(method.card)).collect(),
        ..Listing::default()
    }
}

/// A line for each, below its family.
pub fn all(width: usize) -> String {
    let mut cards: Vec<&Card> = registry().iter().map(|entry| entry.card).collect();
    cards.sort_by_key(|card| card.family);
    let mut family = None;
    let mut lines = Vec::new();
    for card in cards {
        if family != Some(card.family) {
            family = Some(card.family);
            lines.push(Line::Across(card.family.to_string(), Look::Heading));
        }
        let name = format!("  {}", card.id);
        let cells = vec![name, card.summary.to_owned(), needs(card).unwrap_or_default()];
        lines.push(Line::Cells(cells, Look::Plain));
    }
    let grid = Grid {
        sides: vec![Side::Left; 3],
        header: ["method", "what it does", "needs"].map(str::to_owned).to_vec(),
        lines,
    };
    let further = "options, defaults, source, cost";
    grid.draw(width) + "\n" + &command("prunebench list methods wanda", further, width)
}

/// What a method needs beside a model; nothing if that is all.
fn needs(card: &Card) -> Option<String> {
    let needs: Vec<String> = card.needs.iter().map(Need::to_string).collect();
    (!needs.is_empty()).then(|| needs.join(", "))
}

/// Everything about one.
pub fn one(name: &str, width: usize) -> anyhow::Result<String> {
    let card = find(name)?.card;
    let mut text = String::new();
    for line in wrapped(&format!("{}: {}", card.id, card.title), width) {
        text += &format!("{}\n", heading(&line));
    }
    text += &indented("", card.summary, width);
    text.push('\n');
    let fact = |what: &str, words: &str| indented(&faint(&format!("{what:<9}")), words, width);
    text += &fact("family", &card.family.to_string());
    text += &fact("changes", card.changes);
    text += &fact("needs", &needs(card).unwrap_or_else(|| "a model alone".to_owned()));
    if let Some(cost) = paragraph(card.readme, "Cost") {
        text += &fact("cost", &cost);
    }
    text += &fact("source", card.paper);
    for deviation in card.deviations {
        text += &fact("departs", deviation);
    }
    text += &fact("version", &card.version.to_string());
    text += &fact("example", card.example);
    for part in options(card.readme) {
        text.push('\n');
        text += &match part {
            Part::Words(words) => wrapped(&words, width).join("\n") + "\n",
            Part::Keys(keys) => {
                let rows = keys.into_iter().map(|row| Line::Cells(row.to_vec(), Look::Plain));
                let grid = Grid {
                    sides: vec![Side::Left; 3],
                    header: ["option", "default", "meaning"].map(str::to_owned).to_vec(),
                    lines: rows.collect(),
                };
                grid.draw(width)
            }
        };
    }
    text.push('\n');
    text += &shell(&try_it(card), width);
    Ok(text)
}

/// A command that measures the example, in words that must not be broken.
fn try_it(card: &Card) -> Vec<String> {
    let mut words: Vec<String> = ["prunebench", "eval", "--model tiny", "--tasks world"]
        .map(str::to_owned)
        .to_vec();
    let text = |option: &str| format!("{option} world/train-sample");
    let mut recipe = vec![format!("--recipe '{}'", card.example)];
    for need in card.needs {
        match need {
            Need::CalibrationText => words.push(text("--calibration")),
            Need::RecoveryData => words.push(text("--recovery")),
            Need::LaterTraining => {
                words.push(text("--recovery"));
                recipe.push("--recipe 'finetune(steps=50)'".to_owned());
            }
            Need::ValidationData | Need::TrainingRun => {}
        }
    }
    words.extend(recipe);
    words
}

/// A command that a shell takes as it is printed.
fn shell(words: &[String], width: usize) -> String {
    let words = words.iter().map(String::as_str);
    // A backslash ends each line but the last.
    let lines = names(&faint(&format!("{:<9}", "try it")), words, "", width.saturating_sub(2));
    lines.trim_end().replace('\n', " \\\n") + "\n"
}
