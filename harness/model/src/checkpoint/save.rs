//! Writing a model as a folder in HF layout, whole or not at all.

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use half::slice::HalfFloatSliceExt;
use prunebench_files::{WholeFile, WholeFolder};
use prunebench_tensor::{DType, Tensor};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use serde_json::{Map, Value, json};

use super::{
    folder::{CONFIG_FILE, GRAPH_FILE},
    plain_config::{marker_config, plain_config},
    safetensors::{INDEX_FILE, Index, SINGLE_FILE},
};
use crate::{
    decoder::Decoder,
    error::{ModelError, Result, at},
    tokenizer::Tokenizer,
};

/// Bytes of tensors in one file; a model above it is written in shards.
const SHARD_BYTES: usize = 5_000_000_000;

/// Writes `decoder` into the new folder `out`, in the dtype that its tensors have.
///
/// `transformers` loads the folder if a plain config can express the graph; otherwise the folder also holds
/// `prunebench_graph.json`, which [`super::load`] reads. The folder appears complete or not at all; an existing
/// folder must be empty.
pub fn save(decoder: &Decoder, tokenizer: Option<&Tokenizer>, out: &Path) -> Result<()> {
    save_sharded(decoder, tokenizer, out, SHARD_BYTES)
}

pub(super) fn save_sharded(
    decoder: &Decoder,
    tokenizer: Option<&Tokenizer>,
    out: &Path,
    shard_bytes: usize,
) -> Result<()> {
    let occupied = match fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => fs::symlink_metadata(out).is_ok(),
    };
    if occupied {
        return Err(ModelError::malformed(
            out,
            "exists and is not an empty folder; name another, or remove it",
        ));
    }
    if out.file_name().is_none() {
        return Err(ModelError::malformed(
            out,
            "cannot be written; wanted a folder inside another",
        ));
    }
    let folder = WholeFolder::new(out).map_err(at(out))?;
    write_files(decoder, tokenizer, folder.partial(), shard_bytes)?;
    folder.keep().map_err(at(out))
}

fn write_files(decoder: &Decoder, tokenizer: Option<&Tokenizer>, folder: &Path, shard_bytes: usize) -> Result<()> {
    let graph = &decoder.graph;
    let plain = plain_config(graph);
    if plain.is_none() {
        let graph =
            serde_json::to_value(graph).map_err(|e| ModelError::Graph(format!("cannot be written as JSON: {e}")))?;
        write_text(&folder.join(GRAPH_FILE), &format!("{graph:#}\n"))?;
    }
    let mut config = plain.unwrap_or_else(|| marker_config(graph));
    config.insert("torch_dtype".into(), torch_name(decoder.embedding.dtype()).into());
    write_json(&folder.join(CONFIG_FILE), config)?;

    let generation = Map::from_iter([
        ("bos_token_id".to_owned(), json!(graph.bos_token_id)),
        ("eos_token_id".to_owned(), json!(graph.eos_token_ids)),
    ]);
    write_json(&folder.join("generation_config.json"), generation)?;
    if let Some(tokenizer) = tokenizer {
        for (name, text) in tokenizer.files()? {
            write_text(&folder.join(name), &text)?;
        }
    }
    write_weights(&decoder.parameters(), folder, shard_bytes)
}

fn write_weights(parameters: &[(String, &Tensor)], folder: &Path, shard_bytes: usize) -> Result<()> {
    let mut shards: Vec<Vec<&(String, &Tensor)>> = Vec::new();
    let (mut filled, mut total) = (0, 0);
    for parameter in parameters {
        let bytes = parameter.1.elem_count() * parameter.1.dtype().size_in_bytes();
        match shards.last_mut() {
            Some(shard) if filled + bytes <= shard_bytes => shard.push(parameter),
            _ => {
                shards.push(vec![parameter]);
                filled = 0;
            }
        }
        filled += bytes;
        total += bytes;
    }
    if let [shard] = shards.as_slice() {
        return write_shard(shard, &folder.join(SINGLE_FILE));
    }
    let mut weight_map = BTreeMap::new();
    for (index, shard) in shards.iter().enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", index + 1, shards.len());
        write_shard(shard, &folder.join(&file))?;
        weight_map.extend(shard.iter().map(|(name, _)| (name.clone(), file.clone())));
    }
    let path = folder.join(INDEX_FILE);
    let index = serde_json::to_value(Index {
        metadata: json!({"total_size": total}),
        weight_map,
    })
    .map_err(|e| ModelError::malformed(&path, e.to_string()))?;
    write_text(&path, &format!("{index:#}\n"))
}

/// One safetensors file: length of the header, header, tensors. Only one tensor is held in memory at a time.
pub(super) fn write_shard(parameters: &[&(String, &Tensor)], path: &Path) -> Result<()> {
    // Wide elements first, so that every tensor starts at a multiple of its element's size.
    let mut parameters = parameters.to_vec();
    parameters.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype().size_in_bytes()));
    let mut end = 0;
    let infos = parameters
        .iter()
        .map(|(name, tensor)| {
            let start = end;
            end += tensor.elem_count() * tensor.dtype().size_in_bytes();
            let info = TensorInfo {
                dtype: stored_dtype(tensor.dtype()),
                shape: tensor.shape(),
                data_offsets: (start, end),
            };
            (name.clone(), info)
        })
        .collect();
    let made_by = [("format".to_owned(), "pt".to_owned())];
    let header = Metadata::new(Some(made_by.into()), infos)
        .and_then(|metadata| Ok(serde_json::to_string(&metadata)?))
        .map_err(|e| ModelError::malformed(path, e.to_string()))?;
    // Padded to 8 bytes, as the format's own writer does.
    let length = header.len().next_multiple_of(8);
    let header = format!("{header:length$}");

    let mut file = WholeFile::new(path).map_err(at(path))?;
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(at(path))?;
    file.write_all(header.as_bytes()).map_err(at(path))?;
    for (_, tensor) in parameters {
        write_tensor(tensor, &mut file, path)?;
    }
    file.keep().map_err(at(path))
}

/// Row-major elements, little-endian as the hosts that both engines run on.
fn write_tensor(tensor: &Tensor, file: &mut impl Write, path: &Path) -> Result<()> {
    let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(at(path));
    match tensor.dtype() {
        DType::F64 => write(bytemuck::cast_slice(&tensor.to_vec::<f64>()?)),
        DType::F32 => write(bytemuck::cast_slice(&tensor.to_vec::<f32>()?)),
        DType::BF16 => write(bytemuck::cast_slice(tensor.to_vec::<half::bf16>()?.reinterpret_cast())),
        DType::F16 => write(bytemuck::cast_slice(tensor.to_vec::<half::f16>()?.reinterpret_cast())),
        DType::I64 => write(bytemuck::cast_slice(&tensor.to_vec::<i64>()?)),
    }
}

fn stored_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::BF16 => Dtype::BF16,
        DType::F16 => Dtype::F16,
        DType::I64 => Dtype::I64,
    }
}

fn torch_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "float64",
        DType::F32 => "float32",
        DType::BF16 => "bfloat16",
        DType::F16 => "float16",
        DType::I64 => "int64",
    }
}

fn write_json(path: &Path, object: Map<String, Value>) -> Result<()> {
    write_text(path, &format!("{:#}\n", Value::Object(object)))
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    prunebench_files::write(path, text.as_bytes()).map_err(at(path))
}
