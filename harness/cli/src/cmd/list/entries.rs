//! What there is of each kind.

use prunebench_datasets::{Catalogue, DataSet, InstructionSet, Protocol, RowSource, Scoring, Suite, Task};
use prunebench_model::source::shapes;
use prunebench_sweep::{Shipped, engine_version, shipped};
use prunebench_tensor::Engine;
use serde_json::{Value, json};

use super::{Entry, Listing, What, methods};
use crate::terminal::Side;

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

/// All there is of a kind.
pub fn listing(what: What) -> anyhow::Result<Listing> {
    let of = |columns: &[&'static str], entries: Vec<Entry>| Listing {
        columns: columns.iter().map(|header| (*header, Side::Left)).collect(),
        entries,
        notes: Vec::new(),
    };
    let catalogue = Catalogue::embedded()?;
    Ok(match what {
        What::Experiments => Listing {
            columns: [("experiment", Side::Left), ("recipes", Side::Right), ("what it is", Side::Left)].to_vec(),
            entries: shipped()?.into_iter().map(experiment).collect(),
            notes: vec!["To run one: `prunebench run NAME`.".to_owned()],
        },
        What::Methods => methods::listing(),
        What::Models => of(&["model", "what it is"], MODELS.iter().map(model).collect()),
        What::Shapes => Listing {
            columns: [("shape", Side::Left), ("layers", Side::Right), ("width", Side::Right), ("vocabulary", Side::Right)]
                .to_vec(),
            entries: shapes()?.into_iter().map(shape).collect(),
            notes: vec!["For `--model shape:NAME`: random weights, for timing.".to_owned()],
        },
        What::Texts => of(
            &["text", "what it is", "licence", "splits"],
            catalogue.data_sets().iter().map(data_set).collect(),
        ),
        What::Protocols => Listing {
            columns: [("protocol", Side::Left), ("split", Side::Left), ("window", Side::Right), ("of", Side::Left)].to_vec(),
            entries: catalogue.protocols().map(protocol).collect(),
            notes: vec![
                "Of one text: it is encoded once, without BOS, and cut into windows, the tail dropped; all tokens of a window but \
                 the first are predicted. Of documents: each is rolled in such windows, and every token is predicted once."
                    .to_owned(),
            ],
        },
        What::Tasks => {
            let unpinned = catalogue.tasks().iter().filter(|task| !task.pinned());
            let unpinned: Vec<String> = unpinned.map(Task::id).collect();
            let mut notes = vec!["Requests: whose they equal to the byte.".to_owned()];
            if !unpinned.is_empty() {
                notes.push(format!("Not pinned to a commit: {}.", unpinned.join(", ")));
            }
            let columns = &["task", "what it is", "metrics", "requests"];
            Listing {
                notes,
                ..of(columns, catalogue.tasks().iter().map(task).collect())
            }
        }
        What::Suites => Listing {
            columns: [("suite", Side::Left), ("what it is", Side::Left), ("shots", Side::Right), ("tasks", Side::Left)].to_vec(),
            entries: catalogue.suites().iter().map(suite).collect(),
            notes: Vec::new(),
        },
        What::Instructions => of(
            &["set", "what it is", "licence", "from"],
            catalogue.instruction_sets().iter().map(instructions).collect(),
        ),
        What::Engines => of(
            &["engine", "version"],
            [Engine::Candle, Engine::Torch].into_iter().map(engine).collect(),
        ),
    })
}

fn entry<const N: usize>(cells: [String; N], value: Value) -> Entry {
    let cells = cells.to_vec();
    let name = cells.first().cloned().unwrap_or_default();
    Entry { name, cells, value }
}

fn experiment(shipped: Shipped) -> Entry {
    let experiment = &shipped.experiment;
    Entry {
        cells: vec![
            shipped.name.clone(),
            shipped.recipes.to_string(),
            experiment.description.clone(),
        ],
        value: json!({
            "name": shipped.name, "description": experiment.description, "path": shipped.path,
            "results": experiment.name, "models": experiment.models, "recipes": shipped.recipes,
            "engines": experiment.engines, "devices": experiment.devices,
        }),
        name: shipped.name,
    }
}

