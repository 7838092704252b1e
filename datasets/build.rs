//! Lists `catalogue/*/*.toml` for embedding, so that an entry is added by its TOML file alone.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=catalogue");
    let variable = |name| env::var_os(name).map(PathBuf::from).unwrap_or_default();
    let mut rows = String::new();
    for folder in ["texts", "tasks", "suites", "instructions"] {
        for path in toml_files(&variable("CARGO_MANIFEST_DIR").join("catalogue").join(folder))? {
            let name = format!("{folder}/{}", path.file_stem().unwrap_or_default().to_string_lossy());
            rows += &format!("({name:?}, include_str!({path:?})),");
        }
    }
    fs::write(variable("OUT_DIR").join("catalogue.rs"), format!("&[{rows}]"))
}

fn toml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|kind| kind == "toml"));
    files.sort();
    Ok(files)
}
