//! What is printed of a results folder.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::{Args, ValueEnum};
use prunebench_reports::{Overview, Show, Sort, Table, View};
use prunebench_sweep::{Tables, overviews};

use crate::cmd::stores::short_name;
use crate::output::listed;
use crate::terminal::{self, faint, indented, width};

/// What people see of the results; files have everything.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "What is shown")]
pub struct ShowArgs {
    /// All numbers of all rows
    #[arg(long, conflicts_with_all = ["tasks", "column", "sort"])]
    wide: bool,
    /// The accuracy of each task
    #[arg(long, conflicts_with = "column")]
    tasks: bool,
    /// This number, by the name that `report --columns` lists it under; may be given several times
    #[arg(long, value_name = "NAME")]
    column: Vec<String>,
    /// Protocols, sample counts, definitions and where the numbers come from
    #[arg(long)]
    notes: bool,
    /// Rows of this engine alone
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,
    /// Rows by this number, the best first
    #[arg(long, value_enum, value_name = "NUMBER")]
    sort: Option<By>,
}

/// What rows are ordered by.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    Stored,
    Perplexity,
    Accuracy,
    Speed,
}

impl ShowArgs {
    fn view(&self) -> View {
        View {
            engine: self.engine.clone(),
            sort: self.sort.map(|by| match by {
                By::Stored => Sort::Stored,
                By::Perplexity => Sort::Perplexity,
                By::Accuracy => Sort::Accuracy,
                By::Speed => Sort::Speed,
            }),
            show: match (self.tasks, self.column.as_slice()) {
                (true, _) => Show::Tasks,
                (false, []) => Show::Usual,
                (false, names) => Show::Named(names.to_vec()),
            },
        }
    }

    /// The results of a folder whose tables these are, as wide as the terminal.
    pub fn text(&self, folder: &Path, tables: &Tables) -> anyhow::Result<String> {
        let width = width();
        let mut texts: Vec<String> = if self.wide {
            ensure!(self.engine.is_none(), "--wide shows all engines; leave out --engine");
            tables.tables.iter().map(|table| rows(table, width)).collect()
        } else {
            let view = self.view();
            let made;
            let shown: &[Overview] = if view == View::default() {
                &tables.overviews
            } else {
                made = overviews(folder, &view)?;
                &made
            };
            shown
                .iter()
                .map(|overview| terminal::overview(overview, width))
                .collect()
        };
        if self.notes {
            let mut notes: Vec<&String> = Vec::new();
            for note in tables.tables.iter().flat_map(|table| &table.notes) {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
            texts.push(notes.iter().map(|note| indented("- ", note, width)).collect());
        }
        Ok(texts.join("\n"))
    }

    /// What to do next with results that lie in this folder.
    pub fn further(&self, folder: &Path, files: &[PathBuf]) -> String {
        let name = short_name(folder);
        let more = [("--wide", self.wide), ("--tasks", self.tasks), ("--notes", self.notes)];
        let more = more.iter().filter(|(_, given)| !given).map(|(option, _)| *option);
        let more = format!("prunebench report {name} {}", more.collect::<Vec<_>>().join(" | "));
        let lines = [
            ("more", more),
            ("page", format!("prunebench open {name}")),
            ("files", listed(files)),
        ];
        let line = |(what, text): &(&str, String)| indented(&faint(&format!("{what:<6}")), text, width());
        lines.iter().map(line).collect()
    }
}

fn rows(table: &Table, width: usize) -> String {
    let caption = terminal::wrapped(&table.caption, width).into_iter();
    let caption: String = caption.map(|line| terminal::heading(&line) + "\n").collect();
    format!("{caption}\n{}", terminal::blocks(table, width))
}
