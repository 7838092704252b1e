//! Whether a configuration draws from the seed is what it says.

use std::path::Path;

use prunebench_model::Decoder;
use prunebench_tensor::{Device, Tensor};
use prunebench_train::{Domain, Example, Source, TrainingRun, Validation};
use serde_json::{Map, Value, json};

use crate::fixture::{model, trained_after, windows};
use crate::{Error, Recipe, Recovery, Run, find, registry};

/// The configuration of a method's example, with trainings of one step, and similar enough for any blocks to be merged.
fn example(text: &str) -> Map<String, Value> {
    let recipe = Recipe::parse(&[text]).unwrap();
    let Value::Object(mut config) = recipe.methods().next().unwrap().config() else {
        panic!("{text}: a configuration is an object");
    };
    for (key, value) in [
        ("steps", json!(1)),
        ("batch", json!(2)),
        ("length", json!(16)),
        ("threshold", json!(-1.0)),
    ] {
        if config.contains_key(key) {
            config.insert(key.to_owned(), value);
        }
    }
    config
}

fn recipe(method: &str, config: &Map<String, Value>) -> Result<Recipe, Error> {
    let given = config.iter().filter(|(_, value)| !value.is_null());
    let arguments: Vec<String> = given.map(|(key, value)| format!("{key}={value}")).collect();
    let text = format!("{method}({})", arguments.join(", "));
    let after = trained_after(find(method)?.card);
    let methods: Vec<&str> = std::iter::once(text.as_str()).chain(after).collect();
    Recipe::parse(&methods)
}

/// Every value of a key that is one of some words, as the refusal of another word lists them.
fn words(method: &str, config: &Map<String, Value>, key: &str) -> Vec<Value> {
    let mut other = config.clone();
    other.insert(key.to_owned(), json!("no-such-word"));
    let refusal = recipe(method, &other).unwrap_err().to_string();
    let (_, words) = refusal.split_once("values: ").unwrap_or_else(|| panic!("{refusal}"));
    words.split(", ").map(|word| json!(word)).collect()
}

/// The example of a method, and it with each other value of each switch and each word among its keys that goes with the rest.
fn variants(method: &str, text: &str) -> Vec<Recipe> {
    let config = example(text);
    let mut variants = vec![recipe(method, &config).unwrap()];
    for (key, value) in &config {
        let others = match value {
            Value::Bool(switch) => vec![json!(!switch)],
            Value::String(_) => words(method, &config, key),
            _ => Vec::new(),
        };
        for other in others.into_iter().filter(|other| other != value) {
            let mut config = config.clone();
            config.insert(key.clone(), other);
            variants.extend(recipe(method, &config));
        }
    }
    variants
}

/// The fixture's training: every average, and the best weights, are those of the model in reverse order.
fn training_run(model: &Decoder, folder: &Path) -> Option<TrainingRun> {
    let run = TrainingRun::of(folder);
    let reversed = |tensor: &Tensor| {
        let mut values = tensor.to_vec::<f32>().unwrap();
        values.reverse();
        Tensor::from_slice(&values, &tensor.shape(), &tensor.device()).unwrap()
    };
    let parameters = model.parameters().into_iter();
    let reversed: Vec<(String, Tensor)> = parameters.map(|(name, tensor)| (name, reversed(tensor))).collect();
    let of = |weighting: &str| {
        let named = reversed.iter();
        let named = named.map(|(name, tensor)| (format!("{weighting}.{name}"), tensor));
        named.collect::<Vec<_>>()
    };
    let averages = ["linear", "uniform", "sqrt", "magnitude", "ema"].map(of).concat();
    run.save_trajectory(&averages).unwrap();
    let best: Vec<(String, &Tensor)> = reversed.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    run.save_best(&best).unwrap();
    TrainingRun::beside(folder)
}

/// What decides the model's function: the order of its blocks, and every stored number.
fn left(recipe: &Recipe, model: &Decoder, folder: &Path, seed: u64) -> (String, Vec<Vec<f64>>) {
    let tokens: Vec<u32> = (0..500).map(|t| (t * t * 7 + t * 5) % 64).collect();
    let held_out = Validation {
        name: "a".to_owned(),
        examples: vec![Example::new("a", 0, tokens[..16].to_vec(), 0)],
        cut: false,
    };
    let recovery = Recovery {
        domains: vec![(
            Domain {
                name: "a".to_owned(),
                source: Source::Stream(tokens),
            },
            1.0,
        )],
        validation: vec![held_out],
    };
    let (windows, mut quiet) = (windows(), |_: usize, _: usize, _: &str| {});
    let mut run = Run::new(model, &windows, seed, &mut quiet).with(recovery, training_run(model, folder));
    if let Err(error) = recipe.apply(&mut run) {
        panic!("{recipe}: {error}");
    }
    let parameters = run.model.parameters().into_iter();
    let values = parameters.map(|(_, tensor)| tensor.to_f64_vec().unwrap());
    (format!("{:?}", run.model.graph), values.collect())
}

#[test]
fn another_seed_gives_another_model_if_and_only_if_the_configuration_says_so() {
    let model = model(&Device::available()[0]);
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for entry in registry() {
        for recipe in variants(entry.card.id, entry.card.example) {
            let of = |seed| left(&recipe, &model, folder.path(), seed);
            let first = of(0);
            let differs = (1..4).any(|seed| of(seed) != first);
            if differs != recipe.is_stochastic() {
                wrong.push(format!(
                    "{recipe}: says {}, and another seed gives {} model",
                    recipe.is_stochastic(),
                    if differs { "another" } else { "the same" }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
