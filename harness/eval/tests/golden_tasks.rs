//! Log-likelihoods and answers of SmolLM2-135M against those of lm-eval 0.4.13, on the engines in turn.

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use prunebench_datasets::{Catalogue, Documents, Hub, Places, SHOTS_SEED, Shots, Task, text_documents};
use prunebench_eval::{rolling_perplexity, task};
use prunebench_model::{checkpoint::LoadedModel, source::ModelSource};
use prunebench_results::{TaskItem, TaskRequest, TaskResult};
use prunebench_tensor::{DType, Device, Engine};
use serde_json::Value;

/// One test computes at a time: each uses every core.
static ALONE: Mutex<()> = Mutex::new(());

const TASKS: [&str; 9] = [
    "arc_challenge",
    "arc_easy",
    "boolq",
    "hellaswag",
    "lambada_openai",
    "mmlu",
    "openbookqa",
    "piqa",
    "winogrande",
];

fn smollm2(engine: Engine) -> LoadedModel {
    let source: ModelSource = "smollm2-135m".parse().unwrap();
    let resolved = source.resolve().unwrap();
    resolved.load(&Device::cpu(engine), DType::F32).unwrap()
}

fn places(shared: &Path) -> Places {
    Places {
        mirror: Some(shared.join("data")),
        hub: Hub {
            offline: true,
            ..Hub::from_env()
        },
        downloads: None,
    }
}

fn request(task: &Task, shots: usize) -> TaskRequest {
    TaskRequest {
        task: task.id(),
        shots,
        shots_split: None,
        shots_seed: SHOTS_SEED,
        limit: None,
        divergence: false,
    }
}

fn evaluate(model: &LoadedModel, of: &Task, documents: &Documents, shots: usize) -> TaskResult {
    let tokenizer = model.tokenizer().unwrap();
    let request = request(of, shots);
    task(&model.decoder, tokenizer, of, documents, &request, None, &mut |_, _| ()).unwrap()
}

