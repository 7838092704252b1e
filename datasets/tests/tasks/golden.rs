//! Requests against those lm-eval 0.4.13 recorded; both the rows and the record stay outside the repository.

use std::fs;
use std::path::{Path, PathBuf};

use prunebench_datasets::{Catalogue, Documents, Hub, Places, Shots};
use prunebench_hub::{Address, Patience};
use serde_json::Value;

/// Documents of each task in the record.
const RECORDED: usize = 40;

/// A mirror and no Hub.
pub fn places(mirror: Option<PathBuf>) -> Places {
    Places {
        mirror,
        hub: Hub {
            endpoint: Address::new("unused"),
            cache: Some(PathBuf::from("unused")),
            token: None,
            offline: true,
            patience: Patience::default(),
        },
        downloads: None,
    }
}

pub fn documents(shared: &Path, task: &str, shots: &Shots, limit: Option<usize>) -> Documents {
    let catalogue = Catalogue::embedded().expect("valid");
    let task = catalogue.task(task).expect("present");
    let places = places(Some(shared.join("data")));
    task.documents(shots, limit, &places).expect("mirrored")
}

#[test]
fn requests_and_answers_are_those_of_lm_eval() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    for task in [
        "arc_challenge",
        "arc_easy",
        "boolq",
        "hellaswag",
        "lambada_openai",
        "mmlu",
        "openbookqa",
        "piqa",
        "winogrande",
    ] {
        let record = shared.join(format!("golden/lm_eval_0.4.13_smollm2_f32/{task}.jsonl"));
        let record: Vec<Value> = fs::read_to_string(record)
            .expect("readable")
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(record.len(), RECORDED);
        let found = documents(&shared, task, &Shots::new(0), Some(RECORDED));
        for (document, wanted) in found.documents.iter().zip(&record) {
            let place = format!("{task}, row {}", document.row);
            assert_eq!(
                document.row as u64,
                wanted["doc"].as_u64().expect("a number"),
                "{place}"
            );
            let requests = wanted["requests"].as_array().expect("a list");
            assert_eq!(document.requests.len(), requests.len(), "{place}");
            for (request, wanted) in document.requests.iter().zip(requests) {
                assert_eq!(request.context, wanted["context"], "{place}");
                assert_eq!(request.continuation, wanted["continuation"], "{place}");
            }
            let target = match document.gold {
                Some(_) if document.requests[0].context != document.requests[1].context => {
                    document.requests[0].continuation.trim_start().to_owned()
                }
                Some(gold) => gold.to_string(),
                None => document.requests[0].continuation.clone(),
            };
            assert_eq!(target, wanted["target"], "{place}");
        }
    }
}
