//! How results look where a person reads them: as wide as the terminal, never wider, and in colour where that is wanted.

mod draw;
mod errors;
mod grid;
mod overview;
mod pager;
mod words;

use std::env;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use clap::ValueEnum;
use console::Style;

pub use self::draw::{blocks, table};
pub use self::errors::error;
pub use self::grid::{Grid, Line, Look, Side};
pub use self::overview::overview;
pub use self::pager::Pager;
pub use self::words::{beginning, command, indented, more, names, shortened, wrapped};

/// How wide results are that no terminal shows.
const PIPED: usize = 100;

/// Nothing is narrower than this.
const NARROWEST: usize = 40;

/// When output is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Colour {
    /// Makes it so for both streams.
    pub fn apply(self) {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let on = |terminal: bool| match self {
            Self::Auto => terminal && !unwanted && env::var_os("TERM").is_none_or(|term| term != "dumb"),
            Self::Always => true,
            Self::Never => false,
        };
        console::set_colors_enabled(on(io::stdout().is_terminal()));
        console::set_colors_enabled_stderr(on(io::stderr().is_terminal()));
    }
}

/// The width that was found before something else took the terminal's place.
static KEPT: OnceLock<usize> = OnceLock::new();

/// Lets results stay as wide as they are now.
fn keep_width() {
    KEPT.get_or_init(width);
}

/// Columns that results may take: what `COLUMNS` says, else those of the terminal, else [`PIPED`].
pub fn width() -> usize {
    if let Some(width) = KEPT.get() {
        return *width;
    }
    let asked = env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let seen = || {
        console::Term::stdout()
            .size_checked()
            .map(|(_, columns)| columns.into())
    };
    let terminal = io::stdout().is_terminal();
    asked
        .or_else(|| seen().filter(|_| terminal))
        .unwrap_or(PIPED)
        .max(NARROWEST)
}

/// What stands above others of its kind.
pub fn heading(text: &str) -> String {
    Style::new().bold().apply_to(text).to_string()
}

/// What one may skip.
pub fn faint(text: &str) -> String {
    Style::new().dim().apply_to(text).to_string()
}

/// What went well.
pub fn good(text: &str) -> String {
    Style::new().green().apply_to(text).to_string()
}

/// What went wrong.
pub fn bad(text: &str) -> String {
    Style::new().red().apply_to(text).to_string()
}

/// What wants attention.
pub fn doubtful(text: &str) -> String {
    Style::new().yellow().apply_to(text).to_string()
}
