//! GGUF files, dequantised through candle's reader.

mod header;
mod metadata;
mod tokenizer;

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use candle_core::quantized::{GgmlDType, ggml_file::qtensor_from_ggml, gguf_file};
use prunebench_tensor::{DType, Device, Tensor};

use self::{header::CURE, metadata::Metadata};
use super::{
    LoadedModel,
    pieces::in_pieces,
    weights::{check_finite, check_shape},
};
use crate::{
    decoder::Decoder,
    error::{ModelError, Result, at},
    graph::{Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Rope, RopeScaling, Step},
};

const FORMATS: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K or Q6_K";
const ROPE_FACTORS: &str = "rope_freqs.weight";
/// Elements in a block of the K formats, a multiple of every other block.
const LARGEST_BLOCK: usize = 256;

/// Names inside a block: HF, GGUF.
const BLOCK_NAMES: [(&str, &str); 11] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// Loads a GGUF file; weights are dequantised piece by piece.
pub(super) fn load(path: &Path, device: &Device, dtype: DType) -> Result<LoadedModel> {
    let mut file = GgufFile::open(path)?;
    let graph = file.graph()?;
    let tokenizer = tokenizer::build(&file.metadata)?;
    let blocks = graph.blocks.clone();
    let permuted = graph.architecture == Architecture::Llama || graph.architecture == Architecture::Mistral;
    let mut used = HashSet::from([ROPE_FACTORS.to_owned()]);
    let decoder = Decoder::from_parameters(graph, |name, shape| {
        let stored = gguf_name(name).ok_or_else(|| ModelError::MissingTensor {
            path: path.to_path_buf(),
            name: name.to_owned(),
            hint: "GGUF has no such tensor".to_owned(),
        })?;
        let heads = if permuted { rotated_heads(name, &blocks) } else { None };
        let tensor = file.dequantise(&stored, shape, device, dtype, heads)?;
        used.insert(stored);
        Ok(tensor)
    })?;
    let unexpected: Vec<String> = file.tensors.into_keys().filter(|name| !used.contains(name)).collect();
    if !unexpected.is_empty() {
        return Err(ModelError::UnexpectedTensors {
            path: path.to_path_buf(),
            names: unexpected,
        });
    }
    Ok(LoadedModel {
        decoder,
        tokenizer,
        path: path.to_path_buf(),
    })
}

pub(super) fn graph(path: &Path) -> Result<Graph> {
    GgufFile::open(path)?.graph()
}

/// The tokenizer of a file with this metadata.
#[cfg(test)]
pub(super) fn tokenizer_from(
    path: &Path,
    metadata: std::collections::HashMap<String, gguf_file::Value>,
) -> Result<Option<crate::tokenizer::Tokenizer>> {
    tokenizer::build(&Metadata::new(path, metadata)?)
}

/// GGUF name of a parameter that HF calls `name`.
fn gguf_name(name: &str) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => return Some("token_embd.weight".into()),
        "model.norm.weight" => return Some("output_norm.weight".into()),
        "lm_head.weight" => return Some("output.weight".into()),
        _ => {}
    }
    let (block, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (module, kind) = rest.rsplit_once('.')?;
    let (_, stored) = BLOCK_NAMES.iter().find(|(hf, _)| *hf == module)?;
    Some(format!("blk.{block}.{stored}.{kind}"))
}

