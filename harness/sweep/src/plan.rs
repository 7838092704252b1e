//! The grid as cells with their keys, everything checked before anything runs.

use std::path::{Path, PathBuf};

use prunebench_datasets::{Catalogue, Places};
use prunebench_eval::DENSE_STATES;
use prunebench_methods::{Method, Need, Recipe};
use prunebench_results::{Cell, CellKey, Evaluation, Inputs, MODEL_INPUT, SharedWork, TaskRequest};
use prunebench_tensor::{Device, Engine};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::axes::{self, Axes, Model, PlacedRecipe, Where};
use crate::data::DataInputs;
use crate::evaluation::task_input;
use crate::experiment::{Calibration, Expectation, Experiment, Limits};
use crate::impossible::Impossible;
use crate::machine::{cores, engine_version};
use crate::message::{Cache, Checkpoints, Request, Shares};
use crate::precision::Precision;
use crate::problem::{Collector, Problems};
use crate::recipe::{depends_on_seed, needs_calibration, needs_recovery};
use crate::recovery::Recovery;
use crate::unchanged::TRAINING_RUN_INPUT;
use crate::versions;

/// The recipe that every other is compared with, and that has to come out as expected first: the model as it is.
pub const BASELINE: &str = "dense";
/// Seconds between checkpoints of a training, if the experiment says nothing.
const CHECKPOINT_S: f64 = 300.0;

/// [`BASELINE`] as a recipe.
pub fn baseline() -> Vec<String> {
    vec![BASELINE.to_owned()]
}

/// A cell with everything that its process needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// What is asked.
    pub cell: Cell,
    /// What else decides its numbers.
    pub inputs: Inputs,
    /// The hash of both.
    pub key: CellKey,
    /// Why it can't be measured, if its parts don't go together though each goes with others of the grid.
    pub skip: Option<String>,
    pub(crate) request: Request,
}

impl Planned {
    /// Whether this is the model as it is.
    pub fn is_baseline(&self) -> bool {
        self.cell.recipe == baseline()
    }

    /// Keys of the work that cells with the same key among theirs need not do again: once one of them is measured, the others
    /// find what it left.
    pub fn shares(&self) -> impl Iterator<Item = &str> {
        self.request.shares.all().map(|work| work.key.as_str())
    }

    /// Whether products of f32 may be rounded in it.
    pub(crate) fn computes_in_tf32(&self) -> bool {
        self.cell.dtype.parse().is_ok_and(|precision: Precision| precision.tf32)
    }

    /// Whether it needs a GPU for itself.
    pub(crate) fn is_on_gpu(&self) -> bool {
        matches!(self.cell.device.parse(), Ok(prunebench_tensor::DeviceKind::Cuda(_)))
    }

    /// Its device, if it isn't the first GPU, which is the only one that a cell sees that is given one.
    pub fn beyond_one_gpu(&self) -> Option<&str> {
        let device = self.cell.device.as_str();
        (!["cpu", "cuda", "cuda:0"].contains(&device)).then_some(device)
    }

    /// Compute threads of its process.
    pub(crate) fn threads(&self) -> usize {
        self.request.threads
    }

    /// Whether it must run alone, because others beside it would slow it.
    pub(crate) fn measures_speed(&self) -> bool {
        self.cell.evaluation.throughput.is_some() || self.cell.evaluation.training.is_some()
    }
}

/// The cells of an experiment, the baseline's first. Where nothing but speed is measured every seed is a round: all cells run
/// once with one seed, its tokens the same for all, then all with the next, so that what else the machine does meets all alike.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Name of the experiment.
    pub experiment: String,
    /// In the order of their run.
    pub cells: Vec<Planned>,
    pub(crate) expect: Vec<Expectation>,
    pub(crate) limits: Limits,
    /// Whether it measures nothing but speed, in rounds.
    pub(crate) in_rounds: bool,
}

impl Plan {
    /// The plan of some of its cells.
    pub(crate) fn part(&self, cells: &[usize]) -> Self {
        Self {
            experiment: self.experiment.clone(),
            cells: cells.iter().map(|&cell| self.cells[cell].clone()).collect(),
            expect: self.expect.clone(),
            limits: self.limits,
            in_rounds: self.in_rounds,
        }
    }

