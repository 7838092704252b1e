//! What tests of several crates share: finding data that is not in the repository, skipping visibly, disks that fill up, and a
//! Hub of one's own.

pub mod server;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says that the calling test skips, and why, as `SKIPPED: <test>: <why>` on standard error; the test then returns.
///
/// `.ci/skips` lists the tests that may, and where: one that it doesn't list fails `.ci/run`.
pub fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    // Written past the test runner's capture, so that a skip is seen without --nocapture; at once, so that no other test's
    // output gets between.
    let _ = std::io::stderr().write_all(skipped(&test, why).as_bytes());
}

fn skipped(test: &str, why: &str) -> String {
    let why: Vec<&str> = why.split_whitespace().collect();
    format!("SKIPPED: {test}: {}\n", why.join(" "))
}

/// The folder of golden answers and evaluation data: `PRUNEBENCH_SHARED`, else `../shared` beside the checkout. Without it the
/// calling test skips.
pub fn shared() -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("PRUNEBENCH_SHARED").map_or_else(|| checkout.join("../shared"), PathBuf::from);
    if folder.join("golden").is_dir() {
        return Some(folder);
    }
    skip(&format!(
        "{} has no golden/; name the folder in PRUNEBENCH_SHARED",
        folder.display()
    ));
    None
}

/// Set to compare every reference value on every engine, as each night.
const EVERY_ENGINE: &str = "PRUNEBENCH_EVERY_ENGINE";

/// Whether engine number `engine` of `engines` is compared with reference value number `case` of a test that computes for minutes. The
/// engines take turns, so that each value is compared once, unless `PRUNEBENCH_EVERY_ENGINE` is set.
pub fn takes_turn(engine: usize, engines: usize, case: usize) -> bool {
    std::env::var_os(EVERY_ENGINE).is_some() || case % engines.max(1) == engine
}

/// A file system of its own of 256 KiB, as long as this lives.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it on an empty folder. Where this user or this machine can't, the calling test skips.
    pub fn mount(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(folder);
        let reason = match mount.output() {
            Ok(output) if output.status.success() => return Some(Self(folder.to_owned())),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        skip(&format!("no file system can be mounted: {reason}"));
        None
    }

    /// Makes it 16 MiB.
    ///
    /// # Panics
    /// If that is refused.
    pub fn grow(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,size=16m"]).arg(&self.0);
        assert!(mount.status().is_ok_and(|status| status.success()), "it can't grow");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_one_line_that_names_its_test_whatever_the_reason() {
        assert_eq!(
            skipped("disk::it_is_full", "mount: not\n permitted\n"),
            "SKIPPED: disk::it_is_full: mount: not permitted\n"
        );
    }
}
