//! Perplexities of SmolLM2-135M with blocks in parallel or removed, against an independent f32 implementation.

use std::fs;

use prunebench_methods::{Recipe, Run};
use prunebench_model::Decoder;
use prunebench_model::source::ModelSource;
use prunebench_tensor::{DType, Device, Engine};
use serde_json::Value;

/// Windows of 512 tokens that the reference scores.
const WINDOWS: usize = 16;

/// The method of the reference's name, and the range: `2-parallel 20..24`.
fn edited(dense: &Decoder, name: &str) -> Decoder {
    let (method, range) = name.split_once(' ').expect("a range");
    let (start, end) = range.split_once("..").expect("both ends");
    let method = match method {
        "lp" => "layer-parallel",
        "2-parallel" => "two-parallel",
        "parallel" => "parallel-stretch",
        "prune" => "prune-range",
        other => panic!("no method is called {other}"),
    };
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut run = Run::new(dense, &[], 0, &mut quiet);
    let recipe = Recipe::parse(&[format!("{method}(start={start}, end={end})")]).expect("a recipe");
    recipe.apply(&mut run).expect("applies");
    run.model
}

#[test]
fn perplexities_of_ranges_are_those_of_the_reference() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let golden = fs::read_to_string(shared.join("golden/smollm2_reference.json")).expect("readable");
    let golden: Value = serde_json::from_str(&golden).expect("JSON");
    let golden = golden["lp"].as_object().expect("by name");
    let text = fs::read_to_string(shared.join("data/text/wikitext2/wiki.test.hfjoined.txt")).expect("readable");
    for &engine in Engine::compiled() {
        let source: ModelSource = "smollm2-135m".parse().expect("a known source");
        let model = source.resolve().expect("cached or fetched");
        let model = model.load(&Device::cpu(engine), DType::F32).expect("loads");
        let ids = model.tokenizer().expect("has one").encode(&text).expect("encodes");
        let mut compared = 0;
        // Each takes seconds; the last engine alone goes through the ranges at the ends.
        let all = Some(&engine) == Engine::compiled().last();
        let wanted = golden
            .iter()
            .filter(|(name, _)| name.contains("20..24") || (all && name.contains("..")));
        for (name, wanted) in wanted {
            let decoder = edited(&model.decoder, name);
            let nll = ids.chunks_exact(512).take(WINDOWS).map(|window| {
                let nll = decoder.negative_log_likelihood(&[window]).expect("measures").remove(0);
                nll.into_iter().sum::<f64>()
            });
            let found = (nll.sum::<f64>() / (WINDOWS * 511) as f64).exp();
            let wanted = wanted.as_f64().expect("a number");
            let off = (found - wanted).abs() / wanted;
            assert!(off < 1e-3, "{engine}: {name}: {found}, wanted {wanted}");
            compared += 1;
        }
        assert_eq!(compared, if all { 15 } else { 4 });
    }
}
