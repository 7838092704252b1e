//! `prunebench fetch`.

use std::path::PathBuf;

use clap::Args;
use prunebench_datasets::{Catalogue, DataSet, Origin, Places, Shots, Task, instructions, text, text_documents};
use prunebench_model::source::{Location, ModelSource};
use serde_json::json;

use crate::Outcome;
use crate::output::{print, print_json};

/// Fetch models, texts and tasks into the user's cache, and check them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench fetch smollm2-135m
  prunebench fetch hf:Qwen/Qwen2.5-0.5B wikitext2
  prunebench fetch arc_easy llm-pruner-7 alpaca")]
pub struct Fetch {
    /// Models (as for --model), or what `prunebench list` names as texts, tasks, suites or instructions
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,
    /// Folder with texts and tasks (text/NAME/..., tasks/NAME/...); else PRUNEBENCH_DATA, else the Hub
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was fetched, where it is, and its hash if it has one of its own.
type Fetched = (String, String, Option<String>);

impl Fetch {
    pub fn run(self) -> Outcome {
        let catalogue = Catalogue::embedded()?;
        let places = Places::from_env(self.data);
        let mut fetched = Vec::new();
        for source in &self.sources {
            if let Ok(data_set) = catalogue.data_set(source) {
                texts(&catalogue, data_set, &places, &mut fetched)?;
            } else if let Ok(suite) = catalogue.suite(source) {
                for member in &suite.members {
                    task(catalogue.task(&member.task)?, &places, &mut fetched)?;
                }
            } else if let Ok(one) = catalogue.task(source) {
                task(one, &places, &mut fetched)?;
            } else if catalogue.instruction_set(source).is_ok() {
                let found = instructions(&catalogue, source, &places)?;
                fetched.push((source.clone(), place(&found.origin), Some(found.sha256)));
            } else {
                let model = source.parse::<ModelSource>()?.resolve()?;
                let place = match &model.location {
                    Location::Path(path) => path.display().to_string(),
                    Location::Random(_) => "nothing to fetch: drawn at random".to_owned(),
                };
                fetched.push((model.name.clone(), place, Some(model.content_hash()?)));
            }
        }
        if self.json {
            let entry = |(name, place, hash)| json!({ "name": name, "place": place, "sha256": hash });
            print_json(&fetched.into_iter().map(entry).collect::<Vec<_>>())?;
        } else {
            let line = |(name, place, hash): Fetched| match hash {
                Some(hash) => format!("{name}: {place}, sha256 {hash}\n"),
                None => format!("{name}: {place}\n"),
            };
            print(&fetched.into_iter().map(line).collect::<String>())?;
        }
        Ok(true)
    }
}

fn place(origin: &Origin) -> String {
    match origin {
        Origin::World { .. } => format!("nothing to fetch: {origin}"),
        origin => origin.to_string(),
    }
}

/// Every text and collection of documents of a data set.
fn texts(catalogue: &Catalogue, data_set: &DataSet, places: &Places, fetched: &mut Vec<Fetched>) -> anyhow::Result<()> {
    let name = &data_set.name;
    for split in data_set.splits.keys() {
        let text = text(catalogue, name, split, places)?;
        fetched.push((format!("{name}/{split}"), place(&text.origin), Some(text.sha256)));
    }
    for split in data_set.documents.keys() {
        let mut protocols = data_set.protocols.iter();
        if let Some(protocol) = protocols.find(|protocol| protocol.split == *split) {
            let documents = text_documents(catalogue, protocol, places)?;
            fetched.push((
                format!("{name}/{split}"),
                place(&documents.origin),
                Some(documents.sha256),
            ));
        }
    }
    Ok(())
}

/// The split that is evaluated, with the hash of its requests, and the one that few-shot examples come from.
fn task(task: &Task, places: &Places, fetched: &mut Vec<Fetched>) -> anyhow::Result<()> {
    let documents = task.documents(&Shots::new(0), None, places)?;
    let mut origins = documents.origins.into_iter();
    if let Some(origin) = origins.next() {
        let name = format!("{}/{}", task.id(), task.prompt.split);
        fetched.push((name, place(&origin), Some(documents.sha256)));
    }
    let with_shots = task.documents(&Shots::new(1), Some(1), places)?;
    // Of the same split there is a single origin.
    if let Some(origin) = with_shots.origins.get(1) {
        fetched.push((format!("{}/{}", task.id(), task.few_shot.split), place(origin), None));
    }
    Ok(())
}
