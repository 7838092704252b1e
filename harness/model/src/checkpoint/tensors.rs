//! Named tensors in one safetensors file: optimiser states, adapters, averages of a training run.

use std::collections::BTreeMap;
use std::path::Path;

use prunebench_tensor::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors};

use super::save::write_shard;
use crate::error::{ModelError, Result, at};

/// Writes tensors, each in its own dtype; the file is there whole, and on the disk, or not at all.
pub fn save_tensors(tensors: &[(String, &Tensor)], path: &Path) -> Result<()> {
    write_shard(&tensors.iter().collect::<Vec<_>>(), path)
}

/// Reads every tensor of a file onto `device`, each in its own dtype.
pub fn load_tensors(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    let malformed = |detail: String| ModelError::malformed(path, detail);
    let bytes = std::fs::read(path).map_err(at(path))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| malformed(format!("not a whole safetensors file ({e}); make or fetch it again")))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let dtype = match view.dtype() {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::BF16 => DType::BF16,
            Dtype::F16 => DType::F16,
            Dtype::I64 => DType::I64,
            other => return Err(malformed(format!("tensor `{name}` is {other:?}, floats or I64 wanted"))),
        };
        let tensor = Tensor::from_le_bytes(view.data(), dtype, view.shape(), device)?;
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(tensors)
}
