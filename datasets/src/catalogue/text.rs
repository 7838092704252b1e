//! Texts and their perplexity protocols.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use super::source::{HubSource, RowFile, WebFile, check_hash, check_mirror};
use crate::error::{Error, Result};
use crate::template::{Engine, Template};
use crate::world::{Domain, Part};

/// A named text collection with one licence.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// Its name, and that of its file: `wikitext2`.
    pub name: String,
    /// Its name for a reader.
    pub title: String,
    /// Terms it is given out under.
    pub licence: String,
    /// Its texts by name.
    pub splits: BTreeMap<String, Split>,
    /// Its collections of documents by name.
    pub documents: BTreeMap<String, DocumentSplit>,
    /// Its perplexity protocols.
    pub protocols: Vec<Protocol>,
}

/// What a text is made from.
#[derive(Debug, Clone)]
pub enum Split {
    /// The rows of a file on the Hub.
    Rows {
        /// Where the Hub keeps it.
        hub: HubSource,
        /// Which rows, and how they become the text.
        rows: TextRows,
    },
    /// A part of one file.
    Range {
        /// The file.
        file: WebFile,
        /// Which part.
        range: TextRange,
    },
    /// The synthetic world.
    World(WorldText),
}

/// Rows that become a text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRows {
    /// Path of the finished text in a local mirror.
    pub mirror: String,
    /// Path of the parquet file in the Hub repository.
    pub file: String,
    /// Its column that holds the text.
    pub column: String,
    /// What stands between two rows in the text.
    pub separator: String,
    /// What an empty row stands for.
    #[serde(default)]
    pub empty_row: String,
    /// Hash of the finished text, in lower-case hexadecimal digits.
    pub sha256: String,
}

/// Characters of a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRange {
    /// The first one, from 0.
    pub from: usize,
    /// The first one after them.
    pub to: usize,
    /// Hash of the text they make.
    pub sha256: String,
}

/// Documents of the synthetic world.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldText {
    /// Its domains, one after the other.
    pub domains: Vec<Domain>,
    /// Which part of each.
    pub part: Part,
    /// Bytes of each domain, at least.
    pub bytes: usize,
    /// Hash of the text, so that a change of the generator is noticed.
    pub sha256: String,
}

/// The same collection as documents of their own: where they are and how they are made plain text.
#[derive(Debug, Clone)]
pub struct DocumentSplit {
    /// Where the Hub keeps them.
    pub hub: HubSource,
    /// The file of rows.
    pub rows: RowFile,
    /// Field of a row that holds the document as published.
    pub field: String,
    /// What makes plain text of a row.
    pub detokeniser: Template,
}

/// A versioned way to get one perplexity from one text. Values under different protocols are never compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// `wikitext2/stream-512@1`.
    pub id: String,
    /// Data set it scores.
    pub data_set: String,
    /// Split of that data set.
    pub split: String,
    /// How the text is cut and scored.
    pub scoring: Scoring,
}

/// How a text is cut and scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scoring {
    /// The whole text encoded once without BOS, cut in disjoint windows, the tail dropped, every token of a window
    /// but its first predicted; perplexity = exp(total NLL / predictions).
    Stream {
        /// Tokens in a window, at least 2.
        window: usize,
    },
    /// Each document on its own, every token predicted once: the first window opens with the model's prefix token, and
    /// each later one with tokens already predicted (lm-eval's rolling windows); perplexity per word, byte and bit.
    Rolling {
        /// Tokens predicted in a window, at least 2; none: as many as the model's context holds.
        window: Option<usize>,
    },
}

impl Protocol {
    /// The window of a protocol that scores one text.
    ///
    /// # Errors
    /// [`Error::WrongScoring`] for one that scores documents.
    pub fn stream_window(&self) -> Result<usize> {
        match self.scoring {
            Scoring::Stream { window } => Ok(window),
            Scoring::Rolling { .. } => Err(self.wrong_scoring("one text")),
        }
    }

    /// The window of a protocol that scores documents; none: as many tokens as the model's context holds.
    ///
    /// # Errors
    /// [`Error::WrongScoring`] for one that scores one text.
    pub fn rolling_window(&self) -> Result<Option<usize>> {
        match self.scoring {
            Scoring::Stream { .. } => Err(self.wrong_scoring("documents")),
            Scoring::Rolling { window } => Ok(window),
        }
    }

    fn wrong_scoring(&self, wanted: &'static str) -> Error {
        Error::WrongScoring {
            protocol: self.id.clone(),
            scoring: self.scoring.to_string(),
            wanted,
        }
    }
}

