//! Task definitions: where the rows are, how they become requests, and what is measured.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::source::{HubSource, RowFile, RowSource, WorldRows};
use crate::error::{Error, Result};
use crate::template::{Engine, Template};

/// A benchmark of requests with known answers.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its name, and that of its file: `arc_easy`.
    pub name: String,
    /// Raised whenever its numbers change.
    pub version: u32,
    /// Its name for a reader.
    pub title: String,
    /// Terms its data is given out under.
    pub licence: String,
    /// The lm-eval task it equals, if it equals one.
    pub lm_eval: Option<LmEval>,
    /// Where it differs from that task.
    pub differs: Vec<String>,
    /// Its splits by name.
    pub splits: BTreeMap<String, RowSource>,
    /// How a row becomes requests.
    pub prompt: Prompt,
    /// How examples are put before it.
    pub few_shot: FewShot,
    /// What lm-eval reports for it.
    pub metrics: Vec<Metric>,
}

/// A task of lm-eval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LmEval {
    /// Version of lm-eval.
    pub version: String,
    /// Name of the task.
    pub task: String,
    /// Version of the task.
    pub task_version: String,
}

/// How a row becomes requests.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Split that is evaluated.
    pub split: String,
    /// Put once before everything.
    pub description: Option<Template>,
    /// The requests of a row.
    pub form: Form,
    /// What stands between a context and its continuation.
    pub delimiter: String,
    /// Field by which rows are grouped: each group has its own limit, examples and score.
    pub group: Option<String>,
}

/// The requests of a row.
#[derive(Debug, Clone)]
pub enum Form {
    /// One context, several continuations.
    Choices {
        /// The context.
        context: Template,
        /// Expression that gives the continuations.
        choices: Template,
        /// Expression that gives the index of the right one.
        gold: Template,
    },
    /// Several contexts, one continuation.
    Contexts {
        /// Expression that gives the contexts.
        contexts: Template,
        /// The continuation.
        continuation: Template,
        /// Expression that gives the index of the right context.
        gold: Template,
    },
    /// One context and one continuation, right if the model would choose it.
    Continuation {
        /// The context.
        context: Template,
        /// The continuation.
        continuation: Template,
    },
}

/// How examples are put before a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FewShot {
    /// Split they come from.
    pub split: String,
    /// Which of its rows they are.
    pub order: Order,
    /// What stands after an example.
    pub separator: String,
    /// What stands between an example's context and its answer.
    pub delimiter: String,
    /// Whether the evaluated row itself is drawn and taken out; else decided by whether the splits are the same.
    pub skips_document: Option<bool>,
}

/// Which rows become examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The first ones.
    First,
    /// Drawn anew for each document by a generator with a seed, as Python's `random.sample` draws.
    Seeded,
}

