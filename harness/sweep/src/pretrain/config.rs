//! The file that describes a pretraining run.

use std::fs;
use std::path::Path;

use prunebench_methods::config::parse_strict;
use prunebench_model::graph::{
    Activation, Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Rope, RopeScaling, Step,
};
use prunebench_model::{Initialisation, ModelError};
use prunebench_tensor::DType;
use prunebench_train::{Settings, Weighting};
use serde::{Deserialize, Serialize};

use super::PretrainError;

/// A model to be trained from nothing, and on what.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretraining {
    /// What tables call the model.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Where the vocabulary comes from: the texts of the domains.
    pub tokenizer: Vocabulary,
    /// Sizes.
    pub model: Shape,
    /// Distribution of the first parameters.
    pub initialisation: Initialisation,
    /// What is trained on.
    pub domain: Vec<DomainText>,
    /// What the loss is validated on.
    #[serde(default)]
    pub validation: Vec<ValidationText>,
    /// How.
    pub training: Settings,
    /// Averages over the run to keep beside the model.
    #[serde(default)]
    pub trajectory: Vec<Weighting>,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Element type of the files.
    #[serde(default)]
    pub store: Store,
}

/// A vocabulary to be made.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vocabulary {
    /// Byte-level BPE with so many tokens.
    Bpe(usize),
    /// A token for each character of the texts that are trained and validated on.
    Characters,
}

/// Sizes of a model whose blocks are alike.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// `llama`: RMSNorm, RoPE, gated FFN. `gpt`: LayerNorm, learned positions, ReLU, biases on all but the query, key and value
    /// projections.
    pub architecture: Architecture,
    /// Blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; as many as query heads if absent.
    #[serde(default)]
    pub kv_heads: Option<usize>,
    /// Width of the feed-forward network.
    pub width: usize,
    /// Tokens of context.
    pub context: usize,
    /// The output head is the embedding.
    #[serde(default)]
    pub tied: bool,
    /// Attention scores are divided by the root of the hidden size, not of the head's.
    #[serde(default)]
    pub scale_by_hidden: bool,
}

/// A text to train on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainText {
    /// `data set/split`.
    pub text: String,
    /// Share of the sequences; the shares need not add up to 1.
    #[serde(default = "one")]
    pub share: f64,
}

/// A text to validate on: its first windows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationText {
    /// `data set/split`.
    pub text: String,
    /// Sequences of the training's length.
    pub windows: usize,
}

/// Element type of files.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Store {
    #[default]
    F32,
    F16,
}

impl From<Store> for DType {
    fn from(store: Store) -> Self {
        match store {
            Store::F32 => DType::F32,
            Store::F16 => DType::F16,
        }
    }
}

fn one() -> f64 {
    1.0
}

impl Pretraining {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that can't be read, is no TOML, or has a key that is unknown, missing or of the wrong type.
    pub fn read(path: &Path) -> Result<Self, PretrainError> {
        let refuse = |detail: String| PretrainError::Config {
            path: path.to_path_buf(),
            detail,
        };
        let text = fs::read_to_string(path).map_err(|error| {
            refuse(format!(
                "{error}; name a file such as those in harness/experiments/pretrain"
            ))
        })?;
        let table = toml::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        let config: Self = parse_strict("pretraining", table).map_err(|error| refuse(error.to_string()))?;
        config.training.validate().map_err(|error| refuse(error.to_string()))?;
        Ok(config)
    }
}

impl Shape {
    /// The graph for a vocabulary.
    ///
    /// # Errors
    /// Sizes that don't go together, or an architecture that is not made here.
    pub fn graph(&self, vocabulary: usize, end: Option<u32>) -> Result<Graph, ModelError> {
        let Self {
            layers,
            hidden,
            heads,
            width,
            context,
            tied,
            ..
        } = *self;
        if heads == 0 || layers == 0 || !hidden.is_multiple_of(heads) {
            return Err(ModelError::Graph(format!(
                "{layers} layers with {heads} heads of a hidden size of {hidden}: at least one of each wanted, and heads that divide it"
            )));
        }
        let gpt = match self.architecture {
            Architecture::Llama => false,
            Architecture::Gpt => true,
            other => {
                return Err(ModelError::Graph(format!(
                    "a new model has the architecture llama or gpt, not {other:?}"
                )));
            }
        };
        let block = BlockShape {
            attention: Some(AttentionShape {
                heads,
                kv_heads: self.kv_heads.unwrap_or(heads),
                head_dim: hidden / heads,
                o_bias: gpt,
                scale: self.scale_by_hidden.then(|| (hidden as f64).powf(-0.5)),
                ..AttentionShape::default()
            }),
            ffn: Some(FfnShape {
                width,
                activation: if gpt { Activation::Relu } else { Activation::Swiglu },
                bias: gpt,
                ..FfnShape::default()
            }),
            ..BlockShape::default()
        };
        let graph = Graph {
            architecture: self.architecture,
            vocab_size: vocabulary,
            hidden_size: hidden,
            rms_norm_eps: 1e-5,
            max_position_embeddings: context,
            tie_word_embeddings: tied,
            bos_token_id: end,
            eos_token_ids: end.into_iter().collect(),
            rope: (!gpt).then_some(Rope {
                theta: 1e4,
                scaling: RopeScaling::None,
            }),
            norm: if gpt { NormKind::Layer } else { NormKind::Rms },
            head_bias: gpt && !tied,
            stream_gates: false,
            blocks: vec![block; layers],
            steps: (0..layers).map(Step::Block).collect(),
        };
        graph.validate()?;
        Ok(graph)
    }
}
