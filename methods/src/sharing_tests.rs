//! What methods take over from other cells is what they would have made, to the last bit and at the same cost.

use prunebench_model::Decoder;
use prunebench_results::{SharedWork, SharedWorkCache};
use prunebench_tensor::Device;
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::{Outcome, apply, model, windows};
use crate::{Recipe, Result, Run, Sharing};

/// Applies a recipe of one method that shares its work in `folder`; also the names of what it took.
fn apply_sharing(recipe: &str, model: &Decoder, folder: &TempDir) -> Result<(Outcome, Vec<String>)> {
    let cache = SharedWorkCache::new(folder.path(), 1 << 20, "a machine");
    let recipe = Recipe::parse(&[recipe])?;
    let names = recipe.methods().map(|method| method.shared_work());
    let of_methods: Vec<_> = names
        .map(|name| name.map(|name| SharedWork::new(name, json!(model.device().to_string()))))
        .collect();
    let (windows, mut quiet) = (windows(), |_: usize, _: usize, _: &str| {});
    let mut run = Run::new(model, &windows, 0, &mut quiet).sharing(Some(Sharing {
        cache: &cache,
        of_methods: &of_methods,
    }));
    let report = recipe.apply(&mut run)?.methods.remove(0);
    let outcome = Outcome {
        budget: run.budget(),
        model: run.model,
        report,
    };
    assert!(cache.faults().is_empty());
    Ok((outcome, cache.taken()))
}

/// What is counted, and not timed.
fn counts(outcome: &Outcome) -> (u64, u64, u64) {
    let budget = outcome.budget;
    (budget.calibration_tokens, budget.training_tokens, budget.forward_passes)
}

#[test]
fn work_of_another_ratio_is_taken_to_the_last_bit_and_counted_as_if_made() {
    for device in Device::available() {
        let model = model(&device);
        for (first, second, work) in [
            ("shortgpt(blocks=1)", "shortgpt(blocks=3)", "block influence"),
            (
                "gromov(blocks=1)",
                "gromov(blocks=2)",
                "residual streams at the last token",
            ),
            ("sleb(blocks=1)", "sleb(blocks=3)", "losses without each block"),
            ("sleb(blocks=3)", "sleb(blocks=2)", "losses without each block"),
            (
                "layer-parallel(pairs=2)",
                "layer-parallel(pairs=2, fused=true)",
                "loss of each range in pairs",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let (made, none) = apply_sharing(first, &model, &folder).unwrap();
            let (taken, names) = apply_sharing(second, &model, &folder).unwrap();
            assert_eq!((none, names), (vec![], vec![work.to_owned()]));
            for (found, recipe) in [(made, first), (taken, second)] {
                let alone = apply(recipe, &model, 0).unwrap();
                assert_eq!(found.report.details, alone.report.details, "{recipe} on {device}");
                assert_eq!(counts(&found), counts(&alone), "{recipe} on {device}");
                assert_eq!(found.model.graph, alone.model.graph);
            }
        }
    }
}

#[test]
fn the_time_of_whoever_made_it_counts() {
    let model = model(&Device::available()[0]);
    let folder = tempfile::tempdir().unwrap();
    let (made, _) = apply_sharing("sleb(blocks=3)", &model, &folder).unwrap();
    let (taken, _) = apply_sharing("sleb(blocks=3)", &model, &folder).unwrap();
    // All forward passes were the first one's, and their time is on both meters.
    let forward = |outcome: &Outcome| outcome.budget.wall_seconds - outcome.budget.update_seconds;
    assert!((forward(&made) - forward(&taken)).abs() < 1e-9);
    assert!(forward(&taken) > 0.0 && taken.budget.cpu_seconds > 0.0);
}

#[test]
fn a_method_after_another_one_takes_nothing_of_its_own_first_application() {
    let model = model(&Device::available()[0]);
    let folder = tempfile::tempdir().unwrap();
    let cache = SharedWorkCache::new(folder.path(), 1 << 20, "a machine");
    let recipe = Recipe::parse(&["shortgpt(blocks=1)", "shortgpt(blocks=1)"]).unwrap();
    let of_methods: Vec<_> = (0..2)
        .map(|index| Some(SharedWork::new("block influence".to_owned(), json!(index))))
        .collect();
    let (windows, mut quiet) = (windows(), |_: usize, _: usize, _: &str| {});
    let mut run = Run::new(&model, &windows, 0, &mut quiet).sharing(Some(Sharing {
        cache: &cache,
        of_methods: &of_methods,
    }));
    let shared = recipe.apply(&mut run).unwrap();
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut run = Run::new(&model, &windows, 0, &mut quiet);
    let alone = recipe.apply(&mut run).unwrap();
    assert_eq!(shared.methods[1].details, alone.methods[1].details);
    assert!(cache.taken().is_empty());
}
