//! Documents of rolling protocols: made plain, and counted as published.

use std::collections::HashMap;

use prunebench_datasets::{Catalogue, Error, text_documents};
use prunebench_testing::server::{Answer, Server};
use sha2::{Digest, Sha256};

use crate::parquet::parquet;
use crate::{REVISION, places};

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The embedded WikiText-2 without the hashes and commit of its pages, which invented ones don't have.
fn unpinned() -> Catalogue {
    let content = include_str!("../../catalogue/texts/wikitext2.toml");
    let kept: Vec<&str> = content.lines().filter(|line| !line.contains("_sha256 = ")).collect();
    let pinned = "647234772b9554e208af6c826f23b99e3cac88c8";
    let content = kept.join("\n").replace(pinned, REVISION);
    Catalogue::parse([("texts/wikitext2", content.as_str())]).expect("valid")
}

#[test]
fn every_page_reads_as_lm_evals() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let catalogue = Catalogue::embedded().expect("valid");
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut places = places(folder.path(), "unused");
    places.mirror = Some(shared.join("data"));
    for id in ["wikitext2/lm-eval-word@1", "wikitext2/lm-eval-word-2048@1"] {
        let protocol = catalogue.protocol(id).expect("present");
        let found = text_documents(&catalogue, protocol, &places).expect("mirrored");
        // The hash is of the hashes of lm-eval 0.4.13's texts, one a line.
        let mut hash = Sha256::new();
        for document in &found.documents {
            hash.update(hexadecimal(Sha256::new_with_prefix(&document.text)));
            hash.update("\n");
        }
        assert_eq!(
            hexadecimal(hash),
            "21c478eaa9e231dff7db02146616aad6bb55ab963bcf9a54f42da22082094970"
        );
        let words: usize = found.documents.iter().map(|document| document.words).sum();
        let bytes: usize = found.documents.iter().map(|document| document.bytes).sum();
        assert_eq!((found.documents.len(), words, bytes), (60, 241331, 1290529));
    }
}

#[test]
fn marks_of_the_tokenised_text_go_and_the_counts_are_of_what_was_published() {
    let page = " = = Été = = \n \n A five @-@ year @,@ old 's \" quote \" , ( it \u{1f}costs ) 3 @.@ 5 \u{b0} N ; he said : no ! ";
    let row = [Some(page)];
    let file = "wikitext-2-raw-v1/wikitext-2-raw-v1-test.parquet";
    let path = format!("/datasets/EleutherAI/wikitext_document_level/resolve/{REVISION}/{file}");
    let server = Server::of(HashMap::from([(path, Answer::File(parquet("page", &row, 1)))]));
    let folder = tempfile::tempdir().expect("temporary folder");
    let catalogue = unpinned();
    let protocol = catalogue.protocol("wikitext2/lm-eval-word@1").expect("present");
    let found = text_documents(&catalogue, protocol, &places(folder.path(), &server.endpoint)).expect("served");
    let [document] = &found.documents[..] else {
        panic!("{} documents", found.documents.len());
    };
    assert_eq!(
        document.text,
        " == Été ==\n\nA five-year,old's \"quote\", (it \u{1f}costs) 3.5°N; he said: no! "
    );
    assert_eq!((document.words, document.bytes), (33, page.len()));
}

#[test]
fn a_protocol_of_one_text_has_no_documents_and_the_other_way_round() {
    let catalogue = Catalogue::embedded().expect("valid");
    let folder = tempfile::tempdir().expect("temporary folder");
    let places = places(folder.path(), "unused");
    let stream = catalogue.protocol("wikitext2/stream-512@1").expect("present");
    let error = text_documents(&catalogue, stream, &places).expect_err("one text");
    assert!(matches!(error, Error::WrongScoring { .. }), "{error}");
    let rolling = catalogue.protocol("wikitext2/lm-eval-word-2048@1").expect("present");
    assert_eq!(rolling.rolling_window().expect("rolling"), Some(2048));
    let error = rolling.stream_window().expect_err("documents").to_string();
    assert!(
        error.contains("windows of 2048") && error.contains("can't be read as one text"),
        "{error}"
    );
    let error =
        prunebench_datasets::text(&catalogue, &rolling.data_set, &rolling.split, &places).expect_err("documents");
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
}
