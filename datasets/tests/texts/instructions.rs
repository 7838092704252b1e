//! Instructions with their responses.

use std::collections::HashMap;
use std::fs;

use prunebench_datasets::{Catalogue, Error, Instruction, Places, Result, instructions};
use prunebench_testing::server::{Answer, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::places;

/// The embedded set without its hashes, which invented rows don't have.
fn alpaca() -> Catalogue {
    let entry = include_str!("../../catalogue/instructions/alpaca.toml");
    let unpinned: Vec<&str> = entry.lines().filter(|line| !line.contains("_sha256 = ")).collect();
    Catalogue::parse([("instructions/alpaca", unpinned.join("\n").as_str())]).expect("valid")
}

fn rows() -> [Value; 2] {
    [
        json!({ "instruction": "Name a fruit.", "input": "", "output": "A plum." }),
        json!({ "instruction": "Count the words.", "input": "one two", "output": "2" }),
    ]
}

fn mirrored(rows: &[Value]) -> Result<Vec<Instruction>> {
    let folder = TempDir::new().expect("temporary folder");
    let path = folder.path().join("instructions/alpaca/alpaca_union.jsonl");
    fs::create_dir_all(path.parent().expect("has one")).expect("created");
    fs::write(&path, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).expect("written");
    let mut places = places(folder.path(), "unused");
    places.mirror = Some(folder.path().to_owned());
    instructions(&alpaca(), "alpaca", &places).map(|found| found.examples)
}

#[test]
fn a_row_becomes_alpacas_prompt_with_and_without_input() {
    let found = mirrored(&rows()).expect("fits");
    assert_eq!(
        found[0].prompt,
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n\
         ### Instruction:\nName a fruit.\n\n### Response:\n"
    );
    assert_eq!(
        found[1].prompt,
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a \
         response that appropriately completes the request.\n\n### Instruction:\nCount the words.\n\n### Input:\none two\
         \n\n### Response:\n"
    );
    assert_eq!([&found[0].response, &found[1].response], ["A plum.", "2"]);
}

#[test]
fn a_row_without_a_field_is_an_error_that_names_it() {
    let error = mirrored(&[json!({ "instruction": "Name a fruit.", "input": "" })]).expect_err("no output");
    let text = error.to_string();
    assert!(matches!(error, Error::Template { .. }), "{text}");
    assert!(
        text.contains("instructions/alpaca.toml, line 21, response") && text.contains("row 0 of alpaca"),
        "{text}"
    );
}

#[test]
fn the_hubs_array_gives_the_same_as_the_mirrors_lines() {
    let path = "/datasets/yahma/alpaca-cleaned/resolve/main/alpaca_data_cleaned.json";
    let from_hub = |content: String| {
        let server = Server::of(HashMap::from([(path.to_owned(), Answer::File(content.into()))]));
        let cache = TempDir::new().expect("temporary folder");
        let places: Places = places(cache.path(), &server.endpoint);
        instructions(&alpaca(), "alpaca", &places).map(|found| found.examples)
    };
    assert_eq!(
        from_hub(json!(rows()).to_string()).expect("served"),
        mirrored(&rows()).expect("fits")
    );
    for (content, reason) in [
        ("{}", "invalid type: map, expected a sequence"),
        ("[{\"instruction\": \"cut", "EOF"),
        ("[{}, 5]", "item 1 of the array"),
    ] {
        let error = from_hub(content.to_owned()).expect_err("no rows").to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn the_mirrors_file_is_the_pinned_one() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let mut places = places("unused".as_ref(), "unused");
    places.mirror = Some(shared.join("data"));
    let catalogue = Catalogue::embedded().expect("valid");
    let found = instructions(&catalogue, "alpaca", &places).expect("mirrored");
    assert_eq!(found.examples.len(), 20_678);
    let error = instructions(&catalogue, "alpacca", &places)
        .expect_err("unknown")
        .to_string();
    assert!(
        error.contains("no set of instructions \"alpacca\"; did you mean \"alpaca\"?"),
        "{error}"
    );
}
