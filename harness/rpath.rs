//! Build script of every crate that can use libtorch: its binaries and tests find the libraries under
//! `.libtorch` at run time, so that nothing needs `LD_LIBRARY_PATH`.

use std::env;
use std::path::PathBuf;

/// Public for a build script that has more to do.
pub fn main() {
    // With no other instruction cargo would rerun this script on every change in the crate.
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    // `.cargo/config.toml` makes the path absolute and keeps the link's own name, so linking another
    // libtorch there needs no new build.
    let lib = PathBuf::from(env::var_os("LIBTORCH").unwrap_or_default()).join("lib");
    let library = lib.join("libtorch_cpu.so");
    println!("cargo::rerun-if-changed={}", library.display());
    if library.exists() {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    } else {
        println!(
            "cargo::error=no libtorch: {} does not exist. Run `make setup` to fetch libtorch, \
             `LIBTORCH=<folder> make setup` to use one you have, or build without it: \
             `cargo build --no-default-features --features candle`",
            library.display()
        );
    }
}
