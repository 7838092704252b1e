//! Training steps of a small decoder on every engine.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prunebench_model::graph::{
    Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Rope, RopeScaling, Step,
};
use prunebench_model::{Decoder, Initialisation};
use prunebench_tensor::{DType, Device};
use prunebench_train::{Domain, Lora, Mixture, Settings, Source, Trainable, Trainer};

const BATCH: usize = 4;
const TOKENS: usize = 128;
const VOCABULARY: u32 = 2048;

fn graph() -> Graph {
    let block = BlockShape {
        attention: Some(AttentionShape {
            heads: 4,
            kv_heads: 2,
            head_dim: 32,
            ..AttentionShape::default()
        }),
        ffn: Some(FfnShape {
            width: 384,
            ..FfnShape::default()
        }),
        ..BlockShape::default()
    };
    Graph {
        architecture: Architecture::Llama,
        vocab_size: VOCABULARY as usize,
        hidden_size: 128,
        rms_norm_eps: 1e-5,
        max_position_embeddings: TOKENS,
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
        blocks: vec![block; 4],
        steps: (0..4).map(Step::Block).collect(),
    }
}

/// Time of so many steps, after one that makes the pages of the optimiser's state.
fn time(decoder: &Decoder, trainable: Trainable, recompute: bool, count: u64) -> Duration {
    let settings = Settings {
        steps: Some(count + 1),
        batch: BATCH,
        length: TOKENS,
        recompute,
        ..Settings::default()
    };
    let text = Domain {
        name: "text".to_owned(),
        source: Source::Stream((0..50_000u32).map(|i| i.wrapping_mul(7919) % VOCABULARY).collect()),
    };
    let data = Mixture::new(vec![text], &[1.0], TOKENS, count).expect("data");
    let mut trainer = Trainer::new(decoder, trainable, settings, data, Vec::new(), 0).expect("a run");
    let mut seconds = Vec::new();
    let trained = trainer.train(&mut |entry| seconds.push(entry.seconds));
    trained.expect("steps");
    Duration::from_secs_f64(seconds[seconds.len() - 1] - seconds[0])
}

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    group
        .sample_size(10)
        .throughput(Throughput::Elements((BATCH * TOKENS) as u64));
    for device in Device::available() {
        let full = Decoder::initialise(graph(), Initialisation::Normal, 0, DType::F32, &device).expect("a decoder");
        let mut adapted = full.clone();
        Lora::default().attach(&mut adapted, 0, false).expect("adapters");
        let cases = [
            ("full", &full, Trainable::All, false),
            ("full, recomputed", &full, Trainable::All, true),
            ("lora", &adapted, Trainable::Adapters, false),
        ];
        for (name, decoder, trainable, recompute) in cases {
            group.bench_function(BenchmarkId::new(name, device), |b| {
                b.iter_custom(|count| time(decoder, trainable.clone(), recompute, count))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