    /// Plans an experiment whose texts and tasks are at `data` if they aren't on the Hub. Models, texts and tasks that lie
    /// elsewhere are fetched here, so that no cell waits for them, and every request of a task is rendered once, so that a
    /// row that doesn't fit shows now.
    ///
    /// # Errors
    /// Everything that is wrong with the experiment or missing on this machine, at once.
    pub fn new(experiment: &Experiment, data: Option<&Path>) -> Result<Self, Problems> {
        let mut problems = Collector::new(&experiment.source);
        check_shape(experiment, &mut problems);
        let recipes = axes::recipes(experiment, &mut problems);
        let places = axes::places(experiment, &mut problems);
        let needing = |needs: fn(&Recipe) -> bool| recipes.iter().find(|placed| needs(&placed.recipe));
        let (evaluation, data_inputs) = match Catalogue::embedded() {
            Ok(catalogue) => {
                let texts = Places::from_env(data.map(Path::to_owned));
                let evaluation = experiment.evaluation.expand(&catalogue, &mut problems);
                let calibrated = needing(needs_calibration);
                let mut inputs = DataInputs::texts(experiment, &catalogue, &texts, calibrated, &mut problems);
                if let Some(trained) = needing(needs_recovery) {
                    let validated = needing(|recipe| recipe.needs(Need::ValidationData));
                    inputs.add_recovery(experiment, &catalogue, &texts, trained, validated, &mut problems);
                }
                inputs.add_tasks(&evaluation, &catalogue, &texts, &mut problems);
                (evaluation, inputs)
            }
            Err(error) => {
                problems.machine("", error);
                Default::default()
            }
        };
        let threads = experiment.threads.unwrap_or_else(cores);
        let axes = Axes {
            models: axes::models(experiment, &mut problems),
            recipes,
            places,
            evaluations: experiment.evaluation.settings(&evaluation),
        };
        let impossible = Impossible::check(experiment, &axes, threads, &mut problems);
        problems.finish(&experiment.name)?;
        let planner = Planner {
            experiment,
            data: data.map(Path::to_owned),
            threads,
            data_inputs,
        };
        Ok(Self {
            experiment: experiment.name.clone(),
            cells: planner.cells(&axes, &impossible),
            expect: experiment.expect.clone(),
            limits: experiment.limits,
            in_rounds: experiment.evaluation.is_speed_alone(),
        })
    }
}

impl Plan {
    /// The plan with cells that take what others made from `folder`, and leave there what others may want, up to so many bytes;
    /// none take or leave anything if that is 0.
    pub fn sharing(mut self, folder: &Path, limit_bytes: u64) -> Self {
        for planned in &mut self.cells {
            let shares = &mut planned.request.shares;
            let of_use = limit_bytes > 0 && shares.all().next().is_some();
            shares.cache = of_use.then(|| Cache {
                folder: folder.to_owned(),
                limit_bytes,
            });
        }
        self
    }

