//! Round trips and bad input of checkpoints, on tiny random models.

mod config;
mod folder;
mod gguf;
mod gguf_tokenizer;

use std::{collections::BTreeMap, path::Path};

use prunebench_tensor::{DType, Device, Engine, Tensor};

use super::{LoadedModel, load};
use crate::{
    decoder::Decoder,
    error::{ModelError, Result},
    graph::{Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Rope, RopeScaling, Step},
};

fn device() -> Device {
    Device::cpu(Engine::compiled()[0])
}

/// Two blocks of width 256, the row length of the K-quants.
fn graph(architecture: Architecture) -> Graph {
    let block = BlockShape {
        attention: Some(AttentionShape {
            heads: 4,
            kv_heads: 2,
            head_dim: 64,
            qkv_bias: architecture == Architecture::Qwen2,
            qk_norm: architecture == Architecture::Qwen3,
            window: None,
            ..AttentionShape::default()
        }),
        ffn: Some(FfnShape {
            width: 256,
            ..FfnShape::default()
        }),
        ..BlockShape::default()
    };
    Graph {
        architecture,
        vocab_size: 12,
        hidden_size: 256,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 64,
        tie_word_embeddings: architecture != Architecture::Qwen3,
        bos_token_id: Some(1),
        eos_token_ids: vec![2],
        rope: Some(Rope {
            theta: 10_000.0,
            scaling: RopeScaling::None,
        }),
        norm: NormKind::Rms,
        head_bias: false,
        stream_gates: false,
        blocks: vec![block.clone(), block],
        steps: vec![Step::Block(0), Step::Block(1)],
    }
}

fn decoder(graph: Graph) -> Decoder {
    let mut seed = 0;
    Decoder::from_parameters(graph, |_, shape| {
        seed += 1;
        Ok(Tensor::randn(shape, seed, DType::F32, &device())?)
    })
    .unwrap()
}

/// Every parameter by name, widened to f64.
fn values(decoder: &Decoder) -> BTreeMap<String, Vec<f64>> {
    decoder
        .parameters()
        .into_iter()
        .map(|(name, tensor)| (name, tensor.to_f64_vec().unwrap()))
        .collect()
}

fn load_f32(path: &Path) -> Result<LoadedModel> {
    load(path, &device(), DType::F32)
}

/// The error of loading `path`; its message must hold every one of `parts`.
fn refused(path: &Path, parts: &[&str]) -> ModelError {
    let Err(error) = load_f32(path) else {
        panic!("{} was loaded", path.display())
    };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    error
}
