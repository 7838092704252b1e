use candle_core::quantized::gguf_file::Value;

use std::{collections::HashMap, path::Path};

use crate::{
    checkpoint::gguf::tokenizer_from,
    error::{ModelError, Result},
    tokenizer::Tokenizer,
};

fn strings(items: &[&str]) -> Value {
    Value::Array(items.iter().map(|item| Value::String((*item).to_owned())).collect())
}

fn build(pairs: Vec<(&str, Value)>) -> Result<Option<Tokenizer>> {
    let mut metadata: HashMap<String, Value> = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    metadata.insert("general.architecture".into(), Value::String("llama".into()));
    tokenizer_from(Path::new("model.gguf"), metadata)
}

/// Byte-level BPE over a handful of letters.
fn byte_level(pre: &str) -> Vec<(&'static str, Value)> {
    let tokens = [
        "<s>", "<tool>", "a", "b", "Ġ", "5", "1", "ab", "Ġa", "Ġab", "Ġ5", "15", "ĠĠ",
    ];
    let mut types = vec![Value::I32(1); tokens.len()];
    (types[0], types[1]) = (Value::I32(3), Value::I32(4));
    vec![
        ("tokenizer.ggml.model", Value::String("gpt2".into())),
        ("tokenizer.ggml.pre", Value::String(pre.into())),
        ("tokenizer.ggml.tokens", strings(&tokens)),
        ("tokenizer.ggml.token_type", Value::Array(types)),
        (
            "tokenizer.ggml.merges",
            strings(&["a b", "Ġ a", "Ġ ab", "Ġ 5", "1 5", "Ġ Ġ"]),
        ),
        ("tokenizer.ggml.bos_token_id", Value::U32(0)),
        ("tokenizer.ggml.eos_token_id", Value::U32(0)),
    ]
}

/// SentencePiece with byte fallback; every byte has a token.
fn sentencepiece() -> Vec<(&'static str, Value)> {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    let bytes = tokens.len();
    // Best score first: `ab` is joined before `bc`, so `abc` is `ab` + `c`.
    tokens.extend(["▁a", "ab", "bc", "▁ab", "▁", "a", "b", "c"].map(String::from));
    let types = (0..tokens.len()).map(|id| match id {
        0 => 2,
        1 | 2 => 3,
        id if id < bytes => 6,
        _ => 1,
    });
    let scores = (0..tokens.len()).map(|id| if id < bytes { 0.0 } else { -((id - bytes) as f32) });
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    vec![
        ("tokenizer.ggml.model", Value::String("llama".into())),
        ("tokenizer.ggml.tokens", strings(&tokens)),
        (
            "tokenizer.ggml.token_type",
            Value::Array(types.map(Value::I32).collect()),
        ),
        ("tokenizer.ggml.scores", Value::Array(scores.map(Value::F32).collect())),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ("tokenizer.ggml.unknown_token_id", Value::U32(0)),
    ]
}

fn spell(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let ids = tokenizer.encode(text).unwrap();
    assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    ids.into_iter().map(|id| tokenizer.id_to_token(id).unwrap()).collect()
}

#[test]
fn each_pre_tokeniser_cuts_digits_its_own_way() {
    for (pre, wanted) in [
        ("smollm", ["ab", "ĠĠ", "1", "5"].as_slice()),
        ("gpt-2", &["ab", "Ġ", "Ġ", "15"]),
        ("llama-bpe", &["ab", "Ġ", "Ġ", "15"]),
        ("qwen2", &["ab", "Ġ", "Ġ", "1", "5"]),
    ] {
        let tokenizer = build(byte_level(pre)).unwrap().unwrap();
        assert_eq!(spell(&tokenizer, "ab  15"), wanted, "{pre}");
    }
}

#[test]
fn special_tokens_are_recognised_and_named() {
    let tokenizer = build(byte_level("smollm")).unwrap().unwrap();
    assert_eq!(spell(&tokenizer, "a<s>b<tool>"), ["a", "<s>", "b", "<tool>"]);
    assert_eq!(
        (tokenizer.bos(), tokenizer.eos(), tokenizer.vocab_size()),
        (Some(0), Some(0), 13)
    );
    assert!(tokenizer.decode(&[99]).unwrap_err().to_string().contains("99"));
}

#[test]
fn sentencepiece_joins_by_score_and_falls_back_to_bytes() {
    let tokenizer = build(sentencepiece()).unwrap().unwrap();
    assert_eq!(spell(&tokenizer, "a"), ["▁a"]);
    assert_eq!(spell(&tokenizer, "abc"), ["▁a", "bc"]);
    assert_eq!(spell(&tokenizer, "a babc"), ["▁a", "▁", "b", "ab", "c"]);
    assert_eq!(spell(&tokenizer, "é"), ["▁", "<0xC3>", "<0xA9>"]);
}

#[test]
fn file_without_a_tokenizer_has_none() {
    assert!(build(Vec::new()).unwrap().is_none());
}

#[test]
fn tokenizers_that_cannot_be_rebuilt_are_refused_by_name() {
    let with = |key: &'static str, value: Value| {
        let mut pairs = byte_level("smollm");
        pairs.retain(|(existing, _)| *existing != key);
        pairs.push((key, value));
        build(pairs)
    };
    for (result, named) in [
        (build(byte_level("tekken")), "tokenizer.ggml.pre = tekken"),
        (
            with("tokenizer.ggml.model", Value::String("bert".into())),
            "tokenizer.ggml.model = bert",
        ),
        (with("tokenizer.ggml.merges", strings(&["ab"])), "merges[0]"),
        (with("tokenizer.ggml.merges", strings(&["a zz"])), "merges"),
        (with("tokenizer.ggml.tokens", strings(&["a", "a"])), "alike"),
        (with("tokenizer.ggml.tokens", Value::U32(3)), "array of strings"),
        (
            with("tokenizer.ggml.bos_token_id", Value::U32(1000)),
            "bos_token_id = 1000",
        ),
        (
            build(
                byte_level("smollm")
                    .into_iter()
                    .filter(|(key, _)| !key.ends_with("merges"))
                    .collect(),
            ),
            "merges",
        ),
        (
            build(
                sentencepiece()
                    .into_iter()
                    .filter(|(key, _)| !key.ends_with("scores"))
                    .collect(),
            ),
            "scores",
        ),
    ] {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(named), "{named}: {error}");
        assert!(!matches!(error, ModelError::Graph(_)));
    }
}