    /// The plan with cells whose trainings leave checkpoints in folders of their own in `folder`, and go on with those that are
    /// there.
    pub fn keeping(mut self, folder: &Path) -> Self {
        let every_s = self.limits.checkpoint_s.unwrap_or(CHECKPOINT_S);
        for planned in &mut self.cells {
            let request = &mut planned.request;
            request.checkpoints = request.recovery.is_some().then(|| Checkpoints {
                folder: folder.join(planned.key.short()),
                every_s,
            });
        }
        self
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
    fn cells(&self, axes: &Axes, impossible: &Impossible) -> Vec<Planned> {
        let seeds = self.experiment.seeds.as_slice();
        let rounds = self.experiment.evaluation.is_speed_alone();
        let mut cells = Vec::new();
        for (e, evaluation) in axes.evaluations.iter().enumerate() {
            for (m, model) in axes.models.iter().enumerate() {
                for (r, PlacedRecipe { recipe, seeds: own, .. }) in axes.recipes.iter().enumerate() {
                    let seeds = own.as_deref().filter(|own| !own.is_empty()).unwrap_or(seeds);
                    let all_seeds = rounds || depends_on_seed(recipe);
                    for (p, place) in axes.places.iter().enumerate() {
                        let skip = impossible.reason(m, r, e, p);
                        for &seed in if all_seeds { seeds } else { &seeds[..1] } {
                            cells.push(self.cell(model, recipe, place, seed, evaluation, skip.clone()));
                        }
                    }
                }
            }
        }
        // The sorts are stable: the rest stays recipe by recipe.
        cells.sort_by_key(|planned| !planned.is_baseline());
        if rounds {
            cells.sort_by_key(|planned| seeds.iter().position(|seed| *seed == planned.cell.seed));
        }
        cells
    }

    fn cell(
        &self,
        model: &Model,
        recipe: &Recipe,
        place: &Where,
        seed: u64,
        evaluation: &Evaluation,
        skip: Option<String>,
    ) -> Planned {
        let Device { engine, kind } = place.device;
        let cell = Cell {
            model: model.spec.clone(),
            recipe: recipe.canonical(),
            engine: engine.to_string(),
            device: kind.to_string(),
            dtype: place.dtype.to_string(),
            seed,
            evaluation: evaluation.clone(),
        };
        let inputs = self.inputs(model, recipe, engine);
        Planned {
            key: cell.key(&inputs),
            skip,
            request: Request {
                cell: cell.clone(),
                inputs: inputs.clone(),
                model: model.path.clone(),
                stamps: model.stamps.clone(),
                calibration: self.calibration(recipe).cloned(),
                recovery: self.recovery(recipe).cloned(),
                data: self.data.clone(),
                threads: self.threads,
                shares: self.shares(model, recipe, place, seed, evaluation),
                checkpoints: None,
            },
            inputs,
            cell,
        }
    }

    /// What others can take of a cell's work. The shared work of a method is decided by all that decides what the recipe up to
    /// there leaves, but for what the method itself says does not count.
    fn shares(&self, model: &Model, recipe: &Recipe, place: &Where, seed: u64, evaluation: &Evaluation) -> Shares {
        let Device { engine, kind } = place.device;
        let methods: Vec<&dyn Method> = recipe.methods().collect();
        let texts = recipe.canonical();
        let decided_by = |methods: &[&dyn Method]| {
            json!({
                "inputs": self.compression_inputs(model, methods, engine),
                "device": kind.to_string(),
                "dtype": place.dtype.to_string(),
            })
        };
        let of_method = |index: usize| {
            let name = format!("{}: {}", methods[index].card().id, methods[index].shared_work()?);
            let mut decided_by = decided_by(&methods[..=index]);
            decided_by["after"] = json!(texts[..index]);
            decided_by["seed"] = json!(seed);
            Some(SharedWork::new(name, decided_by))
        };
        let of_task = |request: &TaskRequest| {
            let input = task_input(request);
            let mut decided_by = decided_by(&[]);
            decided_by["requests"] = json!(self.data_inputs.scored.iter().find(|(name, _)| *name == input));
            let work = || SharedWork::new(format!("{input}: {DENSE_STATES}"), decided_by);
            request.divergence.then(work)
        };
        Shares {
            cache: None,
            of_methods: (0..methods.len()).map(of_method).collect(),
            of_tasks: evaluation.tasks.iter().map(of_task).collect(),
        }
    }

    fn calibration(&self, recipe: &Recipe) -> Option<&Calibration> {
        let calibration = self.experiment.calibration.as_ref();
        calibration.filter(|_| needs_calibration(recipe))
    }

    fn recovery(&self, recipe: &Recipe) -> Option<&Recovery> {
        self.experiment.recovery.as_ref().filter(|_| needs_recovery(recipe))
    }

    fn inputs(&self, model: &Model, recipe: &Recipe, engine: Engine) -> Inputs {
        let methods: Vec<&dyn Method> = recipe.methods().collect();
        let mut inputs: Inputs = self.data_inputs.scored.iter().cloned().collect();
        inputs.extend(self.compression_inputs(model, &methods, engine));
        inputs
    }

    /// What decides the model that these methods leave, beside the cell's own text.
    fn compression_inputs(&self, model: &Model, methods: &[&dyn Method], engine: Engine) -> Inputs {
        let need = |need: Need| methods.iter().any(|method| method.needs().contains(&need));
        let mut inputs = Inputs::from([
            (MODEL_INPUT.to_owned(), model.hash.clone()),
            ("model name".to_owned(), model.name.clone()),
            (format!("engine:{engine}"), engine_version(engine)),
            versions::numerics(engine),
            ("threads".to_owned(), self.threads.to_string()),
        ]);
        inputs.extend(methods.iter().map(|method| versions::method(method.card())));
        if let Some(calibration) = self
            .experiment
            .calibration
            .as_ref()
            .filter(|_| need(Need::CalibrationText))
        {
            inputs.extend(self.data_inputs.calibration.iter().cloned());
            let windows = format!(
                "{} windows of {} tokens of {}/{}, drawn by the seed",
                calibration.windows, calibration.window, calibration.text, calibration.split
            );
            inputs.insert("calibration".to_owned(), windows);
        }
        if let Some(recovery) = self.experiment.recovery.as_ref().filter(|_| need(Need::RecoveryData)) {
            inputs.extend(self.data_inputs.recovery.iter().cloned());
            inputs.insert("recovery".to_owned(), json!(recovery).to_string());
        }
        if need(Need::TrainingRun) {
            inputs.insert(TRAINING_RUN_INPUT.to_owned(), model.training_run.clone());
        }
        inputs
    }
}

fn check_shape(experiment: &Experiment, problems: &mut Collector) {
    let name = &experiment.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        let text =
            format!("name `{name}` names a folder: letters, digits, `-`, `_` and `.` are wanted, and no `.` first");
        problems.usage("name", text);
    }
    let axes = [
        ("models", experiment.models.len()),
        ("engines", experiment.engines.len()),
        ("devices", experiment.devices.len()),
        ("dtypes", experiment.dtypes.len()),
        ("seeds", experiment.seeds.len()),
    ];
    for (axis, _) in axes.iter().filter(|(_, entries)| *entries == 0) {
        problems.usage(axis, format_args!("`{axis}` is empty; it needs at least one entry"));
    }
    let evaluation = &experiment.evaluation;
    if evaluation.perplexity.is_empty() && evaluation.tasks.is_empty() && !evaluation.is_speed_alone() {
        let text = "`evaluation` measures nothing; it needs `perplexity`, `tasks` or `throughput`";
        problems.usage("evaluation", text);
    }
    if experiment.threads == Some(0) {
        problems.usage("threads", "threads = 0 computes nothing; leave it out for all cores");
    }
    let limits = [
        ("limits.timeout_s", experiment.limits.timeout_s),
        ("limits.memory_gb", experiment.limits.memory_gb),
    ];
    for (limit, value) in limits {
        if value.is_some_and(|value| !(value > 0.0 && value.is_finite())) {
            problems.usage(
                limit,
                format_args!("{limit} must be a positive number; leave it out for no limit"),
            );
        }
    }
    if experiment
        .limits
        .checkpoint_s
        .is_some_and(|seconds| !(0.0..f64::INFINITY).contains(&seconds))
    {
        problems.usage(
            "limits.checkpoint_s",
            "limits.checkpoint_s must be a number of seconds, 0 or more",
        );
    }
    for (index, expect) in experiment.expect.iter().enumerate() {
        let place = format!("expect[{index}]");
        let asked = |expect: &Expectation| {
            let mut requests = evaluation.perplexity.iter();
            requests.any(|request| request.protocol == expect.protocol && request.windows == expect.windows)
        };
        if !experiment.models.contains(&expect.model) || !asked(expect) {
            let text = format!(
                "expect: {} with {} and windows = {:?} is not measured here; it must repeat an entry of `models` and one \
                 of `evaluation.perplexity`",
                expect.model, expect.protocol, expect.windows
            );
            problems.usage(&place, text);
        }
        if !(expect.value > 0.0 && expect.relative_tolerance > 0.0) {
            problems.usage(&place, "expect: value and relative_tolerance must be positive");
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
