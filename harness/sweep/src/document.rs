//! An experiment file with those that it includes: read, checked against the schema, and merged.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use crate::problem::{Line, Problem, Source};
use crate::schema;

/// The key that names files to include. What a file says itself stands before what its includes say, and a later one before an
/// earlier one; a key at the top is taken whole from one file.
const INCLUDE: &str = "include";

/// What a file and those that it includes say.
pub(crate) struct Document {
    /// Without what is wrong with it.
    pub(crate) table: toml::Table,
    pub(crate) source: Source,
}

/// Where files are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Files {
    /// On the disk.
    Disk,
    /// Inside this program: the path and the content of each.
    Inside(&'static [(&'static str, &'static str)]),
}

impl Files {
    fn text(self, path: &Path) -> io::Result<Cow<'static, str>> {
        match self {
            Self::Disk => fs::read_to_string(path).map(Cow::Owned),
            Self::Inside(files) => {
                let path = plain(path);
                let mut texts = files.iter().filter(|(name, _)| Path::new(name) == path);
                let missing = || io::Error::new(io::ErrorKind::NotFound, "it doesn't come with the program");
                texts.next().map(|(_, text)| Cow::Borrowed(*text)).ok_or_else(missing)
            }
        }
    }

    /// Whether two paths are of one file.
    fn same(self, a: &Path, b: &Path) -> bool {
        match self {
            Self::Disk => matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b),
            Self::Inside(_) => plain(a) == plain(b),
        }
    }
}

/// A path without `.` and `..`, for there are no links inside the program.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// Reads the files, and checks them against a schema. All that is wrong with them is in the document.
pub(crate) fn read(path: &Path, files: Files, schema: &Map<String, Value>) -> Document {
    let mut reader = Reader {
        files,
        schema,
        table: toml::Table::new(),
        keys: BTreeSet::new(),
        source: Source::default(),
    };
    let whole = reader.add(path, &[], None);
    if whole {
        for key in schema::required(schema) {
            if !reader.keys.contains(key) {
                reader.problem(None, format!("the key `{key}` is missing"));
            }
        }
    }
    Document {
        table: reader.table,
        source: reader.source,
    }
}

/// A file that was read.
struct File {
    path: Arc<Path>,
    /// Byte at which each line begins.
    lines: Vec<usize>,
}

impl File {
    fn new(path: &Path, text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            path: path.into(),
            lines: std::iter::once(0).chain(ends.map(|(end, _)| end + 1)).collect(),
        }
    }

    fn place(&self, span: Range<usize>) -> Line {
        Line {
            file: Arc::clone(&self.path),
            number: self.lines.partition_point(|&start| start <= span.start),
        }
    }
}

struct Reader<'a> {
    files: Files,
    schema: &'a Map<String, Value>,
    table: toml::Table,
    /// Those at the top, also where what they have is wrong.
    keys: BTreeSet<String>,
    source: Source,
}

impl Reader<'_> {
    /// Adds what a file and its includes say; false if one of them can't be read. `before` are the files that led here, the last
    /// of which names this one at `place`.
    fn add(&mut self, path: &Path, before: &[PathBuf], place: Option<Line>) -> bool {
        let chain = [before, &[path.to_owned()]].concat();
        if before.iter().any(|other| self.files.same(other, path)) {
            self.problem(
                place,
                format!("{} go round in a circle; take out one `{INCLUDE}`", names(&chain)),
            );
            return false;
        }
        let text = match self.files.text(path) {
            Ok(text) => text,
            Err(error) => {
                let text = match before {
                    [] => format!(
                        "{error}; name an experiment's file, or one that comes with the program: `prunebench list experiments`"
                    ),
                    _ => format!(
                        "{} can't be read ({error}); `{INCLUDE}` is relative to the including file ({})",
                        path.display(),
                        names(&chain)
                    ),
                };
                self.problem(place, text);
                return false;
            }
        };
        let file = File::new(path, &text);
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            let place = error.span().map(|span| file.place(span));
            self.problem(place, error.message().to_owned());
        }
        if !errors.is_empty() {
            return false;
        }
        let span = table.span();
        let mut table = table.into_inner();
        self.keys.extend(table.keys().map(|key| key.to_string()));
        for fault in schema::check(self.schema, &mut table) {
            self.problem(Some(file.place(fault.span)), fault.text);
        }
        let mut whole = true;
        if let Some(DeValue::Array(includes)) = table.get(INCLUDE).map(Spanned::get_ref) {
            for include in includes {
                if let DeValue::String(name) = include.get_ref() {
                    let path = path.parent().unwrap_or(Path::new("")).join(name.as_ref());
                    whole &= self.add(&path, &chain, Some(file.place(include.span())));
                }
            }
        }
        let places = &mut self.source.places;
        for (key, value) in &table {
            let key_path: &str = key.get_ref();
            // What stands at the same place in an included file.
            places.retain(|path, _| path.split(['.', '[']).next() != Some(key_path));
            places.insert(key_path.to_owned(), file.place(key.span()));
            note_places(&file, key_path, value, places);
        }
        match toml::Table::deserialize(Deserializer::from(Spanned::new(span, table))) {
            Ok(table) => self.table.extend(table),
            // A number beyond what any value can hold.
            Err(error) => self.problem(error.span().map(|span| file.place(span)), error.message().to_owned()),
        }
        whole
    }

    fn problem(&mut self, place: Option<Line>, text: String) {
        self.source.problems.push(Problem {
            usage: true,
            place,
            text,
        });
    }
}

fn names(chain: &[PathBuf]) -> String {
    let names: Vec<String> = chain.iter().map(|path| path.display().to_string()).collect();
    names.join(" includes ")
}

fn note_places(file: &File, path: &str, value: &Spanned<DeValue>, places: &mut BTreeMap<String, Line>) {
    match value.get_ref() {
        DeValue::Table(table) => {
            for (key, value) in table {
                let path = format!("{path}.{key}");
                note_places(file, &path, value, places);
                places.insert(path, file.place(key.span()));
            }
        }
        DeValue::Array(array) => {
            for (index, value) in array.iter().enumerate() {
                let path = format!("{path}[{index}]");
                note_places(file, &path, value, places);
                places.insert(path, file.place(value.span()));
            }
        }
        _ => {}
    }
}
