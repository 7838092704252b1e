//! What a plan spans: models, recipes, and where they run, as far as the experiment names what there is.

use std::collections::HashSet;
use std::path::PathBuf;

use prunebench_methods::Recipe;
use prunebench_model::source::{Location, ModelSource};
use prunebench_model::{Graph, ModelError};
use prunebench_results::Evaluation;
use prunebench_tensor::{Device, DeviceKind, Engine};

use crate::experiment::Experiment;
use crate::grid;
use crate::plan::baseline;
use crate::precision::Precision;
use crate::problem::Collector;
use crate::unchanged::{Stamps, training_run_hash};

/// What a plan spans.
pub(crate) struct Axes {
    pub(crate) models: Vec<Model>,
    /// The baseline first.
    pub(crate) recipes: Vec<PlacedRecipe>,
    pub(crate) places: Vec<Where>,
    /// One for each setting of throughput.
    pub(crate) evaluations: Vec<Evaluation>,
}

/// A model that was found.
pub(crate) struct Model {
    pub(crate) spec: String,
    /// Where the experiment names it.
    pub(crate) place: String,
    /// As tables call it.
    pub(crate) name: String,
    pub(crate) path: Option<PathBuf>,
    pub(crate) hash: String,
    /// How its files looked when they were hashed, if that would tell a change.
    pub(crate) stamps: Option<Stamps>,
    /// Hash of what its training left beside it; empty if that is nothing.
    pub(crate) training_run: String,
    pub(crate) tokenizer: bool,
    /// Known where speed is measured.
    pub(crate) graph: Option<Graph>,
}

/// A recipe, and where the experiment has it.
pub(crate) struct PlacedRecipe {
    pub(crate) place: String,
    pub(crate) recipe: Recipe,
    /// In place of the experiment's seeds.
    pub(crate) seeds: Option<Vec<u64>>,
}

/// Where cells run, and in what.
pub(crate) struct Where {
    pub(crate) device: Device,
    pub(crate) dtype: Precision,
}

/// The recipes that can be read, each once, the baseline first.
pub(crate) fn recipes(experiment: &Experiment, problems: &mut Collector) -> Vec<PlacedRecipe> {
    let mut seen = HashSet::new();
    let mut recipes = Vec::new();
    let dense = grid::Written {
        place: "recipes".to_owned(),
        methods: baseline(),
        seeds: None,
    };
    let written = std::iter::once(dense).chain(grid::recipes(experiment, problems));
    for grid::Written { place, methods, seeds } in written {
        match Recipe::parse(&methods).and_then(|recipe| recipe.check().map(|()| recipe)) {
            Ok(recipe) => {
                if seen.insert(recipe.canonical()) {
                    let seeds = seeds.map(<[u64]>::to_vec);
                    recipes.push(PlacedRecipe { place, recipe, seeds });
                }
            }
            Err(error) => problems.usage(&place, error),
        }
    }
    recipes
}

/// Every engine on every device in every dtype.
pub(crate) fn places(experiment: &Experiment, problems: &mut Collector) -> Vec<Where> {
    let mut dtypes = Vec::new();
    for (index, dtype) in experiment.dtypes.iter().enumerate() {
        let place = format!("dtypes[{index}]");
        match dtype.parse::<Precision>() {
            Ok(dtype) => dtypes.push(dtype),
            Err(error) => problems.usage(&place, format_args!("dtypes: {error}")),
        }
    }
    let mut kinds: Vec<DeviceKind> = Vec::new();
    for (index, device) in experiment.devices.iter().enumerate() {
        match device.parse() {
            Ok(kind) => kinds.push(kind),
            Err(error) => problems.usage(&format!("devices[{index}]"), format_args!("devices: {error}")),
        }
    }
    let mut places = Vec::new();
    for (index, engine) in experiment.engines.iter().enumerate() {
        let place = format!("engines[{index}]");
        let engine: Engine = match engine.parse() {
            Ok(engine) => engine,
            Err(error) => {
                problems.usage(&place, format_args!("engines: {error}"));
                continue;
            }
        };
        if !Engine::compiled().contains(&engine) {
            let text = format!(
                "engines: {engine} is not in this build; run `make setup` and build with the cargo feature `{engine}`, or \
                 leave it out"
            );
            problems.machine(&place, text);
        }
        for &kind in &kinds {
            let device = Device { engine, kind };
            places.extend(dtypes.iter().map(|&dtype| Where { device, dtype }));
        }
    }
    places
}

/// The models, each once, that are found.
pub(crate) fn models(experiment: &Experiment, problems: &mut Collector) -> Vec<Model> {
    let timed = !experiment.evaluation.throughput.is_empty();
    let mut models: Vec<Model> = Vec::new();
    for (index, spec) in experiment.models.iter().enumerate() {
        if models.iter().any(|model| model.spec == *spec) {
            continue;
        }
        let place = format!("models[{index}]");
        match find(spec, &place, timed) {
            Ok(model) => models.push(model),
            Err(error) => problems.machine(&place, error),
        }
    }
    models
}

fn find(spec: &str, place: &str, timed: bool) -> Result<Model, ModelError> {
    let resolved = spec.parse::<ModelSource>()?.resolve()?;
    // Before the hash, so that a change while it is made shows too.
    let stamps = Some(Stamps::of(&resolved)?).filter(Stamps::are_settled);
    Ok(Model {
        spec: spec.to_owned(),
        place: place.to_owned(),
        hash: resolved.content_hash()?,
        stamps,
        training_run: training_run_hash(&resolved)?,
        tokenizer: resolved.has_tokenizer(),
        graph: timed.then(|| resolved.graph()).transpose()?,
        name: resolved.name,
        path: match resolved.location {
            Location::Path(path) => Some(path),
            Location::Random(_) => None,
        },
    })
}
