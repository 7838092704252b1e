//! `prunebench fetch`.

use std::path::PathBuf;

use clap::Args;
use prunebench_datasets::{Catalogue, Places, text};
use prunebench_model::source::{Location, ModelSource};
use serde_json::json;

use crate::Outcome;
use crate::output::{print, print_json};

/// Fetch models and texts into the user's cache, and check them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench fetch smollm2-135m
  prunebench fetch hf:Qwen/Qwen2.5-0.5B wikitext2")]
pub struct Fetch {
    /// Models (as for --model) or data sets (as `prunebench list protocols` names them)
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,
    /// Folder with texts (text/NAME/...); else PRUNEBENCH_DATA, else the Hub
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Fetch {
    pub fn run(self) -> Outcome {
        let catalogue = Catalogue::embedded()?;
        let places = Places::from_env(self.data);
        let mut fetched = Vec::new();
        for source in &self.sources {
            if let Ok(data_set) = catalogue.data_set(source) {
                for split in data_set.splits.keys() {
                    let text = text(&catalogue, source, split, &places)?;
                    fetched.push((format!("{source}/{split}"), text.origin.to_string(), text.sha256));
                }
            } else {
                let model = source.parse::<ModelSource>()?.resolve()?;
                let place = match &model.location {
                    Location::Path(path) => path.display().to_string(),
                    Location::Random(_) => "nothing to fetch: drawn at random".to_owned(),
                };
                fetched.push((model.name.clone(), place, model.content_hash()?));
            }
        }
        if self.json {
            let entry = |(name, place, hash)| json!({ "name": name, "place": place, "sha256": hash });
            print_json(&fetched.into_iter().map(entry).collect::<Vec<_>>())?;
        } else {
            let line = |(name, place, hash)| format!("{name}: {place}, sha256 {hash}\n");
            print(&fetched.into_iter().map(line).collect::<String>())?;
        }
        Ok(true)
    }
}
