//! Instructions with the responses wanted, from a local mirror or the Hub.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::catalogue::Catalogue;
use crate::error::Result;
use crate::fetch::{Origin, Places, hexadecimal};
use crate::template::{Engine, Place, values};

/// What a model reads, and what it should answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Everything before the response.
    pub prompt: String,
    /// The response.
    pub response: String,
}

/// The instructions of a set.
#[derive(Debug, Clone)]
pub struct Instructions {
    /// In the order of the rows.
    pub examples: Vec<Instruction>,
    /// Hash of every prompt and response, in lower-case hexadecimal digits: it pins rows and templates at once.
    pub sha256: String,
    /// Where the rows came from.
    pub origin: Origin,
}

/// The instructions of the set `name`.
///
/// # Errors
/// An unknown name; a file that can't be fetched, read or is not the catalogue's; a row the templates do not fit.
pub fn instructions(catalogue: &Catalogue, name: &str, places: &Places) -> Result<Instructions> {
    let set = catalogue.instruction_set(name)?;
    let (rows, origin) = places.rows(&set.hub, &set.rows)?;
    let engine = Engine::new(&format!("instructions/{name}"))?;
    let (prompt, response) = (engine.template(&set.prompt)?, engine.template(&set.response)?);
    let examples: Vec<Instruction> = rows
        .par_iter()
        .enumerate()
        .map(|(row, fields)| {
            let (fields, place) = (values(fields), Place { split: name, row });
            Ok(Instruction {
                prompt: prompt.render(&fields, &place)?,
                response: response.render(&fields, &place)?,
            })
        })
        .collect::<Result<_>>()?;
    let mut hash = Sha256::new();
    for text in examples.iter().flat_map(|example| [&example.prompt, &example.response]) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    Ok(Instructions {
        examples,
        sha256: hexadecimal(hash),
        origin,
    })
}
