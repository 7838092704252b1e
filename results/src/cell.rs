//! The unit of work, and the key under which its answer is kept.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::task::{SuiteRequest, TaskRequest};

/// The `schema` in a key's text. It stays as it is while the record format goes on: where a record keeps its numbers does
/// not change them, and another key would measure every cell anew. It moves when numbers of old cells no longer hold.
const KEY_SCHEMA: u32 = 1;

/// Everything outside the cell's own text that decides its numbers, by name: content hashes of the
/// model and the data, versions of the protocols and methods, the thread count, engine versions.
///
/// A name stands for one thing throughout an experiment (`model`, `data:wikitext2/test`,
/// `method:wanda`, `engine:candle`), so that two records with different values under one name are
/// known not to be comparable.
pub type Inputs = BTreeMap<String, String>;

/// How the name of a record's file ends, after what the names of all files of its cell begin with.
pub(crate) const RECORD: &str = ".json";
/// How the name of its samples' file does.
pub(crate) const SAMPLES: &str = ".jsonl.gz";

/// The name in [`Inputs`] under which the content hash of the source model stands.
pub const MODEL_INPUT: &str = "model";

/// What the name in [`Inputs`] begins with under which the version of an engine's numerics stands; the engine follows.
pub const NUMERICS_INPUT: &str = "numerics:";

/// The numerics of records whose inputs name none: they are read as if theirs did. A key has no trace of it, so that the keys of
/// such records hold.
pub const FIRST_NUMERICS: &str = "version 1";

/// One measurement: a model, what is done to it, where it runs, and what is measured.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The model source as the user wrote it, e.g. `smollm2-135m`.
    pub model: String,
    /// The methods applied, in order, e.g. `["wanda(sparsity=0.5)"]`.
    pub recipe: Vec<String>,
    /// The tensor engine, e.g. `candle`.
    pub engine: String,
    /// The device, e.g. `cpu` or `cuda:0`.
    pub device: String,
    /// The element type of weights and activations, e.g. `f32`.
    pub dtype: String,
    /// The seed that methods and measurements draw from.
    pub seed: u64,
    /// What is measured on the compressed model.
    pub evaluation: Evaluation,
}

/// What a cell measures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Perplexities, one per protocol.
    #[serde(default)]
    pub perplexity: Vec<PerplexityRequest>,
    /// Speed of prefill and decode.
    #[serde(default)]
    pub throughput: Option<ThroughputRequest>,
    /// Speed of training steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingRequest>,
    /// Accuracies, one per task and number of shots. Left out of the canonical text if there is none, so that the keys
    /// of cells from before there were tasks still hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskRequest>,
    /// Means over `tasks`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suites: Vec<SuiteRequest>,
}

/// One perplexity to measure.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerplexityRequest {
    /// The protocol with its version, e.g. `wikitext2/stream-512@1`.
    pub protocol: String,
    /// Score only the first so many windows or documents; all of them if absent.
    #[serde(default)]
    pub windows: Option<usize>,
}

/// One speed measurement. All its numbers are part of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThroughputRequest {
    /// Tokens of context that the prefill reads, per sequence.
    pub prompt_tokens: usize,
    /// Tokens that the decode generates, per sequence.
    pub generated_tokens: usize,
    /// Sequences at once.
    pub batch: usize,
    /// Timed repeats.
    pub repeats: usize,
    /// Untimed repeats before them.
    pub warmup: usize,
    /// The ranks that the model is split over; one whole model if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor_parallel: Option<TensorParallel>,
    /// Whether a large copy and a large matrix product are timed beside it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ceilings: bool,
}

impl ThroughputRequest {
    /// What is timed, in words: `prompt 128, generated 16, batch 1`, and the ranks if there are any.
    pub fn setting(&self) -> String {
        let Self {
            prompt_tokens,
            generated_tokens,
            batch,
            tensor_parallel,
            ..
        } = self;
        let ranks = tensor_parallel.map_or_else(String::new, |ranks| format!(", {ranks}"));
        format!("prompt {prompt_tokens}, generated {generated_tokens}, batch {batch}{ranks}")
    }
}

/// A model split over ranks by heads and FFN columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TensorParallel {
    /// Ranks, each with an equal share of the compute threads.
    pub ranks: usize,
    /// Microseconds waited for after each all-reduce, as on a wire.
    #[serde(default)]
    pub all_reduce_latency_us: u64,
}

