//! Content hash of a model.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::folder::Folder;
use crate::error::{Result, at};

/// The files that decide a model's numbers: of a folder all that loading reads, of a file itself.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let names = Folder(path).names()?;
    Ok(names.iter().map(|name| path.join(name)).collect())
}

/// SHA-256 in hexadecimal of what decides a model's numbers: of a file its bytes; of a folder every one of its [`files`], each
/// with name and length. Files are streamed; where they lie makes no difference.
pub fn content_hash(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    if path.is_dir() {
        for name in Folder(path).names()? {
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
