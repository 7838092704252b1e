//! `config.json` as a graph, and `prunebench_graph.json`.

use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::folder::{Folder, GRAPH_FILE};
use crate::{
    error::{ModelError, Result, at},
    graph::{Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Rope, RopeScaling, Step},
};

/// The keys that decide the graph. Absent keys have the family's default in transformers.
#[derive(Deserialize)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    #[serde(default = "silu")]
    hidden_act: String,
    rms_norm_eps: f64,
    max_position_embeddings: usize,
    #[serde(default)]
    tie_word_embeddings: bool,
    bos_token_id: Option<u32>,
    eos_token_id: Option<OneOrMany>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RopeConfig>,
    rope_parameters: Option<RopeConfig>,
    partial_rotary_factor: Option<f64>,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    max_window_layers: Option<usize>,
    layer_types: Option<Vec<String>>,
    quantization_config: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

/// `rope_scaling` of transformers 4, `rope_parameters` of transformers 5.
#[derive(Deserialize)]
struct RopeConfig {
    rope_type: Option<String>,
    /// What `rope_type` was called first; many configs write both.
    r#type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    partial_rotary_factor: Option<f64>,
    attention_factor: Option<f64>,
    short_factor: Option<Vec<f64>>,
    long_factor: Option<Vec<f64>>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

pub(super) fn silu() -> String {
    "silu".to_owned()
}

/// Graph of a folder: [`GRAPH_FILE`] if it is there, else the config.
pub(super) fn read_graph(folder: Folder) -> Result<Graph> {
    if let Some(path) = folder.beside(GRAPH_FILE) {
        return parse(&path, read_json(&path)?);
    }
    let path = folder.config()?;
    graph_from_config(&path, read_json(&path)?)
}

fn read_json(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(at(path))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| ModelError::malformed(path, format!("not JSON ({e}); fetch the file again")))
}

fn parse<T: DeserializeOwned>(path: &Path, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|e| ModelError::malformed(path, e.to_string()))
}

/// Graph that a plain config describes. `path` is named in errors.
pub(crate) fn graph_from_config(path: &Path, config: Value) -> Result<Graph> {
    let model_type = config
        .get("model_type")
        .and_then(Value::as_str)
        .unwrap_or("absent")
        .to_owned();
    let architecture = serde_json::from_value(Value::String(model_type.clone()))
        .ok()
        // Its graphs are in GRAPH_FILE; no plain config describes one.
        .filter(|&architecture| architecture != Architecture::Gpt)
        .ok_or_else(|| {
            ModelError::unsupported(
                path,
                format!("model_type = {model_type}"),
                "llama, mistral, qwen2 or qwen3",
            )
        })?;
    // Mistral's absent window is 4096, its null window is none: only the raw object tells them apart.
    let window_absent = config.get("sliding_window").is_none();
    let config: Config = parse(path, config)?;
    config.refuse_unsupported(path)?;

    let heads = config.num_attention_heads;
    let kv_heads = config.num_key_value_heads.unwrap_or(heads);
    let head_dim = match config.head_dim {
        Some(size) => size,
        None if architecture == Architecture::Qwen3 => 128,
        None => config.hidden_size.checked_div(heads).unwrap_or(0),
    };
    let windows = config.windows(path, architecture, window_absent)?;
    let blocks: Vec<BlockShape> = windows
        .into_iter()
        .map(|window| BlockShape {
            attention: Some(AttentionShape {
                heads,
                kv_heads,
                head_dim,
                qkv_bias: architecture == Architecture::Qwen2,
                qk_norm: architecture == Architecture::Qwen3,
                window,
                ..AttentionShape::default()
            }),
            ffn: Some(FfnShape {
                width: config.intermediate_size,
                ..FfnShape::default()
            }),
            ..BlockShape::default()
        })
        .collect();
    Ok(Graph {
        architecture,
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        rms_norm_eps: config.rms_norm_eps,
        max_position_embeddings: config.max_position_embeddings,
        tie_word_embeddings: config.tie_word_embeddings,
        bos_token_id: config.bos_token_id,
        rope: Some(config.rope(path)?),
        norm: NormKind::Rms,
        head_bias: false,
        stream_gates: false,
        eos_token_ids: match config.eos_token_id {
            None => Vec::new(),
            Some(OneOrMany::One(id)) => vec![id],
            Some(OneOrMany::Many(ids)) => ids,
        },
        steps: (0..blocks.len()).map(Step::Block).collect(),
        blocks,
    })
}

/// More blocks than any decoder has; a larger count is a damaged config.
const MAX_BLOCKS: usize = 1 << 16;

