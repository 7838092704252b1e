use std::{fs, path::PathBuf};

use half::{bf16, f16};
use prunebench_tensor::{DType, Tensor};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{decoder, device, graph, load_f32, refused, values};
use crate::{
    checkpoint::{LoadedModel, content_hash, files, load, save, save::save_sharded},
    error::ModelError,
    graph::{Architecture, Step},
};

/// A saved Llama: keep the first for as long as the folder is needed.
fn saved() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    save(&decoder(graph(Architecture::Llama)), None, &out).unwrap();
    (folder, out)
}

/// Rewrites the safetensors header; the tensors' bytes stay.
fn edit_header(model: &std::path::Path, edit: impl FnOnce(&mut Value)) {
    let path = model.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    edit(&mut header);
    let header = header.to_string();
    let mut edited = (header.len() as u64).to_le_bytes().to_vec();
    edited.extend(header.as_bytes());
    edited.extend(&bytes[8 + length..]);
    fs::write(path, edited).unwrap();
}

fn edit_config(model: &std::path::Path, key: &str, value: Value) {
    let path = model.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    fs::write(path, config.to_string()).unwrap();
}

/// A saved Llama whose final norm is `value` in one place, stored as `dtype`.
fn saved_with(value: f64, dtype: DType) -> (TempDir, PathBuf) {
    let (folder, out) = (tempfile::tempdir().unwrap(), "model");
    let out = folder.path().join(out);
    let mut decoder = decoder(graph(Architecture::Llama));
    let mut norm = vec![1.0; 256];
    norm[200] = value;
    decoder.final_norm.gain = Tensor::from_slice(&norm, &[256], &device())
        .unwrap()
        .to_dtype(dtype)
        .unwrap();
    save(&decoder, None, &out).unwrap();
    (folder, out)
}

#[test]
fn every_family_comes_back_bit_for_bit() {
    for architecture in [
        Architecture::Llama,
        Architecture::Mistral,
        Architecture::Qwen2,
        Architecture::Qwen3,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("model");
        let first = decoder(graph(architecture));
        save(&first, None, &out).unwrap();
        let second = load_f32(&out).unwrap().decoder;
        assert_eq!(first.graph, second.graph);
        assert_eq!(values(&first), values(&second));
        assert!(!out.join("prunebench_graph.json").exists(), "{architecture:?} is plain");
    }
}

#[test]
fn half_precision_is_stored_as_it_is() {
    for (dtype, bytes) in [(DType::BF16, 2), (DType::F16, 2), (DType::F64, 8)] {
        let (_folder, out) = saved();
        let narrow = load(&out, &device(), dtype).unwrap().decoder;
        let again = out.with_file_name("again");
        save(&narrow, None, &again).unwrap();
        assert_eq!(values(&narrow), values(&load_f32(&again).unwrap().decoder));
        let parameters: usize = narrow.parameters().iter().map(|(_, tensor)| tensor.elem_count()).sum();
        let length = fs::metadata(again.join("model.safetensors")).unwrap().len() as usize;
        assert!((parameters * bytes..parameters * bytes + 8192).contains(&length));
    }
}

#[test]
fn shards_come_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let first = decoder(graph(Architecture::Qwen3));
    save_sharded(&first, None, &out, 600_000).unwrap();
    assert!(!out.join("model.safetensors").exists());
    let index: Value = serde_json::from_slice(&fs::read(out.join("model.safetensors.index.json")).unwrap()).unwrap();
    let parameters: usize = first.parameters().iter().map(|(_, tensor)| tensor.elem_count()).sum();
    assert_eq!(index["metadata"]["total_size"], json!(parameters * 4));
    let shard = index["weight_map"]["model.norm.weight"].as_str().unwrap().to_owned();
    assert!(shard.starts_with("model-0000") && shard != "model-00001-of-00001.safetensors");
    assert_eq!(values(&first), values(&load_f32(&out).unwrap().decoder));

    fs::remove_file(out.join(&shard)).unwrap();
    refused(&out, &[&shard]);
    let outside = json!({"weight_map": {"model.norm.weight": "../model.safetensors"}});
    fs::write(out.join("model.safetensors.index.json"), outside.to_string()).unwrap();
    refused(&out, &["../model.safetensors"]);
}

