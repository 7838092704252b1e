//! The tokenizer that a GGUF file carries in its metadata.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::metadata::Metadata;
use crate::{error::Result, tokenizer::Tokenizer};

/// Token types of `tokenizer.ggml.token_type` that are matched before the text is split into words.
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// SentencePiece writes a space as this character.
const SPACE: &str = "\u{2581}";

/// Word patterns of Llama 3 and Qwen 2; they differ in the longest run of digits.
const LLAMA3_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2_WORDS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Builds the tokenizer; a file without `tokenizer.ggml.model` carries none.
pub(super) fn build(metadata: &Metadata) -> Result<Option<Tokenizer>> {
    let Some(model) = metadata.string("tokenizer.ggml.model")? else {
        return Ok(None);
    };
    let tokens = metadata
        .strings("tokenizer.ggml.tokens")?
        .ok_or_else(|| metadata.missing("tokenizer.ggml.tokens"))?;
    let types = metadata.integers("tokenizer.ggml.token_type")?.unwrap_or_default();
    let parts = match model {
        "gpt2" => byte_level(metadata, &tokens)?,
        "llama" => sentencepiece(metadata, &tokens)?,
        other => {
            return Err(metadata.unsupported(
                format!("tokenizer.ggml.model = {other}"),
                "gpt2 or llama; load the model from its HF folder instead",
            ));
        }
    };

    let added: Vec<Value> = tokens
        .iter()
        .zip(&types)
        .enumerate()
        .filter(|(_, (_, kind))| [UNKNOWN, CONTROL, USER_DEFINED].contains(kind))
        .map(|(id, (token, kind))| {
            json!({
                "id": id, "content": token, "special": *kind != USER_DEFINED,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })
        })
        .collect();

    let mut config = Map::from_iter([
        ("clean_up_tokenization_spaces".to_owned(), json!(false)),
        ("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast")),
    ]);
    for (key, id_key) in [
        ("bos_token", "tokenizer.ggml.bos_token_id"),
        ("eos_token", "tokenizer.ggml.eos_token_id"),
        ("unk_token", "tokenizer.ggml.unknown_token_id"),
        ("pad_token", "tokenizer.ggml.padding_token_id"),
    ] {
        if let Some(id) = metadata.size(id_key)? {
            let token = tokens
                .get(id)
                .ok_or_else(|| metadata.malformed(format!("{id_key} = {id}, but there are {} tokens", tokens.len())))?;
            config.insert(key.to_owned(), json!(token));
        }
    }
    if let Some(template) = metadata.string("tokenizer.chat_template")? {
        config.insert("chat_template".to_owned(), json!(template));
    }
    if let Some(context) = metadata.architecture_size("context_length")? {
        config.insert("model_max_length".to_owned(), json!(context));
    }

    // SentencePiece models begin every text with BOS unless the file says otherwise.
    let add_bos = metadata
        .boolean("tokenizer.ggml.add_bos_token")?
        .unwrap_or(model == "llama");
    let post_processor = match metadata.size("tokenizer.ggml.bos_token_id")? {
        Some(id) if add_bos => begin_with(tokens[id], id),
        _ => parts.post_processor,
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added,
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": post_processor,
        "decoder": parts.decoder,
        "model": parts.model,
    });
    Tokenizer::from_json(&tokenizer, config).map(Some)
}

/// The pieces of a `tokenizer.json` that depend on the kind of tokenizer.
struct Parts {
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: Value,
}

