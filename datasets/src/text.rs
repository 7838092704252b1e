//! The exact text of a data set's split, and its documents, wherever they come from.

use std::fs;
use std::path::Path;

use rayon::prelude::*;
use regex::Regex;
use sha2::{Digest, Sha256};

use crate::catalogue::{Catalogue, Protocol, Split, TextRows, WorldText};
use crate::error::{Error, Result};
use crate::fetch::{Origin, Places, check, hexadecimal};
use crate::template::{Engine, Place, values};
use crate::{rows, world};

/// A text whose content was checked against the catalogue.
#[derive(Debug, Clone)]
pub struct Text {
    /// The text.
    pub content: String,
    /// Hash of its UTF-8 bytes, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Where it came from.
    pub origin: Origin,
}

/// The text of `split` of the data set `name`: the mirror's file if the mirror has it, else the published one. What the
/// synthetic world says is made anew each time.
///
/// # Errors
/// An unknown name, a mirror that is not a folder, a file that can't be fetched or read, or a text whose hash is not the
/// catalogue's. A wrong file in the mirror is an error, never a reason to look elsewhere.
pub fn text(catalogue: &Catalogue, name: &str, split: &str, places: &Places) -> Result<Text> {
    let split = catalogue.data_set(name)?.split(split)?;
    let (content, origin) = match split {
        Split::Rows { hub, rows } => match places.mirrored(&rows.mirror)? {
            Some(path) => (read(&path)?, Origin::Mirror(path)),
            None => {
                let (path, origin) = places.hubbed(hub, &rows.file, &rows.mirror)?;
                (joined(rows::parquet::texts(&path, &rows.column)?, rows), origin)
            }
        },
        Split::Range { file, range } => {
            let (path, origin) = places.web(file)?;
            let characters = range.to.saturating_sub(range.from);
            let content = read(&path)?.chars().skip(range.from).take(characters).collect();
            (content, origin)
        }
        Split::World(WorldText {
            domains, part, bytes, ..
        }) => {
            let origin = Origin::World {
                domains: domains.clone(),
                part: *part,
            };
            (world::text(domains, *part, *bytes), origin)
        }
    };
    let sha256 = hexadecimal(Sha256::new_with_prefix(&content));
    check(&sha256, split.sha256(), &origin)?;
    Ok(Text {
        content,
        sha256,
        origin,
    })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn joined(mut texts: Vec<String>, rows: &TextRows) -> String {
    for text in texts.iter_mut().filter(|text| text.is_empty()) {
        text.push_str(&rows.empty_row);
    }
    texts.join(&rows.separator)
}

/// A document of a rolling protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextDocument {
    /// What is scored: the document made plain text.
    pub text: String,
    /// Words of the document as published: its pieces between runs of white space, as Python's `re.split` counts them.
    pub words: usize,
    /// UTF-8 bytes of the document as published.
    pub bytes: usize,
}

/// The documents of a rolling protocol.
#[derive(Debug, Clone)]
pub struct TextDocuments {
    /// In the order of the rows.
    pub documents: Vec<TextDocument>,
    /// Hash of every document's text and counts, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Where they came from.
    pub origin: Origin,
}

/// The documents `protocol` scores.
///
/// # Errors
/// [`Error::WrongScoring`] for a protocol of one text; a file that can't be fetched, read or is not the catalogue's; a row
/// without the document.
pub fn text_documents(catalogue: &Catalogue, protocol: &Protocol, places: &Places) -> Result<TextDocuments> {
    protocol.rolling_window()?;
    let split = catalogue
        .data_set(&protocol.data_set)?
        .document_split(&protocol.split)?;
    let (rows, origin) = places.rows(&split.hub, &split.rows)?;
    let engine = Engine::new(&format!("texts/{}", protocol.data_set))?;
    let detokeniser = engine.template(&split.detokeniser)?;
    // Python's white space has four separators that Unicode's property has not.
    let space = Regex::new(r"[\s\x1c-\x1f]+").map_err(|error| Error::Catalogue {
        file: protocol.data_set.clone(),
        reason: error.to_string(),
    })?;
    let documents: Vec<TextDocument> = rows
        .par_iter()
        .enumerate()
        .map(|(row, fields)| {
            let place = Place {
                split: &protocol.split,
                row,
            };
            let text = detokeniser.render(&values(fields), &place)?;
            let published = fields[&split.field].as_str().ok_or_else(|| Error::NoText {
                origin: origin.to_string(),
                row,
                field: split.field.clone(),
            })?;
            Ok(TextDocument {
                text,
                words: space.split(published).count(),
                bytes: published.len(),
            })
        })
        .collect::<Result<_>>()?;
    let mut hash = Sha256::new();
    for document in &documents {
        for number in [document.text.len(), document.words, document.bytes] {
            hash.update((number as u64).to_le_bytes());
        }
        hash.update(&document.text);
    }
    Ok(TextDocuments {
        documents,
        sha256: hexadecimal(hash),
        origin,
    })
}
