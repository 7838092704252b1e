//! The source, where it is checked out.

use std::path::{Path, PathBuf};

use anyhow::bail;

/// The root of a checkout.
#[derive(Debug)]
pub struct Checkout(PathBuf);

impl Checkout {
    /// The one that a folder is in.
    pub fn above(folder: &Path) -> anyhow::Result<Self> {
        let is_root = |folder: &&Path| {
            folder.join("methods/src/lib.rs").is_file()
                && folder.join("datasets/catalogue").is_dir()
                && folder.join("harness/cli").is_dir()
        };
        match folder.ancestors().find(is_root) {
            Some(root) => Ok(Self(root.to_owned())),
            None => bail!(
                "{} is in no checkout of prunebench's source, where methods, tasks and texts are (methods/src and \
                 datasets/catalogue); change into one, for they are built into the program",
                folder.display()
            ),
        }
    }

    /// A path in it.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.0.join(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_found_from_below_and_missed_elsewhere() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .canonicalize()
            .unwrap();
        let found = Checkout::above(&source.join("harness/cli/src")).unwrap();
        assert_eq!(found.path("methods"), source.join("methods"));
        let elsewhere = tempfile::tempdir().unwrap();
        let error = Checkout::above(elsewhere.path()).unwrap_err().to_string();
        assert!(error.contains("in no checkout"), "{error}");
    }
}
