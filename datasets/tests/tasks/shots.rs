//! Requests and few-shot contexts against those lm-eval 0.4.13 makes of the same rows, by the hash of all requests.

use std::fs;
use std::path::Path;

use prunebench_datasets::{Catalogue, Documents, Shots};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::golden::{documents, places};
use crate::rows::{file, lines, mirrored, unpinned};

/// Hash of the requests, each text closed by a zero byte.
fn requests(documents: &Documents) -> String {
    let mut hash = Sha256::new();
    for request in documents.documents.iter().flat_map(|document| &document.requests) {
        for text in [&request.context, &request.continuation] {
            hash.update(text);
            hash.update([0]);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_document_of_every_mirrored_task_is_lm_evals() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    for (task, wanted) in [
        (
            "arc_challenge",
            "e123be5ebda862fcab3e613250d5aba89b25ad18829e558ada799f7edd0b6ab6",
        ),
        (
            "arc_easy",
            "394008c0f901f4ac66e707c943cd03d1491951c98f36de57d2c54fa35d0fcd74",
        ),
        (
            "boolq",
            "149f2f7f5325c5f06be363b8a701ea13863c9a344eeacbe61127446ed1af33d8",
        ),
        (
            "hellaswag",
            "fc78c8d6139c994ab4aa5f2f2f2e16d81614c17c7befed5799f3ed93697a193a",
        ),
        (
            "lambada_openai",
            "3bebc8bd705e0de12e402318a26f22d8f6f40b90aef042dadadab89208c68337",
        ),
        (
            "openbookqa",
            "d2dfcac4c521e40e83584659fcc1af8a260e03b23e1a3632906f60b81666b508",
        ),
        (
            "piqa",
            "b03118e8aa6d30ff735442f3e93c78bd74d953cacf6c61c2dfe87327e0af1e29",
        ),
        (
            "winogrande",
            "736feae2d899ae96ec17520dba28d2f080d042fbafccdd9cb6a2b4967af94e04",
        ),
    ] {
        let found = documents(&shared, task, &Shots::new(0), None);
        assert_eq!(found.documents.len(), found.available, "{task}");
        assert_eq!(requests(&found), wanted, "{task}");
    }
}

#[test]
fn the_first_examples_of_each_subject_are_those_of_lm_eval() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let found = documents(&shared, "mmlu", &Shots::new(5), Some(3));
    assert_eq!((found.documents.len(), found.available), (57 * 3, 14_042));
    assert_eq!(
        requests(&found),
        "e9ffda7d74c00a1604213bbc6d70d77c780861aac38f1ab3a85182639aeaddfa"
    );
}

#[test]
fn examples_of_the_evaluated_split_are_those_of_lm_eval() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let own = Shots {
        split: Some("test".to_owned()),
        ..Shots::new(5)
    };
    assert_eq!(
        requests(&documents(&shared, "arc_easy", &own, Some(200))),
        "a7e28995b54264f01b8c4ef86a1e1ac0985ff4e59ce269c5c81a4a2ac390223f"
    );
    assert_eq!(
        requests(&documents(&shared, "lambada_openai", &Shots::new(3), Some(200))),
        "878eb079f459b499e3c512f00e6f53527c416fba2a76f8c9b9ab8dbcf4a5e554"
    );
}

/// The documents of `task` where the evaluated split's rows are those of `train` too.
fn with_its_own_rows_as_train(shared: &Path, task: &str, shots: usize, limit: usize) -> String {
    let catalogue = Catalogue::embedded().expect("valid");
    let task = catalogue.task(task).expect("present");
    let mirror = TempDir::new().expect("temporary folder");
    let evaluated = &file(task, &task.prompt.split).mirror;
    for copy in [evaluated, &file(task, "train").mirror] {
        let copy = mirror.path().join(copy);
        fs::create_dir_all(copy.parent().expect("has one")).expect("created");
        fs::copy(shared.join("data").join(evaluated), copy).expect("copied");
    }
    let places = places(Some(mirror.path().to_owned()));
    let found = task.documents(&Shots::new(shots), Some(limit), &places);
    requests(&found.expect("mirrored"))
}

#[test]
fn drawn_examples_are_those_of_lm_eval() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    for (task, shots, limit, wanted) in [
        (
            "arc_easy",
            5,
            200,
            "c53e9f491a7b1b1327c48174ee355471f2f006b187f1e1fb9d58293c8e1b3760",
        ),
        (
            "openbookqa",
            5,
            200,
            "1c4094bfdc128af10bcf50ff79f6db7bc4e66a0643a0db823be59e2756720fe2",
        ),
        (
            "piqa",
            5,
            200,
            "32ed33ff99167e549c0166c8643f658d9d2cd838d2425baeb1ba877d631afd13",
        ),
        (
            "boolq",
            2,
            100,
            "561787bf35a1338eb846ce057d1af40d4f77ff55c8bd45b25cc02382d0d15029",
        ),
        (
            "hellaswag",
            5,
            200,
            "0f76feab4972df414dcfbcac6e0e6b08a03ca8d17aa3d4ee886a7415f46343da",
        ),
        (
            "winogrande",
            5,
            200,
            "44f0b2b8cd73c4524a3d2909da924588e07022b5e5510123f617a8fa509cf8a1",
        ),
    ] {
        assert_eq!(
            with_its_own_rows_as_train(&shared, task, shots, limit),
            wanted,
            "{task}"
        );
    }
}

#[test]
fn examples_are_drawn_anew_where_the_document_has_copies() {
    let catalogue = unpinned("piqa");
    let rows: Vec<Value> = (0..12)
        .map(|number| json!({ "goal": format!("g{}", number % 3), "sol1": "a", "sol2": "b", "label": number % 2 }))
        .collect();
    let (_mirror, places) = mirrored(&catalogue, &[("validation", lines(&rows)), ("train", lines(&rows))]);
    let task = catalogue.task("piqa").expect("present");
    let found = task.documents(&Shots::new(5), None, &places).expect("mirrored");
    assert_eq!(
        requests(&found),
        "a99fac67a53ce596cec564ca575046d649e5a307d45ec3ff81dbcbdd59dc6300"
    );
}
