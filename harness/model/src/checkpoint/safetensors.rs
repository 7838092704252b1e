//! Weights in memory-mapped safetensors files.

use std::{
    collections::BTreeMap,
    fs::File,
    ops::Range,
    path::{Component, Path, PathBuf},
};

use memmap2::{Mmap, UncheckedAdvice};
use prunebench_tensor::{DType, Device, Tensor};
use safetensors::{Dtype, tensor::Metadata};
use serde::{Deserialize, Serialize};

use super::{
    folder::Folder,
    pieces::in_pieces,
    weights::{check_finite, check_shape},
};
use crate::error::{ModelError, Result, at};

/// The only weight file of a small model.
pub(crate) const SINGLE_FILE: &str = "model.safetensors";
/// Names the shard of each tensor of a large one.
pub(crate) const INDEX_FILE: &str = "model.safetensors.index.json";

const HEADER_LENGTH: usize = 8;
const CURE: &str = "the file is cut short or damaged: fetch it again";

/// Contents of [`INDEX_FILE`].
#[derive(Serialize, Deserialize)]
pub(super) struct Index {
    /// Holds `total_size`, the bytes of all tensors.
    #[serde(default)]
    pub(super) metadata: serde_json::Value,
    /// File of each tensor.
    pub(super) weight_map: BTreeMap<String, String>,
}

/// File names of the weights in a folder.
pub(super) struct WeightFiles {
    /// Present if it names the shards.
    pub(super) index: Option<&'static str>,
    /// The one file, or the shards, each once.
    pub(super) shards: Vec<String>,
}

/// The weights in a folder: the one file, or the shards that the index names.
pub(super) fn weight_files(folder: &Path) -> Result<WeightFiles> {
    if folder.join(SINGLE_FILE).exists() {
        return Ok(WeightFiles {
            index: None,
            shards: vec![SINGLE_FILE.to_owned()],
        });
    }
    let path = folder.join(INDEX_FILE);
    if !path.exists() {
        let hint = if folder.join("pytorch_model.bin").exists() || folder.join("pytorch_model.bin.index.json").exists()
        {
            "it has pytorch_model.bin only: convert it to safetensors"
        } else {
            "is this a model folder in HF layout, completely fetched?"
        };
        return Err(ModelError::malformed(
            folder,
            format!("has neither {SINGLE_FILE} nor {INDEX_FILE}; {hint}"),
        ));
    }
    let bytes = std::fs::read(&path).map_err(at(&path))?;
    let mut shards: Vec<String> = index_files(&path, &bytes)?;
    shards.sort();
    shards.dedup();
    Ok(WeightFiles {
        index: Some(INDEX_FILE),
        shards,
    })
}

/// Shards that an index names, with repetitions; a name that leads out of the folder is refused.
pub(crate) fn index_files(path: &Path, index: &[u8]) -> Result<Vec<String>> {
    let index: Index = serde_json::from_slice(index)
        .map_err(|e| ModelError::malformed(path, format!("not an index of shards ({e}); fetch it again")))?;
    if index.weight_map.is_empty() {
        return Err(ModelError::malformed(path, "names no shard; fetch it again"));
    }
    index
        .weight_map
        .into_values()
        .map(|name| {
            let mut parts = Path::new(&name).components();
            match (parts.next(), parts.next()) {
                (Some(Component::Normal(_)), None) => Ok(name),
                _ => Err(ModelError::malformed(
                    path,
                    format!("names the shard `{name}`, wanted a file name in the same folder"),
                )),
            }
        })
        .collect()
}

/// All weights of a folder.
pub(super) struct Weights {
    folder: PathBuf,
    shards: Vec<Shard>,
    /// Shard of each tensor.
    places: BTreeMap<String, usize>,
}

struct Shard {
    path: PathBuf,
    map: Mmap,
    metadata: Metadata,
    data_start: usize,
}

impl Weights {
    pub(super) fn open(folder: Folder) -> Result<Self> {
        let mut places = BTreeMap::new();
        let mut shards: Vec<Shard> = Vec::new();
        for name in folder.weights()?.shards {
            let shard = Shard::open(folder.0.join(name))?;
            for tensor in shard.metadata.offset_keys() {
                if let Some(first) = places.insert(tensor.clone(), shards.len()) {
                    return Err(ModelError::malformed(
                        &shard.path,
                        format!(
                            "tensor `{tensor}` is also in {}; remove one",
                            shards[first].path.display()
                        ),
                    ));
                }
            }
            shards.push(shard);
        }
        Ok(Self {
            folder: folder.0.to_path_buf(),
            shards,
            places,
        })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.places.keys()
    }

