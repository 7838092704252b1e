//! Importances of SmolLM2-135M against an independent f32 implementation. They need the shared reference data.

use std::fs;
use std::path::Path;

use prunebench_methods::gromov::angular_distances;
use prunebench_methods::shortgpt::block_influence;
use prunebench_methods::{Recipe, Run};
use prunebench_model::checkpoint::LoadedModel;
use prunebench_model::source::ModelSource;
use prunebench_tensor::{DType, Device, Engine};
use serde_json::Value;

fn smollm2(engine: Engine) -> LoadedModel {
    let source: ModelSource = "smollm2-135m".parse().expect("a known source");
    source
        .resolve()
        .expect("cached or fetched")
        .load(&Device::cpu(engine), DType::F32)
        .expect("loads")
}

/// Disjoint windows of 512 tokens of a WikiText-2 file, from the first on.
fn windows(shared: &Path, file: &str, model: &LoadedModel, count: usize) -> Vec<Vec<u32>> {
    let text = fs::read_to_string(shared.join("data/text/wikitext2").join(file)).expect("readable");
    let ids = model.tokenizer().expect("has one").encode(&text).expect("encodes");
    ids.chunks_exact(512).take(count).map(<[u32]>::to_vec).collect()
}

fn assert_close(found: &[f64], wanted: &Value, what: &str) {
    let wanted: Vec<f64> = serde_json::from_value(wanted.clone()).expect("numbers");
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (index, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        assert!(
            (found - wanted).abs() < 1e-5,
            "{what} {index}: {found}, wanted {wanted}"
        );
    }
}

#[test]
fn block_influence_and_angular_distances_are_those_of_the_reference() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let golden = fs::read_to_string(shared.join("golden/smollm2_reference.json")).expect("readable");
    let golden: Value = serde_json::from_str(&golden).expect("JSON");
    let engines = Engine::compiled();
    for (turn, &engine) in engines.iter().enumerate() {
        let turns = |case| prunebench_testing::takes_turn(turn, engines.len(), case);
        let model = smollm2(engine);
        let windows = windows(&shared, "wiki.valid.raw", &model, 8);
        if turns(0) {
            let found = block_influence(&model.decoder, &windows).expect("measures");
            assert_close(&found, &golden["bi"], &format!("{engine}: BI of block"));
        }
        if turns(1) {
            let wanted = golden["angular_last_token"].as_object().expect("by span");
            let spans: Vec<usize> = wanted.keys().map(|n| n.parse().expect("a number")).collect();
            let found = angular_distances(&model.decoder, &windows, &spans).expect("measures");
            for ((n, wanted), found) in wanted.iter().zip(&found) {
                assert_close(found, wanted, &format!("{engine}: distance over {n} from block"));
            }
        }
    }
}

#[test]
fn wanda_loses_less_than_magnitude_at_the_same_ratio() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let model = smollm2(Engine::compiled()[Engine::compiled().len() - 1]);
    let calibration = windows(&shared, "wiki.valid.raw", &model, 2);
    let scored = windows(&shared, "wiki.test.hfjoined.txt", &model, 2);
    let scored: Vec<&[u32]> = scored.iter().map(Vec::as_slice).collect();
    let nll = |recipe: &str| {
        let mut quiet = |_: usize, _: usize, _: &str| {};
        let mut run = Run::new(&model.decoder, &calibration, 0, &mut quiet);
        let applied = Recipe::parse(&[recipe])
            .expect("a recipe")
            .apply(&mut run)
            .expect("applies");
        let sparsity = run.model.accounting().expect("counts").mask_sparsity();
        assert!(
            (sparsity - 0.5).abs() < 1e-3 && applied.achieved_ratio == 0.5,
            "{recipe}: {sparsity}"
        );
        let losses = run.model.negative_log_likelihood(&scored).expect("scores").concat();
        losses.iter().sum::<f64>() / losses.len() as f64
    };
    let (wanda, magnitude) = (nll("wanda(ratio=0.5)"), nll("magnitude(ratio=0.5, scope=row)"));
    assert!(wanda < magnitude, "wanda {wanda} nats a token, magnitude {magnitude}");
}
