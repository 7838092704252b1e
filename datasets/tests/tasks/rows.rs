//! Each task of the catalogue on invented rows of its Hub's shape.

use std::fs;
use std::path::Path;

use prunebench_datasets::{Catalogue, Document, Documents, Error, Places, Result, RowFile, RowSource, Shots, Task};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::golden::places;

/// The embedded task without its hashes, which invented rows don't have.
pub fn unpinned(task: &str) -> Catalogue {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("catalogue/tasks/{task}.toml"));
    let content = fs::read_to_string(path).expect("readable");
    let unpinned: Vec<&str> = content.lines().filter(|line| !line.contains("_sha256 = ")).collect();
    let name = format!("tasks/{task}");
    Catalogue::parse([(name.as_str(), unpinned.join("\n").as_str())]).expect("valid")
}

/// A mirror that holds `lines` as the split.
pub fn mirrored(catalogue: &Catalogue, splits: &[(&str, String)]) -> (TempDir, Places) {
    let mirror = TempDir::new().expect("temporary folder");
    for (split, lines) in splits {
        let path = mirror.path().join(&file(&catalogue.tasks()[0], split).mirror);
        fs::create_dir_all(path.parent().expect("has one")).expect("created");
        fs::write(path, lines).expect("written");
    }
    let places = places(Some(mirror.path().to_owned()));
    (mirror, places)
}

/// The file of a split.
pub fn file<'a>(task: &'a Task, split: &str) -> &'a RowFile {
    match task.split(split) {
        Ok(RowSource::File { file, .. }) => file,
        other => panic!("{split} is no file: {other:?}"),
    }
}

pub fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn evaluated(task: &str, rows: &[Value]) -> Result<Documents> {
    let catalogue = unpinned(task);
    let split = catalogue.tasks()[0].prompt.split.clone();
    let (_mirror, places) = mirrored(&catalogue, &[(&split, lines(rows))]);
    catalogue.task(task)?.documents(&Shots::new(0), None, &places)
}

fn document(task: &str, row: Value) -> Document {
    evaluated(task, &[row]).expect("fits").documents.swap_remove(0)
}

/// One context, its continuations, and which of them is right.
fn asks(task: &str, row: Value, context: &str, continuations: &[&str], gold: Option<usize>) {
    let found = document(task, row);
    let contexts: Vec<&str> = found.requests.iter().map(|request| request.context.as_str()).collect();
    assert_eq!(contexts, vec![context; continuations.len()], "{task}");
    let given: Vec<&str> = found
        .requests
        .iter()
        .map(|request| request.continuation.as_str())
        .collect();
    assert_eq!(given, continuations, "{task}");
    assert_eq!(found.gold, gold, "{task}");
}

#[test]
fn questions_with_listed_choices_read_as_lm_evals() {
    let row = |stem: &str, key: &str| {
        let choices = json!({ "text": ["a jar", "a Köter", "tin"], "label": ["1", "2", "3"] });
        json!({ "id": "x", stem: "Which barks?", "choices": choices, "answerKey": key })
    };
    let continuations = [" a jar", " a Köter", " tin"];
    for task in ["arc_easy", "arc_challenge"] {
        let context = "Question: Which barks?\nAnswer:";
        asks(task, row("question", "2"), context, &continuations, Some(1));
    }
    asks(
        "openbookqa",
        row("question_stem", " 3"),
        "Which barks?",
        &continuations,
        Some(2),
    );
    let found = document("arc_easy", row("question", "2"));
    assert_eq!(
        found.choices,
        ["a jar", "a Köter", "tin"],
        "lengths are taken without the delimiter"
    );
}

#[test]
fn questions_with_named_fields_read_as_lm_evals() {
    asks(
        "piqa",
        json!({ "goal": "Dry a cup.", "sol1": "Wipe it.", "sol2": "Dip it.", "label": 0 }),
        "Question: Dry a cup.\nAnswer:",
        &[" Wipe it.", " Dip it."],
        Some(0),
    );
    asks(
        "boolq",
        json!({ "question": "is ice cold", "passage": "Ice is frozen.", "idx": 3, "label": 1 }),
        "Ice is frozen.\nQuestion: is ice cold?\nAnswer:",
        &[" no", " yes"],
        Some(1),
    );
    asks(
        "sciq",
        json!({
            "question": "What boils?", "distractor3": "c", "distractor1": "a", "distractor2": "b",
            "correct_answer": "water", "support": "  It does."
        }),
        "It does.\nQuestion: What boils?\nAnswer:",
        &[" a", " b", " c", " water"],
        Some(3),
    );
    asks(
        "logiqa",
        json!({ "label": "c ", "context": "All is one.", "question": "What holds?", "options": ["x", "y y", "z", "w"] }),
        "Passage: All is one.\nQuestion: What holds?\nChoices:\nA. x\nB. y y\nC. z\nD. w\nAnswer:",
        &[" x", " y y", " z", " w"],
        Some(2),
    );
    let subject =
        json!({ "question": " 1+1? ", "subject": "high_school_sums", "choices": ["1", "2", "3", "4"], "answer": 1 });
    asks(
        "mmlu",
        subject,
        "The following are multiple choice questions (with answers) about high school sums.\n\n\
         1+1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:",
        &[" A", " B", " C", " D"],
        Some(1),
    );
}

