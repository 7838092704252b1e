//! `prunebench list`.

mod entries;
mod methods;
mod one;
mod options;

use clap::{Args, ValueEnum};
use serde_json::Value;

use self::entries::listing;
use crate::Outcome;
use crate::cmd::usage;
use crate::output::{print, print_json};
use crate::terminal::{Grid, Line, Look, Side, command, faint, heading, names, width, wrapped};

/// List experiments, methods, models, shapes, texts, protocols, tasks, suites, instructions and engines.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench list
  prunebench list experiments
  prunebench list methods
  prunebench list methods wanda
  prunebench list tasks --json")]
pub struct List {
    /// What to list; how many there are of each, and their names, if left out
    what: Option<What>,
    /// Everything about this one
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Experiments,
    Methods,
    Models,
    Shapes,
    Texts,
    Protocols,
    Tasks,
    Suites,
    Instructions,
    Engines,
}

impl What {
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// All there is of a kind.
#[derive(Debug, Default)]
struct Listing {
    /// Headers of the entries' cells, and the sides that these lean to.
    columns: Vec<(&'static str, Side)>,
    entries: Vec<Entry>,
    /// What is to say about all of them.
    notes: Vec<String>,
}

/// One of a kind.
#[derive(Debug)]
struct Entry {
    name: String,
    /// What stands beside it in a list, its name first.
    cells: Vec<String>,
    /// Everything about it.
    value: Value,
}

impl List {
    pub fn run(self) -> Outcome {
        let width = width();
        let mut listings = Vec::new();
        for what in What::value_variants() {
            if self.what.is_none_or(|wanted| wanted == *what) {
                listings.push((*what, listing(*what)?));
            }
        }
        if let Some(name) = &self.name {
            for (what, listing) in &mut listings {
                let found = found(&listing.entries, name);
                let Some(found) = found else {
                    let known: Vec<&str> = listing.entries.iter().map(|entry| entry.name.as_str()).collect();
                    return Err(unknown(*what, name, &known));
                };
                listing.entries = vec![listing.entries.swap_remove(found)];
            }
        }
        if self.json {
            let listings = listings.into_iter().map(|(what, listing)| {
                let values = listing.entries.into_iter().map(|entry| entry.value);
                (what.name(), values.collect())
            });
            print_json(&listings.collect::<serde_json::Map<_, _>>())?;
            return Ok(true);
        }
        print(&match (listings.as_slice(), &self.name) {
            ([(What::Methods, listing)], Some(_)) => methods::one(&listing.entries[0].name, width)?,
            ([(_, listing)], Some(_)) => one::drawn(&listing.entries[0], width),
            ([(What::Methods, _)], None) => methods::all(width),
            ([(what, listing)], None) => all(*what, listing, width),
            _ => overview(&listings, width),
        })?;
        Ok(true)
    }
}

/// Where an entry stands; its version may be left out.
fn found(entries: &[Entry], name: &str) -> Option<usize> {
    let place = |is_it: &dyn Fn(&Entry) -> bool| entries.iter().position(is_it);
    let unversioned = |entry: &Entry| entry.name.split_once('@').is_some_and(|(before, _)| before == name);
    place(&|entry| entry.name == name).or_else(|| place(&unversioned))
}

fn unknown(what: What, name: &str, known: &[&str]) -> anyhow::Error {
    let kind = what.name();
    let suggestion = prunebench_methods::config::suggestion(name, &kind, known);
    usage(format!("there is no `{name}` among the {kind}; {suggestion}"))
}

/// How many there are of each kind, and their names.
fn overview(listings: &[(What, Listing)], width: usize) -> String {
    let kinds: Vec<String> = listings.iter().map(|(what, _)| what.name()).collect();
    let longest = kinds.iter().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for ((_, listing), kind) in listings.iter().zip(&kinds) {
        let first = format!("{kind:<longest$}  {:>3}  ", listing.entries.len());
        let listed = listing.entries.iter().map(|entry| entry.name.as_str());
        let lines = names(&first, listed, ",", width);
        // The kind stands out, and what takes no space can only be added to a line that is measured.
        text += &lines.replacen(kind, &heading(kind), 1);
    }
    text.push('\n');
    text += &command("prunebench list methods      ", "what each of a kind is", width);
    text + &command("prunebench list methods wanda", "everything about one", width)
}

/// A line for each of a kind.
fn all(what: What, listing: &Listing, width: usize) -> String {
    let rows = listing.entries.iter();
    let grid = Grid {
        sides: listing.columns.iter().map(|(_, side)| *side).collect(),
        header: listing.columns.iter().map(|(header, _)| (*header).to_owned()).collect(),
        lines: rows
            .map(|entry| Line::Cells(entry.cells.clone(), Look::Plain))
            .collect(),
    };
    let mut text = grid.draw(width) + "\n";
    for note in &listing.notes {
        text += &wrapped(note, width)
            .iter()
            .map(|line| faint(line) + "\n")
            .collect::<String>();
    }
    if !listing.notes.is_empty() {
        text.push('\n');
    }
    let example = listing.entries.first().map_or("NAME", |entry| entry.name.as_str());
    let one = format!("prunebench list {} {example}", what.name());
    text + &command(&one, "everything about one", width)
}
