//! Text to token ids and back.

mod train;

use std::path::Path;

use serde_json::{Map, Value};

use crate::checkpoint::{Folder, TEMPLATE_FILE, TOKENIZER_CONFIG_FILE, TOKENIZER_FILE};
use crate::error::{ModelError, Result, at};

/// A tokenizer and the `tokenizer_config.json` that travels with it.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    config: Map<String, Value>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a model folder, with `tokenizer_config.json` if it is there.
    /// A folder without `tokenizer.json` gives `None`.
    pub fn from_folder(folder: &Path) -> Result<Option<Self>> {
        let folder = Folder(folder);
        let Some(path) = folder.beside(TOKENIZER_FILE) else {
            return Ok(None);
        };
        let bytes = std::fs::read(&path).map_err(at(&path))?;
        let inner = tokenizers::Tokenizer::from_bytes(&bytes)
            .map_err(|e| ModelError::malformed(&path, format!("not a tokenizer ({e}); fetch the file again")))?;
        let mut config: Map<String, Value> = match folder.beside(TOKENIZER_CONFIG_FILE) {
            Some(path) => {
                let bytes = std::fs::read(&path).map_err(at(&path))?;
                serde_json::from_slice(&bytes).map_err(|e| {
                    ModelError::malformed(&path, format!("not a JSON object ({e}); fetch the file again"))
                })?
            }
            None => Map::new(),
        };
        if let Some(template_path) = folder.beside(TEMPLATE_FILE)
            && !config.contains_key("chat_template")
        {
            let template = std::fs::read_to_string(&template_path).map_err(at(&template_path))?;
            config.insert("chat_template".into(), template.into());
        }
        Ok(Some(Self::new(inner, config)))
    }

    /// A tokenizer from the contents of `tokenizer.json` and `tokenizer_config.json`.
    pub(crate) fn from_json(tokenizer: &Value, config: Map<String, Value>) -> Result<Self> {
        let inner = tokenizers::Tokenizer::from_bytes(tokenizer.to_string())
            .map_err(|e| ModelError::tokenizer(format!("vocabulary and merges do not fit together ({e})")))?;
        Ok(Self::new(inner, config))
    }

    fn new(mut inner: tokenizers::Tokenizer, config: Map<String, Value>) -> Self {
        // Ids are what this crate wants: all of the text, nothing added to it.
        inner.with_padding(None);
        let _ = inner.with_truncation(None);
        Self { inner, config }
    }

    /// Token ids of `text`; no special token is added, special tokens spelt in the text are recognised.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.ids(text, false)
    }

    /// Token ids of `text` with the special tokens that the tokenizer's own files put around a text, such as BOS.
    pub fn encode_with_special_tokens(&self, text: &str) -> Result<Vec<u32>> {
        self.ids(text, true)
    }

    fn ids(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        self.inner
            .encode_fast(text, add_special_tokens)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|e| ModelError::tokenizer(self.why_not(text, &e)))
    }

    fn why_not(&self, text: &str, error: &tokenizers::Error) -> String {
        let alone = |character: &char| self.inner.encode_fast(character.to_string(), false).is_err();
        let what = format!("cannot encode a text of {} bytes", text.len());
        match text.chars().find(alone) {
            Some(character) => format!(
                "{what}: {character:?} is not in the vocabulary of {} tokens; leave it out, or make the tokenizer from text that has it",
                self.vocab_size()
            ),
            None => format!("{what}: {error}"),
        }
    }

    /// Text of `ids`, special tokens spelt out. Bytes that form no UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        if let Some(unknown) = ids.iter().find(|&&id| self.inner.id_to_token(id).is_none()) {
            return Err(ModelError::tokenizer(format!(
                "cannot decode id {unknown}: the vocabulary has {} tokens",
                self.vocab_size()
            )));
        }
        self.inner
            .decode(ids, false)
            .map_err(|e| ModelError::tokenizer(format!("cannot decode {} ids: {e}", ids.len())))
    }

    /// Number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Largest id that [`Tokenizer::encode`] can give without tokens added after training.
    pub(crate) fn largest_base_id(&self) -> Option<u32> {
        self.inner.get_vocab(false).into_values().max()
    }

    /// Id of a token spelt as in the vocabulary.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Spelling of a token in the vocabulary.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Token that begins a text, if the tokenizer's config names one.
    pub fn bos(&self) -> Option<u32> {
        self.named("bos_token")
    }

    /// Token that ends a text, if the tokenizer's config names one.
    pub fn eos(&self) -> Option<u32> {
        self.named("eos_token")
    }

    fn named(&self, key: &str) -> Option<u32> {
        let token = self.config.get(key)?;
        // Older configs wrap the token in an object with its matching options.
        self.token_to_id(token.get("content").unwrap_or(token).as_str()?)
    }

    /// Contents of the files that [`Tokenizer::from_folder`] reads and `AutoTokenizer` of transformers loads.
    pub(crate) fn files(&self) -> Result<[(&'static str, String); 2]> {
        let tokenizer = self
            .inner
            .to_string(false)
            .map_err(|e| ModelError::tokenizer(format!("cannot be written as JSON: {e}")))?;
        let mut config = self.config.clone();
        config
            .entry("tokenizer_class")
            .or_insert_with(|| "PreTrainedTokenizerFast".into());
        Ok([
            (TOKENIZER_FILE, tokenizer),
            (TOKENIZER_CONFIG_FILE, format!("{:#}", Value::Object(config))),
        ])
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json` into an existing folder.
    pub fn save(&self, folder: &Path) -> Result<()> {
        for (name, text) in self.files()? {
            let path = folder.join(name);
            prunebench_files::write(&path, text.as_bytes()).map_err(at(&path))?;
        }
        Ok(())
    }
}
