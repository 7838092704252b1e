//! Sweeps on a disk that fills up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use prunebench_results::read_records;

use crate::killed;
use crate::support::Sandbox;

/// A small file system of its own under a folder, as long as this lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it; where this user or this machine can't, the test skips.
    fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(folder);
        let reason = match mount.output() {
            Ok(output) if output.status.success() => return Some(Self(folder.to_owned())),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        prunebench_testing::skip(&format!("no file system can be mounted: {reason}"));
        None
    }

    fn grow(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,size=16m"]).arg(&self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn two_runs_on_a_disk_that_fills_up_say_so_and_lose_nothing_that_was_measured() {
    let sandbox = Sandbox::new();
    sandbox.write("a.toml", &killed::experiment());
    let Some(disk) = SmallDisk::mount(&sandbox.path("results")) else {
        return;
    };
    let start = || sandbox.start("a.toml", &["--jobs", "1"]);
    let ran = [start(), start()].map(|started| started.end());
    let mut said = 0;
    for ran in &ran {
        ran.expect_error(1, &["results/runs/a/", "free some space"]);
        said += ran.err.matches(": ok: ").count() - ran.err.matches("(done before)").count();
    }
    let records = read_records(&sandbox.path("results/runs/a/records")).unwrap();
    assert_eq!(said, records.len());
    assert!((1..killed::cells()).contains(&records.len()), "{}", records.len());
    // A run that can't begin says the same.
    sandbox.run(&["run", "a.toml"]).expect_error(1, &["free some space"]);
    disk.grow();
    let left = killed::cells() - records.len();
    sandbox
        .run(&["run", "a.toml", "--jobs", "2"])
        .expect(0, &[&format!("measured {left} of")]);
    killed::check(&sandbox, &killed::undisturbed());
}