impl fmt::Display for TensorParallel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ranks,
            all_reduce_latency_us,
        } = self;
        write!(f, "{ranks} rank{}", if *ranks == 1 { "" } else { "s" })?;
        match all_reduce_latency_us {
            0 => Ok(()),
            latency => write!(f, ", {latency} µs waited after each all-reduce"),
        }
    }
}

/// One measurement of training speed. Everything in it is part of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRequest {
    /// What is trained.
    pub parameters: TrainedParameters,
    /// Whether the backward pass makes activations anew instead of keeping them.
    #[serde(default)]
    pub recompute: bool,
    /// Tokens that the model reads of each sequence.
    pub tokens: usize,
    /// Sequences in a step.
    pub batch: usize,
    /// Of them, those that go forward and backward at once, their gradients summed; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
    /// Timed steps.
    pub repeats: usize,
    /// Untimed steps before them.
    pub warmup: usize,
}

/// What a timed training step trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainedParameters {
    /// Every parameter.
    Full,
    /// Low-rank adapters of rank 8 on every linear, with dropout.
    Lora,
}

impl Cell {
    /// The key of this cell given everything else that decides its numbers.
    ///
    /// It is the SHA-256 of `{schema, cell, inputs}` as compact JSON with sorted object keys, so it
    /// depends neither on the order of fields in this program nor on the place in an experiment.
    pub fn key(&self, inputs: &Inputs) -> CellKey {
        let named =
            |(name, value): &(&String, &String)| !(name.starts_with(NUMERICS_INPUT) && *value == FIRST_NUMERICS);
        let inputs: BTreeMap<&String, &String> = inputs.iter().filter(named).collect();
        let mut content = serde_json::json!({ "schema": KEY_SCHEMA, "cell": self, "inputs": inputs });
        content.sort_all_objects();
        let digest = Sha256::digest(content.to_string());
        CellKey(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The name of the file that holds this cell's record: `<model and recipe>-<key, 16 digits>.json`.
    pub fn file_name(&self, key: &CellKey) -> String {
        format!("{}{RECORD}", self.stem(key))
    }

    /// The name of the file that holds the samples of this cell's record.
    pub(crate) fn sample_file_name(&self, key: &CellKey) -> String {
        format!("{}{SAMPLES}", self.stem(key))
    }

    /// What the names of all files about this cell begin with.
    pub(crate) fn stem(&self, key: &CellKey) -> String {
        format!("{}-{}", self.slug(), key.short())
    }

    /// Model and recipe in letters, digits, dots and single dashes, for people to recognise a file by.
    fn slug(&self) -> String {
        const LONGEST: usize = 80;
        let model = self.model.trim_end_matches('/');
        let model = model.rsplit('/').next().unwrap_or(model);
        let mut slug = String::new();
        for c in format!("{model} {}", self.recipe.join(" ")).chars() {
            if slug.len() == LONGEST {
                break;
            }
            if c.is_ascii_alphanumeric() || (c == '.' && !slug.is_empty()) {
                slug.push(c.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.trim_end_matches(['-', '.']).to_owned()
    }
}

/// As people tell cells of an experiment apart: `tiny wanda(ratio=0.5) on torch cpu f32, seed 1`.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            model,
            engine,
            device,
            dtype,
            seed,
            ..
        } = self;
        let recipe = self.recipe.join(" + ");
        write!(f, "{model} {recipe} on {engine} {device} {dtype}, seed {seed}")
    }
}

/// The identity of a cell's numbers: 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CellKey(String);

impl CellKey {
    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 16 digits, as they stand in file names.
    pub fn short(&self) -> &str {
        &self.0[..16]
    }
}

impl fmt::Display for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<CellKey> for String {
    fn from(key: CellKey) -> Self {
        key.0
    }
}

impl TryFrom<String> for CellKey {
    type Error = CellKeyError;

    fn try_from(text: String) -> Result<Self, CellKeyError> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text))
        } else {
            Err(CellKeyError { found: text })
        }
    }
}

/// A text that is no cell key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no cell key: 64 lower-case hexadecimal digits are wanted")]
pub struct CellKeyError {
    /// The text.
    pub found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell() -> Cell {
        Cell {
            model: "hf:org/Some Model".into(),
            recipe: vec!["wanda(sparsity=0.5)".into(), "shortgpt(blocks=3)".into()],
            engine: "candle".into(),
            device: "cpu".into(),
            dtype: "f32".into(),
            seed: 7,
            evaluation: Evaluation {
                perplexity: vec![PerplexityRequest {
                    protocol: "wikitext2/stream-512@1".into(),
                    windows: Some(16),
                }],
                ..Evaluation::default()
            },
        }
    }