/// Number of heads of a projection whose rows GGUF stores in pairs for interleaved RoPE.
fn rotated_heads(name: &str, blocks: &[BlockShape]) -> Option<usize> {
    let (block, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let attention = blocks.get(block.parse::<usize>().ok()?)?.attention.as_ref()?;
    match rest {
        "self_attn.q_proj.weight" => Some(attention.heads),
        "self_attn.k_proj.weight" => Some(attention.kv_heads),
        _ => None,
    }
}

/// Within each head, row 2i + j of the file (pair i, half j) is row j·D/2 + i of the half-rotation layout.
fn unpair_rows(values: &[f32], rows: usize, heads: usize) -> Vec<f32> {
    let (width, head_dim) = (values.len() / rows, rows / heads);
    let mut out = Vec::with_capacity(values.len());
    for row in 0..rows {
        let (head, within) = (row / head_dim, row % head_dim);
        let (half, pair) = (within / (head_dim / 2), within % (head_dim / 2));
        let from = head * head_dim + 2 * pair + half;
        out.extend_from_slice(&values[from * width..(from + 1) * width]);
    }
    out
}

struct GgufFile<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    content: gguf_file::Content,
    metadata: Metadata,
    /// Shapes by name; every tensor lies within the file.
    tensors: BTreeMap<String, Vec<usize>>,
}

