//! Training of small decoders on every engine.

mod adapters;
mod callback_faults;
mod callbacks;
mod faults;
mod gradients;
mod resume;
mod steps;
mod validation;

use std::collections::BTreeMap;

use prunebench_model::graph::{
    Activation, Architecture, AttentionShape, BlockShape, DEFAULT_DELTA, DeltaShape, FfnShape, Graph, NormKind, Rope,
    RopeScaling, ScalesShape, Step,
};
use prunebench_model::{Decoder, Initialisation, LinearName};
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
        ..BlockShape::default()
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
        stream_gates: false,
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
        ..BlockShape::default()
    };
    Graph {
        architecture: Architecture::Gpt,
        max_position_embeddings: SEQUENCES[0].len() - 1,
        tie_word_embeddings: false,
        rope: None,
        norm: NormKind::Layer,
        head_bias: true,
        stream_gates: false,
        blocks: vec![block; 2],
        steps: vec![Step::Block(0), Step::Block(1)],
        ..rotary()
    }
}

/// Block 0 borrows from block 2, block 3 from block 1, one without an FFN, the other with deltas of its own beside the lender's; outputs
/// are normalised or gated, and block 2 has fewer heads.
fn borrowing() -> Graph {
    let whole = BlockShape {
        ffn: Some(FfnShape {
            width: 12,
            scales: ScalesShape {
                unit_gates: true,
                gate: true,
                norm: false,
            },
            ..FfnShape::default()
        }),
        ..rotary().blocks[0].clone()
    };
    let delta = |rank| DeltaShape {
        name: DEFAULT_DELTA.to_owned(),
        rank,
        scale: 0.7,
        keeps_zeros: rank == 3,
    };
    let mut lender = whole.clone();
    lender.deltas = [(LinearName::K, vec![delta(2)]), (LinearName::Down, vec![delta(3)])].into();
    let mut narrow = whole.clone();
    narrow.attention.iter_mut().for_each(|a| (a.heads, a.kv_heads) = (2, 1));
    let normalised = ScalesShape {
        norm: true,
        ..ScalesShape::default()
    };
    let mut slot = BlockShape {
        borrows: Some(1),
        deltas: LinearName::ALL.map(|name| (name, vec![delta(2)])).into(),
        ..whole.clone()
    };
    slot.attention.iter_mut().for_each(|a| a.scales = normalised);
    slot.ffn.iter_mut().for_each(|f| f.scales = normalised);
    let mut half = BlockShape {
        borrows: Some(2),
        ffn: None,
        ..narrow.clone()
    };
    half.attention.iter_mut().for_each(|a| a.scales.unit_gates = true);
    Graph {
        blocks: vec![half, lender, narrow, slot],
        steps: vec![Step::Block(0), Step::ParallelSublayers(vec![1, 2]), Step::Block(3)],
        ..rotary()
    }
}

/// [`rotary`] with gates of the stream.
fn gated_stream() -> Graph {
    Graph {
        stream_gates: true,
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
    let examples = (0..9u32).map(|i| {
        let tokens = (0..3 + i % 5).map(|at| (i * 3 + at * at) % 11);
        Example::new("questions", u64::from(i), tokens.collect(), (i % 3) as usize)
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
    for callback in callbacks {
        trainer.call(&mut **callback).unwrap();
    }
    trainer.train(&mut |_| {}).unwrap();
    trainer.finish().unwrap()
}

/// A validation set of sequences that are scored as they are.
fn validated(name: &str, sequences: &[&[u32]]) -> Validation {
    let example = |tokens: &&[u32]| Example::new(name, 0, tokens.to_vec(), 0);
    Validation {
        name: name.to_owned(),
        examples: sequences.iter().map(example).collect(),
        cut: false,
    }
}

fn values(decoder: &Decoder) -> BTreeMap<String, Vec<f64>> {
    let parameters = decoder.parameters().into_iter();
    parameters
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
