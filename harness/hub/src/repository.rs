//! Repositories of the Hub, by names that can't lead out of a folder or an address.

use std::fmt::Write;

use hf_hub::{Repo, RepoType};

use crate::error::Problem;

/// A repository of the Hub at a revision.
#[derive(Clone, Debug)]
pub struct Repository {
    kind: RepoType,
    name: String,
    revision: String,
}

impl Repository {
    /// The repository `owner/name` (some have no owner) at a branch, tag or commit.
    ///
    /// # Errors
    /// If a name can't be part of a path.
    pub fn new(kind: RepoType, name: &str, revision: &str) -> Result<Self, Problem> {
        // The Hub's own rule. The cache joins owner and name to one folder.
        let plain = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if name.split('/').count() > 2 || !name.split('/').all(plain) {
            return Err(Problem::Name {
                what: "repository",
                found: name.to_owned(),
            });
        }
        check_path("repository", name)?;
        check_path("revision", revision)?;
        Ok(Self {
            kind,
            name: name.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// `owner/name`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Branch, tag or commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The page on which people read of it.
    pub(crate) fn page(&self) -> String {
        format!("https://huggingface.co/{}{}", self.folder(), self.name)
    }

    /// What the Hub answers with a file at.
    pub(crate) fn path(&self, file: &str) -> String {
        let (folder, revision) = (self.folder(), segment(&self.revision));
        let file: Vec<String> = file.split('/').map(segment).collect();
        format!("/{folder}{}/resolve/{revision}/{}", self.name, file.join("/"))
    }

    /// What the Hub lists the files at.
    pub(crate) fn listing_path(&self) -> String {
        let folder = match self.kind {
            RepoType::Model => "models",
            RepoType::Dataset => "datasets",
            RepoType::Space => "spaces",
        };
        format!("/api/{folder}/{}/revision/{}", self.name, segment(&self.revision))
    }

    /// How hf-hub knows it.
    pub(crate) fn repo(&self) -> Repo {
        Repo::with_revision(self.name.clone(), self.kind, self.revision.clone())
    }

    fn folder(&self) -> &'static str {
        match self.kind {
            RepoType::Model => "",
            RepoType::Dataset => "datasets/",
            RepoType::Space => "spaces/",
        }
    }
}

/// An error unless `path` is names with slashes between that stay in their folder, on every system.
pub(crate) fn check_path(what: &'static str, path: &str) -> Result<(), Problem> {
    let plain = |part: &str| !["", ".", ".."].contains(&part);
    let odd = |c: char| c.is_control() || c == '\\' || c == ':';
    if path.split('/').all(plain) && !path.contains(odd) {
        return Ok(());
    }
    Err(Problem::Name {
        what,
        found: path.to_owned(),
    })
}

/// Whether this is a whole commit, which is content and can't move.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// One segment of an address's path.
fn segment(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => segment.push(byte.into()),
            // Writing to a string can't fail.
            _ => drop(write!(segment, "%{byte:02X}")),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        let repository = |name: &str, revision: &str| Repository::new(RepoType::Model, name, revision);
        for name in [
            "", "/", "a/", "/a", "..", "a/..", "../a", "a/b/c", "a\\b", "a b", "a/b?c", "a/b#c", "a%2fb",
        ] {
            let problem = repository(name, "main").unwrap_err();
            assert!(matches!(problem, Problem::Name { what: "repository", .. }), "{name}");
        }
        for revision in [
            "",
            "..",
            "../x",
            "refs/../x",
            "refs//x",
            "/x",
            "x/",
            "a\\b",
            "a\nb",
            "C:",
        ] {
            let problem = repository("a/b", revision).unwrap_err();
            assert!(matches!(problem, Problem::Name { what: "revision", .. }), "{revision}");
        }
        for (name, revision) in [("gpt2", "main"), ("a/b.c-d_e", "refs/pr/1"), ("a/b", "v1.0+x")] {
            repository(name, revision).unwrap();
        }
    }

    #[test]
    fn addresses_are_those_of_the_hub() {
        let model = Repository::new(RepoType::Model, "gpt2", "refs/pr/1").unwrap();
        assert_eq!(
            model.path("a b/ü#?.json"),
            "/gpt2/resolve/refs%2Fpr%2F1/a%20b/%C3%BC%23%3F.json"
        );
        assert_eq!(model.listing_path(), "/api/models/gpt2/revision/refs%2Fpr%2F1");
        let data = Repository::new(RepoType::Dataset, "some/rows", "main").unwrap();
        assert_eq!(data.path("x/y"), "/datasets/some/rows/resolve/main/x/y");
        assert_eq!(data.page(), "https://huggingface.co/datasets/some/rows");
    }
}