impl<'a> GgufFile<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(at(path))?;
        header::check(path, &file)?;
        let length = file.metadata().map_err(at(path))?.len();
        let mut reader = BufReader::new(file);
        reader.rewind().map_err(at(path))?;
        let mut content = gguf_file::Content::read(&mut reader).map_err(|e| {
            ModelError::malformed(
                path,
                format!("tensor list: {e}; wanted tensors in {FORMATS}; if the format is one of these, {CURE}"),
            )
        })?;
        let tensors = content
            .tensor_infos
            .iter()
            .map(|(name, info)| {
                check_extent(info, content.tensor_data_offset, length)
                    .map_err(|detail| ModelError::malformed(path, format!("tensor `{name}` {detail}; {CURE}")))?;
                Ok((name.clone(), info.shape.dims().to_vec()))
            })
            .collect::<Result<_>>()?;
        let metadata = Metadata::new(path, std::mem::take(&mut content.metadata))?;
        Ok(Self {
            path,
            reader,
            content,
            metadata,
            tensors,
        })
    }

    fn graph(&mut self) -> Result<Graph> {
        let metadata = &self.metadata;
        let window = metadata
            .architecture_size("attention.sliding_window")?
            .filter(|&w| w > 0);
        let architecture = match (metadata.architecture.as_str(), window) {
            ("llama", None) => Architecture::Llama,
            ("llama", Some(_)) => Architecture::Mistral,
            ("qwen2", None) => Architecture::Qwen2,
            ("qwen3", None) => Architecture::Qwen3,
            ("qwen2" | "qwen3", Some(window)) => {
                return Err(metadata.unsupported(
                    format!("{} = {window}", metadata.key("attention.sliding_window")),
                    "no window; GGUF does not say which blocks use it",
                ));
            }
            (other, _) => {
                return Err(metadata.unsupported(format!("general.architecture = {other}"), "llama, qwen2 or qwen3"));
            }
        };
        if let Some(experts) = metadata.architecture_size("expert_count")?.filter(|&n| n > 0) {
            return Err(metadata.unsupported(format!("{} = {experts}", metadata.key("expert_count")), "a dense model"));
        }

        let count = metadata.required_size("block_count")?;
        if count > self.tensors.len() {
            return Err(metadata.malformed(format!(
                "`{}` = {count}, but the file has {} tensors; {CURE}",
                metadata.key("block_count"),
                self.tensors.len()
            )));
        }
        let hidden_size = metadata.required_size("embedding_length")?;
        let required = |suffix: &str| {
            metadata
                .per_block(suffix, count)?
                .ok_or_else(|| metadata.missing(&metadata.key(suffix)))
        };
        let heads = required("attention.head_count")?;
        let widths = required("feed_forward_length")?;
        let kv_heads = metadata
            .per_block("attention.head_count_kv", count)?
            .unwrap_or_else(|| heads.clone());
        let key_length = metadata.architecture_size("attention.key_length")?;
        let blocks = (0..count)
            .map(|block| {
                let head_dim = match key_length {
                    Some(length) => length,
                    None => hidden_size.checked_div(heads[block]).unwrap_or(0),
                };
                for suffix in ["attention.value_length", "rope.dimension_count"] {
                    if let Some(length) = metadata.architecture_size(suffix)?.filter(|&length| length != head_dim) {
                        return Err(metadata.unsupported(
                            format!("{} = {length}", metadata.key(suffix)),
                            format!("the size of a head, {head_dim}"),
                        ));
                    }
                }
                Ok(BlockShape {
                    attention: Some(AttentionShape {
                        heads: heads[block],
                        kv_heads: kv_heads[block],
                        head_dim,
                        qkv_bias: architecture == Architecture::Qwen2,
                        qk_norm: architecture == Architecture::Qwen3,
                        window,
                        ..AttentionShape::default()
                    }),
                    ffn: Some(FfnShape {
                        width: widths[block],
                        ..FfnShape::default()
                    }),
                    ..BlockShape::default()
                })
            })
            .collect::<Result<Vec<_>>>()?;

        let token =
            |key: &str| -> Result<Option<u32>> { Ok(metadata.size(key)?.and_then(|id| u32::try_from(id).ok())) };
        let mut eos_token_ids = Vec::new();
        for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"] {
            eos_token_ids.extend(token(key)?.filter(|id| !eos_token_ids.contains(id)));
        }
        let eps_key = metadata.key("attention.layer_norm_rms_epsilon");
        let mut graph = Graph {
            architecture,
            vocab_size: self.shape("token_embd.weight")?.first().copied().unwrap_or(0),
            hidden_size,
            rms_norm_eps: metadata.float(&eps_key)?.ok_or_else(|| metadata.missing(&eps_key))?,
            max_position_embeddings: metadata.required_size("context_length")?,
            tie_word_embeddings: !self.tensors.contains_key("output.weight"),
            bos_token_id: token("tokenizer.ggml.bos_token_id")?,
            eos_token_ids,
            rope: Some(Rope {
                theta: metadata.float(&metadata.key("rope.freq_base"))?.unwrap_or(10_000.0),
                scaling: rope_scaling(metadata)?,
            }),
            norm: NormKind::Rms,
            head_bias: false,
            stream_gates: false,
            steps: (0..count).map(Step::Block).collect(),
            blocks,
        };
        if let (Some(shape), Some(rope)) = (self.tensors.get(ROPE_FACTORS).cloned(), &mut graph.rope) {
            if rope.scaling != RopeScaling::None {
                return Err(self.metadata.unsupported(
                    format!("{ROPE_FACTORS} beside {}", self.metadata.key("rope.scaling.type")),
                    "one or the other",
                ));
            }
            let values = self.values(ROPE_FACTORS, 0..shape.iter().product())?;
            check_finite(
                self.path,
                ROPE_FACTORS,
                0,
                bytemuck::cast_slice(&values),
                DType::F32,
                DType::F32,
            )?;
            let factors = values.into_iter().map(f64::from).collect();
            rope.scaling = RopeScaling::Factors { factors };
        }
        Ok(graph)
    }

    fn shape(&self, name: &str) -> Result<&[usize]> {
        match self.tensors.get(name) {
            Some(shape) => Ok(shape),
            None => Err(ModelError::MissingTensor {
                path: self.path.to_path_buf(),
                name: name.to_owned(),
                hint: "the file is incomplete or of another architecture: convert the model again".to_owned(),
            }),
        }
    }

    /// A tensor, dequantised piece by piece; with `heads`, its rows are put into the half-rotation layout.
    fn dequantise(
        &mut self,
        name: &str,
        shape: &[usize],
        device: &Device,
        dtype: DType,
        heads: Option<usize>,
    ) -> Result<Tensor> {
        check_shape(self.path, name, self.shape(name)?, shape)?;
        let width = shape.iter().skip(1).product::<usize>();
        let head_dim = heads.map(|heads| shape[0] / heads);
        // A piece has whole heads; of a vector it has whole blocks.
        let step = head_dim.unwrap_or(if shape.len() == 1 { LARGEST_BLOCK } else { 1 });
        in_pieces(shape, dtype, device, step, |tensor, rows| {
            let values = self.values(name, rows.start * width..rows.end * width)?;
            check_finite(
                self.path,
                name,
                rows.start * width,
                bytemuck::cast_slice(&values),
                DType::F32,
                dtype,
            )?;
            let values = match head_dim {
                Some(head_dim) => unpair_rows(&values, rows.len(), rows.len() / head_dim),
                None => values,
            };
            Ok(tensor.write_le_bytes(rows.start, bytemuck::cast_slice(&values), DType::F32)?)
        })
    }

    /// Elements of a tensor whose extent was checked, in f32; the range has whole blocks.
    fn values(&mut self, name: &str, elements: Range<usize>) -> Result<Vec<f32>> {
        let unreadable =
            |e: candle_core::Error| ModelError::malformed(self.path, format!("tensor `{name}`: {e}; {CURE}"));
        let info = &self.content.tensor_infos[name];
        let (block, size) = (info.ggml_dtype.block_size(), info.ggml_dtype.type_size());
        let start = self.content.tensor_data_offset + info.offset + (elements.start / block * size) as u64;
        let mut bytes = vec![0; elements.len() / block * size];
        self.reader
            .seek(SeekFrom::Start(start))
            .and_then(|_| self.reader.read_exact(&mut bytes))
            .map_err(at(self.path))?;
        let cpu = candle_core::Device::Cpu;
        qtensor_from_ggml(info.ggml_dtype, &bytes, vec![elements.len()], &cpu)
            .and_then(|quantised| quantised.dequantize(&cpu)?.to_vec1())
            .map_err(unreadable)
    }
}

