//! The hashes by which the Hub and the catalogue name content.

use std::fs::File;
use std::io::{self, Read, Seek};

use sha1::Sha1;
use sha2::Sha256;

/// What a file's content must hash to, in lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// SHA-256, by which large files are stored.
    Sha256(String),
    /// SHA-1 of the content as git's object, by which the other files are stored.
    GitBlob(String),
}

impl Hash {
    /// The hash that an ETag of the Hub is: 64 digits for a large file, 40 for another. None for other servers' ETags.
    pub(crate) fn of_etag(etag: &str) -> Option<Self> {
        let digits = etag.to_ascii_lowercase();
        match digits.len() {
            _ if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => None,
            64 => Some(Self::Sha256(digits)),
            40 => Some(Self::GitBlob(digits)),
            _ => None,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::GitBlob(_) => "git's hash",
        }
    }

    pub(crate) fn wanted(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::GitBlob(digits) => digits,
        }
    }

    /// The same hash of what is in `file`, read from its start.
    pub(crate) fn found(&self, file: &mut File) -> io::Result<String> {
        file.rewind()?;
        Ok(match self {
            Self::Sha256(_) => {
                let mut hash = <Sha256 as sha2::Digest>::new();
                each_piece(file, |piece| sha2::Digest::update(&mut hash, piece))?;
                hexadecimal(&sha2::Digest::finalize(hash))
            }
            Self::GitBlob(_) => {
                let header = format!("blob {}\0", file.metadata()?.len());
                let mut hash = <Sha1 as sha1::Digest>::new_with_prefix(header);
                each_piece(file, |piece| sha1::Digest::update(&mut hash, piece))?;
                hexadecimal(&sha1::Digest::finalize(hash))
            }
        })
    }
}

fn each_piece(file: &mut File, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => take(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn content_hashes_as_git_and_sha256sum_hash_it() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello\n").unwrap();
        for digits in [
            // `git hash-object` and `sha256sum`.
            "ce013625030ba8dba906f756967f9e9ca394464a",
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        ] {
            let hash = Hash::of_etag(&digits.to_uppercase()).unwrap();
            assert_eq!(hash.found(&mut file).unwrap(), digits);
            assert_eq!(hash.wanted(), digits);
        }
    }

    #[test]
    fn other_etags_are_no_hashes() {
        for etag in ["", "etag-39", &"g".repeat(40), &"a".repeat(39), &"a".repeat(65)] {
            assert_eq!(Hash::of_etag(etag), None, "{etag}");
        }
    }
}
