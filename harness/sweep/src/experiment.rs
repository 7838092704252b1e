//! The experiment file: a grid of cells in TOML.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use prunebench_methods::config::parse_strict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::{self, Files};
use crate::evaluation::EvaluationText;
use crate::problem::{Problem, Problems, Source};
use crate::recovery::Recovery;
use crate::schema;

/// A grid of cells: every model × recipe × engine × device × dtype × seed, measured alike.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Files that give the keys which this one leaves out, relative to it; of several that give one, the last counts.
    #[serde(default)]
    pub include: Vec<PathBuf>,
    /// Names the folder of its results: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Model sources.
    pub models: Vec<String>,
    /// Methods to apply. `{a,b}` in a recipe stands for one recipe with each: `magnitude(ratio={0.3,0.5})` is two. `{name}`
    /// stands for the entries of that axis, the same wherever a recipe has it. The baseline is measured always.
    pub recipes: Vec<RecipeText>,
    /// Named axes of the recipes: `ratio = [0.3, 0.5]` for `magnitude(ratio={ratio})`.
    #[serde(default)]
    pub axes: BTreeMap<String, Vec<AxisValue>>,
    /// Tensor engines.
    pub engines: Vec<String>,
    /// Devices.
    #[serde(default = "cpu")]
    pub devices: Vec<String>,
    /// Element types: `f64`, `f32`, `bf16`, `f16`, and `tf32`, which is f32 whose products a GPU may round.
    #[serde(default = "f32")]
    pub dtypes: Vec<String>,
    /// Seeds of recipes whose outcome depends on one; the others are measured with the first.
    #[serde(default = "zero")]
    pub seeds: Vec<u64>,
    /// Compute threads; all cores if absent.
    #[serde(default)]
    pub threads: Option<usize>,
    /// Text for the methods that need some.
    #[serde(default)]
    pub calibration: Option<Calibration>,
    /// Data for the methods that train.
    #[serde(default)]
    pub recovery: Option<Recovery>,
    /// What is measured on every cell.
    pub evaluation: EvaluationText,
    /// What the uncompressed models must give before anything compressed is measured.
    #[serde(default)]
    pub expect: Vec<Expectation>,
    /// What a single cell may take.
    #[serde(default)]
    pub limits: Limits,
    /// The text that this was read from.
    #[serde(skip)]
    pub source: Source,
}

/// A recipe as written: one method, or several in order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a recipe is a string such as \"magnitude(ratio=0.5)\", a list of such strings, or \
                 { recipe = [\"shortgpt(ratio=0.25)\", \"finetune(steps=50)\"], seeds = [0, 1, 2] }"
)]
pub enum RecipeText {
    /// One method.
    One(String),
    /// Several, applied in order.
    Several(Vec<String>),
    /// Several, with seeds of their own in place of the experiment's.
    Seeded(Seeded),
}

/// A recipe with seeds of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seeded {
    /// Methods, applied in order.
    pub recipe: Vec<String>,
    /// Its seeds, if its outcome depends on one; else the first counts.
    pub seeds: Vec<u64>,
}

/// An entry of a named axis, as it is put into a recipe.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AxisValue {
    /// `true` or `false`.
    Switch(bool),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// Any text.
    Text(String),
}

impl fmt::Display for AxisValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch(value) => value.fmt(f),
            Self::Whole(value) => value.fmt(f),
            // As TOML has it, where 1.0 is no whole number.
            Self::Number(value) => toml::Value::from(*value).fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// Calibration text: windows at places that the cell's seed draws.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Data set.
    pub text: String,
    /// Its split; not the one that a protocol scores.
    pub split: String,
    /// Number of windows.
    pub windows: usize,
    /// Tokens in each.
    pub window: usize,
}

/// The value that an uncompressed model is known to have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Model source, as in `models`.
    pub model: String,
    /// Protocol, as in the evaluation.
    pub protocol: String,
    /// Windows, as in the evaluation.
    #[serde(default)]
    pub windows: Option<usize>,
    /// Perplexity.
    pub value: f64,
    /// Largest |found − value| / value.
    pub relative_tolerance: f64,
}

/// What a single cell may take; no limit where absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Seconds on the clock.
    #[serde(default)]
    pub timeout_s: Option<f64>,
    /// Resident memory in units of 10⁹ bytes.
    #[serde(default)]
    pub memory_gb: Option<f64>,
    /// How often a cell that failed is tried again at once; one beyond its limits is not.
    #[serde(default)]
    pub retries: u32,
    /// Seconds between checkpoints of a recipe's trainings, from which a cell that is started again goes on; 300 if absent, and 0
    /// for one after every step.
    #[serde(default)]
    pub checkpoint_s: Option<f64>,
}

fn cpu() -> Vec<String> {
    vec!["cpu".to_owned()]
}

fn f32() -> Vec<String> {
    vec!["f32".to_owned()]
}

fn zero() -> Vec<u64> {
    vec![0]
}

impl Experiment {
    /// Reads a file and those that it includes. Mistakes in them that leave an experiment over are told by the plan, together
    /// with what the plan finds.
    ///
    /// # Errors
    /// Files that can't be read, are no TOML, or have keys that are unknown, missing or of the wrong type.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        Self::read_from(path, Files::Disk)
    }

    pub(crate) fn read_from(path: &Path, files: Files) -> Result<Self, Problems> {
        let document = document::read(path, files, &schema::of::<Self>());
        let mut source = document.source;
        match parse_strict::<Self>("experiment", document.table) {
            Ok(experiment) => Ok(Self { source, ..experiment }),
            Err(error) => {
                // Without what was taken out as wrong, more may be missing than what the text lacks.
                if source.problems.is_empty() {
                    source.problems.push(Problem {
                        usage: true,
                        place: None,
                        text: error.to_string(),
                    });
                }
                Err(Problems::new(path.display().to_string(), source.problems))
            }
        }
    }
}

#[cfg(test)]
#[path = "experiment_tests.rs"]
mod tests;