impl Config {
    fn refuse_unsupported(&self, path: &Path) -> Result<()> {
        let partial = self
            .partial_rotary_factor
            .or(self
                .rope_parameters
                .as_ref()
                .and_then(|rope| rope.partial_rotary_factor))
            .unwrap_or(1.0);
        let checks = [
            (
                self.hidden_act != "silu",
                format!("hidden_act = {}", self.hidden_act),
                "silu",
            ),
            (
                self.attention_bias,
                "attention_bias = true".to_owned(),
                "false: the output projection would carry a bias",
            ),
            (self.mlp_bias, "mlp_bias = true".to_owned(), "false"),
            (partial != 1.0, format!("partial_rotary_factor = {partial}"), "1"),
            (
                self.quantization_config.is_some(),
                "quantization_config".to_owned(),
                "unquantised weights, or a GGUF file",
            ),
            (
                self.num_hidden_layers > MAX_BLOCKS,
                format!("num_hidden_layers = {}", self.num_hidden_layers),
                "65536 or fewer",
            ),
        ];
        match checks.into_iter().find(|(refused, ..)| *refused) {
            Some((_, found, wanted)) => Err(ModelError::unsupported(path, found, wanted)),
            None => Ok(()),
        }
    }

    /// Attention window of each block.
    fn windows(&self, path: &Path, architecture: Architecture, absent: bool) -> Result<Vec<Option<usize>>> {
        let count = self.num_hidden_layers;
        match architecture {
            Architecture::Llama | Architecture::Gpt => Ok(vec![None; count]),
            Architecture::Mistral if absent => Ok(vec![Some(4096); count]),
            Architecture::Mistral => Ok(vec![self.sliding_window; count]),
            Architecture::Qwen2 | Architecture::Qwen3 => {
                let window = if self.use_sliding_window.unwrap_or(false) {
                    Some(self.sliding_window.unwrap_or(4096))
                } else {
                    None
                };
                let Some(types) = &self.layer_types else {
                    let first = self.max_window_layers.unwrap_or(28);
                    return Ok((0..count).map(|block| window.filter(|_| block >= first)).collect());
                };
                if types.len() != count {
                    return Err(ModelError::malformed(
                        path,
                        format!("layer_types has {} entries, num_hidden_layers is {count}", types.len()),
                    ));
                }
                types
                    .iter()
                    .map(|kind| match kind.as_str() {
                        "full_attention" => Ok(None),
                        "sliding_attention" if window.is_some() => Ok(window),
                        other => Err(ModelError::unsupported(
                            path,
                            format!("layer_types entry {other}"),
                            "full_attention, or sliding_attention with use_sliding_window = true",
                        )),
                    })
                    .collect()
            }
        }
    }

    fn rope(&self, path: &Path) -> Result<Rope> {
        let parameters = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        let nested = parameters.and_then(|rope| rope.other.iter().find(|(_, value)| value.is_object()));
        if let Some((key, _)) = nested {
            return Err(ModelError::unsupported(
                path,
                format!("rope_parameters.{key}"),
                "one RoPE for all blocks",
            ));
        }
        let theta = parameters
            .and_then(|rope| rope.rope_theta)
            .or(self.rope_theta)
            .unwrap_or(10_000.0);
        let Some(rope) = parameters else {
            return Ok(Rope {
                theta,
                scaling: RopeScaling::None,
            });
        };
        let wanted = |key: &str| {
            ModelError::malformed(
                path,
                format!("RoPE scaling lacks `{key}`; take the config from the model's own repository"),
            )
        };
        let factor = || rope.factor.ok_or_else(|| wanted("factor"));
        let scaling = match rope
            .rope_type
            .as_deref()
            .or(rope.r#type.as_deref())
            .unwrap_or("default")
        {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor: factor()? },
            "llama3" => RopeScaling::Llama3 {
                factor: factor()?,
                low_freq_factor: rope.low_freq_factor.ok_or_else(|| wanted("low_freq_factor"))?,
                high_freq_factor: rope.high_freq_factor.ok_or_else(|| wanted("high_freq_factor"))?,
                original_max_position_embeddings: rope
                    .original_max_position_embeddings
                    .ok_or_else(|| wanted("original_max_position_embeddings"))?,
            },
            // The one spelling in transformers of a divisor per frequency.
            "longrope" if rope.short_factor == rope.long_factor && rope.attention_factor == Some(1.0) => {
                RopeScaling::Factors {
                    factors: rope.long_factor.clone().ok_or_else(|| wanted("long_factor"))?,
                }
            }
            other => {
                return Err(ModelError::unsupported(
                    path,
                    format!("RoPE scaling {other}"),
                    "default, linear, llama3, or longrope with equal short and long factors and attention_factor 1",
                ));
            }
        };
        Ok(Rope { theta, scaling })
    }
}
