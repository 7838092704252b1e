//! What a training run leaves beside its model, for methods that need more than the last weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prunebench_model::checkpoint::{load_tensors, save_tensors};
use prunebench_tensor::{Device, Tensor};

use crate::trajectory::Weighting;
use crate::{Result, TrainError};

const TRAJECTORY: &str = "trajectory.safetensors";
const BEST: &str = "best.safetensors";

/// The files of a training run in its model's folder.
#[derive(Clone, Debug)]
pub struct TrainingRun {
    folder: PathBuf,
}

impl TrainingRun {
    /// The run of the model in this folder, if it left something there.
    pub fn beside(folder: &Path) -> Option<Self> {
        let left = [TRAJECTORY, BEST].iter().any(|name| folder.join(name).is_file());
        left.then(|| Self {
            folder: folder.to_path_buf(),
        })
    }

    /// Where the files go.
    pub fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    /// The files that exist.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = [TRAJECTORY, BEST].map(|name| self.folder.join(name));
        files.into_iter().filter(|file| file.is_file()).collect()
    }

    /// Writes the averages of a trajectory.
    pub fn save_trajectory(&self, trajectory: &[(String, &Tensor)]) -> Result<()> {
        Ok(save_tensors(trajectory, &self.folder.join(TRAJECTORY))?)
    }

    /// Writes the weights of the lowest validation loss.
    pub fn save_best(&self, weights: &[(String, &Tensor)]) -> Result<()> {
        Ok(save_tensors(weights, &self.folder.join(BEST))?)
    }

    /// An average of the parameters over the run, by their names.
    ///
    /// # Errors
    /// A run that did not keep it.
    pub fn average(&self, weighting: Weighting, device: &Device) -> Result<BTreeMap<String, Tensor>> {
        let path = self.folder.join(TRAJECTORY);
        let prefix = format!("{}.", weighting.name());
        let tensors = match path.is_file() {
            true => load_tensors(&path, device)?,
            false => BTreeMap::new(),
        };
        let own: BTreeMap<String, Tensor> = tensors
            .into_iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?.to_owned(), tensor)))
            .collect();
        self.known(
            own,
            &path,
            &format!("`{}` average; name it in `trajectory`", weighting.name()),
        )
    }

    /// The weights of the lowest validation loss, by their names.
    ///
    /// # Errors
    /// A run that did not keep them.
    pub fn best(&self, device: &Device) -> Result<BTreeMap<String, Tensor>> {
        let path = self.folder.join(BEST);
        let tensors = match path.is_file() {
            true => load_tensors(&path, device)?,
            false => BTreeMap::new(),
        };
        self.known(
            tensors,
            &path,
            "weights of the lowest validation loss; give it a [[validation]] text",
        )
    }

    fn known(&self, tensors: BTreeMap<String, Tensor>, path: &Path, what: &str) -> Result<BTreeMap<String, Tensor>> {
        if !tensors.is_empty() {
            return Ok(tensors);
        }
        Err(TrainError::File {
            path: path.to_path_buf(),
            detail: format!("the training run kept no {what} and run `prunebench pretrain` again"),
        })
    }
}
