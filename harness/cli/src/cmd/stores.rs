//! Results folders as users name them: by path, or by the name of their experiment.

use std::path::{Path, PathBuf};

/// Where runs put their results unless told otherwise.
pub const RESULTS: &str = "results/runs";

/// The folder that a user means: a path that is there, else the experiment of that name under [`RESULTS`]; where neither is
/// there, the path, so that the error names what the user wrote.
pub fn found(named: &Path) -> PathBuf {
    let under = Path::new(RESULTS).join(named);
    let is_name = named.components().count() == 1;
    if is_name && !named.exists() && under.is_dir() {
        under
    } else {
        named.to_owned()
    }
}

/// How a user may name a folder in short.
pub fn short_name(folder: &Path) -> String {
    let name = folder.strip_prefix(RESULTS).unwrap_or(folder);
    let short = if found(name) == folder { name } else { folder };
    short.display().to_string()
}
