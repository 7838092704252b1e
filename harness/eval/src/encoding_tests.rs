use prunebench_datasets::{Catalogue, Origin, TextDocument, TextDocuments};
use prunebench_tensor::Engine;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::perplexity::tests::small_decoder;
use crate::rolling_perplexity;

/// A byte-level tokenizer of a few letters in which a space joins the `a` behind it, and `a` the `b`.
fn tokenizer(config: Value, post_processor: Value) -> Tokenizer {
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
    let special = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<s>"), special(1, "</s>")],
        "normalizer": null, "pre_tokenizer": bytes, "post_processor": post_processor, "decoder": bytes,
        "model": { "type": "BPE", "vocab": { "<s>": 0, "</s>": 1, "a": 2, "b": 3, "Ġ": 4, "Ġa": 5, "ab": 6, "c": 7, "ğ": 8 },
                   "merges": ["Ġ a", "a b"] },
    });
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    Tokenizer::from_folder(folder.path()).unwrap().unwrap()
}

fn plain() -> Tokenizer {
    tokenizer(json!({ "eos_token": "</s>" }), Value::Null)
}

/// Puts `<s>` in front of a text.
fn with_bos() -> Tokenizer {
    let post_processor = json!({
        "type": "TemplateProcessing",
        "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
        "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 0 } }],
        "special_tokens": { "<s>": { "id": "<s>", "ids": [0], "tokens": ["<s>"] } },
    });
    tokenizer(json!({ "bos_token": "<s>" }), post_processor)
}

fn one(tokenizer: &Tokenizer, context: &str, continuation: &str) -> Result<Encoded> {
    let decoder = small_decoder(Engine::compiled()[0]);
    let encoder = Encoder::new(&decoder, tokenizer).unwrap();
    let mut encoded = encoder.document([(context, continuation)].into_iter())?;
    Ok(encoded.remove(0))
}

#[track_caller]
fn is(found: Result<Encoded>, tokens: &[u32], scored: usize) {
    let sequence = Sequence::new(tokens.to_vec(), scored).unwrap();
    let truncated = false;
    assert_eq!(found.unwrap(), Encoded { sequence, truncated });
}

#[test]
fn spaces_at_the_end_of_a_context_belong_to_the_continuation() {
    is(one(&plain(), "b ", "a"), &[3, 5], 1);
    is(one(&plain(), "b", " a"), &[3, 5], 1);
    // Python takes the separator for a space, Unicode does not.
    assert_eq!(
        one(&plain(), "b\u{1f}", "a").unwrap(),
        one(&plain(), "b", "\u{1f}a").unwrap()
    );
}

#[test]
fn the_joined_text_is_encoded_and_cut_where_the_context_alone_ends() {
    // "ca" alone is two tokens, and of "cab" the second is "ab": one token is left to score.
    is(one(&plain(), "c", "ab"), &[7, 6], 1);
    let error = one(&plain(), "ca", "b").unwrap_err().to_string();
    assert!(error.contains("\"b\"") && error.contains("swallows it"), "{error}");
}

#[test]
fn an_empty_context_is_the_bos_or_else_the_eos_token() {
    is(one(&plain(), "", "ca"), &[1, 7, 2], 2);
    is(one(&with_bos(), "", "ca"), &[0, 7, 2], 2);
    is(one(&plain(), "", "</s>c"), &[1, 7], 1);
    let error = one(&tokenizer(json!({}), Value::Null), "", "c")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("neither") && error.contains("tokenizer_config.json"),
        "{error}"
    );
}

#[test]
fn bos_is_added_as_the_tokenizers_files_say_but_never_twice() {
    is(one(&with_bos(), "c", "b"), &[0, 7, 3], 1);
    is(one(&with_bos(), "<s>c", "b"), &[0, 7, 3], 1);
    let decoder = small_decoder(Engine::compiled()[0]);
    let adds = |tokenizer: &Tokenizer| Encoder::new(&decoder, tokenizer).unwrap().adds_bos().unwrap();
    assert_eq!((adds(&with_bos()), adds(&plain())), (true, false));
}

#[test]
fn what_exceeds_the_models_context_is_lost_at_the_left_end_and_counted() {
    // The model has 64 positions; it reads all tokens but the last.
    let fits = one(&plain(), &"c".repeat(64), "b").unwrap();
    let all = [vec![7; 64], vec![3]].concat();
    assert_eq!(
        (fits.truncated, &fits.sequence),
        (false, &Sequence::new(all, 1).unwrap())
    );
    let cut = one(&plain(), &format!("b{}", "c".repeat(64)), "b").unwrap();
    assert!(cut.truncated);
    assert_eq!(cut.sequence, fits.sequence);
    let error = one(&plain(), "c", &"b".repeat(65)).unwrap_err().to_string();
    assert!(error.contains("65 tokens exceed the model's 64 positions"), "{error}");
}

#[test]
fn rolling_windows_longer_than_the_models_context_are_refused() {
    let catalogue = Catalogue::embedded().unwrap();
    let text = TextDocuments {
        documents: vec![TextDocument {
            text: "cab".repeat(100),
            words: 2,
            bytes: 300,
        }],
        sha256: String::new(),
        origin: Origin::Mirror("pages".into()),
    };
    let decoder = small_decoder(Engine::compiled()[0]);
    let score = |id: &str| {
        let protocol = catalogue.protocol(id).unwrap();
        rolling_perplexity(&decoder, &plain(), &text, protocol, None, &mut |_, _| ())
    };
    let error = score("wikitext2/lm-eval-word-2048@1").unwrap_err().to_string();
    assert!(
        error.contains("windows of 2048 tokens and the model 64 positions"),
        "{error}"
    );
    let result = score("wikitext2/lm-eval-word@1").unwrap();
    assert_eq!(
        (result.window, result.tokens_scored, result.units.as_slice()),
        (Some(64), 200, [2].as_slice())
    );
    assert!(score("wikitext2/stream-512@1").is_err());
}