#[test]
fn copa_joins_its_sentences_and_keeps_both_spaces() {
    let row = |question| {
        json!({ "premise": " The jug fell. ", "choice1": "The floor got wet.", "choice2": "It flew.",
                "question": question, "idx": 0, "label": 0 })
    };
    let choices = ["  the floor got wet.", "  it flew."];
    asks("copa", row("effect"), "The jug fell therefore", &choices, Some(0));
    asks("copa", row("cause"), "The jug fell because", &choices, Some(0));
    assert_eq!(
        document("copa", row("cause")).choices,
        [" the floor got wet.", " it flew."]
    );
}

#[test]
fn winogrande_fills_the_first_blank_and_scores_what_follows() {
    let found = document(
        "winogrande",
        json!({ "sentence": "Tom told Bob that _ had won , and _ lost .", "option1": "Tom", "option2": "Bob", "answer": "2" }),
    );
    let requests: Vec<(&str, &str)> = found
        .requests
        .iter()
        .map(|request| (request.context.as_str(), request.continuation.as_str()))
        .collect();
    let continuation = " had won , and _ lost .";
    assert_eq!(
        requests,
        [
            ("Tom told Bob that Tom", continuation),
            ("Tom told Bob that Bob", continuation)
        ]
    );
    assert_eq!(found.gold, Some(1));
}

#[test]
fn lambada_asks_for_the_last_word_with_its_space() {
    let row = json!({ "text": "A  b\nc \"d\" end" });
    asks("lambada_openai", row, "A  b\nc \"d\"", &[" end"], None);
}

#[test]
fn hellaswag_cleans_the_hubs_rows_and_takes_finished_ones() {
    asks(
        "hellaswag",
        json!({
            "ind": 4, "activity_label": "Baking", "ctx": "unused", "split": "val", "label": "1",
            "ctx_a": "A cook enters. [header] How to bake [title] Mix it [step] now.", "ctx_b": "the cook THEN",
            "endings": ["[substeps] stirs  it.  ", " waits [title] long."]
        }),
        "Baking: A cook enters. How to bake. Mix it now. The cook then",
        &["  stirs it.", " waits. long."],
        Some(1),
    );
    asks(
        "hellaswag",
        json!({ "ind": 0, "query": "Baking: A cook. he", "endings": ["[x] a", "b"], "label": 0 }),
        "Baking: A cook. he",
        &[" [x] a", " b"],
        Some(0),
    );
}

#[test]
fn race_shows_the_earlier_questions_answered() {
    let problems = r#"[{'question': 'Where was Ann?', 'answer': 'B', 'options': ['Home', 'At sea', 'Away', 'Nowhere']},
        {'question': 'She was  _  .', 'answer': 'A', 'options': ['glad', 'sad', "it's", 'no']},
        {'question': 'What did "Ann" see?\xa0', 'answer': 'D', 'options': ['One', 'Two', 'Three', 'Four']}]"#;
    asks(
        "race",
        json!({ "article": "Ann sailed.\nShe saw it.", "problems": problems }),
        "Article: Ann sailed.\nShe saw it.\n\nQuestion: Where was Ann?\nAnswer: At sea\nShe was glad\n\
         What did \"Ann\" see?\u{a0}",
        &[" One", " Two", " Three", " Four"],
        Some(3),
    );
    let alone = r"[{'question': 'Why?', 'answer': 'A', 'options': ['One', 'Two', 'Three', 'Four']}]";
    let context = "Article: Short.\n\nWhy?";
    let row = json!({ "article": "Short.", "problems": alone });
    asks("race", row, context, &[" One", " Two", " Three", " Four"], Some(0));
}

#[test]
fn a_row_that_does_not_fit_is_named() {
    let good = json!({ "goal": "g", "sol1": "a", "sol2": "b", "label": 0 });
    let text = |bad: Value| {
        let error = evaluated("piqa", &[good.clone(), bad]).expect_err("does not fit");
        assert!(matches!(error, Error::Template { .. }), "{error}");
        error.to_string()
    };
    let missing = text(json!({ "sol1": "a", "sol2": "b", "label": 0 }));
    assert!(missing.contains("catalogue/tasks/piqa.toml, line "), "{missing}");
    assert!(missing.contains("prompt.context, at row 1 of validation"), "{missing}");
    assert!(missing.contains("`goal` is undefined"), "{missing}");
    let gold = text(json!({ "goal": "g", "sol1": "a", "sol2": "b", "label": -1 }));
    assert!(gold.contains("prompt.gold") && gold.contains("gives -1"), "{gold}");
    let choices = text(json!({ "goal": "g", "sol1": "a", "sol2": 7, "label": 0 }));
    assert!(choices.contains("gives ['a', 7], wanted a list of texts"), "{choices}");
}