fn model(&(name, what): &(&str, &str)) -> Entry {
    entry(
        [name.to_owned(), what.to_owned()],
        json!({ "source": name, "what": what }),
    )
}

fn shape((name, config): (String, Value)) -> Entry {
    let size = |key: &str| config[key].to_string();
    let [layers, width, vocabulary] = ["num_hidden_layers", "hidden_size", "vocab_size"].map(size);
    let value = json!({ "name": name, "config": config });
    entry([name, layers, width, vocabulary], value)
}

fn protocol(protocol: &Protocol) -> Entry {
    let (window, of) = match protocol.scoring {
        Scoring::Stream { window } => (window.to_string(), "one text"),
        Scoring::Rolling { window: Some(window) } => (window.to_string(), "documents"),
        Scoring::Rolling { window: None } => ("the model's".to_owned(), "documents"),
    };
    let value = json!({
        "id": protocol.id, "data_set": protocol.data_set, "split": protocol.split,
        "scoring": protocol.scoring.to_string(),
    });
    entry(
        [protocol.id.clone(), protocol.split.clone(), window, of.to_owned()],
        value,
    )
}

fn engine(engine: Engine) -> Entry {
    let present = Engine::compiled().contains(&engine);
    let line = if present {
        engine_version(engine)
    } else {
        "not in this build".to_owned()
    };
    let value = json!({ "engine": engine, "in_this_build": present, "version": present.then_some(&line) });
    entry([engine.to_string(), line], value)
}

fn task(task: &Task) -> Entry {
    let metrics: Vec<String> = task.metrics.iter().map(ToString::to_string).collect();
    let (hub, lm_eval) = (task.hub(), &task.lm_eval);
    let requests = if lm_eval.is_some() { "lm-eval" } else { "its own" };
    let joined = metrics.join(", ");
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
    entry([task.id(), task.title.clone(), joined, requests.to_owned()], value)
}

fn data_set(set: &DataSet) -> Entry {
    let splits: Vec<&str> = set
        .splits
        .keys()
        .chain(set.documents.keys())
        .map(String::as_str)
        .collect();
    let splits = splits.join(", ");
    let hashes = set
        .splits
        .iter()
        .map(|(name, split)| (name.clone(), json!(split.sha256())));
    let value = json!({
        "name": set.name, "title": set.title, "licence": set.licence,
        "splits": hashes.collect::<serde_json::Map<String, Value>>(), "documents": set.documents.keys().collect::<Vec<_>>(),
    });
    entry(
        [set.name.clone(), set.title.clone(), set.licence.clone(), splits],
        value,
    )
}

fn instructions(set: &InstructionSet) -> Entry {
    let pinned = set.hub.revision.is_some();
    let note = if pinned { "" } else { ", not pinned" };
    let from = format!("{}{note}", set.hub.repository);
    let value = json!({
        "name": set.name, "title": set.title, "licence": set.licence,
        "repository": set.hub.repository, "revision": set.hub.revision, "pinned": pinned,
        "file": set.rows.file, "mirror": set.rows.mirror, "mirror_sha256": set.rows.mirror_sha256,
        "prompt": set.prompt.text(), "response": set.response.text(),
    });
    entry([set.name.clone(), set.title.clone(), set.licence.clone(), from], value)
}

fn suite(suite: &Suite) -> Entry {
    let members: Vec<String> = suite
        .members
        .iter()
        .map(|member| format!("{} {}", member.task, member.metric))
        .collect();
    let value = json!({
        "name": suite.name, "title": suite.title, "source": suite.source, "shots": suite.shots,
        "members": suite.members,
    });
    let (name, title, shots) = (suite.name.clone(), suite.title.clone(), suite.shots.to_string());
    entry([name, title, shots, members.join(", ")], value)
}
