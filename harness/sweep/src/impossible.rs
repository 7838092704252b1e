//! Combinations that can't be: an entry of the grid that goes with nothing is a mistake of the experiment, one that goes with
//! some is left out of the other cells.

use prunebench_eval::check_throughput;
use prunebench_methods::{Need, Recipe};
use prunebench_results::Evaluation;
use prunebench_tensor::{Device, DeviceKind};

use crate::axes::{Axes, Model, PlacedRecipe, Where};
use crate::experiment::Experiment;
use crate::problem::Collector;

/// Why the entries of two axes don't go together, by their positions.
type Reasons = Vec<Vec<Option<String>>>;

/// Why cells can't be.
pub(crate) struct Impossible {
    /// By place.
    places: Vec<Option<String>>,
    /// By model, then by evaluation and place.
    timed: Reasons,
    /// By recipe and model.
    applied: Reasons,
}

impl Impossible {
    /// Tries every combination, and reports the entries that go with nothing.
    pub(crate) fn check(experiment: &Experiment, axes: &Axes, threads: usize, problems: &mut Collector) -> Self {
        let Axes {
            models,
            recipes,
            places,
            evaluations,
        } = axes;
        let found = Self {
            places: places.iter().map(place).collect(),
            timed: table(models, |model| {
                let each = evaluations.iter().flat_map(|evaluation| {
                    places
                        .iter()
                        .map(move |place| timing(model, evaluation, place.device.kind, threads))
                });
                each.collect()
            }),
            applied: table(recipes, |recipe| {
                models.iter().map(|model| application(&recipe.recipe, model)).collect()
            }),
        };
        found.report_places(experiment, places, problems);
        let reads_text = !experiment.evaluation.perplexity.is_empty() || !experiment.evaluation.tasks.is_empty();
        for model in models.iter().filter(|model| reads_text && !model.tokenizer) {
            let text = format!(
                "{} has no tokenizer to read text with; measure `throughput` alone, or take a model with one",
                model.spec
            );
            problems.usage(&model.place, text);
        }
        // Another model, once it is found, may do what these can't.
        if !experiment
            .models
            .iter()
            .all(|spec| models.iter().any(|model| model.spec == *spec))
        {
            return found;
        }
        let mut all_timed = true;
        for index in 0..evaluations.len() {
            let of_all = found
                .timed
                .iter()
                .flat_map(|reasons| &reasons[index * places.len()..][..places.len()]);
            if let Some(reason) = always(of_all) {
                problems.usage(&format!("evaluation.throughput[{index}]"), reason);
                all_timed = false;
            }
        }
        for (model, reasons) in models.iter().zip(&found.timed).filter(|_| all_timed) {
            if let Some(reason) = always(reasons.iter()) {
                problems.usage(&model.place, reason);
            }
        }
        for (PlacedRecipe { place, .. }, reasons) in recipes.iter().zip(&found.applied) {
            if let Some(reason) = always(reasons.iter()) {
                problems.usage(place, reason);
            }
        }
        found
    }

    /// Why a cell can't be, by its positions on the axes.
    pub(crate) fn reason(&self, model: usize, recipe: usize, evaluation: usize, place: usize) -> Option<String> {
        let places = self.places.len();
        let reasons = [
            &self.places[place],
            &self.timed[model][evaluation * places + place],
            &self.applied[recipe][model],
        ];
        reasons.into_iter().flatten().next().cloned()
    }

    fn report_places(&self, experiment: &Experiment, places: &[Where], problems: &mut Collector) {
        let mut report = |axis: &str, entries: &[String], of: fn(&Where) -> String| {
            let mut all_can = true;
            for (index, entry) in entries.iter().enumerate() {
                let of_entry = places.iter().zip(&self.places).filter(|(place, _)| of(place) == *entry);
                if let Some(reason) = always(of_entry.map(|(_, reason)| reason)) {
                    problems.usage(&format!("{axis}[{index}]"), reason);
                    all_can = false;
                }
            }
            all_can
        };
        let _ = report("dtypes", &experiment.dtypes, |place| place.dtype.to_string())
            && report("engines", &experiment.engines, |place| place.device.engine.to_string());
    }
}

fn table<T>(rows: &[T], row: impl FnMut(&T) -> Vec<Option<String>>) -> Reasons {
    rows.iter().map(row).collect()
}

/// The reasons, each once, if there is one for everything, and anything at all.
fn always<'a>(reasons: impl Iterator<Item = &'a Option<String>>) -> Option<String> {
    let mut all: Vec<&str> = Vec::new();
    for reason in reasons {
        let reason = reason.as_deref()?;
        if !all.contains(&reason) {
            all.push(reason);
        }
    }
    (!all.is_empty()).then(|| all.join("; "))
}

fn place(Where { device, dtype }: &Where) -> Option<String> {
    // A GPU may be of another machine than the one that plans.
    if device.kind != DeviceKind::Cpu || Device::is_available(device).is_err() {
        return None;
    }
    if dtype.tf32 {
        return Some(format!("{device} has no tf32, which is of GPUs; take f32"));
    }
    let refusal = device.computes_in(dtype.dtype).err()?;
    Some(format!(
        "{device} can't compute in {dtype} ({refusal}); take another dtype or engine"
    ))
}

fn timing(model: &Model, evaluation: &Evaluation, device: DeviceKind, threads: usize) -> Option<String> {
    let (graph, request) = (model.graph.as_ref()?, evaluation.throughput.as_ref()?);
    let refusal = check_throughput(graph, device, request, threads).err()?;
    Some(format!("{}: {refusal}", model.spec))
}

fn application(recipe: &Recipe, model: &Model) -> Option<String> {
    let lacks = |what: &str, cure: &str| Some(format!("{recipe} reads {what}, and {} has none; {cure}", model.spec));
    let reads_text = recipe.needs(Need::CalibrationText) || recipe.needs(Need::RecoveryData);
    if recipe.needs(Need::TrainingRun) && model.training_run.is_empty() {
        return lacks(
            "what the model's training left beside it",
            "take a model that `prunebench pretrain` made, or `tiny`",
        );
    }
    if reads_text && !model.tokenizer {
        return lacks("text through a tokenizer", "take a model with one");
    }
    None
}