impl fmt::Display for Scoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream { window } => write!(
                f,
                "whole text encoded once, no BOS, cut in windows of {window}, the tail dropped, {} predictions a window",
                window.saturating_sub(1)
            ),
            Self::Rolling { window: Some(window) } => {
                write!(
                    f,
                    "each document rolled in windows of {window}, every token predicted once"
                )
            }
            Self::Rolling { window: None } => {
                f.write_str("each document rolled in windows of the model's context, every token predicted once")
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataSetFile {
    title: String,
    licence: String,
    hub: Option<HubSource>,
    #[serde(default)]
    split: BTreeMap<String, TextRows>,
    file: Option<WebFile>,
    #[serde(default)]
    range: BTreeMap<String, TextRange>,
    #[serde(default)]
    generated: BTreeMap<String, WorldText>,
    #[serde(default)]
    documents: BTreeMap<String, DocumentEntry>,
    #[serde(default)]
    protocol: Vec<ProtocolEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentEntry {
    hub: HubSource,
    file: String,
    hub_sha256: Option<String>,
    mirror: String,
    mirror_sha256: Option<String>,
    field: String,
    detokeniser: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProtocolEntry {
    name: String,
    version: u32,
    split: String,
    scoring: Scoring,
}

impl DataSet {
    /// The collection of documents of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name and the list.
    pub fn document_split(&self, name: &str) -> Result<&DocumentSplit> {
        self.documents.get(name).ok_or_else(|| {
            let known = self.documents.keys().map(String::as_str);
            Error::unknown(format!("collection of documents in {}", self.name), name, known)
        })
    }

    /// The split of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name and the list.
    pub fn split(&self, name: &str) -> Result<&Split> {
        self.splits.get(name).ok_or_else(|| {
            Error::unknown(
                format!("split of {}", self.name),
                name,
                self.splits.keys().map(String::as_str),
            )
        })
    }

    pub(super) fn parse(name: &str, content: &str) -> Result<Self> {
        let path = format!("texts/{name}");
        let fault = |reason| Error::Catalogue {
            file: path.clone(),
            reason,
        };
        let mut file: DataSetFile = toml::from_str(content).map_err(|error| fault(error.to_string()))?;
        let splits = file.splits().map_err(fault)?;
        let mut documents = BTreeMap::new();
        for (split, entry) in file.documents {
            let entry = DocumentSplit::new(&path, &split, entry, content)?;
            if splits.contains_key(&split) {
                return Err(fault(format!("documents.{split} has the name of a text")));
            }
            documents.insert(split, entry);
        }
        let mut protocols: Vec<Protocol> = Vec::with_capacity(file.protocol.len());
        for entry in file.protocol {
            let id = format!("{name}/{}@{}", entry.name, entry.version);
            let (known, window) = match entry.scoring {
                Scoring::Stream { window } => (splits.contains_key(&entry.split), Some(window)),
                Scoring::Rolling { window } => (documents.contains_key(&entry.split), window),
            };
            if !known {
                return Err(fault(format!("{id} scores the unknown split {:?}", entry.split)));
            }
            if protocols.iter().any(|other| other.id == id) {
                return Err(fault(format!("{id} is defined twice")));
            }
            if let Some(window @ 0..2) = window {
                return Err(fault(format!("{id}: {}", Error::WindowTooSmall { window })));
            }
            protocols.push(Protocol {
                id,
                data_set: name.to_owned(),
                split: entry.split,
                scoring: entry.scoring,
            });
        }
        Ok(Self {
            name: name.to_owned(),
            title: file.title,
            licence: file.licence,
            splits,
            documents,
            protocols,
        })
    }
}

impl Split {
    /// Hash of the finished text, in lower-case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        match self {
            Self::Rows { rows, .. } => &rows.sha256,
            Self::Range { range, .. } => &range.sha256,
            Self::World(world) => &world.sha256,
        }
    }

    fn check(&self, name: &str) -> std::result::Result<(), String> {
        check_hash(&format!("{name}.sha256"), self.sha256())?;
        match self {
            Self::Rows { hub, rows } => {
                hub.check()?;
                if hub.revision.is_none() {
                    return Err("hub.revision is missing; pin a commit".to_owned());
                }
                check_mirror(&format!("split.{name}"), &rows.mirror)
            }
            Self::Range { file, range } => {
                file.check()?;
                let TextRange { from, to, .. } = range;
                if from < to {
                    return Ok(());
                }
                Err(format!(
                    "range.{name} holds nothing: from = {from} is not below to = {to}"
                ))
            }
            Self::World(world) if world.domains.is_empty() => Err(format!("generated.{name} has no domain")),
            Self::World(_) => Ok(()),
        }
    }
}

impl DataSetFile {
    /// The texts, whatever they are made from.
    fn splits(&mut self) -> std::result::Result<BTreeMap<String, Split>, String> {
        let mut all = Vec::new();
        for (name, rows) in std::mem::take(&mut self.split) {
            let hub = self.hub.clone().ok_or("hub is missing; its [split]s are files there")?;
            all.push((name, Split::Rows { hub, rows }));
        }
        for (name, range) in std::mem::take(&mut self.range) {
            let file = self
                .file
                .clone()
                .ok_or("file is missing; its [range]s are parts of it")?;
            all.push((name, Split::Range { file, range }));
        }
        let generated = std::mem::take(&mut self.generated).into_iter();
        all.extend(generated.map(|(name, world)| (name, Split::World(world))));
        let mut splits = BTreeMap::new();
        for (name, split) in all {
            split.check(&name)?;
            if splits.insert(name.clone(), split).is_some() {
                return Err(format!("two texts have the name {name}"));
            }
        }
        Ok(splits)
    }
}

impl DocumentSplit {
    fn new(path: &str, split: &str, entry: DocumentEntry, content: &str) -> Result<Self> {
        let fault = |reason| Error::Catalogue {
            file: path.to_owned(),
            reason,
        };
        entry.hub.check().map_err(fault)?;
        let rows = RowFile {
            file: entry.file,
            hub_sha256: entry.hub_sha256,
            mirror: entry.mirror,
            mirror_sha256: entry.mirror_sha256,
        };
        rows.check(&format!("documents.{split}")).map_err(fault)?;
        let detokeniser = Template::new(path, "documents.detokeniser", entry.detokeniser, content);
        Engine::new(path)?.template(&detokeniser)?;
        Ok(Self {
            hub: entry.hub,
            rows,
            field: entry.field,
            detokeniser,
        })
    }
}
