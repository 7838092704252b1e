//! Puts into the program what every record says of it: revision, compiler, and the engines' versions; and the experiments that
//! come along.

#[path = "../rpath.rs"]
mod rpath;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

const ROOT: &str = "../..";

fn main() -> io::Result<()> {
    rpath::main();

    // Whatever the program is made of: a change there may make the checkout differ from its revision.
    let sources = [
        "Cargo.toml",
        "Cargo.lock",
        "harness",
        "methods",
        "datasets",
        "results/src",
        "results/published",
        "reports",
    ];
    sources
        .iter()
        .for_each(|path| rerun_if_changed(&format!("{ROOT}/{path}")));
    // Git appends to this file with every commit and checkout.
    if let Some(log) = run("git", &["rev-parse", "--git-path", "logs/HEAD"]) {
        rerun_if_changed(&log);
    }
    let revision = run("git", &["rev-parse", "HEAD"]).unwrap_or_default();
    let dirty = run("git", &["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    set("PRUNEBENCH_GIT_REVISION", &revision);
    set("PRUNEBENCH_GIT_DIRTY", if dirty { "true" } else { "false" });

    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = run(&rustc, &["--version"]).unwrap_or_default();
    // `rustc 1.95.0 (hash date)`: the number is enough to find the rest.
    set("PRUNEBENCH_RUSTC", version.split(" (").next().unwrap_or_default());
    set("PRUNEBENCH_CANDLE", &candle_version());
    set("PRUNEBENCH_LIBTORCH", &libtorch_version());
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    fs::write(out.join("experiments.rs"), experiments()?)
}

/// The files of experiments with what they hold, as Rust has it. What pretraining files of a folder of their own say is no
/// experiment.
fn experiments() -> io::Result<String> {
    let root = fs::canonicalize(ROOT)?;
    let mut folders = vec![PathBuf::from("harness/experiments")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.extend((!path.ends_with("pretrain")).then_some(path));
            } else if path.extension().is_some_and(|kind| kind == "toml") {
                files.push(path);
            }
        }
    }
    files.sort();
    let row = |path: &PathBuf| format!("({path:?}, include_str!({:?})),", root.join(path));
    Ok(format!("&[{}]", files.iter().map(row).collect::<String>()))
}

fn set(name: &str, value: &str) {
    println!("cargo::rustc-env={name}={value}");
}

fn rerun_if_changed(path: &str) {
    // A path that isn't there would rerun this script on every build.
    if Path::new(path).exists() {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// Standard output of a command that succeeds.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn candle_version() -> String {
    let lock = fs::read_to_string(format!("{ROOT}/Cargo.lock")).unwrap_or_default();
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"candle-core\"");
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = \""));
    version.unwrap_or("unknown\"").trim_end_matches('"').to_owned()
}

/// As libtorch's own files state it; a build suffix such as `+cpu` changes no numbers on a CPU and is kept all the same.
fn libtorch_version() -> String {
    let folder = env::var("LIBTORCH").unwrap_or_default();
    let read = |name: &str| fs::read_to_string(Path::new(&folder).join(name)).ok();
    if let Some(version) = read("build-version") {
        return version.trim().to_owned();
    }
    let python = read("version.py").unwrap_or_default();
    let mut lines = python.lines().filter_map(|line| line.strip_prefix("__version__ = "));
    lines.next().unwrap_or("unknown").trim_matches('\'').to_owned()
}
