//! A small random model, and one call that applies a recipe to it.

use prunebench_model::{
    Decoder, Graph, LinearName,
    graph::{Activation, Architecture, AttentionShape, BlockShape, FfnShape, NormKind, Rope, RopeScaling, Step},
};
use prunebench_tensor::{DType, Device, Tensor};

use crate::{Budget, Card, MethodReport, Need, Recipe, Result, Run};

pub(crate) const BLOCKS: usize = 6;
pub(crate) const HIDDEN: usize = 32;

/// Llama with 6 blocks, 4 heads on 2 key heads, and an FFN of 48, the same numbers on every engine.
pub(crate) fn model(device: &Device) -> Decoder {
    let block = BlockShape {
        attention: Some(AttentionShape {
            heads: 4,
            kv_heads: 2,
            head_dim: 8,
            qkv_bias: false,
            qk_norm: false,
            window: None,
            ..AttentionShape::default()
        }),
        ffn: Some(FfnShape {
            width: 48,
            ..FfnShape::default()
        }),
        ..BlockShape::default()
    };
    let graph = Graph {
        architecture: Architecture::Llama,
        vocab_size: 64,
        hidden_size: HIDDEN,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 64,
        tie_word_embeddings: true,
        bos_token_id: None,
        eos_token_ids: vec![],
        rope: Some(Rope {
            theta: 1e4,
            scaling: RopeScaling::None,
        }),
        norm: NormKind::Rms,
        head_bias: false,
        stream_gates: false,
        blocks: vec![block; BLOCKS],
        steps: (0..BLOCKS).map(Step::Block).collect(),
    };
    let mut seed = 0;
    Decoder::from_parameters(graph, |_, shape| {
        seed += 1;
        Ok(match shape.len() {
            1 => Tensor::ones(shape, DType::F32, device)?,
            _ => Tensor::randn(shape, seed, DType::F32, device)?.mul_scalar(0.15)?,
        })
    })
    .unwrap()
}

/// Two tokens with one embedding, blocks that each add a constant to the stream, and logits that are the normed stream.
pub(crate) fn adders(device: &Device, embedding: [f32; 2], updates: &[[f32; 2]]) -> Decoder {
    let block = BlockShape {
        attention: None,
        ffn: Some(FfnShape {
            width: 1,
            activation: Activation::Relu,
            bias: true,
            ..FfnShape::default()
        }),
        ..BlockShape::default()
    };
    let graph = Graph {
        vocab_size: 2,
        hidden_size: 2,
        tie_word_embeddings: false,
        blocks: vec![block; updates.len()],
        steps: (0..updates.len()).map(Step::Block).collect(),
        ..model(device).graph
    };
    let mut updates = updates.iter();
    Decoder::from_parameters(graph, |name, shape| {
        let values = match name {
            "model.embed_tokens.weight" => [embedding, embedding].concat(),
            "lm_head.weight" => vec![1.0, 0.0, 0.0, 1.0],
            name if name.ends_with("down_proj.bias") => updates.next().unwrap().to_vec(),
            name if name.contains("norm") => vec![1.0; 2],
            _ => vec![0.0; shape.iter().product()],
        };
        Ok(Tensor::from_slice(&values, shape, device)?)
    })
    .unwrap()
}

/// Three windows of 16 tokens.
pub(crate) fn windows() -> Vec<Vec<u32>> {
    (0..3)
        .map(|w| (0..16).map(|t| (w * 29 + t * t * 7 + t * 5) % 64).collect())
        .collect()
}

/// Makes a block pass its input through: its two output projections give zero.
pub(crate) fn make_identity(model: &mut Decoder, block: usize) {
    for name in [LinearName::O, LinearName::Down] {
        let linear = model.blocks[block].linear_mut(name).unwrap();
        linear.weight = linear.weight.mul_scalar(0.0).unwrap();
    }
}

/// What an example of a method must have after it.
pub(crate) fn trained_after(card: &Card) -> Option<&'static str> {
    let wanted = card.needs.contains(&Need::LaterTraining);
    wanted.then_some("finetune(steps=1, batch=2, length=16)")
}

/// What a recipe of one method left.
pub(crate) struct Outcome {
    pub(crate) model: Decoder,
    pub(crate) report: MethodReport,
    pub(crate) budget: Budget,
}

pub(crate) fn apply(recipe: &str, model: &Decoder, seed: u64) -> Result<Outcome> {
    apply_with(recipe, model, seed, &windows())
}

pub(crate) fn apply_with(recipe: &str, model: &Decoder, seed: u64, windows: &[Vec<u32>]) -> Result<Outcome> {
    let recipe = Recipe::parse(&[recipe])?;
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut run = Run::new(model, windows, seed, &mut quiet);
    let report = recipe.apply(&mut run)?.methods.remove(0);
    Ok(Outcome {
        budget: run.budget(),
        model: run.model,
        report,
    })
}

/// The matrices' zeros, in order, as rows of booleans.
pub(crate) fn zeros(model: &Decoder) -> Vec<(LinearName, Vec<Vec<bool>>)> {
    let mut all = Vec::new();
    for block in &model.blocks {
        for name in LinearName::ALL {
            let weight = &block.linear(name).unwrap().weight;
            let values = weight.to_f64_vec().unwrap();
            let rows = values.chunks(weight.dim(1).unwrap());
            all.push((name, rows.map(|row| row.iter().map(|&w| w == 0.0).collect()).collect()));
        }
    }
    all
}

/// Removed blocks as the report tells them.
pub(crate) fn removed(outcome: &Outcome) -> Vec<usize> {
    serde_json::from_value(outcome.report.details["removed_blocks"].clone()).unwrap()
}

/// The message of a recipe that must be refused.
pub(crate) fn refusal(recipe: &str) -> String {
    let device = Device::available()[0];
    apply(recipe, &model(&device), 0)
        .err()
        .unwrap_or_else(|| panic!("{recipe} was accepted"))
        .to_string()
}
