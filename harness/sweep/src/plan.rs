//! The grid as cells with their keys, everything checked before anything runs.

use std::path::{Path, PathBuf};

use prunebench_datasets::{Catalogue, Places};
use prunebench_methods::Recipe;
use prunebench_model::checkpoint::content_hash;
use prunebench_model::source::{Location, ModelSource};
use prunebench_results::{Cell, CellKey, Evaluation, Inputs, MODEL_INPUT};
use prunebench_tensor::{DType, DeviceKind, Engine};
use prunebench_train::TrainingRun;
use serde_json::json;

use crate::data::DataInputs;
use crate::experiment::{Expectation, Experiment, Limits};
use crate::machine::{cores, engine_version};
use crate::message::Request;
use crate::problem::{Collector, Problems};
use crate::recipe::{depends_on_seed, needs_calibration, needs_recovery, needs_training_run};

/// The recipe that every other is compared with, and that has to come out as expected first: the model as it is.
pub const BASELINE: &str = "dense";

/// [`BASELINE`] as a recipe.
pub fn baseline() -> Vec<String> {
    vec![BASELINE.to_owned()]
}

/// A cell with everything that its process needs.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What is asked.
    pub cell: Cell,
    /// What else decides its numbers.
    pub inputs: Inputs,
    /// The hash of both.
    pub key: CellKey,
    pub(crate) request: Request,
}

impl Planned {
    /// Whether this is the model as it is.
    pub fn is_baseline(&self) -> bool {
        self.cell.recipe == baseline()
    }

    /// Whether it needs a GPU for itself.
    pub(crate) fn is_on_gpu(&self) -> bool {
        matches!(self.cell.device.parse(), Ok(DeviceKind::Cuda(_)))
    }

    /// Whether it must run alone, because others beside it would slow it.
    pub(crate) fn measures_speed(&self) -> bool {
        self.cell.evaluation.throughput.is_some() || self.cell.evaluation.training.is_some()
    }
}

/// The cells of an experiment, the baseline's first. Where nothing but speed is measured every seed is a round: all cells run
/// once with one seed, its tokens the same for all, then all with the next, so that what else the machine does meets all alike.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name of the experiment.
    pub experiment: String,
    /// In the order of their run.
    pub cells: Vec<Planned>,
    pub(crate) expect: Vec<Expectation>,
    pub(crate) limits: Limits,
}

/// A model that was found.
struct Model {
    spec: String,
    name: String,
    path: Option<PathBuf>,
    hash: String,
    /// Hash of what its training left beside it.
    training_run: String,
}

impl Plan {
    /// Plans an experiment whose texts and tasks are at `data` if they aren't on the Hub. Models, texts and tasks that lie
    /// elsewhere are fetched here, so that no cell waits for them, and every request of a task is rendered once, so that a
    /// row that doesn't fit shows now.
    ///
    /// # Errors
    /// Everything that is wrong with the experiment or missing on this machine, at once.
    pub fn new(experiment: &Experiment, data: Option<&Path>) -> Result<Self, Problems> {
        let mut problems = Collector::default();
        check_shape(experiment, &mut problems);
        let recipes = recipes(experiment, &mut problems);
        let devices = devices(experiment, &mut problems);
        let calibrated = recipes.iter().any(needs_calibration);
        let (evaluation, data_inputs) = match Catalogue::embedded() {
            Ok(catalogue) => {
                let places = Places::from_env(data.map(Path::to_owned));
                let evaluation = experiment.evaluation.expand(&catalogue, &mut problems);
                let mut inputs = DataInputs::texts(experiment, &catalogue, &places, calibrated, &mut problems);
                if recipes.iter().any(needs_recovery) {
                    inputs.add_recovery(experiment, &catalogue, &places, &mut problems);
                }
                inputs.add_tasks(&evaluation, &catalogue, &places, &mut problems);
                (evaluation, inputs)
            }
            Err(error) => {
                problems.machine(error);
                Default::default()
            }
        };
        let models = models(experiment, &mut problems);
        problems.finish(&experiment.name)?;

        let planner = Planner {
            experiment,
            data: data.map(Path::to_owned),
            threads: experiment.threads.unwrap_or_else(cores),
            data_inputs,
        };
        let rounds = experiment.evaluation.is_speed_alone();
        let mut cells = Vec::new();
        for evaluation in experiment.evaluation.settings(&evaluation) {
            for model in &models {
                for recipe in &recipes {
                    for (engine, device, dtype) in &devices {
                        let seeds = if rounds || depends_on_seed(recipe) {
                            experiment.seeds.as_slice()
                        } else {
                            &experiment.seeds[..1]
                        };
                        let place = (*engine, device.as_str(), *dtype);
                        cells.extend(
                            seeds
                                .iter()
                                .map(|&seed| planner.cell(model, recipe, place, seed, &evaluation)),
                        );
                    }
                }
            }
        }
        // The sorts are stable: the rest stays recipe by recipe.
        cells.sort_by_key(|planned| !planned.is_baseline());
        if rounds {
            cells.sort_by_key(|planned| experiment.seeds.iter().position(|seed| *seed == planned.cell.seed));
        }
        Ok(Self {
            experiment: experiment.name.clone(),
            cells,
            expect: experiment.expect.clone(),
            limits: experiment.limits,
        })
    }
}