fn byte_level(metadata: &Metadata, tokens: &[&str]) -> Result<Parts> {
    let pre = metadata.string("tokenizer.ggml.pre")?.unwrap_or("default");
    let gpt2 = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let words = |pattern: &str| {
        json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        ]})
    };
    // Columns: pre-tokeniser, normaliser, whether a word that is a token is taken whole.
    let (pre_tokenizer, normalizer, ignore_merges) = match pre {
        "smollm" => {
            let digits = json!({"type": "Digits", "individual_digits": true});
            (
                json!({"type": "Sequence", "pretokenizers": [digits, gpt2]}),
                Value::Null,
                false,
            )
        }
        "gpt-2" | "default" => (gpt2, Value::Null, false),
        "llama-bpe" | "llama3" | "llama-v3" => (words(LLAMA3_WORDS), Value::Null, true),
        "qwen2" => (words(QWEN2_WORDS), json!({"type": "NFC"}), false),
        other => {
            return Err(metadata.unsupported(
                format!("tokenizer.ggml.pre = {other}"),
                "smollm, gpt-2, default, llama-bpe or qwen2; load the model from its HF folder instead",
            ));
        }
    };
    let merges = metadata
        .strings("tokenizer.ggml.merges")?
        .ok_or_else(|| metadata.missing("tokenizer.ggml.merges"))?
        .into_iter()
        .enumerate()
        .map(|(index, merge)| {
            merge.split_once(' ').ok_or_else(|| {
                metadata.malformed(format!(
                    "tokenizer.ggml.merges[{index}] = `{merge}`, wanted two tokens and a space"
                ))
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    Ok(Parts {
        normalizer,
        pre_tokenizer,
        post_processor: byte_level.clone(),
        decoder: byte_level,
        model: json!({
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": ignore_merges, "vocab": vocabulary(metadata, tokens)?, "merges": merges,
        }),
    })
}

fn sentencepiece(metadata: &Metadata, tokens: &[&str]) -> Result<Parts> {
    let scores = metadata
        .floats("tokenizer.ggml.scores")?
        .ok_or_else(|| metadata.missing("tokenizer.ggml.scores"))?;
    if scores.len() != tokens.len() {
        return Err(metadata.malformed(format!(
            "tokenizer.ggml.scores has {} entries for {} tokens; convert the model again",
            scores.len(),
            tokens.len()
        )));
    }
    let unknown = metadata
        .size("tokenizer.ggml.unknown_token_id")?
        .and_then(|id| tokens.get(id))
        .ok_or_else(|| metadata.missing("tokenizer.ggml.unknown_token_id"))?;
    let prefix = metadata.boolean("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);

    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
    let mut normalizers = vec![replace];
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": SPACE}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(Parts {
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        pre_tokenizer: Value::Null,
        post_processor: Value::Null,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model: json!({
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary(metadata, tokens)?, "merges": merges_by_score(tokens, &scores),
        }),
    })
}

/// SentencePiece joins the neighbours whose union scores best; as merges, every split of a token into two tokens,
/// best score first, longer left and right parts first among equals (the order of transformers' Llama converter).
fn merges_by_score<'a>(tokens: &[&'a str], scores: &[f64]) -> Vec<(&'a str, &'a str)> {
    let ids: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, token)| (*token, id)).collect();
    let mut merges = Vec::new();
    for (token, &score) in tokens.iter().zip(scores) {
        let mut splits: Vec<_> = token
            .char_indices()
            .enumerate()
            .skip(1)
            .filter_map(|(left_chars, (at, _))| {
                let (left, right) = token.split_at(at);
                Some((*ids.get(left)?, *ids.get(right)?, left_chars, left, right))
            })
            .collect();
        splits.sort_by_key(|&(left, right, ..)| (left, right));
        merges.extend(
            splits
                .into_iter()
                .map(|(_, _, left_chars, left, right)| (score, left_chars, right.chars().count(), left, right)),
        );
    }
    // Stable, as the converter's sort is.
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((b.1, b.2).cmp(&(a.1, a.2))));
    merges.into_iter().map(|(.., left, right)| (left, right)).collect()
}

fn vocabulary(metadata: &Metadata, tokens: &[&str]) -> Result<Map<String, Value>> {
    let mut vocabulary = Map::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        if let Some(first) = vocabulary.insert((*token).to_owned(), json!(id)) {
            return Err(metadata.malformed(format!(
                "tokenizer.ggml.tokens spells ids {first} and {id} alike (`{token}`); convert the model again"
            )));
        }
    }
    Ok(vocabulary)
}

fn begin_with(token: &str, id: usize) -> Value {
    let bos = json!({"SpecialToken": {"id": token, "type_id": 0}});
    let sequence = |name: &str, type_id: u32| json!({"Sequence": {"id": name, "type_id": type_id}});
    json!({
        "type": "TemplateProcessing",
        "single": [bos, sequence("A", 0)],
        "pair": [bos, sequence("A", 0), bos, sequence("B", 1)],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    })
}
