//! Generation with the KV cache against recomputing every position.

use prunebench_model::graph::{
    Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Rope, RopeScaling, Step,
};
use prunebench_model::{Decoder, Sampling};
use prunebench_tensor::{DType, Device, Engine, Tensor};

fn decoder(steps: Vec<Step>, window: Option<usize>, device: &Device) -> Decoder {
    let block = BlockShape {
        attention: Some(AttentionShape {
            heads: 4,
            kv_heads: 2,
            head_dim: 8,
            qkv_bias: false,
            qk_norm: true,
            window,
            ..AttentionShape::default()
        }),
        ffn: Some(FfnShape {
            width: 48,
            ..FfnShape::default()
        }),
        ..BlockShape::default()
    };
    let graph = Graph {
        architecture: Architecture::Qwen3,
        vocab_size: 64,
        hidden_size: 24,
        rms_norm_eps: 1e-6,
        max_position_embeddings: 128,
        tie_word_embeddings: false,
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
        steps,
    };
    let mut seed = 100;
    Decoder::from_parameters(graph, |name, shape| {
        seed += 1;
        let noise = Tensor::randn(shape, seed, DType::F32, device)?.mul_scalar(0.3)?;
        Ok(if name.contains("norm") {
            noise.add_scalar(1.0)?
        } else {
            noise
        })
    })
    .unwrap()
}

/// The next token by a forward pass over the whole sequence.
fn recomputed(decoder: &Decoder, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut ids = prompt.to_vec();
    for _ in 0..count {
        let logits = decoder.forward(&decoder.ids(&[&ids]).unwrap()).unwrap();
        let last = logits.narrow(1, ids.len() - 1, 1).unwrap();
        ids.push(last.argmax(2).unwrap().to_vec::<i64>().unwrap()[0] as u32);
    }
    ids.split_off(prompt.len())
}

#[test]
fn cached_generation_gives_the_tokens_of_full_recomputation() {
    let graphs = [
        ((0..4).map(Step::Block).collect::<Vec<_>>(), None),
        ((0..4).map(Step::Block).collect(), Some(5)),
        (
            vec![
                Step::Block(0),
                Step::ParallelSublayers(vec![1, 2]),
                Step::Parallel(vec![3, 1]),
            ],
            None,
        ),
        // A block that runs twice keeps two caches.
        (
            vec![Step::Block(0), Step::Block(1), Step::Block(1), Step::Block(3)],
            Some(7),
        ),
    ];
    for &engine in Engine::compiled() {
        for (steps, window) in &graphs {
            let decoder = decoder(steps.clone(), *window, &Device::cpu(engine));
            let prompt = [7, 3, 60, 12, 5, 5, 41];
            let generated = decoder.generate(&prompt, 24, &Sampling::Greedy, &[]).unwrap();
            assert_eq!(
                generated,
                recomputed(&decoder, &prompt, 24),
                "{engine} {steps:?} window {window:?}"
            );
            assert!(
                generated.iter().collect::<std::collections::HashSet<_>>().len() > 3,
                "{generated:?} tests little"
            );
        }
    }
}

#[test]
fn sampling_is_decided_by_its_seed_and_equal_on_every_engine() {
    let nucleus = |seed| Sampling::Nucleus {
        temperature: 1.2,
        top_p: 0.9,
        seed,
    };
    let generate = |engine, seed| {
        let decoder = decoder((0..4).map(Step::Block).collect(), None, &Device::cpu(engine));
        decoder.generate(&[1, 2, 3], 20, &nucleus(seed), &[]).unwrap()
    };
    let first = generate(Engine::compiled()[0], 1);
    assert_ne!(first, generate(Engine::compiled()[0], 2));
    for &engine in Engine::compiled() {
        assert_eq!(first, generate(engine, 1), "{engine}");
    }
}

#[test]
fn generation_stops_after_a_stop_token() {
    let decoder = decoder(
        (0..4).map(Step::Block).collect(),
        None,
        &Device::cpu(Engine::compiled()[0]),
    );
    let all = decoder.generate(&[9, 8], 10, &Sampling::Greedy, &[]).unwrap();
    let stop = all[4];
    let first = all.iter().position(|&token| token == stop).unwrap();
    assert_eq!(
        decoder.generate(&[9, 8], 10, &Sampling::Greedy, &[stop]).unwrap(),
        all[..=first]
    );
}

#[test]
fn a_token_outside_the_vocabulary_is_refused() {
    let decoder = decoder(
        (0..4).map(Step::Block).collect(),
        None,
        &Device::cpu(Engine::compiled()[0]),
    );
    let error = decoder
        .generate(&[64], 1, &Sampling::Greedy, &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("token id 64") && error.contains("vocabulary of 64"),
        "{error}"
    );
}