fn golden(shared: &Path, name: &str) -> Vec<Value> {
    let path = shared.join(format!("golden/lm_eval_0.4.13_smollm2_f32/{name}.jsonl"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether an item counts under the accuracy at `metric` among the task's metrics.
fn correct(item: &TaskItem, metric: usize) -> f64 {
    let right = match item.gold {
        Some(gold) => item.chosen[metric] == gold,
        None => item.greedy[0],
    };
    f64::from(u8::from(right))
}

#[test]
fn every_likelihood_flag_and_answer_is_lm_evals() {
    let _alone = ALONE.lock();
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let catalogue = Catalogue::embedded().unwrap();
    let engines = Engine::compiled();
    for (turn, &engine) in engines.iter().enumerate() {
        let model = smollm2(engine);
        for name in TASKS {
            let definition = catalogue.task(name).unwrap();
            let mut documents = definition
                .documents(&Shots::new(0), Some(40), &places(&shared))
                .unwrap();
            let mut golden = golden(&shared, name);
            assert_eq!(golden.len(), 40);
            let turns = |row| row < 40 && prunebench_testing::takes_turn(turn, engines.len(), row);
            documents.documents.retain(|document| turns(document.row));
            golden.retain(|document| document["doc"].as_u64().is_some_and(|row| turns(row as usize)));
            let result = evaluate(&model, definition, &documents, 0);
            assert_eq!(result.items.len(), golden.len());
            let mut largest: f64 = 0.0;
            for (item, golden) in result.items.iter().zip(&golden) {
                let place = format!("{engine}: {name}, document {}", item.document);
                assert_eq!(golden["doc"], item.document);
                let requests = golden["requests"].as_array().unwrap();
                assert_eq!(requests.len(), item.log_likelihoods.len(), "{place}");
                for (i, request) in requests.iter().enumerate() {
                    let found = item.log_likelihoods[i].unwrap();
                    let off = (found - request["loglikelihood"].as_f64().unwrap()).abs();
                    assert!(off < 2e-3, "{place}, request {i}: {found}, wanted {request}");
                    assert_eq!(item.greedy[i], request["greedy"], "{place}, request {i}");
                    largest = largest.max(off);
                }
                for (metric, of) in result.metrics.iter().enumerate() {
                    if let Some(wanted) = golden.get(of.name.to_string()).and_then(Value::as_f64) {
                        assert_eq!(correct(item, metric), wanted, "{place}, {}", of.name);
                    }
                }
            }
            let mut err = std::io::stderr();
            let _ = writeln!(err, "{engine}: {name}: largest difference {largest:.1e} nats");
        }
    }
}

#[test]
fn rolling_likelihoods_of_pages_are_lm_evals() {
    let _alone = ALONE.lock();
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let catalogue = Catalogue::embedded().unwrap();
    let protocol = catalogue.protocol("wikitext2/lm-eval-word-2048@1").unwrap();
    let pages = text_documents(&catalogue, protocol, &places(&shared)).unwrap();
    let golden = golden(&shared, "wikitext");
    let engines = Engine::compiled();
    for (turn, &engine) in engines.iter().enumerate() {
        let model = smollm2(engine);
        let tokenizer = model.tokenizer().unwrap();
        let turns = |page: &usize| prunebench_testing::takes_turn(turn, engines.len(), *page);
        let mut own = pages.clone();
        let documents = pages.documents.iter().take(golden.len()).enumerate();
        own.documents = documents
            .filter(|(page, _)| turns(page))
            .map(|(_, page)| page.clone())
            .collect();
        let result = rolling_perplexity(&model.decoder, tokenizer, &own, protocol, None, &mut |_, _| ()).unwrap();
        for (place, page) in (0..golden.len()).filter(turns).enumerate() {
            let golden = &golden[page];
            let wanted = -golden["loglikelihood"].as_f64().unwrap();
            let off = (result.window_nll[place] / wanted - 1.0).abs();
            let _ = writeln!(
                std::io::stderr(),
                "{engine}: page {page}: relative difference {off:.1e}"
            );
            assert!(
                off < 1e-4,
                "{engine}: page {page}: {}, wanted {wanted}",
                result.window_nll[place]
            );
            assert_eq!(pages.documents[page].words, golden["words"], "page {page}");
            assert_eq!(pages.documents[page].bytes, golden["bytes"], "page {page}");
        }
    }
}

#[test]
fn answers_do_not_depend_on_what_else_is_asked() {
    let _alone = ALONE.lock();
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let catalogue = Catalogue::embedded().unwrap();
    let engines = Engine::compiled();
    for (turn, &engine) in engines.iter().enumerate() {
        let model = smollm2(engine);
        let cases = [("hellaswag", 0, 12), ("mmlu", 5, 1), ("winogrande", 0, 12)];
        for (case, (name, shots, limit)) in cases.into_iter().enumerate() {
            if !prunebench_testing::takes_turn(turn, engines.len(), case) {
                continue;
            }
            let definition = catalogue.task(name).unwrap();
            let mut documents = definition
                .documents(&Shots::new(shots), Some(limit), &places(&shared))
                .unwrap();
            documents.documents.truncate(12);
            let packed = evaluate(&model, definition, &documents, shots);
            let alone: Vec<TaskItem> = documents
                .documents
                .iter()
                .map(|document| {
                    let one = Documents {
                        documents: vec![document.clone()],
                        ..documents.clone()
                    };
                    evaluate(&model, definition, &one, shots).items.remove(0)
                })
                .collect();
            documents.documents.reverse();
            let mut shuffled = evaluate(&model, definition, &documents, shots).items;
            shuffled.reverse();
            let mut largest: f64 = 0.0;
            for (packed, other) in packed
                .items
                .iter()
                .zip(&alone)
                .chain(packed.items.iter().zip(&shuffled))
            {
                assert_eq!(packed.document, other.document);
                assert_eq!((&packed.chosen, &packed.greedy), (&other.chosen, &other.greedy));
                for (a, b) in packed.log_likelihoods.iter().zip(&other.log_likelihoods) {
                    largest = largest.max((a.unwrap() - b.unwrap()).abs());
                }
            }
            let _ = writeln!(
                std::io::stderr(),
                "{engine}: {name}: largest difference {largest:.1e} nats"
            );
            assert!(largest < 1e-3, "{engine}: {name}: {largest}");
        }
    }
}
