//! What goes to standard output and standard error.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use prunebench_reports::Table;
use serde::Serialize;

use crate::terminal;

/// What people read can be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As wide as the terminal
    #[default]
    Text,
    /// GitHub-flavoured Markdown, with everything in it
    #[value(alias = "md")]
    Markdown,
}

/// Writes to standard output. A reader that has seen enough is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    passed_on(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn passed_on(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output can't be written"),
    }
}

/// Writes a value as JSON to standard output.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from);
    passed_on(written.and_then(|()| writeln!(out)).and_then(|()| out.flush()))
}

/// Writes an error to standard error, causes included: in lines that fit on a terminal, and else in one.
pub fn error(error: &anyhow::Error) {
    let text = match io::stderr().is_terminal() {
        true => terminal::error(error),
        false => format!("error: {error:#}\n"),
    };
    // There is nobody left to tell if this fails.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes a line to standard error.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Paths in a sentence: `a, b and c`.
pub fn listed(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// A duration to the second, which is how well records know theirs.
pub fn time(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, 0) => "under 1 s".to_owned(),
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// A table as wide as the terminal.
pub fn table(table: &Table) -> String {
    terminal::table(table, terminal::width())
}
