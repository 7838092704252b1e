//! Training of small decoders on every engine.

mod adapters;
mod faults;
mod gradients;
mod resume;
mod steps;
mod validation;

use std::collections::BTreeMap;

use prunebench_model::graph::{
    Activation, Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Rope, RopeScaling, Step,
};
use prunebench_model::{Decoder, Initialisation};
use prunebench_tensor::{DType, Device, Engine};

use super::*;

const SEQUENCES: [&[u32]; 2] = [&[1, 5, 9, 2, 7, 7], &[3, 3, 8, 0, 10, 4]];

/// Rotary positions, RMSNorm, SwiGLU, grouped heads, a tied head, and blocks in parallel.
fn rotary() -> Graph {
    let block = BlockShape {
        attention: Some(AttentionShape {
            heads: 4,
            kv_heads: 2,
            head_dim: 4,
            qkv_bias: true,
            qk_norm: true,
            window: Some(4),
            ..AttentionShape::default()
        }),
        ffn: Some(FfnShape {
            width: 12,
            ..FfnShape::default()
        }),
    };
    Graph {
        architecture: Architecture::Qwen3,
        vocab_size: 11,
        hidden_size: 8,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 32,
        tie_word_embeddings: true,
        bos_token_id: None,
        eos_token_ids: vec![],
        rope: Some(Rope {
            theta: 100.0,
            scaling: RopeScaling::None,
        }),
        norm: NormKind::Rms,
        head_bias: false,
        blocks: vec![block; 3],
        steps: vec![Step::Block(0), Step::ParallelSublayers(vec![1, 2])],
    }
}

/// Learned positions, just as many as a sequence has inputs, LayerNorm, ReLU, and a head of its own with a bias.
fn gpt() -> Graph {
    let block = BlockShape {
        attention: Some(AttentionShape {
            heads: 2,
            kv_heads: 2,
            head_dim: 4,
            o_bias: true,
            scale: Some(8f64.powf(-0.5)),
            ..AttentionShape::default()
        }),
        ffn: Some(FfnShape {
            width: 32,
            activation: Activation::Relu,
            bias: true,
            ..FfnShape::default()
        }),
    };
    Graph {
        architecture: Architecture::Gpt,
        max_position_embeddings: SEQUENCES[0].len() - 1,
        tie_word_embeddings: false,
        rope: None,
        norm: NormKind::Layer,
        head_bias: true,
        blocks: vec![block; 2],
        steps: vec![Step::Block(0), Step::Block(1)],
        ..rotary()
    }
}

/// Each engine on the host.
fn devices() -> impl Iterator<Item = Device> {
    Engine::compiled().iter().map(|&engine| Device::cpu(engine))
}

/// A decoder with the same random parameters on every engine.
fn decoder(graph: Graph, dtype: DType, device: &Device) -> Decoder {
    Decoder::initialise(graph, Initialisation::Pytorch, 1, dtype, device).unwrap()
}

fn f32_decoder(device: &Device) -> Decoder {
    decoder(rotary(), DType::F32, device)
}

/// Two domains: a text, and examples of several lengths with prompts.
fn mixture(seed: u64) -> Mixture {
    mixture_of(6, seed)
}

fn mixture_of(length: usize, seed: u64) -> Mixture {
    let examples = (0..9u32).map(|i| Example {
        tokens: (0..3 + i % 5).map(|at| (i * 3 + at * at) % 11).collect(),
        prompt: (i % 3) as usize,
    });
    let domains = vec![
        Domain {
            name: "text".to_owned(),
            source: Source::Stream((0..300u32).map(|i| (i * 7 + i * i / 3) % 11).collect()),
        },
        Domain {
            name: "questions".to_owned(),
            source: Source::Examples(examples.collect()),
        },
    ];
    Mixture::new(domains, &[0.5, 0.5], length, seed).unwrap()
}

/// Four of the mixture's sequences in each step.
fn settings(steps: u64) -> Settings {
    Settings {
        steps: Some(steps),
        batch: 4,
        length: 6,
        learning_rate: 1e-2,
        ..Settings::default()
    }
}

fn trained(
    decoder: &Decoder,
    trainable: Trainable,
    settings: Settings,
    callbacks: &mut [&mut dyn Callback],
) -> Trained {
    let data = mixture_of(settings.length, 3);
    let mut trainer = Trainer::new(decoder, trainable, settings, data, Vec::new(), 5).unwrap();
    trainer.train(callbacks, &mut |_| {}).unwrap();
    trainer.finish().unwrap()
}

/// A validation set of sequences that are scored as they are.
fn validated(name: &str, sequences: &[&[u32]]) -> Validation {
    let example = |tokens: &&[u32]| Example {
        tokens: tokens.to_vec(),
        prompt: 0,
    };
    Validation {
        name: name.to_owned(),
        examples: sequences.iter().map(example).collect(),
        cut: false,
    }
}

/// Every stored parameter and adapter.
fn values(decoder: &Decoder) -> BTreeMap<String, Vec<f64>> {
    let mut decoder = decoder.clone();
    let parameters = decoder
        .parameters()
        .into_iter()
        .map(|(name, tensor)| (name, tensor.clone()));
    let mut tensors: BTreeMap<_, _> = parameters.collect();
    for (down, up, delta) in crate::lora::adapters(&mut decoder) {
        tensors.extend([(down, delta.down.clone()), (up, delta.up.clone())]);
    }
    tensors
        .into_iter()
        .map(|(name, tensor)| (name, tensor.to_f64_vec().unwrap()))
        .collect()
}

/// The largest difference of two sets of the same parameters.
fn largest_difference(a: &BTreeMap<String, Vec<f64>>, b: &BTreeMap<String, Vec<f64>>) -> f64 {
    assert!(a.keys().eq(b.keys()));
    let differences = a
        .values()
        .flatten()
        .zip(b.values().flatten())
        .map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |largest, d| if d > largest || d.is_nan() { d } else { largest })
}
