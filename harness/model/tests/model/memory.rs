//! Peak memory of loading. A peak is a whole process's, so the test starts itself once for each model and engine.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::quantized::{
    GgmlDType, QTensor,
    gguf_file::{self, Value},
};
use prunebench_model::{
    Decoder,
    checkpoint::{load, save},
    graph::{Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Rope, RopeScaling, Step},
};
use prunebench_tensor::{DType, Device, Tensor};

/// Variables that make the test load one model and no more.
const MODEL: &str = "PRUNEBENCH_TEST_LOADS";
const DEVICE: &str = "PRUNEBENCH_TEST_LOADS_ON";

const HIDDEN: usize = 512;
const VOCABULARY: usize = 64 << 10;
const WIDTH: usize = 2048;
const BLOCKS: usize = 16;
const HEADS: usize = 8;

/// As in small language models the embedding is the larger part, and the untied head comes last.
fn graph() -> Graph {
    let block = BlockShape {
        attention: Some(AttentionShape {
            heads: HEADS,
            kv_heads: HEADS,
            head_dim: HIDDEN / HEADS,
            ..AttentionShape::default()
        }),
        ffn: Some(FfnShape {
            width: WIDTH,
            ..FfnShape::default()
        }),
        ..BlockShape::default()
    };
    Graph {
        architecture: Architecture::Llama,
        vocab_size: VOCABULARY,
        hidden_size: HIDDEN,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 64,
        tie_word_embeddings: false,
        bos_token_id: None,
        eos_token_ids: Vec::new(),
        rope: Some(Rope {
            theta: 10_000.0,
            scaling: RopeScaling::None,
        }),
        norm: NormKind::Rms,
        head_bias: false,
        stream_gates: false,
        steps: (0..BLOCKS).map(Step::Block).collect(),
        blocks: vec![block; BLOCKS],
    }
}

fn folder_of(dtype: DType, inside: &Path) -> PathBuf {
    let device = Device::available()[0];
    let decoder = Decoder::from_parameters(graph(), |_, shape| Ok(Tensor::full(shape, 0.5, dtype, &device)?)).unwrap();
    let out = inside.join(dtype.to_string());
    save(&decoder, None, &out).unwrap();
    out
}

fn gguf_of(dtype: GgmlDType, inside: &Path) -> PathBuf {
    let number = |count: usize| Value::U32(count as u32);
    let metadata = [
        ("general.architecture", Value::String("llama".to_owned())),
        ("llama.block_count", number(BLOCKS)),
        ("llama.embedding_length", number(HIDDEN)),
        ("llama.feed_forward_length", number(WIDTH)),
        ("llama.context_length", number(64)),
        ("llama.attention.head_count", number(HEADS)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
    ];
    let tensor = |shape: &[usize], dtype: GgmlDType| {
        let values = candle_core::Tensor::full(0.5f32, shape, &candle_core::Device::Cpu).unwrap();
        QTensor::quantize(&values, dtype).unwrap()
    };
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), tensor(&[VOCABULARY, HIDDEN], dtype)),
        ("output.weight".to_owned(), tensor(&[VOCABULARY, HIDDEN], dtype)),
        ("output_norm.weight".to_owned(), tensor(&[HIDDEN], GgmlDType::F32)),
    ];
    for block in 0..BLOCKS {
        let mut add = |name: &str, tensor: QTensor| tensors.push((format!("blk.{block}.{name}.weight"), tensor));
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            add(name, tensor(&[HIDDEN, HIDDEN], dtype));
        }
        for name in ["ffn_gate", "ffn_up"] {
            add(name, tensor(&[WIDTH, HIDDEN], dtype));
        }
        add("ffn_down", tensor(&[HIDDEN, WIDTH], dtype));
        for name in ["attn_norm", "ffn_norm"] {
            add(name, tensor(&[HIDDEN], GgmlDType::F32));
        }
    }
    let path = inside.join(format!("{dtype:?}.gguf"));
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut File::create(&path).unwrap(), &metadata, &tensors).unwrap();
    path
}

/// A line of `/proc/self/status`, in bytes.
fn status(key: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    1024 * value.trim_end_matches("kB").trim().parse::<usize>().unwrap()
}

/// What loading takes at its peak, in shares of the weights.
fn ratio(path: &Path, device: &Device) -> f64 {
    // What the engine itself takes is there before.
    let part = Tensor::full(&[1 << 20], 1.0, DType::BF16, device).unwrap();
    let whole = Tensor::zeros(&[2 << 20], DType::F32, device).unwrap();
    whole.write_slice(0, 0, &part.to_dtype(DType::F32).unwrap()).unwrap();
    let before = status("VmRSS:");
    let loaded = load(path, device, DType::F32).unwrap();
    let taken = (status("VmHWM:") - before) as f64;
    let weights: usize = loaded
        .decoder
        .parameters()
        .iter()
        .map(|(_, t)| 4 * t.elem_count())
        .sum();
    taken / weights as f64
}

#[test]
fn loading_holds_one_copy_of_the_weights() {
    if let (Ok(path), Ok(index)) = (env::var(MODEL), env::var(DEVICE)) {
        let device = &Device::available()[index.parse::<usize>().unwrap()];
        let ratio = ratio(Path::new(&path), device);
        println!("{path} on {device:?}: {ratio:.3} times its weights");
        assert!(ratio >= 0.9, "the weights can't all have been resident");
        assert!(ratio <= 1.15, "one copy and a seventh of another are wanted");
        return;
    }
    let files = tempfile::tempdir().unwrap();
    let models = [
        folder_of(DType::F32, files.path()),
        folder_of(DType::BF16, files.path()),
        gguf_of(GgmlDType::F16, files.path()),
        gguf_of(GgmlDType::Q8_0, files.path()),
    ];
    for device in 0..Device::available().len() {
        for model in &models {
            let output = Command::new(env::current_exe().unwrap())
                .args([
                    "--exact",
                    "memory::loading_holds_one_copy_of_the_weights",
                    "--nocapture",
                ])
                .env(MODEL, model)
                .env(DEVICE, device.to_string())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{said}");
            assert!(said.contains("times its weights"), "the process did not load: {said}");
        }
    }
}
