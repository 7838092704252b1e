//! A bounds check of a GGUF header before candle parses it: every count and length must fit the file.
//!
//! candle divides by `general.alignment` and turns each array element into a value many times its size on disk, so
//! a damaged header must be refused before candle sees it.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use crate::error::{ModelError, Result, at};

const MAGIC: &[u8; 4] = b"GGUF";
/// The largest vocabularies have some 300,000 tokens and as many merges.
const MAX_ARRAY: u64 = 1 << 24;
/// No format nests arrays in metadata.
const MAX_DEPTH: usize = 4;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
/// What to do about a file that is cut or damaged.
pub(super) const CURE: &str = "the file is cut short or damaged: fetch it again";

/// Walks the header up to the tensor list. The file is read from its start.
pub(super) fn check(path: &Path, file: &File) -> Result<()> {
    let length = file.metadata().map_err(at(path))?.len();
    let mut scan = Scan {
        path,
        reader: BufReader::new(file),
        position: 0,
        length,
    };
    let magic = scan.bytes::<4>("magic")?;
    if &magic != MAGIC {
        return Err(scan.malformed(format!("begins with {magic:02x?}, wanted `GGUF`; this is no GGUF file")));
    }
    let version = scan.u32("version")?;
    if !(2..=3).contains(&version) {
        return Err(scan.malformed(format!(
            "GGUF version {version}, wanted 2 or 3; convert the model again"
        )));
    }
    let tensors = scan.u64("tensor count")?;
    // Name length, dimension count, one dimension, type, offset.
    scan.fits(tensors, 8 + 4 + 8 + 4 + 8, "tensors")?;
    let pairs = scan.u64("metadata count")?;
    // Key length, type, one byte of value.
    scan.fits(pairs, 8 + 4 + 1, "metadata pairs")?;
    for index in 0..pairs {
        let key = scan.string(&format!("key of metadata pair {index}"))?;
        let kind = scan.u32(&key)?;
        if key == "general.alignment" {
            let alignment = scan.alignment(kind)?;
            if !alignment.is_power_of_two() {
                return Err(scan.malformed(format!(
                    "general.alignment = {alignment}, wanted a power of two; {CURE}"
                )));
            }
        } else {
            scan.skip_value(kind, &key, 0)?;
        }
    }
    Ok(())
}

struct Scan<'a> {
    path: &'a Path,
    reader: BufReader<&'a File>,
    position: u64,
    length: u64,
}

impl Scan<'_> {
    fn malformed(&self, detail: String) -> ModelError {
        ModelError::malformed(self.path, detail)
    }

    /// Refuses `count` items of at least `size` bytes if the rest of the file cannot hold them.
    fn fits(&self, count: u64, size: u64, what: &str) -> Result<()> {
        let left = self.length - self.position;
        match count.checked_mul(size) {
            Some(needed) if needed <= left => Ok(()),
            _ => Err(self.malformed(format!(
                "byte {}: {count} {what} of {size} bytes or more announced, {left} bytes left; {CURE}",
                self.position
            ))),
        }
    }

    fn bytes<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        self.fits(1, N as u64, what)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(at(self.path))?;
        self.position += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self, what: &str) -> Result<u32> {
        self.bytes(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &str) -> Result<u64> {
        self.bytes(what).map(u64::from_le_bytes)
    }

    fn skip(&mut self, count: u64, size: u64, what: &str) -> Result<()> {
        self.fits(count, size, what)?;
        let bytes = count * size;
        // Seeking would drop the buffer for every short string.
        std::io::copy(&mut self.reader.by_ref().take(bytes), &mut std::io::sink()).map_err(at(self.path))?;
        self.position += bytes;
        Ok(())
    }

    fn string(&mut self, what: &str) -> Result<String> {
        let length = self.u64(what)?;
        self.fits(length, 1, &format!("characters of the {what}"))?;
        let mut bytes = Vec::new();
        self.reader
            .by_ref()
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(at(self.path))?;
        self.position += length;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn alignment(&mut self, kind: u32) -> Result<u64> {
        match kind {
            4 | 5 => self.u32("general.alignment").map(u64::from),
            _ => Err(self.malformed(format!(
                "general.alignment has value type {kind}, wanted a 32-bit integer; {CURE}"
            ))),
        }
    }

    fn skip_value(&mut self, kind: u32, key: &str, depth: usize) -> Result<()> {
        match kind {
            STRING => {
                let length = self.u64(key)?;
                self.skip(length, 1, &format!("characters of `{key}`"))
            }
            ARRAY => {
                let element = self.u32(key)?;
                let count = self.u64(key)?;
                if depth >= MAX_DEPTH || count > MAX_ARRAY {
                    return Err(self.malformed(format!(
                        "byte {}: `{key}` is an array of {count} elements at depth {depth}, wanted at most {MAX_ARRAY} at depth {MAX_DEPTH}; {CURE}",
                        self.position
                    )));
                }
                if let Some(size) = fixed_size(element) {
                    return self.skip(count, size, &format!("elements of `{key}`"));
                }
                for _ in 0..count {
                    self.skip_value(element, key, depth + 1)?;
                }
                Ok(())
            }
            _ => match fixed_size(kind) {
                Some(size) => self.skip(1, size, &format!("value of `{key}`")),
                None => Err(self.malformed(format!(
                    "byte {}: `{key}` has value type {kind}, which GGUF does not define; {CURE}",
                    self.position
                ))),
            },
        }
    }
}

/// Bytes of a scalar value type; `None` for strings, arrays and types that GGUF does not define.
fn fixed_size(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