#[test]
fn graph_that_no_plain_config_expresses_travels_in_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let mut first = decoder(graph(Architecture::Llama));
    first.graph.steps = vec![Step::Parallel(vec![0, 1])];
    save(&first, None, &out).unwrap();
    let second = load_f32(&out).unwrap().decoder;
    assert_eq!(first.graph, second.graph);
    assert_eq!(values(&first), values(&second));
    // Without the graph the folder must not pass for a plain model.
    fs::remove_file(out.join("prunebench_graph.json")).unwrap();
    refused(&out, &["model_type", "prunebench"]);
}

#[test]
fn content_hash_follows_the_weights_and_not_the_place() {
    let (_folder, out) = saved();
    let first = content_hash(&out).unwrap();
    let moved = out.with_file_name("moved");
    fs::rename(&out, &moved).unwrap();
    assert_eq!(content_hash(&moved).unwrap(), first);
    let path = moved.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
    assert_ne!(content_hash(&moved).unwrap(), first);
}

#[test]
fn tied_head_may_be_stored_if_it_is_the_embedding() {
    let folder = tempfile::tempdir().unwrap();
    let mut twice = decoder(graph(Architecture::Llama));
    twice.head = Some(twice.embedding.clone());
    let (equal, other) = (folder.path().join("equal"), folder.path().join("other"));
    twice.graph.tie_word_embeddings = false;
    save(&twice, None, &equal).unwrap();
    twice.head = Some(twice.embedding.mul_scalar(2.0).unwrap());
    save(&twice, None, &other).unwrap();
    for out in [&equal, &other] {
        edit_config(out, "tie_word_embeddings", json!(true));
    }
    assert!(load_f32(&equal).unwrap().decoder.head.is_none());
    let error = refused(&other, &["lm_head.weight"]);
    assert!(matches!(error, ModelError::UnexpectedTensors { .. }));
}

#[test]
fn target_that_exists_is_left_alone() {
    let (_folder, out) = saved();
    let before = content_hash(&out).unwrap();
    let again = decoder(graph(Architecture::Qwen2));
    assert!(
        save(&again, None, &out)
            .unwrap_err()
            .to_string()
            .contains("not an empty folder")
    );
    assert!(save(&again, None, &out.join("config.json")).is_err());
    assert_eq!(content_hash(&out).unwrap(), before);
    let empty = out.with_file_name("empty");
    fs::create_dir(&empty).unwrap();
    save(&again, None, &empty).unwrap();
}

#[test]
fn output_that_cannot_be_written_is_an_error_that_names_it() {
    let (folder, out) = saved();
    let again = decoder(graph(Architecture::Llama));
    // A file, a folder that is not there, and one that even root cannot write to.
    for parent in [out.join("config.json"), out.join("absent"), PathBuf::from("/proc")] {
        let error = save(&again, None, &parent.join("model")).unwrap_err();
        assert!(error.to_string().contains(&parent.display().to_string()), "{error}");
    }
    // Nothing partial beside the one model.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn cut_safetensors_are_refused_wherever_they_are_cut() {
    let (_folder, out) = saved();
    let path = out.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let cuts = (0..64)
        .chain((64..4000).step_by(97))
        .chain([bytes.len() / 2, bytes.len() - 1]);
    for cut in cuts {
        fs::write(&path, &bytes[..cut]).unwrap();
        let error = load_f32(&out)
            .err()
            .unwrap_or_else(|| panic!("loaded with {cut} bytes"));
        // An empty file cannot be mapped on some systems.
        assert!(
            matches!(error, ModelError::Malformed { .. } | ModelError::Io { .. }),
            "{error:?}"
        );
    }
    fs::write(&path, [&bytes[..], b"more"].concat()).unwrap();
    refused(&out, &["bytes of tensors", "fetch it again"]);
}

