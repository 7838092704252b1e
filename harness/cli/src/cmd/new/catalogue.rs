//! New entries of the catalogue.

use anyhow::{Context, ensure};
use prunebench_datasets::{Catalogue, RowSource, Split};

use super::checkout::Checkout;
use super::word::TableName;
use super::{Written, write_new};

const TASK: &str = include_str!("templates/task.toml");
const TEXT: &str = include_str!("templates/text.toml");

/// The task and the text of the synthetic world whose rows and splits the templates begin with.
const WORLD_TASK: &str = "world_facts";
const WORLD_TEXT: (&str, &str) = ("world", "stories-validation");

pub fn task(checkout: &Checkout, name: &TableName) -> anyhow::Result<Written> {
    let name = name.as_str();
    let world = Catalogue::embedded()?;
    let world = world.task(WORLD_TASK)?;
    let hash = |split: &str| -> anyhow::Result<&str> {
        match world.split(split)? {
            RowSource::World(rows) => Ok(&rows.sha256),
            RowSource::File { .. } => anyhow::bail!("{WORLD_TASK}/{split} is no longer made by the program"),
        }
    };
    let text = TASK
        .replace("@NAME@", name)
        .replace("@VALIDATION@", hash("validation")?)
        .replace("@TRAIN@", hash("train")?);
    let next = format!(
        "  cargo build    puts the task into the program\n  prunebench list tasks\n  \
         prunebench eval --model tiny --tasks {name} --limit 100\n  \
         With rows of your own, test a rendered one in datasets/tests/tasks/rows.rs."
    );
    written(checkout, &format!("tasks/{name}"), &text, next)
}

pub fn text(checkout: &Checkout, name: &TableName) -> anyhow::Result<Written> {
    let name = name.as_str();
    let (set, split) = WORLD_TEXT;
    let catalogue = Catalogue::embedded()?;
    let Split::World(world) = catalogue.data_set(set)?.split(split)? else {
        anyhow::bail!("{set}/{split} is no longer made by the program");
    };
    let text = TEXT
        .replace("@NAME@", name)
        .replace("@BYTES@", &world.bytes.to_string())
        .replace("@SHA256@", &world.sha256);
    let next = format!(
        "  cargo build    puts the text into the program\n  prunebench list protocols\n  \
         prunebench eval --model tiny --protocol {name}/stream-128@1"
    );
    written(checkout, &format!("texts/{name}"), &text, next)
}

/// Writes an entry that the catalogue accepts.
fn written(checkout: &Checkout, entry: &str, text: &str, next: String) -> anyhow::Result<Written> {
    Catalogue::parse([(entry, text)]).context("the template doesn't fit this name")?;
    let folder = checkout.path("datasets/catalogue");
    ensure!(folder.is_dir(), "{} is no folder", folder.display());
    let path = folder.join(format!("{entry}.toml"));
    write_new(&path, text)?;
    Ok(Written {
        files: vec![path],
        next,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use prunebench_datasets::{Places, Shots};

    use super::*;

    /// Folders that make a checkout.
    fn checkout(folder: &Path) -> Checkout {
        for inside in [
            "methods/src",
            "datasets/catalogue/tasks",
            "datasets/catalogue/texts",
            "harness/cli",
        ] {
            fs::create_dir_all(folder.join(inside)).unwrap();
        }
        fs::write(folder.join("methods/src/lib.rs"), "").unwrap();
        Checkout::above(folder).unwrap()
    }

    #[test]
    fn a_new_task_is_in_the_catalogue_and_asks_its_questions() {
        let folder = tempfile::tempdir().unwrap();
        let name: TableName = "trivia".parse().unwrap();
        let written = task(&checkout(folder.path()), &name).unwrap();
        assert_eq!(
            written.files,
            [folder.path().join("datasets/catalogue/tasks/trivia.toml")]
        );
        let content = fs::read_to_string(&written.files[0]).unwrap();
        assert!(!content.contains('@'), "{content}");
        let catalogue = Catalogue::parse([("tasks/trivia", content.as_str())]).unwrap();
        let made = catalogue.task("trivia@1").unwrap();
        assert!(made.pinned());
        let places = Places::from_env(None);
        let asked = made.documents(&Shots::new(1), Some(3), &places).unwrap();
        assert_eq!(asked.documents.len(), 3);
        assert!(
            task(&checkout(folder.path()), &name)
                .unwrap_err()
                .to_string()
                .contains("is there already")
        );
    }

    #[test]
    fn a_new_text_is_in_the_catalogue_and_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let name: TableName = "letters".parse().unwrap();
        let written = text(&checkout(folder.path()), &name).unwrap();
        assert_eq!(
            written.files,
            [folder.path().join("datasets/catalogue/texts/letters.toml")]
        );
        let content = fs::read_to_string(&written.files[0]).unwrap();
        let catalogue = Catalogue::parse([("texts/letters", content.as_str())]).unwrap();
        let protocol = catalogue.protocol("letters/stream-128@1").unwrap();
        assert_eq!(protocol.stream_window().unwrap(), 128);
        let places = Places::from_env(None);
        let stories = prunebench_datasets::text(&catalogue, "letters", &protocol.split, &places).unwrap();
        assert!(!stories.content.is_empty());
    }
}
