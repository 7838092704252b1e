//! The data that an experiment reads, found and hashed before anything runs.

use prunebench_datasets::{Catalogue, Places, Scoring, text, text_documents};
use prunebench_results::Evaluation;

use crate::axes::PlacedRecipe;
use crate::evaluation::{TASKS, documents, is_usage, task_input};
use crate::experiment::Experiment;
use crate::problem::Collector;
use crate::unchanged::text_input;

/// Inputs that say what the data was: `data:wikitext2/test` or `task:arc_easy@1`, with a hash.
#[derive(Default)]
pub(crate) struct DataInputs {
    /// Of what is scored.
    pub(crate) scored: Vec<(String, String)>,
    /// Of the calibration text.
    pub(crate) calibration: Option<(String, String)>,
    /// Of the data that methods train on.
    pub(crate) recovery: Vec<(String, String)>,
}

impl DataInputs {
    /// Of everything that an experiment's protocols score, and of the calibration text if a recipe reads it: `calibrated` is the
    /// first that does.
    pub(crate) fn texts(
        experiment: &Experiment,
        catalogue: &Catalogue,
        places: &Places,
        calibrated: Option<&PlacedRecipe>,
        problems: &mut Collector,
    ) -> Self {
        let mut inputs = Self::default();
        let hash = |data_set: &str, split: &str, place: &str, problems: &mut Collector| {
            let known = catalogue.data_set(data_set).and_then(|set| set.split(split));
            if let Err(error) = known {
                problems.usage(place, error);
                return None;
            }
            match text(catalogue, data_set, split, places) {
                Ok(text) => Some((text_input(data_set, split), text.sha256)),
                Err(error) => {
                    problems.machine(place, error);
                    None
                }
            }
        };
        for (index, request) in experiment.evaluation.perplexity.iter().enumerate() {
            let place = format!("evaluation.perplexity[{index}]");
            match catalogue.protocol(&request.protocol) {
                Ok(protocol) => inputs.scored.extend(match protocol.scoring {
                    Scoring::Stream { .. } => hash(&protocol.data_set, &protocol.split, &place, problems),
                    Scoring::Rolling { .. } => match text_documents(catalogue, protocol, places) {
                        Ok(documents) => {
                            let name = text_input(&protocol.data_set, &protocol.split);
                            Some((name, documents.sha256))
                        }
                        Err(error) => {
                            problems.machine(&place, error);
                            None
                        }
                    },
                }),
                Err(error) => problems.usage(&place, error),
            }
            if request.windows == Some(0) {
                problems.usage(
                    &place,
                    format_args!("evaluation: windows = 0 scores nothing of {}", request.protocol),
                );
            }
        }
        match (&experiment.calibration, calibrated) {
            (Some(calibration), Some(_)) => {
                if calibration.windows == 0 || calibration.window < 2 {
                    problems.usage(
                        "calibration",
                        format_args!(
                            "calibration: {} windows of {} tokens are no text; at least 1 of at least 2 are wanted",
                            calibration.windows, calibration.window
                        ),
                    );
                }
                inputs.calibration = hash(&calibration.text, &calibration.split, "calibration", problems);
            }
            (None, Some(PlacedRecipe { place, recipe, .. })) => problems.usage(
                place,
                format_args!(
                    "{recipe} needs calibration text; add [calibration] with text, split, windows and window, such as \
                     text = \"wikitext2\", split = \"validation\", windows = 8, window = 512"
                ),
            ),
            _ => {}
        }
        inputs
    }

    /// Adds the hashes of the data that methods train on; `trained` is the first recipe that does, and `validated` the first that
    /// can't do without validation.
    pub(crate) fn add_recovery(
        &mut self,
        experiment: &Experiment,
        catalogue: &Catalogue,
        places: &Places,
        trained: &PlacedRecipe,
        validated: Option<&PlacedRecipe>,
        problems: &mut Collector,
    ) {
        let Some(recovery) = &experiment.recovery else {
            problems.usage(
                &trained.place,
                format_args!(
                    "{} trains; add [recovery] with texts or instructions, such as texts = [\"wikitext2/validation\"]",
                    trained.recipe
                ),
            );
            return;
        };
        if let Some(problem) = recovery.problem() {
            problems.usage("recovery", problem);
        }
        if let Some(PlacedRecipe { place, recipe, .. }) = validated.filter(|_| recovery.validation == 0) {
            problems.usage(
                place,
                format_args!(
                    "{recipe} chooses by the validation loss, and [recovery] keeps no sequence for validation; add validation = 100 \
                     there, say, or leave `keep_best` out"
                ),
            );
        }
        match recovery.hashes(catalogue, places) {
            Ok(hashes) => self.recovery = hashes,
            Err(error) if is_usage(&error) => problems.usage("recovery", error),
            Err(error) => problems.machine("recovery", error),
        }
    }

    /// Adds the hash of each task's documents.
    pub(crate) fn add_tasks(
        &mut self,
        evaluation: &Evaluation,
        catalogue: &Catalogue,
        places: &Places,
        problems: &mut Collector,
    ) {
        for request in &evaluation.tasks {
            let documents = catalogue
                .task(&request.task)
                .and_then(|task| documents(task, request, places));
            match documents {
                Ok(documents) => self.scored.push((task_input(request), documents.sha256)),
                Err(error) if is_usage(&error) => problems.usage(TASKS, error),
                Err(error) => problems.machine(TASKS, error),
            }
        }
    }
}