/// What the cells of a plan share.
struct Planner<'a> {
    experiment: &'a Experiment,
    data: Option<PathBuf>,
    threads: usize,
    data_inputs: DataInputs,
}

impl Planner<'_> {
    fn cell(
        &self,
        model: &Model,
        recipe: &Recipe,
        place: (Engine, &str, &str),
        seed: u64,
        evaluation: &Evaluation,
    ) -> Planned {
        let (engine, device, dtype) = place;
        let cell = Cell {
            model: model.spec.clone(),
            recipe: recipe.canonical(),
            engine: engine.to_string(),
            device: device.to_owned(),
            dtype: dtype.to_owned(),
            seed,
            evaluation: evaluation.clone(),
        };
        let calibration = self
            .experiment
            .calibration
            .as_ref()
            .filter(|_| needs_calibration(recipe));
        let mut inputs = Inputs::from([
            (MODEL_INPUT.to_owned(), model.hash.clone()),
            ("model name".to_owned(), model.name.clone()),
            (format!("engine:{engine}"), engine_version(engine)),
            ("prunebench".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("threads".to_owned(), self.threads.to_string()),
        ]);
        inputs.extend(self.data_inputs.scored.iter().cloned());
        for method in recipe.methods() {
            let card = method.card();
            inputs.insert(format!("method:{}", card.id), format!("version {}", card.version));
        }
        if let Some(calibration) = calibration {
            inputs.extend(self.data_inputs.calibration.iter().cloned());
            let windows = format!(
                "{} windows of {} tokens of {}/{}, drawn by the seed",
                calibration.windows, calibration.window, calibration.text, calibration.split
            );
            inputs.insert("calibration".to_owned(), windows);
        }
        let recovery = self.experiment.recovery.as_ref().filter(|_| needs_recovery(recipe));
        if let Some(recovery) = recovery {
            inputs.extend(self.data_inputs.recovery.iter().cloned());
            inputs.insert("recovery".to_owned(), json!(recovery).to_string());
        }
        if needs_training_run(recipe) {
            inputs.insert("training run".to_owned(), model.training_run.clone());
        }
        Planned {
            key: cell.key(&inputs),
            request: Request {
                cell: cell.clone(),
                inputs: inputs.clone(),
                model: model.path.clone(),
                calibration: calibration.cloned(),
                recovery: recovery.cloned(),
                data: self.data.clone(),
                threads: self.threads,
            },
            inputs,
            cell,
        }
    }
}