/// A score of a task, under lm-eval's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share of rows whose right answer is the likeliest; of a continuation, whether the model would choose it.
    Acc,
    /// As `Acc`, each log-likelihood divided by the characters of its choice.
    AccNorm,
    /// As `Acc`, each log-likelihood divided by the UTF-8 bytes of its choice.
    AccBytes,
    /// exp of the mean negative log-likelihood of the continuations.
    Perplexity,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acc => "acc",
            Self::AccNorm => "acc_norm",
            Self::AccBytes => "acc_bytes",
            Self::Perplexity => "perplexity",
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFile {
    title: String,
    version: u32,
    licence: String,
    lm_eval: Option<LmEval>,
    #[serde(default)]
    differs: Vec<String>,
    hub: Option<HubSource>,
    #[serde(default)]
    split: BTreeMap<String, RowFile>,
    #[serde(default)]
    generated: BTreeMap<String, WorldRows>,
    prompt: PromptFile,
    few_shot: FewShotFile,
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PromptFile {
    split: String,
    kind: Kind,
    description: Option<Spanned<String>>,
    context: Option<Spanned<String>>,
    contexts: Option<Spanned<String>>,
    choices: Option<Spanned<String>>,
    continuation: Option<Spanned<String>>,
    gold: Option<Spanned<String>>,
    delimiter: Option<String>,
    group: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Choices,
    Contexts,
    Continuation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FewShotFile {
    split: String,
    order: Order,
    separator: String,
    delimiter: Option<String>,
    skips_document: Option<bool>,
}

impl Task {
    /// Name and version: `arc_easy@1`.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Where the Hub keeps its rows, if they are on the Hub.
    pub fn hub(&self) -> Option<&HubSource> {
        self.splits.values().find_map(|source| match source {
            RowSource::File { hub, .. } => Some(hub),
            RowSource::World(_) => None,
        })
    }

    /// Whether its rows can't change: those of one commit of the Hub, or of this program's own making.
    pub fn pinned(&self) -> bool {
        self.hub().is_none_or(|hub| hub.revision.is_some())
    }

    /// The split of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name and the list.
    pub fn split(&self, name: &str) -> Result<&RowSource> {
        self.splits.get(name).ok_or_else(|| {
            let known = self.splits.keys().map(String::as_str);
            Error::unknown(format!("split of {}", self.name), name, known)
        })
    }

    /// Folder and stem of its file.
    pub(crate) fn file(&self) -> String {
        format!("tasks/{}", self.name)
    }

    pub(super) fn parse(name: &str, content: &str) -> Result<Self> {
        let path = format!("tasks/{name}");
        let fault = |reason: String| Error::Catalogue {
            file: path.clone(),
            reason,
        };
        let file: TaskFile = toml::from_str(content).map_err(|error| fault(error.to_string()))?;
        let mut splits = BTreeMap::new();
        for (split, rows) in file.split {
            let hub = file.hub.clone();
            let hub = hub.ok_or_else(|| fault("hub is missing; its [split]s are files there".to_owned()))?;
            splits.insert(split, RowSource::File { hub, file: rows });
        }
        for (split, rows) in file.generated {
            if splits.insert(split.clone(), RowSource::World(rows)).is_some() {
                return Err(fault(format!("two splits have the name {split}")));
            }
        }
        for (split, source) in &splits {
            source.check(split).map_err(fault)?;
        }
        for (key, split) in [("prompt", &file.prompt.split), ("few_shot", &file.few_shot.split)] {
            if !splits.contains_key(split) {
                return Err(fault(format!("{key}.split {split:?} is none of its splits")));
            }
        }
        let prompt = Prompt::new(&path, file.prompt, content).map_err(fault)?;
        prompt.check_templates(&path)?;
        check_metrics(&prompt.form, &file.metrics).map_err(fault)?;
        Ok(Self {
            name: name.to_owned(),
            version: file.version,
            title: file.title,
            licence: file.licence,
            lm_eval: file.lm_eval,
            differs: file.differs,
            splits,
            few_shot: FewShot {
                split: file.few_shot.split,
                order: file.few_shot.order,
                separator: file.few_shot.separator,
                delimiter: file.few_shot.delimiter.unwrap_or_else(|| prompt.delimiter.clone()),
                skips_document: file.few_shot.skips_document,
            },
            prompt,
            metrics: file.metrics,
        })
    }
}

impl Prompt {
    fn new(path: &str, file: PromptFile, content: &str) -> std::result::Result<Self, String> {
        let template = |key, value: Option<Spanned<String>>| match value {
            Some(value) => Ok(Template::new(path, key, value, content)),
            None => Err(format!("{key} is missing, which its prompt.kind needs")),
        };
        let unused = |values: &[(&str, bool)]| match values.iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(format!("prompt.{key} is given, which its prompt.kind has no use for")),
            None => Ok(()),
        };
        let has = Option::is_some;
        let form = match file.kind {
            Kind::Choices => {
                unused(&[
                    ("contexts", has(&file.contexts)),
                    ("continuation", has(&file.continuation)),
                ])?;
                Form::Choices {
                    context: template("prompt.context", file.context)?,
                    choices: template("prompt.choices", file.choices)?,
                    gold: template("prompt.gold", file.gold)?,
                }
            }
            Kind::Contexts => {
                unused(&[("context", has(&file.context)), ("choices", has(&file.choices))])?;
                Form::Contexts {
                    contexts: template("prompt.contexts", file.contexts)?,
                    continuation: template("prompt.continuation", file.continuation)?,
                    gold: template("prompt.gold", file.gold)?,
                }
            }
            Kind::Continuation => {
                unused(&[
                    ("contexts", has(&file.contexts)),
                    ("choices", has(&file.choices)),
                    ("gold", has(&file.gold)),
                ])?;
                Form::Continuation {
                    context: template("prompt.context", file.context)?,
                    continuation: template("prompt.continuation", file.continuation)?,
                }
            }
        };
        Ok(Self {
            split: file.split,
            description: file
                .description
                .map(|value| Template::new(path, "prompt.description", value, content)),
            form,
            delimiter: file.delimiter.unwrap_or_else(|| " ".to_owned()),
            group: file.group,
        })
    }

    /// A syntax error is a fault of the catalogue, so it shows before any row is read.
    fn check_templates(&self, path: &str) -> Result<()> {
        let engine = Engine::new(path)?;
        if let Some(description) = &self.description {
            engine.template(description)?;
        }
        let (templates, expressions): (&[&Template], &[&Template]) = match &self.form {
            Form::Choices { context, choices, gold } => (&[context], &[choices, gold]),
            Form::Contexts {
                contexts,
                continuation,
                gold,
            } => (&[continuation], &[contexts, gold]),
            Form::Continuation { context, continuation } => (&[context, continuation], &[]),
        };
        templates.iter().try_for_each(|&one| engine.template(one).map(drop))?;
        expressions.iter().try_for_each(|&one| engine.expression(one).map(drop))
    }
}

fn check_metrics(form: &Form, metrics: &[Metric]) -> std::result::Result<(), String> {
    let allowed: &[Metric] = match form {
        Form::Continuation { .. } => &[Metric::Acc, Metric::Perplexity],
        Form::Choices { .. } | Form::Contexts { .. } => &[Metric::Acc, Metric::AccNorm, Metric::AccBytes],
    };
    match metrics.iter().find(|metric| !allowed.contains(metric)) {
        Some(metric) => Err(format!("its prompt.kind has no metric {metric}")),
        None if metrics.is_empty() => Err("metrics is empty; name at least one".to_owned()),
        None => Ok(()),
    }
}
