//! Content hash of a model.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{config, safetensors};
use crate::{
    error::{Result, at},
    tokenizer,
};

/// SHA-256 in hexadecimal of what decides a model's numbers: of a file its bytes; of a folder its weights, config,
/// graph and tokenizer, each with name and length. Files are streamed; where they lie makes no difference.
pub fn content_hash(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    if path.is_dir() {
        let mut names = safetensors::weight_files(path)?;
        names.push(config::CONFIG_FILE.to_owned());
        for optional in [config::GRAPH_FILE, tokenizer::TOKENIZER_FILE] {
            if path.join(optional).exists() {
                names.push(optional.to_owned());
            }
        }
        names.sort();
        for name in names {
            let file = path.join(&name);
            let length = std::fs::metadata(&file).map_err(at(&file))?.len();
            hash.update(format!("{name}\0{length}\0"));
            update(&mut hash, &file)?;
        }
    } else {
        update(&mut hash, path)?;
    }
    Ok(hex(&hash.finalize()))
}

fn update(hash: &mut Sha256, path: &Path) -> Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(at(path))?);
    loop {
        let bytes = file.fill_buf().map_err(at(path))?;
        if bytes.is_empty() {
            return Ok(());
        }
        hash.update(bytes);
        let read = bytes.len();
        file.consume(read);
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
