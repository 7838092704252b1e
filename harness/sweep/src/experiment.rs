//! The experiment file: a grid of cells in TOML.

use std::fs;
use std::path::Path;

use prunebench_methods::config::parse_strict;
use serde::{Deserialize, Serialize};

use crate::evaluation::EvaluationText;
use crate::problem::{Problem, Problems};
use crate::recovery::Recovery;

/// A grid of cells: every model × recipe × engine × device × dtype × seed, measured alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Names the folder of its results: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Model sources.
    pub models: Vec<String>,
    /// Methods to apply. `{a,b}` in a recipe stands for one recipe with each: `magnitude(ratio={0.3,0.5})` is two. The
    /// baseline is measured always.
    pub recipes: Vec<RecipeText>,
    /// Tensor engines.
    pub engines: Vec<String>,
    /// Devices.
    #[serde(default = "cpu")]
    pub devices: Vec<String>,
    /// Element types.
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
}

/// A recipe as written: one method, or several in order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "a recipe is a string such as \"magnitude(ratio=0.5)\", or a list of such strings"
)]
pub enum RecipeText {
    /// One method.
    One(String),
    /// Several, applied in order.
    Several(Vec<String>),
}

/// Calibration text: windows at places that the cell's seed draws.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
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
    /// Reads a file.
    ///
    /// # Errors
    /// A file that can't be read, is no TOML, or has a key that is unknown, missing or of the wrong type.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let usage = |text: String| Problems {
            experiment: path.display().to_string(),
            problems: vec![Problem { usage: true, text }],
        };
        let text = fs::read_to_string(path).map_err(|error| {
            usage(format!(
                "{error}; name an experiment file, such as those in harness/experiments"
            ))
        })?;
        let table = toml::from_str(&text).map_err(|error| usage(error.to_string()))?;
        parse_strict("experiment", table).map_err(|error| usage(error.to_string()))
    }

    /// Every recipe, braces expanded, without repetitions; an error for each that is empty or whose braces don't pair.
    pub(crate) fn expanded_recipes(&self) -> Vec<Result<Vec<String>, String>> {
        let mut all: Vec<Result<Vec<String>, String>> = Vec::new();
        for recipe in &self.recipes {
            let methods = match recipe {
                RecipeText::One(method) => std::slice::from_ref(method),
                RecipeText::Several(methods) => methods,
            };
            for recipe in expand_recipe(methods) {
                if !all.contains(&recipe) {
                    all.push(recipe);
                }
            }
        }
        all
    }
}

fn expand_recipe(methods: &[String]) -> Vec<Result<Vec<String>, String>> {
    let mut recipes = vec![Vec::new()];
    for method in methods {
        match expand(method) {
            Err(error) => return vec![Err(error)],
            Ok(choices) => {
                recipes = recipes
                    .iter()
                    .flat_map(|recipe| {
                        choices
                            .iter()
                            .map(|choice| [recipe.as_slice(), std::slice::from_ref(choice)].concat())
                    })
                    .collect();
            }
        }
    }
    recipes.into_iter().map(Ok).collect()
}

/// `a{b,c}d` as `abd` and `acd`; several braces give every combination, the last varying fastest.
fn expand(text: &str) -> Result<Vec<String>, String> {
    let fault = |what: &str| {
        Err(format!(
            "recipe `{text}`: {what}; write one recipe for each of a and b as {{a,b}}"
        ))
    };
    let Some((before, rest)) = text.split_once('{') else {
        return if text.contains('}') {
            fault("a `}` without `{`")
        } else {
            Ok(vec![text.to_owned()])
        };
    };
    let Some((choices, after)) = rest.split_once('}') else {
        return fault("a `{` without `}`");
    };
    if before.contains('}') || choices.contains('{') {
        return fault("braces that don't pair");
    }
    let tails = expand(after)?;
    let choices = choices.split(',').map(str::trim);
    Ok(choices
        .flat_map(|choice| tails.iter().map(move |tail| format!("{before}{choice}{tail}")))
        .collect())
}

#[cfg(test)]
#[path = "experiment_tests.rs"]
mod tests;
