//! What tests of several crates share: finding data that is not in the repository, and skipping visibly without it.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of golden answers and evaluation data: `PRUNEBENCH_SHARED`, else `../shared` beside the checkout.
///
/// Without it the calling test returns early after a line that starts with `SKIPPED:`, or fails if
/// `PRUNEBENCH_REQUIRE_SHARED` is set.
pub fn shared() -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("PRUNEBENCH_SHARED").map_or_else(|| checkout.join("../shared"), PathBuf::from);
    if folder.join("golden").is_dir() {
        return Some(folder);
    }
    let reason = format!(
        "{} has no golden/; name the folder in PRUNEBENCH_SHARED",
        folder.display()
    );
    let required = std::env::var_os("PRUNEBENCH_REQUIRE_SHARED").is_some_and(|value| value == "1");
    assert!(!required, "{reason}");
    let test = std::thread::current().name().unwrap_or("test").to_string();
    // Written past the test runner's capture, so that a skip is seen without --nocapture.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}");
    None
}
