//! Where rows come from, and what is said when they can't be had or are too few.

use std::fs;

use prunebench_datasets::{Catalogue, Documents, Error, Result, Shots};
use serde_json::{Value, json};

use crate::golden::places;
use crate::rows::{lines, mirrored, unpinned};

fn question(number: u32, subject: &str) -> Value {
    let choices = ["1", "2", "3", "4"];
    json!({ "question": format!("q{number}"), "subject": subject, "choices": choices, "answer": 0 })
}

/// MMLU with rows of the two subjects in turn, and three examples of each.
fn mmlu(shots: &Shots, limit: Option<usize>) -> Result<Documents> {
    let catalogue = unpinned("mmlu");
    let subject = |number: u32| if number.is_multiple_of(2) { "even" } else { "odd" };
    let rows =
        |from: u32, to: u32| -> Vec<Value> { (from..to).map(|number| question(number, subject(number))).collect() };
    let splits = [("test", lines(&rows(0, 8))), ("dev", lines(&rows(100, 106)))];
    let (_mirror, places) = mirrored(&catalogue, &splits);
    catalogue.task("mmlu")?.documents(shots, limit, &places)
}

#[test]
fn a_limit_acts_on_each_group_and_keeps_the_full_count() {
    let found = mmlu(&Shots::new(0), Some(2)).expect("mirrored");
    let rows: Vec<(usize, Option<&str>)> = found
        .documents
        .iter()
        .map(|document| (document.row, document.group.as_deref()))
        .collect();
    assert_eq!(
        rows,
        [(0, Some("even")), (2, Some("even")), (1, Some("odd")), (3, Some("odd"))]
    );
    assert_eq!((found.available, found.origins.len()), (8, 1));
    assert_eq!(mmlu(&Shots::new(0), None).expect("mirrored").documents.len(), 8);
}

#[test]
fn examples_are_of_the_documents_group() {
    let found = mmlu(&Shots::new(2), Some(1)).expect("mirrored");
    assert_eq!(found.origins.len(), 2);
    let questions = |context: &str| -> Vec<String> {
        let lines = context.lines().filter(|line| line.starts_with('q'));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(
        questions(&found.documents[0].requests[0].context),
        ["q100", "q102", "q0"]
    );
    assert_eq!(
        questions(&found.documents[1].requests[0].context),
        ["q101", "q103", "q1"]
    );
}

#[test]
fn the_hash_follows_every_choice_that_changes_requests() {
    let hash = |shots: &Shots, limit| mmlu(shots, limit).expect("mirrored").sha256;
    let plain = hash(&Shots::new(1), None);
    assert_eq!(plain, hash(&Shots::new(1), None));
    assert_ne!(plain, hash(&Shots::new(2), None));
    assert_ne!(plain, hash(&Shots::new(1), Some(3)));
    let own = Shots {
        split: Some("test".to_owned()),
        ..Shots::new(1)
    };
    assert_ne!(plain, hash(&own, None));
}

#[test]
fn a_document_is_never_its_own_example_when_asked_for_its_own_split() {
    let own = Shots {
        split: Some("test".to_owned()),
        ..Shots::new(3)
    };
    for document in mmlu(&own, None).expect("mirrored").documents {
        let question = format!("q{}\n", document.row);
        assert_eq!(document.requests[0].context.matches(&question).count(), 1);
    }
}

#[test]
fn more_examples_than_the_group_has_are_an_error() {
    let error = mmlu(&Shots::new(4), None).expect_err("too few");
    let text = error.to_string();
    assert!(
        matches!(
            error,
            Error::TooFewShots {
                wanted: 4,
                available: 3,
                ..
            }
        ),
        "{text}"
    );
    assert!(
        text.contains("of dev of even") && text.contains("--shots-from"),
        "{text}"
    );
}

#[test]
fn examples_that_are_nowhere_name_the_split_the_file_and_the_cure() {
    let catalogue = unpinned("arc_easy");
    let row = json!({ "question": "q", "choices": { "text": ["a"], "label": ["A"] }, "answerKey": "A" });
    let (_mirror, places) = mirrored(&catalogue, &[("test", lines(&[row.clone(), row]))]);
    let task = catalogue.task("arc_easy").expect("present");
    let error = task
        .documents(&Shots::new(1), None, &places)
        .expect_err("no train split");
    assert!(matches!(error, Error::NoShots { .. }), "{error}");
    let text = error.to_string();
    for part in [
        "\"train\"",
        "ARC-Easy/train-00000-of-00001.parquet",
        "tasks/arc_easy/train.jsonl",
        "--shots-from (test, validation)",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let other = Shots {
        split: Some("trian".to_owned()),
        ..Shots::new(1)
    };
    let text = task.documents(&other, None, &places).expect_err("unknown").to_string();
    assert!(text.contains("did you mean \"train\"?"), "{text}");
}

#[test]
fn a_malformed_line_is_named_by_file_and_number() {
    let catalogue = unpinned("piqa");
    let good = lines(&[json!({ "goal": "g", "sol1": "a", "sol2": "b", "label": 0 })]);
    for (bad, reason) in [("{\"goal\": ", "EOF"), ("[1]", "not an object")] {
        let (_mirror, places) = mirrored(&catalogue, &[("validation", format!("{good}\n{bad}\n{good}"))]);
        let task = catalogue.task("piqa").expect("present");
        let error = task.documents(&Shots::new(0), None, &places).expect_err("malformed");
        let text = error.to_string();
        assert!(matches!(error, Error::Row { line: 3, .. }), "{text}");
        assert!(
            text.contains("piqa/validation.jsonl, line 3: ") && text.contains(reason),
            "{text}"
        );
        assert!(text.contains("correct the line"), "{text}");
    }
}

#[test]
fn a_split_without_rows_or_without_its_group_is_an_error() {
    let catalogue = unpinned("mmlu");
    let documents = |content: &str| {
        let (_mirror, places) = mirrored(&catalogue, &[("test", content.to_owned())]);
        catalogue.task("mmlu")?.documents(&Shots::new(0), None, &places)
    };
    let error = documents("\n").expect_err("empty");
    assert!(matches!(error, Error::NoRows { .. }), "{error}");
    let error = documents("{\"subject\": \"a\"}\n{\"subject\": 3}\n").expect_err("no group");
    assert!(matches!(error, Error::NoText { row: 1, .. }), "{error}");
}

#[test]
fn other_rows_than_the_pinned_ones_are_an_error() {
    let catalogue = Catalogue::embedded().expect("valid");
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("tasks/piqa/validation.jsonl");
    fs::create_dir_all(path.parent().expect("has one")).expect("created");
    fs::write(
        &path,
        lines(&[json!({ "goal": "g", "sol1": "a", "sol2": "b", "label": 0 })]),
    )
    .expect("written");
    let task = catalogue.task("piqa").expect("present");
    let error = task
        .documents(&Shots::new(0), None, &places(Some(folder.path().to_owned())))
        .expect_err("changed");
    assert!(matches!(error, Error::WrongText { .. }), "{error}");
    assert!(error.to_string().contains("validation.jsonl"), "{error}");
}