fn check_shape(experiment: &Experiment, problems: &mut Collector) {
    let name = &experiment.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        problems.usage(format_args!(
            "name `{name}` names a folder: letters, digits, `-`, `_` and `.` are wanted, and no `.` first"
        ));
    }
    let axes = [
        ("models", experiment.models.len()),
        ("engines", experiment.engines.len()),
        ("devices", experiment.devices.len()),
        ("dtypes", experiment.dtypes.len()),
        ("seeds", experiment.seeds.len()),
    ];
    for (axis, _) in axes.iter().filter(|(_, entries)| *entries == 0) {
        problems.usage(format_args!("`{axis}` is empty; it needs at least one entry"));
    }
    let evaluation = &experiment.evaluation;
    if evaluation.perplexity.is_empty() && evaluation.tasks.is_empty() && !evaluation.is_speed_alone() {
        problems.usage("`evaluation` measures nothing; it needs `perplexity`, `tasks` or `throughput`");
    }
    if experiment.threads == Some(0) {
        problems.usage("threads = 0 computes nothing; leave it out for all cores");
    }
    let limits = [
        ("timeout_s", experiment.limits.timeout_s),
        ("memory_gb", experiment.limits.memory_gb),
    ];
    for (limit, value) in limits {
        if value.is_some_and(|value| !(value > 0.0 && value.is_finite())) {
            problems.usage(format_args!(
                "limits.{limit} must be a positive number; leave it out for no limit"
            ));
        }
    }
    for expect in &experiment.expect {
        let asked = |expect: &Expectation| {
            let mut requests = evaluation.perplexity.iter();
            requests.any(|request| request.protocol == expect.protocol && request.windows == expect.windows)
        };
        if !experiment.models.contains(&expect.model) || !asked(expect) {
            problems.usage(format_args!(
                "expect: {} with {} and windows = {:?} is not measured here; it must repeat an entry of `models` and one \
                 of `evaluation.perplexity`",
                expect.model, expect.protocol, expect.windows
            ));
        }
        if !(expect.value > 0.0 && expect.relative_tolerance > 0.0) {
            problems.usage("expect: value and relative_tolerance must be positive");
        }
    }
}

fn recipes(experiment: &Experiment, problems: &mut Collector) -> Vec<Recipe> {
    let mut recipes: Vec<Recipe> = Vec::new();
    let written = std::iter::once(Ok(baseline())).chain(experiment.expanded_recipes());
    for methods in written {
        match methods.and_then(|methods| Recipe::parse(&methods).map_err(|error| error.to_string())) {
            Ok(recipe) if recipes.iter().any(|other| other.canonical() == recipe.canonical()) => {}
            Ok(recipe) => recipes.push(recipe),
            Err(error) => problems.usage(error),
        }
    }
    recipes
}

fn devices<'a>(experiment: &'a Experiment, problems: &mut Collector) -> Vec<(Engine, String, &'a str)> {
    for dtype in &experiment.dtypes {
        match dtype.parse::<DType>() {
            Ok(dtype) if !dtype.is_float() => problems.usage(format_args!("dtypes: a model can't compute in {dtype}")),
            Ok(_) => {}
            Err(error) => problems.usage(format_args!("dtypes: {error}")),
        }
    }
    let kinds: Vec<DeviceKind> = experiment
        .devices
        .iter()
        .filter_map(|device| {
            device
                .parse()
                .map_err(|error| problems.usage(format_args!("devices: {error}")))
                .ok()
        })
        .collect();
    let mut devices = Vec::new();
    for engine in &experiment.engines {
        let engine: Engine = match engine.parse() {
            Ok(engine) => engine,
            Err(error) => {
                problems.usage(format_args!("engines: {error}"));
                continue;
            }
        };
        if !Engine::compiled().contains(&engine) {
            problems.machine(format_args!(
                "engines: {engine} is not in this build; run `make setup` and build with the cargo feature `{engine}`, or \
                 leave it out"
            ));
        }
        for kind in &kinds {
            devices.extend(
                experiment
                    .dtypes
                    .iter()
                    .map(|dtype| (engine, kind.to_string(), dtype.as_str())),
            );
        }
    }
    devices
}

fn models(experiment: &Experiment, problems: &mut Collector) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for spec in &experiment.models {
        if models.iter().any(|model| model.spec == *spec) {
            continue;
        }
        let found = spec.parse::<ModelSource>().and_then(|source| {
            let resolved = source.resolve()?;
            let hash = resolved.content_hash()?;
            let training_run = match &resolved.location {
                Location::Path(path) => TrainingRun::beside(path),
                Location::Random(_) => None,
            };
            let files = training_run.map(|run| run.files()).unwrap_or_default();
            let hashes: Vec<String> = files.iter().map(|file| content_hash(file)).collect::<Result<_, _>>()?;
            Ok(Model {
                training_run: hashes.join(" "),
                spec: spec.clone(),
                name: resolved.name,
                hash,
                path: match resolved.location {
                    Location::Path(path) => Some(path),
                    Location::Random(_) => None,
                },
            })
        });
        match found {
            Ok(model) => models.push(model),
            Err(error) => problems.machine(error),
        }
    }
    models
}
