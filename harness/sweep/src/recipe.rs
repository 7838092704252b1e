//! A recipe applied to a model, and what it took away.

use prunebench_datasets::{Catalogue, Places, calibration_windows, text};
use prunebench_methods::{Applied, Keeping, MethodReport, Need, Recipe, Run, Sharing};
use prunebench_model::checkpoint::LoadedModel;
use prunebench_model::{Accounting, Decoder};
use prunebench_results as results;
use prunebench_train::TrainingRun;

use crate::experiment::Calibration;
use crate::recovery::Recovery;
use crate::unchanged::{check, text_input};
use crate::worker::CellError;

/// A compressed model with what the recipe says of itself.
pub struct Compressed {
    /// The model.
    pub decoder: Decoder,
    /// What was removed.
    pub compression: results::Compression,
    /// The size that is left.
    pub accounting: results::Accounting,
    /// What it cost.
    pub budget: results::Budget,
}

/// Whether a method of the recipe reads calibration text.
pub(crate) fn needs_calibration(recipe: &Recipe) -> bool {
    recipe.needs(Need::CalibrationText)
}

/// Whether a method of the recipe trains.
pub(crate) fn needs_recovery(recipe: &Recipe) -> bool {
    recipe.needs(Need::RecoveryData)
}

/// What a recipe may read beside the model.
#[derive(Clone)]
pub struct Supplies<'a> {
    /// Windows that the seed draws, for methods that read calibration text.
    pub calibration: Option<&'a Calibration>,
    /// Data for methods that train.
    pub recovery: Option<&'a Recovery>,
    /// Where texts are.
    pub places: &'a Places,
    /// Hashes that what is read must have, if they were planned.
    pub planned: Option<&'a results::Inputs>,
    /// What other cells made, if they share it.
    pub sharing: Option<Sharing<'a>>,
    /// Where trainings leave checkpoints, if they do.
    pub keeping: Option<Keeping>,
}

/// Whether another seed gives another model, by the method's own draws or by those of calibration windows.
pub(crate) fn depends_on_seed(recipe: &Recipe) -> bool {
    needs_calibration(recipe) || recipe.is_stochastic()
}

/// Applies `recipe` to a model. `seed` draws the calibration windows and whatever a method draws.
///
/// # Errors
/// A recipe that can't be parsed or applied, or data that can't be had or is not what was planned.
pub fn compress(
    model: &LoadedModel,
    recipe: &[String],
    supplies: Supplies,
    seed: u64,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Compressed, CellError> {
    let recipe = Recipe::parse(recipe)?;
    let Supplies {
        calibration,
        recovery,
        places,
        planned,
        sharing,
        keeping,
    } = supplies;
    let windows = match calibration {
        Some(calibration) if needs_calibration(&recipe) => {
            let text = text(&Catalogue::embedded()?, &calibration.text, &calibration.split, places)?;
            if let Some(planned) = planned {
                let input = text_input(&calibration.text, &calibration.split);
                check(planned, &input, &text.sha256, &text.origin)?;
            }
            let ids = model.tokenizer()?.encode(&text.content)?;
            let windows = calibration_windows(&ids, calibration.window, calibration.windows, seed)?;
            windows.into_iter().map(<[u32]>::to_vec).collect()
        }
        _ => Vec::new(),
    };
    let dense = &model.decoder;
    let before = dense.accounting()?;
    let mut heard = |done, total, what: &str| progress(what, done, total);
    let recovery = match recovery {
        Some(recovery) if needs_recovery(&recipe) => {
            recovery.sequences(&Catalogue::embedded()?, places, model.tokenizer()?, planned)?
        }
        _ => Default::default(),
    };
    let training_run = TrainingRun::beside(&model.path);
    let mut run = Run::new(dense, &windows, seed, &mut heard)
        .with(recovery, training_run)
        .sharing(sharing)
        .keeping(keeping);
    let applied = recipe.apply(&mut run)?;
    let budget = run.budget();
    let decoder = run.model;
    let after = decoder.accounting()?;
    Ok(Compressed {
        compression: compression(&recipe, applied, &before, &after),
        accounting: accounting(&after),
        budget: results::Budget {
            calibration_tokens: budget.calibration_tokens,
            training_tokens: budget.training_tokens,
            forward_passes: budget.forward_passes,
            cpu_seconds: budget.cpu_seconds,
            wall_seconds: budget.wall_seconds,
            update_seconds: budget.update_seconds,
            shared: Vec::new(),
            cache_faults: Vec::new(),
        },
        decoder,
    })
}

fn compression(recipe: &Recipe, applied: Applied, before: &Accounting, after: &Accounting) -> results::Compression {
    let method_report = |report: MethodReport| results::MethodReport {
        method: report.method.to_owned(),
        config: report.config,
        nominal: report.nominal_ratio,
        achieved: report.achieved_ratio,
        basis: report.basis.to_owned(),
        stochastic: report.stochastic || needs_calibration(recipe),
        details: report.details,
    };
    results::Compression {
        nominal_ratio: applied.nominal_ratio,
        achieved_ratio: applied.achieved_ratio,
        achieved_parameter_ratio: 1.0 - share(after.stored_parameters, before.stored_parameters),
        mask_sparsity: after.mask_sparsity(),
        method_reports: applied.methods.into_iter().map(method_report).collect(),
    }
}

fn accounting(counts: &Accounting) -> results::Accounting {
    results::Accounting {
        stored_parameters: counts.stored_parameters,
        executed_parameters: counts.executed_parameters,
        nonzero_parameters: counts.nonzero_parameters(),
        stored_bytes: counts.stored_bytes,
        flops_per_token: counts.flops_per_token,
        kv_bytes_per_token: counts.kv_bytes_per_token,
        effective_depth: counts.effective_depth,
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
#[path = "recipe_tests.rs"]
mod tests;
