//! Tokenizers made from text.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tokenizers::{
    AddedToken, models::TrainerWrapper, models::bpe::BpeTrainerBuilder, pre_tokenizers::byte_level::ByteLevel,
};

use super::Tokenizer;
use crate::error::{ModelError, Result};

/// The token that ends a text, and begins the next.
const END: &str = "<|end|>";
/// Tokens that a byte-level vocabulary has before any is learned: every byte, and [`END`].
const UNLEARNED: usize = 257;
/// A pair that occurs once says nothing about other texts.
const MIN_FREQUENCY: u64 = 2;

impl Tokenizer {
    /// Byte-level BPE with exactly `vocab_size` tokens learned from `documents`; digits stay apart, and `<|end|>` is BOS and EOS.
    /// The same documents give the same tokenizer.
    ///
    /// # Errors
    /// A vocabulary smaller than the bytes, or text with too few different words to fill it.
    pub fn train_bpe<'a>(documents: impl Iterator<Item = &'a str> + Send, vocab_size: usize) -> Result<Self> {
        if vocab_size < UNLEARNED {
            return Err(ModelError::tokenizer(format!(
                "a vocabulary of {vocab_size} tokens can't hold the 256 bytes and {END}; {UNLEARNED} or more are wanted"
            )));
        }
        let digits = json!({"type": "Digits", "individual_digits": true});
        let words = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, words]},
            "post_processor": null,
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": {}, "merges": [],
            },
        });
        let mut trained = Self::from_json(&tokenizer, config(Some(END)))?;
        let trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(vocab_size)
            .min_frequency(MIN_FREQUENCY)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(vec![AddedToken::from(END, true)])
            .build();
        trained
            .inner
            .train(&mut TrainerWrapper::BpeTrainer(trainer), documents)
            .map_err(|e| ModelError::tokenizer(format!("the vocabulary can't be learned: {e}")))?;
        let found = trained.vocab_size();
        if found != vocab_size {
            return Err(ModelError::tokenizer(format!(
                "the text gives {found} tokens, {vocab_size} are wanted; give more text, or ask for {found} or fewer"
            )));
        }
        Ok(trained)
    }

    /// One token for each character that `text` has, in the order of code points. Other characters can't be encoded.
    ///
    /// # Errors
    /// A text without characters.
    pub fn characters(text: &str) -> Result<Self> {
        let characters: BTreeSet<char> = text.chars().collect();
        if characters.is_empty() {
            return Err(ModelError::tokenizer(
                "an empty text has no characters to make a vocabulary of; check the file it was read from",
            ));
        }
        let vocabulary: Map<String, Value> = characters
            .into_iter()
            .enumerate()
            .map(|(id, character)| (character.to_string(), id.into()))
            .collect();
        let each = json!({
            "type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": false,
        });
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": each,
            "post_processor": null,
            "decoder": {"type": "Fuse"},
            // The unknown token is not in the vocabulary, which makes an unknown character an error. It is two characters long,
            // so no text can put it there.
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "??"},
        });
        Self::from_json(&tokenizer, config(None))
    }
}

