//! The model inside this program. `harness/experiments/pretrain/tiny.toml` trained it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use prunebench_files::WholeFolder;
use sha2::{Digest, Sha256};

use super::models_folder;
use crate::{
    checkpoint::hex,
    error::{ModelError, Result, at},
};

/// How tables call the model.
pub(super) const DISPLAY_NAME: &str = "tiny (1.4 M parameters, trained on the synthetic world)";

macro_rules! files {
    ($($name:literal),* $(,)?) => { [$(($name, include_bytes!(concat!("../../tiny/", $name)))),*] };
}

/// Names and contents: a folder in HF layout, with the weights averaged over its training.
const FILES: [(&str, &[u8]); 6] = files![
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "trajectory.safetensors",
];

/// The model's folder in the user's cache, unpacked if it is not there. Each version of the model has its own.
pub(super) fn resolve() -> Result<PathBuf> {
    let mut hash = Sha256::new();
    FILES.iter().for_each(|(_, content)| hash.update(content));
    let version = &hex(&hash.finalize())[..16];
    let folder = models_folder(super::TINY)?.join(format!("{}-{version}", super::TINY));
    resolve_in(&folder)?;
    Ok(folder)
}

/// Sees to it that `folder` is the model.
fn resolve_in(folder: &Path) -> Result<()> {
    if !folder.exists() {
        unpack(folder)?;
    }
    for (name, content) in FILES {
        let path = folder.join(name);
        if fs::read(&path).map_err(at(&path))? != content {
            return Err(ModelError::Source {
                spec: super::TINY.to_owned(),
                detail: format!(
                    "{} is not what this program unpacked; remove {} and try again",
                    path.display(),
                    folder.display()
                ),
            });
        }
    }
    Ok(())
}

/// `folder` appears complete or not at all.
fn unpack(folder: &Path) -> Result<()> {
    let models = folder.parent().unwrap_or(folder);
    fs::create_dir_all(models).map_err(at(models))?;
    let whole = WholeFolder::new(folder).map_err(at(folder))?;
    for (name, content) in FILES {
        let path = whole.partial().join(name);
        fs::write(&path, content).map_err(at(&path))?;
    }
    match whole.keep() {
        // Another process was quicker.
        Err(_) if folder.is_dir() => Ok(()),
        kept => kept.map_err(at(folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_once_unpack_one_whole_model() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("models").join("tiny");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| resolve_in(&folder).unwrap());
            }
        });
        let beside = fs::read_dir(folder.parent().unwrap()).unwrap().count();
        assert_eq!((fs::read_dir(&folder).unwrap().count(), beside), (FILES.len(), 1));
    }

    #[test]
    fn a_changed_file_is_named_with_the_cure() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("tiny");
        resolve_in(&folder).unwrap();
        fs::write(folder.join("config.json"), "{}").unwrap();
        let message = resolve_in(&folder).unwrap_err().to_string();
        assert!(message.contains("config.json is not what"), "{message}");
        assert!(message.contains("remove"), "{message}");
    }
}
