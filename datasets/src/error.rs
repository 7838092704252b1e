//! What can go wrong between a data set's name and its tokens.

use std::path::PathBuf;

use prunebench_hub::Problem;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure to name, find, read or cut a data set, with what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A catalogue file breaks the catalogue's rules.
    #[error("catalogue/{file}.toml: {reason}")]
    Catalogue {
        /// Folder and stem of the file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No entry of that name.
    #[error("no {kind} {name:?}{}; there are: {}", hint(near), known.join(", "))]
    Unknown {
        /// What was asked for: `data set`, `split of wikitext2` or `protocol`.
        kind: String,
        /// The name asked for.
        name: String,
        /// The nearest name, if one is near.
        near: Option<String>,
        /// Every name there is.
        known: Vec<String>,
    },
    /// The task is there, but in another version.
    #[error(
        "there is no {task}@{asked}, only {task}@{version}: numbers of two versions can't be compared; name the task \
         without a version, or take the program that had it"
    )]
    WrongVersion {
        /// Name of the task.
        task: String,
        /// Version asked for.
        asked: String,
        /// Version there is.
        version: u32,
    },
    /// A template or expression is wrong, or does not fit a row.
    #[error("catalogue/{file}.toml, line {line}, {key}{}: {problem}", at(row))]
    Template {
        /// Folder and stem of the file.
        file: String,
        /// Line of the file.
        line: usize,
        /// Its key in the file.
        key: &'static str,
        /// The row it was applied to, if any.
        row: Option<String>,
        /// What is wrong.
        problem: TemplateProblem,
    },
    /// The data folder the user named is not there.
    #[error(
        "the data folder {path} is not a folder; name one laid out as text/<data set>/... and tasks/<task>/... with \
         --data or PRUNEBENCH_DATA, or name none to use the Hub"
    )]
    NoMirror {
        /// The folder named.
        path: PathBuf,
    },
    /// A file is there but can't be read as text.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A text is not the one the protocols are defined on.
    #[error(
        "{origin} is not the text of the catalogue: its sha256 is {found}, wanted {wanted}. Numbers on another text \
         can't be compared; remove the file and fetch it again"
    )]
    WrongText {
        /// Where the text came from.
        origin: String,
        /// Hash of what was found.
        found: String,
        /// Hash in the catalogue.
        wanted: String,
    },
    /// The Hub did not give the file.
    #[error(
        "can't get {file} of {repository}: {problem}. Or keep the text in a data folder as {mirror} and name the folder \
         with --data or PRUNEBENCH_DATA"
    )]
    Hub {
        /// Repository on the Hub.
        repository: String,
        /// File in it.
        file: String,
        /// What the Hub, or the way to it, said.
        problem: Box<Problem>,
        /// Where a mirror would keep the same text.
        mirror: String,
    },
    /// The synthetic world is not the one the catalogue was written for.
    #[error(
        "{origin}: it makes other text than the catalogue's, sha256 {found} instead of {wanted}. Numbers on another text \
         can't be compared; undo the change of the generator, or raise its version and those of its protocols and tasks"
    )]
    WrongWorld {
        /// The world and its version.
        origin: String,
        /// Hash of what was made.
        found: String,
        /// Hash in the catalogue.
        wanted: String,
    },
    /// The file did not come from its address.
    #[error(
        "can't get {url}: {problem}. Or keep the file in a data folder as {mirror} and name the folder with --data or \
         PRUNEBENCH_DATA"
    )]
    Download {
        /// The address.
        url: String,
        /// What the server, or the way to it, said.
        problem: Box<Problem>,
        /// Where a mirror would keep the same file.
        mirror: String,
    },
    /// A parquet file is cut off, damaged or of another shape.
    #[error("{path} can't be read as parquet: {reason}. Remove the file; the next run fetches it again")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader met.
        reason: String,
    },
    /// A part of a JSON file is no row.
    #[error("{path}, line {line}: {reason}; correct the line, or remove the file and fetch it again")]
    Row {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file whose rows can't be read.
    #[error("{path} is neither .json nor .jsonl nor .parquet; the catalogue must name a file of rows")]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// A split without rows.
    #[error("{origin} has no rows; remove the file and fetch it again")]
    NoRows {
        /// Where it came from.
        origin: String,
    },
    /// A row without a field of text that is needed.
    #[error("row {row} of {origin} (the first is 0) has no text {field:?}, which the catalogue names as its field")]
    NoText {
        /// Where the row came from.
        origin: String,
        /// Number of the row.
        row: usize,
        /// The field.
        field: String,
    },
    /// Few-shot examples that can't be had.
    #[error(
        "{task}: no few-shot examples, as its split {split:?} is missing: {cause}. Or take the examples from another \
         split with --shots-from ({})",
        others.join(", ")
    )]
    NoShots {
        /// The task.
        task: String,
        /// The split the examples were to come from.
        split: String,
        /// The task's other splits.
        others: Vec<String>,
        /// Why it can't be read.
        cause: Box<Error>,
    },
    /// More examples than the split has.
    #[error(
        "{task}: {wanted} row(s) of {split}{} are needed to choose few-shot examples from, but there are {available}; \
         ask for fewer, or take another split with --shots-from",
        group.as_ref().map_or_else(String::new, |group| format!(" of {group}"))
    )]
    TooFewShots {
        /// The task.
        task: String,
        /// The split.
        split: String,
        /// The group of the rows, if the task has groups.
        group: Option<String>,
        /// Rows needed.
        wanted: usize,
        /// Rows there are.
        available: usize,
    },
    /// A protocol that scores something else than what is asked of it.
    #[error("{protocol} scores {scoring}; it can't be read as {wanted}")]
    WrongScoring {
        /// Id of the protocol.
        protocol: String,
        /// What it does.
        scoring: String,
        /// What was asked.
        wanted: &'static str,
    },
    /// A window in which nothing is predicted.
    #[error("a window of {window} tokens predicts nothing; it must hold at least 2")]
    WindowTooSmall {
        /// The window asked for.
        window: usize,
    },
    /// Fewer tokens than the windows need.
    #[error(
        "the text has {tokens} tokens, but {count} window(s) of {window} need {}; take a longer text, or smaller or \
         fewer windows",
        count.saturating_mul(*window)
    )]
    TextTooShort {
        /// Tokens there are.
        tokens: usize,
        /// Windows wanted.
        count: usize,
        /// Tokens in each.
        window: usize,
    },
}

