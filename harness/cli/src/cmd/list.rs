//! `prunebench list`.

use clap::{Args, ValueEnum};
use prunebench_datasets::{Catalogue, DataSet, InstructionSet, RowSource, Suite, Task};
use prunebench_methods::registry;
use prunebench_model::source::shapes;
use prunebench_sweep::engine_version;
use prunebench_tensor::Engine;
use serde_json::{Value, json};

use crate::Outcome;
use crate::cmd::experiments;
use crate::output::{print, print_json};

/// List experiments, methods, models, shapes, texts, protocols, tasks, suites, instructions and engines.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench list
  prunebench list experiments
  prunebench list tasks
  prunebench list methods --json")]
pub struct List {
    /// What to list; everything if left out
    what: Option<What>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Experiments,
    Methods,
    Models,
    Shapes,
    Texts,
    Protocols,
    Tasks,
    Suites,
    Instructions,
    Engines,
}

const MODELS: [(&str, &str); 6] = [
    (
        "tiny",
        "1.4 M parameters inside this program, trained on the synthetic world (tasks: world)",
    ),
    (
        "smollm2-135m",
        "SmolLM2-135M-Instruct (Q4_1, dequantised), from the Python package index",
    ),
    ("hf:org/name[@revision]", "a repository of the Hugging Face Hub"),
    (
        "FOLDER",
        "a folder in HF layout: config.json, *.safetensors, tokenizer.json",
    ),
    ("FILE.gguf", "a GGUF file"),
    (
        "shape:NAME",
        "random weights in the shape of a well-known model, for timing, such as shape:llama-2-7b",
    ),
];

impl List {
    pub fn run(self) -> Outcome {
        let mut json = serde_json::Map::new();
        let mut text = String::new();
        for what in What::value_variants()
            .iter()
            .filter(|what| self.what.is_none_or(|wanted| wanted == **what))
        {
            let heading = what
                .to_possible_value()
                .map_or_else(String::new, |value| value.get_name().to_owned());
            text += &format!("{heading}\n");
            if *what == What::Experiments {
                text += &experiments::text()?;
                json.insert(heading, experiments::json()?);
                continue;
            }
            let entries = entries(*what)?;
            let width = entries
                .iter()
                .map(|(name, _, _)| name.chars().count())
                .max()
                .unwrap_or(0);
            for (name, line, _) in &entries {
                text += &format!("  {name:<width$}  {line}\n");
            }
            json.insert(heading, entries.into_iter().map(|(_, _, value)| value).collect());
        }
        if self.json {
            print_json(&json)?
        } else {
            print(&text)?
        }
        Ok(true)
    }
}

/// Name, line and JSON.
type Entry = (String, String, Value);

fn entries(what: What) -> anyhow::Result<Vec<Entry>> {
    Ok(match what {
        // They have lines and JSON of their own.
        What::Experiments => Vec::new(),
        What::Methods => registry()
            .iter()
            .map(|entry| {
                let card = entry.card;
                let needs: Vec<String> = card.needs.iter().map(|need| format!("{need:?}")).collect();
                let value = json!({
                    "id": card.id, "title": card.title, "paper": card.paper, "changes": card.changes,
                    "example": card.example, "needs": needs, "version": card.version, "deviations": card.deviations,
                });
                (
                    card.id.to_owned(),
                    format!("{}; {}; {}", card.changes, card.example, card.paper),
                    value,
                )
            })
            .collect(),
        What::Models => MODELS
            .iter()
            .map(|(name, line)| {
                (
                    (*name).to_owned(),
                    (*line).to_owned(),
                    json!({ "source": name, "what": line }),
                )
            })
            .collect(),
        What::Shapes => shapes()?
            .into_iter()
            .map(|(name, config)| {
                let size = |key: &str| config[key].to_string();
                let (layers, hidden) = (size("num_hidden_layers"), size("hidden_size"));
                let line = format!("{layers} layers of width {hidden}, vocabulary {}", size("vocab_size"));
                let value = json!({ "name": name, "config": config });
                (name, line, value)
            })
            .collect(),
        What::Texts => Catalogue::embedded()?.data_sets().iter().map(data_set).collect(),
        What::Protocols => Catalogue::embedded()?
            .protocols()
            .map(|protocol| {
                let line = format!("{} of {}: {}", protocol.split, protocol.data_set, protocol.scoring);
                let value = json!({
                    "id": protocol.id, "data_set": protocol.data_set, "split": protocol.split,
                    "scoring": protocol.scoring.to_string(),
                });
                (protocol.id.clone(), line, value)
            })
            .collect(),
        What::Tasks => Catalogue::embedded()?.tasks().iter().map(task).collect(),
        What::Suites => Catalogue::embedded()?.suites().iter().map(suite).collect(),
        What::Instructions => {
            let catalogue = Catalogue::embedded()?;
            catalogue.instruction_sets().iter().map(instructions).collect()
        }
        What::Engines => [Engine::Candle, Engine::Torch]
            .iter()
            .map(|&engine| {
                let present = Engine::compiled().contains(&engine);
                let line = if present {
                    engine_version(engine)
                } else {
                    "not in this build".to_owned()
                };
                let value = json!({ "engine": engine, "in_this_build": present, "version": present.then_some(&line) });
                (engine.to_string(), line, value)
            })
            .collect(),
    })
}

