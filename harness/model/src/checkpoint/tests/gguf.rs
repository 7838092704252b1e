use std::{fs, os::unix::fs::FileExt, path::PathBuf};

use candle_core::{
    Device as CandleDevice, Tensor as CandleTensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Value},
    },
};
use prunebench_tensor::DType;
use tempfile::TempDir;

use super::{decoder, device, graph, load_f32, refused, values};
use crate::{
    checkpoint::load,
    error::ModelError,
    graph::{Architecture, Graph, RopeScaling},
};

/// GGUF name of an HF name, spelt out for the two blocks of the test model.
fn stored_name(name: &str) -> String {
    [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers.", "blk."),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ]
    .iter()
    .fold(name.to_owned(), |name, (hf, gguf)| name.replace(hf, gguf))
}

/// As the converter stores a rotated projection: [heads, 2, D/2, in] with the middle two axes exchanged.
fn paired(tensor: &CandleTensor, heads: usize) -> CandleTensor {
    let (rows, width) = tensor.dims2().unwrap();
    let split = tensor.reshape((heads, 2, rows / heads / 2, width)).unwrap();
    split
        .transpose(1, 2)
        .unwrap()
        .contiguous()
        .unwrap()
        .reshape((rows, width))
        .unwrap()
}

fn metadata(graph: &Graph) -> Vec<(String, Value)> {
    let name = match graph.architecture {
        Architecture::Llama | Architecture::Mistral => "llama",
        Architecture::Qwen2 => "qwen2",
        Architecture::Qwen3 => "qwen3",
        Architecture::Gpt => panic!("no GGUF file describes this graph"),
    };
    let mut pairs = vec![("general.architecture".to_owned(), Value::String(name.to_owned()))];
    for (key, count) in [
        ("block_count", graph.blocks.len()),
        ("embedding_length", graph.hidden_size),
        ("feed_forward_length", 256),
        ("context_length", graph.max_position_embeddings),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("attention.key_length", 64),
        ("rope.dimension_count", 64),
    ] {
        pairs.push((format!("{name}.{key}"), Value::U32(count as u32)));
    }
    let eps = Value::F32(graph.rms_norm_eps as f32);
    pairs.push((format!("{name}.attention.layer_norm_rms_epsilon"), eps));
    pairs.push(("tokenizer.ggml.bos_token_id".to_owned(), Value::U32(1)));
    pairs.push(("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(2)));
    pairs
}

/// A GGUF file: its matrices as `dtype`, and what candle reads back from each tensor, by HF name.
struct Written {
    _folder: TempDir,
    path: PathBuf,
    dequantised: Vec<(String, Vec<f32>)>,
}

fn write(graph: &Graph, dtype: GgmlDType, more: &[(&str, Value)], extra: &[(&str, QTensor)]) -> Written {
    let cpu = CandleDevice::Cpu;
    let mut tensors = Vec::new();
    let mut dequantised = Vec::new();
    for (name, tensor) in decoder(graph.clone()).parameters() {
        let plain = CandleTensor::from_vec(tensor.to_vec::<f32>().unwrap(), tensor.shape(), &cpu).unwrap();
        let heads = match name.rsplit_once("self_attn.").map(|(_, rest)| rest) {
            _ if graph.architecture != Architecture::Llama => None,
            Some("q_proj.weight") => Some(4),
            Some("k_proj.weight") => Some(2),
            _ => None,
        };
        let kind = if tensor.rank() == 1 { GgmlDType::F32 } else { dtype };
        let stored = heads.map_or(plain.clone(), |heads| paired(&plain, heads));
        tensors.push((stored_name(&name), QTensor::quantize(&stored, kind).unwrap()));
        // Rows are quantised one by one, so their order makes no difference to what they become.
        let back = QTensor::quantize(&plain, kind).unwrap().dequantize(&cpu).unwrap();
        dequantised.push((name, back.flatten_all().unwrap().to_vec1().unwrap()));
    }
    let mut pairs = metadata(graph);
    pairs.extend(more.iter().map(|(key, value)| (key.to_string(), value.clone())));
    let pairs: Vec<(&str, &Value)> = pairs.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let mut all: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    all.extend(extra.iter().map(|(name, tensor)| (*name, tensor)));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    gguf_file::write(&mut fs::File::create(&path).unwrap(), &pairs, &all).unwrap();
    Written {
        _folder: folder,
        path,
        dequantised,
    }
}

fn write_llama() -> Written {
    write(&graph(Architecture::Llama), GgmlDType::Q8_0, &[], &[])
}

/// Overwrites bytes at `offset` after the first place where `marker` stands.
fn corrupt(written: &Written, marker: &str, offset: usize, bytes: &[u8]) {
    let mut file = fs::read(&written.path).unwrap();
    let found = file
        .windows(marker.len())
        .position(|window| window == marker.as_bytes())
        .unwrap();
    let at = found + marker.len() + offset;
    file[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(&written.path, file).unwrap();
}

#[test]
fn every_format_loads_exactly_as_candle_dequantises_it() {
    use GgmlDType::{BF16, F16, F32, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    let llama = graph(Architecture::Llama);
    let exact = values(&decoder(llama.clone()));
    // Largest error of a weight drawn from N(0, 1): half a step of the coarsest block.
    for (dtype, tolerance) in [
        (F32, 0.0),
        (F16, 2e-3),
        (BF16, 2e-2),
        (Q8_0, 2e-2),
        (Q6K, 0.15),
        (Q5_1, 0.2),
        (Q5_0, 0.3),
        (Q5K, 0.2),
        (Q4_1, 0.4),
        (Q4_0, 0.6),
        (Q4K, 0.4),
        (Q3K, 1.0),
        (Q2K, 1.5),
    ] {
        let written = write(&llama, dtype, &[], &[]);
        let loaded = load_f32(&written.path).unwrap().decoder;
        assert_eq!(loaded.graph, llama);
        let loaded = values(&loaded);
        for (name, wanted) in &written.dequantised {
            let wanted: Vec<f64> = wanted.iter().map(|&value| value.into()).collect();
            assert_eq!(loaded[name], wanted, "{dtype:?} {name}");
            let error = loaded[name]
                .iter()
                .zip(&exact[name])
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max);
            assert!(error <= tolerance, "{dtype:?} {name}: {error}");
        }
    }
}

#[test]
fn every_family_keeps_its_graph() {
    for architecture in [Architecture::Qwen2, Architecture::Qwen3] {
        let written = write(&graph(architecture), GgmlDType::F32, &[], &[]);
        let loaded = load_f32(&written.path).unwrap().decoder;
        assert_eq!(loaded.graph, graph(architecture));
        assert_eq!(values(&loaded), values(&decoder(graph(architecture))));
    }
    let window = [("llama.attention.sliding_window", Value::U32(8))];
    let written = write(&graph(Architecture::Llama), GgmlDType::F32, &window, &[]);
    let loaded = load_f32(&written.path).unwrap().decoder.graph;
    assert_eq!(loaded.architecture, Architecture::Mistral);
    assert_eq!(loaded.blocks[1].attention.as_ref().unwrap().window, Some(8));
}

#[test]
fn rope_comes_from_the_metadata_or_the_factors() {
    let llama = graph(Architecture::Llama);
    let linear = [
        ("llama.rope.freq_base", Value::F32(5e5)),
        ("llama.rope.scaling.type", Value::String("linear".into())),
        ("llama.rope.scaling.factor", Value::F32(2.0)),
    ];
    let rope = load_f32(&write(&llama, GgmlDType::F32, &linear, &[]).path)
        .unwrap()
        .decoder
        .graph
        .rope
        .unwrap();
    assert_eq!((rope.theta, rope.scaling), (5e5, RopeScaling::Linear { factor: 2.0 }));

    let factors: Vec<f32> = (1..=32).map(|factor| factor as f32).collect();
    let tensor = || {
        let plain = CandleTensor::from_vec(factors.clone(), 32, &CandleDevice::Cpu).unwrap();
        [("rope_freqs.weight", QTensor::quantize(&plain, GgmlDType::F32).unwrap())]
    };
    let rope = load_f32(&write(&llama, GgmlDType::F32, &[], &tensor()).path)
        .unwrap()
        .decoder
        .graph
        .rope
        .unwrap();
    let wanted = factors.iter().map(|&factor| factor.into()).collect();
    assert_eq!(rope.scaling, RopeScaling::Factors { factors: wanted });
    refused(
        &write(&llama, GgmlDType::F32, &linear, &tensor()).path,
        &["rope_freqs.weight", "rope.scaling.type"],
    );

    let yarn = [("llama.rope.scaling.type", Value::String("yarn".into()))];
    refused(
        &write(&llama, GgmlDType::F32, &yarn, &[]).path,
        &["llama.rope.scaling.type = yarn"],
    );
}

#[test]
fn cut_file_is_refused_wherever_it_is_cut() {
    let written = write_llama();
    let file = fs::File::options().write(true).open(&written.path).unwrap();
    let length = file.metadata().unwrap().len() as usize;
    let cuts = (0..200).chain((200..3000).step_by(13)).chain([length / 2, length - 1]);
    // From the end, so that every cut is a cut of what the last one left.
    for cut in cuts.rev() {
        file.set_len(cut as u64).unwrap();
        let error = load_f32(&written.path)
            .err()
            .unwrap_or_else(|| panic!("loaded with {cut} bytes"));
        assert!(matches!(error, ModelError::Malformed { .. }), "{cut}: {error:?}");
        assert!(error.to_string().contains("fetch it again"), "{cut}: {error}");
    }
}

#[test]
fn no_corrupted_header_panics_or_exhausts_memory() {
    let written = write_llama();
    let bytes = fs::read(&written.path).unwrap();
    let file = fs::File::options().write(true).open(&written.path).unwrap();
    let marker = b"blk.1.ffn_up.weight";
    let header = bytes.windows(marker.len()).position(|window| window == marker).unwrap();
    for pattern in [[0xff; 8], [0x00; 8], [0x7f; 8]] {
        for at in (0..header).step_by(5) {
            file.write_all_at(&pattern, at as u64).unwrap();
            // Some damage lies in names and values that nothing reads; most is an error.
            let _ = load_f32(&written.path);
            file.write_all_at(&bytes[at..at + 8], at as u64).unwrap();
        }
    }
    assert!(load_f32(&written.path).is_ok());
}

#[test]
fn lying_headers_are_refused_with_the_place() {
    let huge = u64::MAX.to_le_bytes();
    let overflowing = (1u64 << 63).to_le_bytes();
    // Marker, distance behind it, bytes, what the message must name.
    let cases: [(&str, usize, &[u8], &str); 8] = [
        ("GGUF", 0, &7u32.to_le_bytes(), "version 7"),
        ("GGUF", 4, &huge, "18446744073709551615 tensors"),
        ("GGUF", 12, &huge, "18446744073709551615 metadata pairs"),
        ("general.architecture", 4, &huge, "characters of `general.architecture`"),
        ("llama.block_count", 0, &77u32.to_le_bytes(), "value type 77"),
        ("output_norm.weight", 4, &overflowing, "`output_norm.weight`"),
        ("output_norm.weight", 16, &huge, "`output_norm.weight`"),
        ("output_norm.weight", 12, &99u32.to_le_bytes(), "99"),
    ];
    for (marker, offset, bytes, named) in cases {
        let written = write_llama();
        corrupt(&written, marker, offset, bytes);
        let error = refused(&written.path, &[named]);
        assert!(matches!(error, ModelError::Malformed { .. }), "{error:?}");
    }
    let other = tempfile::NamedTempFile::with_suffix(".gguf").unwrap();
    fs::write(&other, b"GGML but longer than a header").unwrap();
    refused(other.path(), &["no GGUF file"]);
    // Dimensions whose product overflows, each small enough by itself.
    let written = write_llama();
    corrupt(
        &written,
        "token_embd.weight",
        4,
        &[(1u64 << 40).to_le_bytes(), (1u64 << 40).to_le_bytes()].concat(),
    );
    refused(&written.path, &["token_embd.weight", "overflows"]);
}

#[test]
fn alignment_of_zero_is_refused() {
    let written = write(
        &graph(Architecture::Llama),
        GgmlDType::F32,
        &[("general.alignment", Value::U32(0))],
        &[],
    );
    refused(&written.path, &["general.alignment = 0"]);
}

#[test]
fn contradicting_metadata_is_refused() {
    let llama = graph(Architecture::Llama);
    for (key, value, named) in [
        ("general.architecture", Value::String("gemma".into()), "gemma"),
        ("llama.expert_count", Value::U32(8), "expert_count = 8"),
        ("llama.block_count", Value::U32(u32::MAX), "block_count"),
        ("llama.block_count", Value::String("two".into()), "wanted a count"),
        (
            "llama.rope.dimension_count",
            Value::U32(32),
            "rope.dimension_count = 32",
        ),
        (
            "llama.attention.head_count_kv",
            Value::Array(vec![Value::U32(2); 3]),
            "3 entries for 2 blocks",
        ),
        ("llama.attention.head_count", Value::U32(0), "query heads"),
    ] {
        refused(&write(&llama, GgmlDType::F32, &[(key, value)], &[]).path, &[named]);
    }
    let written = write(
        &llama,
        GgmlDType::F32,
        &[("llama.feed_forward_length", Value::U32(128))],
        &[],
    );
    let error = refused(&written.path, &["blk.0.ffn_gate.weight"]);
    assert!(matches!(error, ModelError::TensorShape { .. }));
}

#[test]
fn surplus_tensors_and_bad_numbers_are_refused() {
    let llama = graph(Architecture::Llama);
    let tensor = |value: f32| {
        let plain = CandleTensor::from_vec(vec![value; 256], 256, &CandleDevice::Cpu).unwrap();
        QTensor::quantize(&plain, GgmlDType::F32).unwrap()
    };
    let written = write(&llama, GgmlDType::F32, &[], &[("blk.0.attn_q.bias", tensor(1.0))]);
    let error = refused(&written.path, &["blk.0.attn_q.bias"]);
    assert!(matches!(error, ModelError::UnexpectedTensors { .. }));

    // The last tensor in the file's order of writing is the final norm of a tied model.
    let written = write_llama();
    let mut bytes = fs::read(&written.path).unwrap();
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&written.path, bytes).unwrap();
    let error = refused(&written.path, &["output_norm.weight", "NaN"]);
    assert!(matches!(error, ModelError::NonFinite { index: 255, .. }));
}

#[test]
fn half_precision_is_converted_after_dequantisation() {
    let written = write_llama();
    let wide = load_f32(&written.path).unwrap().decoder;
    let narrow = load(&written.path, &device(), DType::BF16).unwrap().decoder;
    assert_eq!(narrow.embedding.dtype(), DType::BF16);
    let rounded = wide.embedding.to_dtype(DType::BF16).unwrap().to_f64_vec().unwrap();
    assert_eq!(narrow.embedding.to_f64_vec().unwrap(), rounded);
}
