//! The catalogue's WikiText-2 on the real files, which stay outside the repository.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use prunebench_datasets::{Catalogue, Places, Split, text};
use prunebench_testing::server::{Answer, Server};

use crate::parquet::parquet;

fn places(mirror: Option<PathBuf>, endpoint: &str, cache: &Path) -> Places {
    Places {
        mirror,
        ..crate::places(cache, endpoint)
    }
}

#[test]
fn the_mirror_and_the_hub_give_the_same_pinned_texts() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let data = shared.join("data");
    let catalogue = Catalogue::embedded().expect("valid");
    let set = catalogue.data_set("wikitext2").expect("present");
    for (split, raw) in [("test", "wiki.test.raw"), ("validation", "wiki.valid.raw")] {
        let raw = fs::read_to_string(data.join("text/wikitext2").join(raw)).expect("readable");
        // The Hub's rows: every line as it is, but an empty row for a line of one space.
        let rows: Vec<Option<&str>> = raw
            .split_inclusive('\n')
            .map(|line| Some(if line == " \n" { "" } else { line }))
            .collect();
        let bytes = parquet("text", &rows, 1000);
        let Ok(Split::Rows { hub, rows: source }) = set.split(split) else {
            panic!("{split} is not made from rows");
        };
        let path = format!(
            "/datasets/{}/resolve/{}/{}",
            hub.repository,
            hub.revision(),
            source.file
        );
        let server = Server::of(HashMap::from([(path, Answer::File(bytes))]));
        let cache = tempfile::tempdir().expect("temporary folder");

        let hub = text(
            &catalogue,
            "wikitext2",
            split,
            &places(None, &server.endpoint, cache.path()),
        )
        .expect("the Hub's");
        let mirror = text(
            &catalogue,
            "wikitext2",
            split,
            &places(Some(data.clone()), "unused", cache.path()),
        )
        .expect("the mirror's");
        assert_eq!(hub.content, mirror.content);
    }
}