#[test]
fn lying_safetensors_headers_are_refused() {
    let name = "model.norm.weight";
    let huge = u64::MAX;
    let edits: [(&str, Value); 6] = [
        ("shape", json!([huge, 2])),
        ("shape", json!([1u64 << 32, 1u64 << 32, 4])),
        ("shape", json!([255])),
        ("data_offsets", json!([0, huge])),
        ("data_offsets", json!([huge, 0])),
        ("dtype", json!("F7")),
    ];
    for (key, value) in edits {
        let (_folder, out) = saved();
        edit_header(&out, |header| header[name][key] = value.clone());
        let error = refused(&out, &["fetch it again"]);
        assert!(
            matches!(error, ModelError::Malformed { .. }),
            "{key} = {value}: {error:?}"
        );
    }
    let (_folder, out) = saved();
    let path = out.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..8].copy_from_slice(&huge.to_le_bytes());
    fs::write(path, bytes).unwrap();
    refused(&out, &["announces a header of 18446744073709551615 bytes"]);
}

#[test]
fn tensor_of_another_shape_is_named() {
    let (_folder, out) = saved();
    edit_config(&out, "intermediate_size", json!(128));
    let error = refused(&out, &["model.layers.0.mlp.", "[256, 256]"]);
    assert!(matches!(error, ModelError::TensorShape { .. }));
}

#[test]
fn missing_and_surplus_tensors_are_named() {
    let (_folder, out) = saved();
    edit_header(&out, |header| {
        let header = header.as_object_mut().unwrap();
        let norm = header.remove("model.norm.weight").unwrap();
        header.insert("model.other.weight".into(), norm);
    });
    let error = refused(&out, &["model.norm.weight"]);
    assert!(matches!(error, ModelError::MissingTensor { .. }));
    let (_folder, out) = saved();
    edit_config(&out, "num_hidden_layers", json!(1));
    let error = refused(&out, &["model.layers.1.", "another model"]);
    assert!(matches!(error, ModelError::UnexpectedTensors { names, .. } if names.len() == 9));
    let (_folder, out) = saved();
    edit_config(&out, "tie_word_embeddings", json!(false));
    refused(&out, &["lm_head.weight", "tie_word_embeddings"]);
}

#[test]
fn weights_that_are_no_numbers_are_refused_with_their_place() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for dtype in [DType::F64, DType::F32, DType::BF16, DType::F16] {
            let (_folder, out) = saved_with(value, dtype);
            let error = refused(&out, &["model.norm.weight", "index 200"]);
            assert!(matches!(error, ModelError::NonFinite { index: 200, .. }));
        }
    }
}

#[test]
fn weight_too_large_for_the_dtype_asked_for_is_refused() {
    for (value, dtype, limit) in [
        (65_519.0, DType::F16, f64::from(f16::MAX)),
        (3.4e38, DType::F32, 3.4e38f32.into()),
        (3.38e38, DType::BF16, bf16::from_f64(3.38e38).into()),
    ] {
        let (_folder, out) = saved_with(value, DType::F64);
        let norm = load(&out, &device(), dtype).unwrap().decoder.final_norm.gain;
        assert_eq!(norm.to_f64_vec().unwrap()[200], limit);
    }
    for (value, dtype) in [(65_520.0, DType::F16), (3.41e38, DType::F32), (3.4e38, DType::BF16)] {
        let (_folder, out) = saved_with(value, DType::F64);
        let error = load(&out, &device(), dtype).err().unwrap().to_string();
        assert!(error.contains("not finite in"), "{error}");
    }
}

#[test]
fn quantised_or_integer_weights_are_refused() {
    let (_folder, out) = saved();
    edit_header(&out, |header| header["model.norm.weight"]["dtype"] = json!("I32"));
    refused(&out, &["model.norm.weight", "I32", "unquantised"]);
}