/// Every product and sum that candle will form about a tensor, with overflow and the file's length checked.
fn check_extent(info: &gguf_file::TensorInfo, data_start: u64, length: u64) -> std::result::Result<(), String> {
    if matches!(info.ggml_dtype, GgmlDType::Q8_1 | GgmlDType::Q8K) {
        return Err(format!("is stored as {:?}, wanted {FORMATS}", info.ggml_dtype));
    }
    let dims = info.shape.dims();
    let block = info.ggml_dtype.block_size();
    let elements = dims
        .iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim))
        .ok_or_else(|| format!("has dimensions {dims:?}, whose product overflows"))?;
    if elements == 0 || dims.last().is_none_or(|&row| row % block != 0) {
        return Err(format!(
            "has dimensions {dims:?}, wanted rows of a multiple of {block} elements"
        ));
    }
    let end = (elements / block)
        .checked_mul(info.ggml_dtype.type_size())
        .and_then(|size| (size as u64).checked_add(info.offset)?.checked_add(data_start));
    match end {
        Some(end) if end <= length => Ok(()),
        _ => Err(format!(
            "of {dims:?} {:?} at offset {} runs past the end of the file ({length} bytes)",
            info.ggml_dtype, info.offset
        )),
    }
}

fn rope_scaling(metadata: &Metadata) -> Result<RopeScaling> {
    let key = metadata.key("rope.scaling.type");
    let factor = |suffix: &str| {
        let key = metadata.key(suffix);
        metadata.float(&key)?.ok_or_else(|| metadata.missing(&key))
    };
    match metadata.string(&key)? {
        Some("linear") => Ok(RopeScaling::Linear {
            factor: factor("rope.scaling.factor")?,
        }),
        Some("none") => Ok(RopeScaling::None),
        Some(other) => Err(metadata.unsupported(format!("{key} = {other}"), "none or linear")),
        // The key of files written before `rope.scaling` existed.
        None => Ok(match metadata.float(&metadata.key("rope.scale_linear"))? {
            Some(factor) => RopeScaling::Linear { factor },
            None => RopeScaling::None,
        }),
    }
}
