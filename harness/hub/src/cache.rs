//! The cache's layout, which is `huggingface_hub`'s:
//!
//! ```text
//! models--org--name/blobs/<etag>                  content
//! models--org--name/snapshots/<commit>/<file>     link to the content, or a copy of it
//! models--org--name/refs/<revision>               the commit that a branch or tag was last
//! .locks/models--org--name/<etag>.lock            held while the content is fetched
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hf_hub::Cache;

use crate::error::Problem;
use crate::repository::{Repository, check_path, is_commit};
use crate::transfer::{INCOMPLETE, make_folder_of};

/// The longest ETag that is taken; names of files end at 255 bytes.
const LONGEST_ETAG: usize = 128;

/// Where one repository is in the cache. Every name that becomes a path here was checked.
pub(crate) struct Shelf<'a> {
    cache: &'a Path,
    repository: &'a Repository,
}

impl<'a> Shelf<'a> {
    pub(crate) fn new(cache: &'a Path, repository: &'a Repository) -> Self {
        Self { cache, repository }
    }

    /// The file, if it is there at the repository's revision.
    pub(crate) fn find(&self, file: &str) -> Result<Option<PathBuf>, Problem> {
        check_path("file", file)?;
        let Some(commit) = self.commit() else {
            return Ok(None);
        };
        Ok(Some(self.pointer(&commit, file)).filter(|path| path.exists()))
    }

    /// The commit that the revision is, or was when it was last looked up.
    fn commit(&self) -> Option<String> {
        let revision = self.repository.revision();
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let commit = fs::read_to_string(self.reference()).ok()?;
        Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes that the revision is now this commit.
    pub(crate) fn remember(&self, commit: &Commit) -> Result<(), Problem> {
        if is_commit(self.repository.revision()) {
            return Ok(());
        }
        let path = self.reference();
        if fs::read_to_string(&path).is_ok_and(|known| known == commit.0) {
            return Ok(());
        }
        make_folder_of(&path)?;
        prunebench_files::write(&path, commit.0.as_bytes()).map_err(Problem::disk(path))
    }

    /// Where the content of an ETag is.
    pub(crate) fn blob(&self, etag: &ETag) -> PathBuf {
        self.folder().join("blobs").join(&etag.0)
    }

    /// Where it is as long as it is a part.
    pub(crate) fn part(&self, etag: &ETag) -> PathBuf {
        self.folder().join("blobs").join(format!("{}{INCOMPLETE}", etag.0))
    }

    /// The lock of that content.
    pub(crate) fn lock(&self, etag: &ETag) -> PathBuf {
        let folder = self.repository.repo().folder_name();
        self.cache.join(".locks").join(folder).join(format!("{}.lock", etag.0))
    }

    /// Puts the content into the snapshot as `file`, and tells where that is.
    pub(crate) fn link(&self, commit: &Commit, file: &str, etag: &ETag) -> Result<PathBuf, Problem> {
        let path = self.pointer(&commit.0, file);
        make_folder_of(&path)?;
        let folder = path.parent().unwrap_or(&path);
        // Relative, so that the cache can be moved.
        let mut target: PathBuf = file.split('/').map(|_| "..").collect();
        target.push("../blobs");
        target.push(&etag.0);
        let blob = self.blob(etag);
        let link = || {
            let mut builder = tempfile::Builder::new();
            builder.prefix(".link.").suffix(prunebench_files::PARTIAL);
            let link = builder.make_in(folder, |path| symlink(&target, &blob, path))?;
            link.persist(&path).map_err(|error| error.error)
        };
        link().map_err(Problem::disk(&path))?;
        Ok(path)
    }

    fn pointer(&self, commit: &str, file: &str) -> PathBuf {
        let cache = Cache::new(self.cache.to_owned());
        cache.repo(self.repository.repo()).pointer_path(commit).join(file)
    }

    fn reference(&self) -> PathBuf {
        self.folder().join("refs").join(self.repository.revision())
    }

    fn folder(&self) -> PathBuf {
        self.cache.join(self.repository.repo().folder_name())
    }
}

/// A link at `path` to `target`; a copy of `blob` where there are no links.
fn symlink(target: &Path, blob: &Path, path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match std::os::unix::fs::symlink(target, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {}
        settled => return settled,
    }
    #[cfg(not(unix))]
    let _ = target;
    fs::copy(blob, path).map(drop)
}

/// What names content: letters, digits, `-` and `_`, so that it can be the name of a file.
pub(crate) struct ETag(String);

impl ETag {
    /// The ETag in a header's value, without its quotes and the mark of a weak one.
    pub(crate) fn new(value: &str) -> Option<Self> {
        let value = value.trim();
        let etag = value.strip_prefix("W/").unwrap_or(value).trim_matches('"');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        ((1..=LONGEST_ETAG).contains(&etag.len()) && etag.bytes().all(plain)).then(|| Self(etag.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A whole commit: 40 hexadecimal digits.
pub(crate) struct Commit(String);

impl Commit {
    pub(crate) fn new(value: &str) -> Option<Self> {
        is_commit(value).then(|| Self(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_a_name_or_nothing() {
        for (value, wanted) in [("\"abc-1_2\"", "abc-1_2"), ("W/\"abc\"", "abc"), ("abc", "abc")] {
            assert_eq!(ETag::new(value).unwrap().as_str(), wanted);
        }
        for value in [
            "", "\"\"", "\"../x\"", "..", ".", "\"a/b\"", "\"a\\b\"", "\"a.b\"", "\"ä\"", "W/", "a\"b", "a b",
        ] {
            assert!(ETag::new(value).is_none(), "{value}");
        }
        assert!(ETag::new(&"a".repeat(LONGEST_ETAG + 1)).is_none());
    }
}
