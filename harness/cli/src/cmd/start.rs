//! `prunebench` alone: where to begin.

use std::path::Path;

use prunebench_results::Status;
use prunebench_sweep::Standing;

use crate::Outcome;
use crate::cmd::stores::{self, RESULTS};
use crate::output::print;
use crate::terminal::{faint, heading, indented, width};

/// Stores that are shown, so that all stays on one screen.
const SHOWN: usize = 6;

const WHAT: &str = "prunebench compresses language models by published methods, measures what is left, and says whether a \
difference is real.";

/// Commands to try, and what each does.
const COMMANDS: [(&str, &str); 3] = [
    (
        "prunebench run quick",
        "every method on a small model inside the program: no network, two minutes",
    ),
    (
        "prunebench eval --model tiny --tasks world --limit 100",
        "one model's accuracy; a folder, a GGUF file or hf:org/name is a model, too",
    ),
    (
        "prunebench list",
        "the experiments, methods, models, texts and tasks that are known by name",
    ),
];

/// Prints it.
pub fn start() -> Outcome {
    let width = width().min(100);
    let mut text = indented("", WHAT, width);
    text += &format!("\n{}\n", heading("Try"));
    for (command, does) in COMMANDS {
        text += &format!("  {command}\n");
        text += &faint(&indented("      ", does, width));
    }
    let names = stores::names();
    if !names.is_empty() {
        text += &format!("\n{} {}\n", heading("Results here"), faint(&format!("({RESULTS})")));
        let shown = &names[..names.len().min(SHOWN)];
        let column = shown.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        for name in shown {
            text += &indented(&format!("  {name:<column$}  "), &far(name), width);
        }
        if names.len() > SHOWN {
            text += &format!("  and {} more\n", names.len() - SHOWN);
        }
        let first = &names[0];
        text += &faint(&indented(
            "  ",
            &format!("prunebench report {first} shows a table again, prunebench open {first} a page with plots"),
            width,
        ));
    }
    text += &format!("\nprunebench --help {}\n", faint("lists all commands"));
    print(&text)?;
    Ok(true)
}

/// How far an experiment is.
fn far(name: &str) -> String {
    let Ok(standing) = Standing::of(&Path::new(RESULTS).join(name)) else {
        return format!("can't be read; prunebench status {name} says why");
    };
    let count = |status: Status| standing.ended.get(&status).copied().unwrap_or(0);
    let mut text = format!("{} of {} cells", count(Status::Ok), standing.cells);
    let others = [
        (standing.running.len(), "running"),
        (standing.unsuccessful.len(), "without numbers"),
        (count(Status::Skipped), "skipped"),
    ];
    for (count, what) in others.iter().filter(|(count, _)| *count > 0) {
        text += &format!(", {count} {what}");
    }
    text
}
