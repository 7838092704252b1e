//! Lists `catalogue/*.toml` for embedding, so that a data set is added by its TOML file alone.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=catalogue");
    let variable = |name| env::var_os(name).map(PathBuf::from).unwrap_or_default();
    let mut files: Vec<PathBuf> = fs::read_dir(variable("CARGO_MANIFEST_DIR").join("catalogue"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|kind| kind == "toml"));
    files.sort();
    let rows: String = files
        .iter()
        .map(|path| format!("({:?}, include_str!({path:?})),", path.file_stem().unwrap_or_default()))
        .collect();
    fs::write(variable("OUT_DIR").join("catalogue.rs"), format!("&[{rows}]"))
}
