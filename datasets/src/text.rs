//! The exact text of a data set's split, and its documents, from a local mirror or the Hub.

use std::fs;

use rayon::prelude::*;
use regex::Regex;
use sha2::{Digest, Sha256};

use crate::catalogue::{Catalogue, Protocol, Split};
use crate::error::{Error, Result};
use crate::fetch::{Origin, Places, check, hexadecimal};
use crate::rows;
use crate::template::{Engine, Place, values};

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

/// The text of `split` of the data set `name`: the mirror's file if the mirror has it, else the Hub's.
///
/// # Errors
/// An unknown name, a mirror that is not a folder, a file that can't be fetched or read, or a text whose hash is not the
/// catalogue's. A wrong file in the mirror is an error, never a reason to look elsewhere.
pub fn text(catalogue: &Catalogue, name: &str, split: &str, places: &Places) -> Result<Text> {
    let data_set = catalogue.data_set(name)?;
    let split = data_set.split(split)?;
    let (content, origin) = match places.mirrored(&split.mirror)? {
        Some(path) => {
            let content = fs::read_to_string(&path).map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?;
            (content, Origin::Mirror(path))
        }
        None => {
            let (path, origin) = places.hubbed(&data_set.hub, &split.file, &split.mirror)?;
            (joined(rows::parquet::texts(&path, &split.column)?, split), origin)
        }
    };
    let sha256 = hexadecimal(Sha256::new_with_prefix(&content));
    check(&sha256, &split.sha256, &origin)?;
    Ok(Text {
        content,
        sha256,
        origin,
    })
}

fn joined(mut rows: Vec<String>, split: &Split) -> String {
    for row in rows.iter_mut().filter(|row| row.is_empty()) {
        row.push_str(&split.empty_row);
    }
    rows.join(&split.separator)
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
