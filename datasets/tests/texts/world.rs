//! The synthetic world as the catalogue has it: the pinned texts and questions, without mirror or network.

use prunebench_datasets::world::{self, Domain, Part};
use prunebench_datasets::{Catalogue, Error, Origin, Places, Shots, text};

use crate::places;

fn nowhere() -> Places {
    let mut places = places("unused".as_ref(), "unused");
    places.hub.offline = true;
    places
}

#[test]
fn every_text_is_the_pinned_one_and_needs_no_place() {
    let catalogue = Catalogue::embedded().expect("valid");
    let set = catalogue.data_set("world").expect("present");
    assert_eq!(set.splits.len(), 2 * Domain::ALL.len() + 2);
    for split in set.splits.keys() {
        let found = text(&catalogue, "world", split, &nowhere()).expect("as pinned");
        assert!(matches!(found.origin, Origin::World { .. }), "{}", found.origin);
        if let Some(domain) = Domain::ALL
            .iter()
            .find(|domain| *split == format!("{}-train", domain.name()))
        {
            let beginning = world::documents(*domain, Part::Train, 60_000).join("\n");
            assert!(found.content.starts_with(&beginning));
            let sample = text(&catalogue, "world", "train-sample", &nowhere()).expect("as pinned");
            assert!(
                sample.content.contains(&beginning),
                "the sample is of the training text"
            );
        }
    }
}

#[test]
fn every_question_is_the_pinned_one_and_needs_no_place() {
    let catalogue = Catalogue::embedded().expect("valid");
    for member in &catalogue.suite("world").expect("present").members {
        let task = catalogue.task(&member.task).expect("present");
        let found = task.documents(&Shots::new(1), None, &nowhere()).expect("as pinned");
        assert_eq!((found.documents.len(), found.origins.len()), (500, 2));
        let made = found
            .origins
            .iter()
            .all(|origin| matches!(origin, Origin::World { .. }));
        assert!(made, "{:?}", found.origins);
        for document in &found.documents {
            let field = |name: &str| document.fields[name].as_str().expect("text");
            let [request, ..] = document.requests.as_slice() else {
                panic!("no request");
            };
            assert!(
                request.context.ends_with(&format!("\n\n{}", field("context"))),
                "one example before"
            );
            assert_eq!(request.continuation.trim_start(), document.choices[0]);
            assert_eq!(document.choices.len(), 4);
        }
    }
}

#[test]
fn a_changed_generator_is_an_error_that_says_so() {
    let entry = include_str!("../../catalogue/texts/world.toml");
    let (before, after) = entry.split_once("sha256 = \"").expect("has hashes");
    let other = format!("{before}sha256 = \"{}{}", "0".repeat(64), &after[64..]);
    let catalogue = Catalogue::parse([("texts/world", other.as_str())]).expect("valid");
    let error = text(&catalogue, "world", "facts-train", &nowhere()).expect_err("another hash");
    assert!(matches!(error, Error::WrongWorld { .. }), "{error}");
    assert!(error.to_string().contains("(world 1: facts; train)"), "{error}");
}
