//! Logits, likelihoods and perplexities of SmolLM2-135M against an independent f32 implementation, on every engine.

use std::sync::Mutex;

use prunebench_model::{Decoder, checkpoint::LoadedModel, source::ModelSource};
use prunebench_tensor::{DType, Device, Engine};
use serde_json::Value;

/// One test computes at a time: both engines use every core, and their waiting threads spin.
static ALONE: Mutex<()> = Mutex::new(());

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The model, the reference answers and the token stream of the WikiText-2 test text.
fn golden(engine: Engine) -> Option<(LoadedModel, Value, Vec<u32>)> {
    let shared = prunebench_testing::shared()?;
    let source: ModelSource = "smollm2-135m".parse().unwrap();
    let model = source.resolve().unwrap();
    let model = model.load(&Device::cpu(engine), DType::F32).unwrap();
    let reference = std::fs::read_to_string(shared.join("golden/smollm2_reference.json")).unwrap();
    let text = std::fs::read_to_string(shared.join("data/text/wikitext2/wiki.test.hfjoined.txt")).unwrap();
    let ids = model.tokenizer().unwrap().encode(&text).unwrap();
    Some((model, serde_json::from_str(&reference).unwrap(), ids))
}

fn perplexity(decoder: &Decoder, ids: &[u32], window: usize, windows: usize) -> f64 {
    let mut total = 0.0;
    // About 512 tokens at a time, as an evaluation would.
    let batch = (512 / window).max(1);
    let windows: Vec<&[u32]> = ids.chunks_exact(window).take(windows).collect();
    for batch in windows.chunks(batch) {
        let nll = decoder.negative_log_likelihood(batch).unwrap();
        total += nll.iter().flatten().sum::<f64>();
    }
    (total / (windows.len() * (window - 1)) as f64).exp()
}

fn assert_relative(name: &str, engine: Engine, got: f64, want: f64, tolerance: f64) {
    let error = (got / want - 1.0).abs();
    eprintln!("{engine}: {name} = {got:.6}, reference {want:.6}, relative difference {error:.1e}");
    assert!(error < tolerance, "{engine}: {name} = {got}, reference {want}");
}

#[test]
fn logits_and_nll_of_a_sentence_equal_the_reference() {
    let _alone = ALONE.lock();
    for &engine in Engine::compiled() {
        let Some((model, golden, _)) = golden(engine) else {
            return;
        };
        let golden = &golden["logits"];
        let ids: Vec<u32> = numbers(&golden["ids"]).iter().map(|&id| id as u32).collect();
        let logits = model.decoder.forward(&model.decoder.ids(&[&ids]).unwrap()).unwrap();
        let last = logits.narrow(1, ids.len() - 1, 1).unwrap().to_f64_vec().unwrap();
        let mut order: Vec<usize> = (0..last.len()).collect();
        order.sort_by(|&a, &b| last[b].total_cmp(&last[a]));
        for (rank, pair) in golden["last_top8"].as_array().unwrap().iter().map(numbers).enumerate() {
            assert_eq!(order[rank], pair[0] as usize, "{engine}: token of rank {rank}");
            assert!(
                (last[order[rank]] - pair[1]).abs() < 1e-3,
                "{engine}: logit of rank {rank}"
            );
        }
        let log_sum_exp = last.iter().map(|x| x.exp()).sum::<f64>().ln();
        assert!((log_sum_exp - golden["last_logsumexp"].as_f64().unwrap()).abs() < 1e-3);
        let nll = model.decoder.negative_log_likelihood(&[&ids]).unwrap().remove(0);
        let wanted = numbers(&golden["nll"]);
        assert_eq!(nll.len(), wanted.len());
        for (got, want) in nll.iter().zip(&wanted) {
            assert!((got - want).abs() < 1e-4, "{engine}: NLL {got}, reference {want}");
        }
    }
}

#[test]
fn stream_perplexities_equal_the_reference() {
    let _alone = ALONE.lock();
    let engines = Engine::compiled();
    for (turn, &engine) in engines.iter().enumerate() {
        let Some((model, golden, ids)) = golden(engine) else {
            return;
        };
        for (case, (window, windows)) in [(2048, 4), (512, 16), (128, 64)].into_iter().enumerate() {
            if !prunebench_testing::takes_turn(turn, engines.len(), case) {
                continue;
            }
            let name = format!("stream-{window} first {windows} windows");
            let want = golden["ppl"][&name].as_f64().unwrap();
            assert_relative(
                &name,
                engine,
                perplexity(&model.decoder, &ids, window, windows),
                want,
                1e-4,
            );
        }
    }
}
