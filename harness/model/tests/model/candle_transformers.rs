//! An independent opinion: candle-transformers' own models read the folders that we write and give our logits.

use candle_core::{DType as CandleDType, Device as CandleDevice, Tensor as CandleTensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{llama, qwen2};
use prunebench_model::graph::{
    Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Rope, RopeScaling, Step,
};
use prunebench_model::{Decoder, checkpoint};
use prunebench_tensor::{DType, Device, Engine, Tensor};

const IDS: [u32; 12] = [3, 141, 59, 26, 5, 35, 89, 79, 32, 38, 46, 26];

fn graph(architecture: Architecture, tied: bool, scaling: RopeScaling) -> Graph {
    let block = BlockShape {
        attention: Some(AttentionShape {
            heads: 6,
            kv_heads: 2,
            head_dim: 16,
            qkv_bias: architecture == Architecture::Qwen2,
            qk_norm: false,
            window: None,
            ..AttentionShape::default()
        }),
        ffn: Some(FfnShape {
            width: 80,
            ..FfnShape::default()
        }),
        ..BlockShape::default()
    };
    Graph {
        architecture,
        vocab_size: 160,
        hidden_size: 96,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 256,
        tie_word_embeddings: tied,
        bos_token_id: Some(1),
        eos_token_ids: vec![2],
        rope: Some(Rope { theta: 1e4, scaling }),
        norm: NormKind::Rms,
        head_bias: false,
        stream_gates: false,
        blocks: vec![block; 3],
        steps: (0..3).map(Step::Block).collect(),
    }
}

/// Random weights large enough that every part of the model moves the logits.
fn random(graph: Graph, device: &Device) -> Decoder {
    let mut seed = 0;
    Decoder::from_parameters(graph, |name, shape| {
        seed += 1;
        let noise = Tensor::randn(shape, seed, DType::F32, device)?;
        Ok(match name.contains("norm") {
            true => noise.mul_scalar(0.2)?.add_scalar(1.0)?,
            false => noise.mul_scalar(0.15)?,
        })
    })
    .unwrap()
}

/// Our logits at every position, and the folder that a peer reads.
fn ours(graph: Graph, engine: Engine, folder: &std::path::Path) -> Vec<f64> {
    let decoder = random(graph, &Device::cpu(engine));
    if !folder.exists() {
        checkpoint::save(&decoder, None, folder).unwrap();
    }
    let ids = decoder.ids(&[&IDS]).unwrap();
    decoder.forward(&ids).unwrap().to_f64_vec().unwrap()
}

/// The peers give the last position's logits only, so each prefix is a call of its own.
fn assert_peer_agrees(graph: Graph, mut peer: impl FnMut(&std::path::Path, &CandleTensor) -> CandleTensor) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("model");
    for &engine in Engine::compiled() {
        let logits = ours(graph.clone(), engine, &folder);
        let spread = logits.iter().fold(0f64, |max, x| max.max(x.abs()));
        assert!(spread > 1.0, "logits within {spread} of zero would hide an error");
        for length in 1..=IDS.len() {
            let ids = CandleTensor::new(&IDS[..length], &CandleDevice::Cpu)
                .unwrap()
                .unsqueeze(0)
                .unwrap();
            let wanted: Vec<f32> = peer(&folder, &ids).flatten_all().unwrap().to_vec1().unwrap();
            let got = &logits[(length - 1) * graph.vocab_size..length * graph.vocab_size];
            for (token, (got, want)) in got.iter().zip(&wanted).enumerate() {
                let difference = (got - *want as f64).abs();
                assert!(
                    difference < 1e-4,
                    "{engine}, {length} tokens, logit {token}: {got}, candle-transformers {want}"
                );
            }
        }
    }
}

fn weights(folder: &std::path::Path) -> VarBuilder<'static> {
    let file = folder.join("model.safetensors");
    // SAFETY: nothing writes the file while the test runs.
    unsafe { VarBuilder::from_mmaped_safetensors(&[file], CandleDType::F32, &CandleDevice::Cpu) }.unwrap()
}

fn config(folder: &std::path::Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
}

#[test]
fn llama_logits_equal_those_of_candle_transformers() {
    let scaling = RopeScaling::Llama3 {
        factor: 4.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 64,
    };
    for (tied, scaling) in [(true, RopeScaling::None), (false, scaling)] {
        assert_peer_agrees(graph(Architecture::Llama, tied, scaling), |folder, ids| {
            let config: llama::LlamaConfig = serde_json::from_value(config(folder)).unwrap();
            let config = config.into_config(false);
            let model = llama::Llama::load(weights(folder), &config).unwrap();
            let mut cache = llama::Cache::new(false, CandleDType::F32, &config, &CandleDevice::Cpu).unwrap();
            model.forward(ids, 0, &mut cache).unwrap()
        });
    }
}

#[test]
fn qwen2_logits_equal_those_of_candle_transformers() {
    for tied in [true, false] {
        assert_peer_agrees(graph(Architecture::Qwen2, tied, RopeScaling::None), |folder, ids| {
            let mut config = config(folder);
            // The peer demands these keys even where sliding windows are off.
            config["sliding_window"] = 256.into();
            config["max_window_layers"] = 3.into();
            config["use_sliding_window"] = false.into();
            let config: qwen2::Config = serde_json::from_value(config).unwrap();
            qwen2::ModelForCausalLM::new(&config, weights(folder))
                .unwrap()
                .forward(ids, 0)
                .unwrap()
        });
    }
}