/// What is wrong with a template, or with what it made of a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateProblem {
    /// It uses a field the row does not have.
    #[error("`{expression}` is undefined; the row has other fields than the catalogue expects")]
    Undefined {
        /// The part that is undefined.
        expression: String,
    },
    /// A syntax error, or an operation that failed.
    #[error("{0}")]
    Failed(String),
    /// The choices are no list of texts.
    #[error("gives {found}, wanted a list of texts")]
    NoTexts {
        /// What it gave.
        found: String,
    },
    /// The list of choices is empty.
    #[error("gives an empty list, wanted at least one choice")]
    NoChoices,
    /// The answer is no index of a choice.
    #[error("gives {found}, wanted the index of one of {choices} choices (0 to {})", choices.saturating_sub(1))]
    WrongGold {
        /// What it gave.
        found: String,
        /// Choices there are.
        choices: usize,
    },
}

impl Error {
    /// The error for a `name` that is none of `known`, with the nearest of them.
    pub(crate) fn unknown<'a>(kind: impl Into<String>, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<String> = known.map(str::to_owned).collect();
        let near = known
            .iter()
            .map(|other| (strsim::normalized_damerau_levenshtein(name, other), other))
            .filter(|(likeness, _)| *likeness >= 0.6)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, other)| other.clone());
        Self::Unknown {
            kind: kind.into(),
            name: name.to_owned(),
            near,
            known,
        }
    }
}

fn at(row: &Option<String>) -> String {
    row.as_ref().map_or_else(String::new, |row| format!(", at {row}"))
}

fn hint(near: &Option<String>) -> String {
    near.as_ref()
        .map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}