    /// Bytes of a tensor, with its shape and dtype; they stay mapped.
    fn find(&self, name: &str) -> Option<(&Shard, &safetensors::tensor::TensorInfo)> {
        let shard = &self.shards[*self.places.get(name)?];
        Some((shard, shard.metadata.info(name)?))
    }

    /// True if both tensors are stored and hold the same bytes.
    pub(super) fn equal(&self, a: &str, b: &str) -> bool {
        let bytes = |name| self.find(name).map(|(shard, info)| shard.bytes(info));
        bytes(a).is_some() && bytes(a) == bytes(b)
    }

    /// Reads one tensor onto the device, piece by piece; the pages of the mapping are released.
    pub(super) fn tensor(&self, name: &str, shape: &[usize], device: &Device, dtype: DType) -> Result<Tensor> {
        let (shard, info) = self.find(name).ok_or_else(|| ModelError::MissingTensor {
            path: self.folder.clone(),
            name: name.to_owned(),
            hint: if name == "lm_head.weight" {
                "if the head is the embedding, config.json must say \"tie_word_embeddings\": true".to_owned()
            } else {
                "config and weights belong to different models, or a shard is missing".to_owned()
            },
        })?;
        check_shape(&shard.path, name, &info.shape, shape)?;
        let stored = match info.dtype {
            Dtype::F64 => DType::F64,
            Dtype::F32 => DType::F32,
            Dtype::BF16 => DType::BF16,
            Dtype::F16 => DType::F16,
            other => {
                return Err(ModelError::malformed(
                    &shard.path,
                    format!(
                        "tensor `{name}` is stored as {other}, wanted F64, F32, BF16 or F16; take an unquantised checkpoint"
                    ),
                ));
            }
        };
        let bytes = shard.bytes(info);
        let width = shape.iter().skip(1).product::<usize>();
        in_pieces(shape, dtype, device, 1, |tensor, rows| {
            let [start, end] = [rows.start, rows.end].map(|row| row * width * stored.size_in_bytes());
            check_finite(&shard.path, name, rows.start * width, &bytes[start..end], stored, dtype)?;
            tensor.write_le_bytes(rows.start, &bytes[start..end], stored)?;
            shard.release(info.data_offsets.0 + start..info.data_offsets.0 + end);
            Ok(())
        })
    }
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self> {
        let file = File::open(&path).map_err(at(&path))?;
        // SAFETY: the mapping is only read. As with every mapped file, another process that shortens the file meanwhile
        // stops this one; checkpoints are written by rename, never in place.
        let map = unsafe { Mmap::map(&file) }.map_err(at(&path))?;
        let malformed = |detail: String| ModelError::malformed(&path, format!("{detail}; {CURE}"));
        let length = map
            .first_chunk::<HEADER_LENGTH>()
            .map(|bytes| u64::from_le_bytes(*bytes))
            .ok_or_else(|| malformed(format!("has {} bytes, wanted the header's length in 8", map.len())))?;
        let data_start = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(HEADER_LENGTH))
            .filter(|&start| start <= map.len())
            .ok_or_else(|| {
                malformed(format!(
                    "announces a header of {length} bytes in a file of {} bytes",
                    map.len()
                ))
            })?;
        // Checks that shapes, dtypes and offsets agree, without overflow, and leave no gap.
        let metadata: Metadata =
            serde_json::from_slice(&map[HEADER_LENGTH..data_start]).map_err(|e| malformed(format!("header: {e}")))?;
        let (found, wanted) = (map.len() - data_start, metadata.data_len());
        if found != wanted {
            return Err(malformed(format!(
                "holds {found} bytes of tensors, the header wants {wanted}"
            )));
        }
        Ok(Self {
            path,
            map,
            metadata,
            data_start,
        })
    }

    fn bytes(&self, info: &safetensors::tensor::TensorInfo) -> &[u8] {
        let (start, end) = info.data_offsets;
        &self.map[self.data_start + start..self.data_start + end]
    }

    /// Gives the pages of these bytes of the data back, so that loading holds one copy of the model, not two.
    fn release(&self, Range { start, end }: Range<usize>) {
        // SAFETY: the mapping is of a file and read-only, so dropped pages come back from the file unchanged.
        // A refusal costs memory, nothing else.
        let _ = unsafe {
            self.map
                .unchecked_advise_range(UncheckedAdvice::DontNeed, self.data_start + start, end - start)
        };
    }
}