fn task(task: &Task) -> Entry {
    let metrics: Vec<String> = task.metrics.iter().map(ToString::to_string).collect();
    let (hub, lm_eval) = (task.hub(), &task.lm_eval);
    let equal = lm_eval.as_ref().map(|lm_eval| format!("lm-eval's {}", lm_eval.task));
    let line = format!(
        "{}; {}; {}; {}{}",
        task.title,
        metrics.join(", "),
        equal.as_deref().unwrap_or("prunebench's own"),
        hub.map_or("made by this program", |hub| &hub.repository),
        if task.pinned() { "" } else { ", not pinned" }
    );
    let splits = task.splits.iter().map(|(name, source)| {
        let rows = match source {
            RowSource::File { file, .. } => json!({
                "file": file.file, "hub_sha256": file.hub_sha256,
                "mirror": file.mirror, "mirror_sha256": file.mirror_sha256,
            }),
            RowSource::World(world) => json!({ "domain": world.domain, "part": world.part, "sha256": world.sha256 }),
        };
        (name.clone(), rows)
    });
    let value = json!({
        "id": task.id(), "title": task.title, "licence": task.licence, "metrics": metrics,
        "repository": hub.map(|hub| &hub.repository), "revision": hub.map(|hub| &hub.revision), "pinned": task.pinned(),
        "splits": splits.collect::<serde_json::Map<String, Value>>(),
        "split": task.prompt.split, "few_shot_split": task.few_shot.split, "group": task.prompt.group,
        "lm_eval": lm_eval, "differs": task.differs,
    });
    (task.id(), line, value)
}

fn data_set(set: &DataSet) -> Entry {
    let splits: Vec<&str> = set
        .splits
        .keys()
        .chain(set.documents.keys())
        .map(String::as_str)
        .collect();
    let line = format!("{}; {}; {}", set.title, set.licence, splits.join(", "));
    let hashes = set
        .splits
        .iter()
        .map(|(name, split)| (name.clone(), json!(split.sha256())));
    let value = json!({
        "name": set.name, "title": set.title, "licence": set.licence,
        "splits": hashes.collect::<serde_json::Map<String, Value>>(), "documents": set.documents.keys().collect::<Vec<_>>(),
    });
    (set.name.clone(), line, value)
}

fn instructions(set: &InstructionSet) -> Entry {
    let pinned = set.hub.revision.is_some();
    let note = if pinned { "" } else { ", not pinned" };
    let line = format!("{}; {}; {}{note}", set.title, set.licence, set.hub.repository);
    let value = json!({
        "name": set.name, "title": set.title, "licence": set.licence,
        "repository": set.hub.repository, "revision": set.hub.revision, "pinned": pinned,
        "file": set.rows.file, "mirror": set.rows.mirror, "mirror_sha256": set.rows.mirror_sha256,
        "prompt": set.prompt.text(), "response": set.response.text(),
    });
    (set.name.clone(), line, value)
}

fn suite(suite: &Suite) -> Entry {
    let members: Vec<String> = suite
        .members
        .iter()
        .map(|member| format!("{} {}", member.task, member.metric))
        .collect();
    let line = format!("{}; {} shots; {}", suite.title, suite.shots, members.join(", "));
    let value = json!({
        "name": suite.name, "title": suite.title, "source": suite.source, "shots": suite.shots,
        "members": suite.members,
    });
    (suite.name.clone(), line, value)
}