#[test]
fn missing_files_are_named() {
    let (_folder, out) = saved();
    fs::remove_file(out.join("config.json")).unwrap();
    refused(&out, &["config.json"]);
    let (_folder, out) = saved();
    fs::rename(out.join("model.safetensors"), out.join("pytorch_model.bin")).unwrap();
    refused(&out, &["model.safetensors.index.json", "convert"]);
}

#[test]
fn missing_tokenizer_is_an_error_when_it_is_needed() {
    let (_folder, out) = saved();
    let error = load_f32(&out).unwrap().tokenizer().map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
    fs::write(out.join("tokenizer.json"), "{\"model\": 3}").unwrap();
    refused(&out, &["tokenizer.json", "fetch the file again"]);
}

const TOKENIZER: &str = r#"{
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
    "post_processor": null, "decoder": null,
    "model": { "type": "WordLevel", "vocab": { "<s>": 0, "</s>": 1, "<unk>": 2 }, "unk_token": "<unk>" }
}"#;

/// A saved Llama in shards, with a tokenizer whose config names BOS, and a chat template.
fn saved_with_tokenizer() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    save_sharded(&decoder(graph(Architecture::Llama)), None, &out, 600_000).unwrap();
    fs::write(out.join("tokenizer.json"), TOKENIZER).unwrap();
    fs::write(out.join("tokenizer_config.json"), r#"{"bos_token": "<s>"}"#).unwrap();
    fs::write(out.join("chat_template.jinja"), "{{ messages }}").unwrap();
    (folder, out)
}

#[test]
fn content_hash_follows_the_special_tokens() {
    let (_folder, out) = saved_with_tokenizer();
    let hash_and_bos = || {
        let bos = load_f32(&out).unwrap().tokenizer().unwrap().bos();
        (content_hash(&out).unwrap(), bos)
    };
    let (before, bos) = hash_and_bos();
    assert_eq!(bos, Some(0));
    fs::write(out.join("tokenizer_config.json"), r#"{"bos_token": "</s>"}"#).unwrap();
    let (after, bos) = hash_and_bos();
    assert_eq!(bos, Some(1));
    assert_ne!(after, before);
    fs::remove_file(out.join("tokenizer_config.json")).unwrap();
    let (without, bos) = hash_and_bos();
    assert_eq!(bos, None);
    assert!(![before, after].contains(&without));
}

#[test]
fn what_is_hashed_is_all_that_loading_reads() {
    let (_folder, out) = saved_with_tokenizer();
    let files = files(&out).unwrap();
    for name in [
        "config.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "model.safetensors.index.json",
    ] {
        assert!(files.contains(&out.join(name)), "{name}");
    }
    let alone = out.with_file_name("alone");
    fs::create_dir(&alone).unwrap();
    for file in &files {
        fs::copy(file, alone.join(file.file_name().unwrap())).unwrap();
    }
    let hash = content_hash(&out).unwrap();
    assert_eq!(content_hash(&alone).unwrap(), hash);
    let [whole, part] = [&out, &alone].map(|folder| load_f32(folder).unwrap());
    assert_eq!(values(&whole.decoder), values(&part.decoder));
    let written = |model: &LoadedModel| model.tokenizer().unwrap().files().unwrap();
    assert_eq!(written(&whole), written(&part));

    fs::write(out.join("generation_config.json"), "{}").unwrap();
    fs::write(out.join("README.md"), "a card").unwrap();
    assert_eq!(content_hash(&out).unwrap(), hash);
    for file in files {
        let content = fs::read(&file).unwrap();
        fs::write(&file, [&content[..], b" "].concat()).unwrap();
        assert_ne!(content_hash(&out).unwrap(), hash, "{}", file.display());
        fs::write(&file, content).unwrap();
    }
    assert_eq!(content_hash(&out).unwrap(), hash);
}