fn config(end: Option<&str>) -> Map<String, Value> {
    let mut config = Map::from_iter([("clean_up_tokenization_spaces".to_owned(), false.into())]);
    for key in ["bos_token", "eos_token"] {
        config.extend(end.map(|end| (key.to_owned(), end.into())));
    }
    config
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::{DType, Device, Engine};

    use super::*;
    use crate::checkpoint;
    use crate::graph::{Architecture, Graph, NormKind};
    use crate::{Decoder, Initialisation};

    /// Documents with some hundred different words, of which many pairs are equally frequent.
    fn documents() -> Vec<String> {
        let (starts, ends) = (
            ["ba", "ke", "lo", "mir", "nu", "tash"],
            ["dor", "fin", "gel", "hun", "wick"],
        );
        let word = |n: usize| format!("{}{}{}", starts[n % 6], ends[n / 6 % 5], starts[n / 30 % 6]);
        (0..60)
            .map(|d| (0..40).map(|w| word(d * 7 + w * w) + " ").collect::<String>() + &format!("{}.\n", d * 31))
            .collect()
    }

    fn trained(vocab_size: usize) -> Tokenizer {
        let documents = documents();
        Tokenizer::train_bpe(documents.iter().map(String::as_str), vocab_size).unwrap()
    }

    fn assert_round_trip(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        ids
    }

    /// The tokenizer after a model was saved with it and loaded again.
    fn through_a_checkpoint(tokenizer: &Tokenizer) -> Tokenizer {
        let graph = Graph {
            architecture: Architecture::Gpt,
            vocab_size: tokenizer.vocab_size(),
            hidden_size: 4,
            rms_norm_eps: 1e-5,
            max_position_embeddings: 8,
            tie_word_embeddings: true,
            bos_token_id: tokenizer.bos(),
            eos_token_ids: tokenizer.eos().into_iter().collect(),
            rope: None,
            norm: NormKind::Layer,
            head_bias: false,
            stream_gates: false,
            blocks: vec![],
            steps: vec![],
        };
        let device = Device::cpu(Engine::compiled()[0]);
        let decoder = Decoder::initialise(graph, Initialisation::Normal, 0, DType::F32, &device).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("model");
        checkpoint::save(&decoder, Some(tokenizer), &out).unwrap();
        checkpoint::load(&out, &device, DType::F32).unwrap().tokenizer.unwrap()
    }

    #[test]
    fn bpe_learns_words_keeps_digits_apart_and_encodes_any_text() {
        let tokenizer = trained(400);
        assert_eq!(tokenizer.vocab_size(), 400);
        let text = documents().concat();
        let ids = assert_round_trip(&tokenizer, &text);
        assert!(
            ids.len() * 3 < text.len(),
            "{} tokens for {} bytes",
            ids.len(),
            text.len()
        );
        let spelt = |text: &str| -> Vec<String> {
            let ids = assert_round_trip(&tokenizer, text);
            ids.into_iter().map(|id| tokenizer.id_to_token(id).unwrap()).collect()
        };
        assert_eq!(spelt("1984"), ["1", "9", "8", "4"]);
        for text in ["", "  two  spaces\r\n\ttab", "naïve 東京 🦀 \u{0}", "DoN'T"] {
            assert_round_trip(&tokenizer, text);
        }
        let end = tokenizer.bos().unwrap();
        assert_eq!(
            (tokenizer.eos(), tokenizer.encode("<|end|>").unwrap()),
            (Some(end), vec![end])
        );
        assert_eq!(tokenizer.id_to_token(end).as_deref(), Some(END));
    }

    #[test]
    fn the_same_documents_give_the_same_bpe() {
        // The maps inside hash differently each time, so every run is a new order of everything that is left to order.
        let files = |tokenizer: &Tokenizer| tokenizer.files().unwrap();
        let first = files(&trained(400));
        for _ in 0..8 {
            assert!(files(&trained(400)) == first, "two runs differ");
        }
    }

    #[test]
    fn a_vocabulary_that_cannot_be_filled_is_refused() {
        let refusal = |documents: &[&str], size| {
            let result = Tokenizer::train_bpe(documents.iter().copied(), size);
            result.unwrap_err().to_string()
        };
        assert!(refusal(&["abc"], 256).contains("257 or more are wanted"));
        // a b, ab c: the third merge would need another pair.
        let message = refusal(&["abc abc"], 300);
        assert!(message.contains("gives 259 tokens, 300 are wanted"), "{message}");
        assert!(refusal(&[], 258).contains("gives 257 tokens"));
    }

    #[test]
    fn characters_are_numbered_in_order_and_come_back() {
        let tokenizer = Tokenizer::characters("to be,\nor not to be\r\n é").unwrap();
        let ids = assert_round_trip(&tokenizer, "\n\r ,benorté");
        assert_eq!(ids, (0..11).collect::<Vec<u32>>());
        assert_eq!(
            (tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos()),
            (11, None, None)
        );
        assert_round_trip(&tokenizer, "  \n\n tot  bet\n");
        assert_round_trip(&tokenizer, "");
    }

    #[test]
    fn an_unknown_character_is_an_error_that_names_it() {
        let tokenizer = Tokenizer::characters("abc ?").unwrap();
        for (text, named) in [("a cab\nab", r"'\n'"), ("abcd", "'d'"), ("é", "'é'")] {
            let message = tokenizer.encode(text).unwrap_err().to_string();
            assert!(message.contains(named) && message.contains("5 tokens"), "{message}");
        }
        // The spelling of the unknown token is text like any other.
        assert_eq!(assert_round_trip(&tokenizer, "??"), [1, 1]);
        assert!(
            Tokenizer::characters("")
                .unwrap_err()
                .to_string()
                .contains("empty text")
        );
    }

    #[test]
    fn made_tokenizers_travel_with_the_model() {
        let text = documents().concat();
        for tokenizer in [trained(300), Tokenizer::characters(&text).unwrap()] {
            let again = through_a_checkpoint(&tokenizer);
            assert_eq!(again.encode(&text).unwrap(), tokenizer.encode(&text).unwrap());
            assert_eq!((again.bos(), again.eos()), (tokenizer.bos(), tokenizer.eos()));
            assert_round_trip(&again, &text);
            assert!(again.files().unwrap() == tokenizer.files().unwrap());
        }
    }
}