    fn inputs() -> Inputs {
        [("model", "abc"), ("threads", "2")]
            .map(|(k, v)| (k.into(), v.into()))
            .into()
    }

    #[test]
    fn key_is_the_hash_of_the_documented_canonical_text() {
        let canonical = concat!(
            r#"{"cell":{"device":"cpu","dtype":"f32","engine":"candle","evaluation":{"perplexity":"#,
            r#"[{"protocol":"wikitext2/stream-512@1","windows":16}],"throughput":null},"#,
            r#""model":"hf:org/Some Model","recipe":["wanda(sparsity=0.5)","shortgpt(blocks=3)"],"#,
            r#""seed":7},"inputs":{"model":"abc","threads":"2"},"schema":1}"#
        );
        let expected: String = Sha256::digest(canonical)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(cell().key(&inputs()).as_str(), expected);
    }

    #[test]
    fn everything_that_decides_the_numbers_changes_the_key() {
        let key = cell().key(&inputs());
        let task = |shots| TaskRequest {
            task: "t@1".into(),
            shots,
            shots_split: None,
            shots_seed: 1234,
            limit: None,
            divergence: false,
        };
        let changes: [fn(&mut Cell); 7] = [
            |c| c.model.push('x'),
            |c| c.recipe.reverse(),
            |c| c.engine.push('x'),
            |c| c.device.push('x'),
            |c| c.dtype.push('x'),
            |c| c.seed += 1,
            |c| c.evaluation.perplexity[0].windows = None,
        ];
        for change in changes {
            let mut other = cell();
            change(&mut other);
            assert_ne!(other.key(&inputs()), key, "{other:?}");
        }
        let mut tasks = cell();
        tasks.evaluation.tasks = vec![task(0)];
        let zero_shot = tasks.key(&inputs());
        tasks.evaluation.tasks = vec![task(5)];
        assert!(zero_shot != key && tasks.key(&inputs()) != zero_shot);
        let mut other = inputs();
        other.insert("model".into(), "abd".into());
        assert_ne!(cell().key(&other), key);
        let mut other = inputs();
        other.insert("numerics:candle".into(), "version 2".into());
        assert_ne!(cell().key(&other), key);
        other.insert("numerics:candle".into(), FIRST_NUMERICS.into());
        assert_eq!(cell().key(&other), key);
    }

    #[test]
    fn a_request_without_ranks_and_ceilings_reads_and_writes_as_before_there_were_any() {
        let text = r#"{"prompt_tokens":8,"generated_tokens":4,"batch":1,"repeats":3,"warmup":1}"#;
        let mut request: ThroughputRequest = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        request.tensor_parallel = Some(TensorParallel {
            ranks: 2,
            all_reduce_latency_us: 50,
        });
        request.ceilings = true;
        let again: ThroughputRequest = serde_json::from_str(&serde_json::to_string(&request).unwrap()).unwrap();
        assert_eq!(again, request);
    }

    #[test]
    fn file_names_are_plain_and_carry_the_key() {
        let key = cell().key(&inputs());
        assert_eq!(
            cell().file_name(&key),
            format!("some-model-wanda-sparsity-0.5-shortgpt-blocks-3-{}.json", key.short())
        );
        let odd = Cell {
            model: "../../..".into(),
            recipe: vec!["é/\0".into()],
            ..cell()
        };
        assert_eq!(odd.slug(), "");
        let long = Cell {
            recipe: vec!["x".repeat(500)],
            ..cell()
        };
        assert_eq!(long.slug().len(), 80);
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let mut json = serde_json::to_value(cell()).unwrap();
        json["evaluation"]["perplexty"] = serde_json::json!([]);
        let error = serde_json::from_value::<Cell>(json).unwrap_err().to_string();
        assert!(error.contains("perplexty"), "{error}");
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        let key = cell().key(&inputs());
        assert_eq!(CellKey::try_from(key.to_string()), Ok(key.clone()));
        for bad in [String::new(), key.to_string().to_uppercase(), format!("{key}0")] {
            assert!(CellKey::try_from(bad).is_err());
        }
    }
}
