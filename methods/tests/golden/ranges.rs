//! Perplexities of SmolLM2-135M with blocks in parallel or removed, against an independent f32 implementation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use prunebench_methods::{Recipe, Run};
use prunebench_model::source::ModelSource;
use prunebench_model::{Decoder, Rows};
use prunebench_tensor::{DType, Device, Engine, Tensor, no_grad};
use serde_json::Value;

/// Windows of 512 tokens that the reference scores.
const WINDOWS: usize = 16;

/// The method of the reference's name, and the range: `2-parallel 20..24`.
fn parsed(name: &str) -> (&str, usize, usize) {
    let (method, range) = name.split_once(' ').expect("a range");
    let (start, end) = range.split_once("..").expect("both ends");
    let method = match method {
        "lp" => "layer-parallel",
        "2-parallel" => "two-parallel",
        "parallel" => "parallel-stretch",
        "prune" => "prune-range",
        other => panic!("no method is called {other}"),
    };
    let place = |text: &str| text.parse().expect("a block");
    (method, place(start), place(end))
}

fn edited(dense: &Decoder, name: &str) -> Decoder {
    let (method, start, end) = parsed(name);
    let mut quiet = |_: usize, _: usize, _: &str| {};
    let mut run = Run::new(dense, &[], 0, &mut quiet);
    let recipe = Recipe::parse(&[format!("{method}(start={start}, end={end})")]).expect("a recipe");
    recipe.apply(&mut run).expect("applies");
    assert_eq!(run.model.graph.steps[..start], dense.graph.steps[..start]);
    run.model
}

/// The windows' residual streams before each of these steps, which an edit of later blocks leaves as they are.
fn streams(dense: &Decoder, windows: &[&[u32]], wanted: &BTreeSet<usize>) -> BTreeMap<usize, Vec<Tensor>> {
    let mut streams: BTreeMap<usize, Vec<Tensor>> = BTreeMap::new();
    for window in windows {
        let rows = Rows::whole(window.len() - 1);
        let ids = dense.ids(&[&window[..window.len() - 1]]).expect("ids");
        let mut x = dense.embed(&ids, &rows).expect("embeds");
        for step in 0..=dense.graph.steps.len() {
            if wanted.contains(&step) {
                streams.entry(step).or_default().push(x.clone());
            }
            if Some(&step) >= wanted.last() {
                break;
            }
            x = dense.run_step(step, &x, &rows, &mut |_, _| Ok(())).expect("runs");
        }
    }
    streams
}

/// The loss of a window in nats, from the stream before a step.
fn loss(decoder: &Decoder, start: usize, stream: &Tensor, window: &[u32]) -> f64 {
    let rows = Rows::whole(window.len() - 1);
    let mut x = stream.clone();
    for step in start..decoder.graph.steps.len() {
        x = decoder.run_step(step, &x, &rows, &mut |_, _| Ok(())).expect("runs");
    }
    let hidden = decoder.final_normed(&x).expect("normed");
    let hidden = hidden
        .reshape(&[window.len() - 1, decoder.graph.hidden_size])
        .expect("rows");
    decoder
        .target_nll(&hidden, &window[1..])
        .expect("measures")
        .into_iter()
        .sum()
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
    let golden: Vec<(&String, &Value)> = golden.iter().filter(|(name, _)| name.contains("..")).collect();
    assert_eq!(golden.len(), 15);
    let engines = Engine::compiled();
    for (turn, &engine) in engines.iter().enumerate() {
        let source: ModelSource = "smollm2-135m".parse().expect("a known source");
        let model = source.resolve().expect("cached or fetched");
        let model = model.load(&Device::cpu(engine), DType::F32).expect("loads");
        let ids = model.tokenizer().expect("has one").encode(&text).expect("encodes");
        let windows: Vec<&[u32]> = ids.chunks_exact(512).take(WINDOWS).collect();
        let wanted = golden.iter().enumerate();
        let wanted = wanted.filter(|(case, _)| prunebench_testing::takes_turn(turn, engines.len(), *case));
        let wanted: Vec<(&String, &Value)> = wanted.map(|(_, wanted)| *wanted).collect();
        no_grad(|| {
            let starts = wanted.iter().map(|(name, _)| parsed(name).1).collect();
            let streams = streams(&model.decoder, &windows, &starts);
            for (name, wanted) in &wanted {
                let decoder = edited(&model.decoder, name);
                let start = parsed(name).1;
                let losses = windows.iter().zip(&streams[&start]);
                let nll: f64 = losses
                    .map(|(window, stream)| loss(&decoder, start, stream, window))
                    .sum();
                let found = (nll / (WINDOWS * 511) as f64).exp();
                let wanted = wanted.as_f64().expect("a number");
                let off = (found - wanted).abs() / wanted;
                assert!(off < 1e-3, "{engine}: {name}: {found}, wanted {wanted}");
            }
        });
    }
}
