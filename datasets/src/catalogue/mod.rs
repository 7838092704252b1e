//! The data sets and perplexity protocols there are, read from `catalogue/*.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};

use serde::Deserialize;

use crate::error::{Error, Result};

/// Stem and content of every file in `catalogue/`, in the order of their names.
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// Every data set known.
#[derive(Debug, Clone)]
pub struct Catalogue {
    data_sets: Vec<DataSet>,
}

/// A named text collection with one source and one licence.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// Its name, and that of its file: `wikitext2`.
    pub name: String,
    /// Its name for a reader.
    pub title: String,
    /// Terms it is given out under.
    pub licence: String,
    /// Where the Hub keeps it.
    pub hub: HubSource,
    /// Its texts by name.
    pub splits: BTreeMap<String, Split>,
    /// Its perplexity protocols.
    pub protocols: Vec<Protocol>,
}

/// A data repository on the Hub at one commit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name`.
    pub repository: String,
    /// Commit, 40 hexadecimal digits.
    pub revision: String,
}

/// One text: where it is and how rows become it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
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
}

impl fmt::Display for Scoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream { window } => write!(
                f,
                "whole text encoded once, no BOS, cut in windows of {window}, the tail dropped, {} predictions a window",
                window.saturating_sub(1)
            ),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataSetFile {
    title: String,
    licence: String,
    hub: HubSource,
    split: BTreeMap<String, Split>,
    #[serde(default)]
    protocol: Vec<ProtocolEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProtocolEntry {
    name: String,
    version: u32,
    split: String,
    scoring: Scoring,
}

impl Catalogue {
    /// The catalogue this program was built with.
    ///
    /// # Errors
    /// [`Error::Catalogue`] if an embedded file is wrong.
    pub fn embedded() -> Result<Self> {
        Self::parse(EMBEDDED.iter().copied())
    }

    /// A catalogue from pairs of a data set's name and its TOML.
    ///
    /// # Errors
    /// [`Error::Catalogue`] naming the file and what is wrong in it.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let data_sets = files
            .into_iter()
            .map(|(name, content)| {
                DataSet::parse(name, content).map_err(|reason| Error::Catalogue {
                    file: name.to_owned(),
                    reason,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { data_sets })
    }

    /// Every data set, by name.
    pub fn data_sets(&self) -> &[DataSet] {
        &self.data_sets
    }

    /// Every protocol of every data set.
    pub fn protocols(&self) -> impl Iterator<Item = &Protocol> {
        self.data_sets.iter().flat_map(|set| &set.protocols)
    }

    /// The data set of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name and the list.
    pub fn data_set(&self, name: &str) -> Result<&DataSet> {
        self.data_sets
            .iter()
            .find(|set| set.name == name)
            .ok_or_else(|| Error::unknown("data set", name, self.data_sets.iter().map(|set| set.name.as_str())))
    }

    /// The protocol of that id, `wikitext2/stream-512@1`.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest id and the list.
    pub fn protocol(&self, id: &str) -> Result<&Protocol> {
        self.protocols()
            .find(|protocol| protocol.id == id)
            .ok_or_else(|| Error::unknown("protocol", id, self.protocols().map(|protocol| protocol.id.as_str())))
    }
}

impl DataSet {
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

    fn parse(name: &str, content: &str) -> std::result::Result<Self, String> {
        let file: DataSetFile = toml::from_str(content).map_err(|error| error.to_string())?;
        if !is_hex(&file.hub.revision, 40) {
            return Err(format!(
                "hub.revision {:?} is no commit; a branch or tag can move, so pin 40 hexadecimal digits",
                file.hub.revision
            ));
        }
        for (split, entry) in &file.split {
            if !is_hex(&entry.sha256, 64) {
                return Err(format!(
                    "split.{split}.sha256 {:?} is not 64 lower-case hexadecimal digits",
                    entry.sha256
                ));
            }
            let inside = Path::new(&entry.mirror)
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
            if !inside {
                return Err(format!(
                    "split.{split}.mirror {:?} must be a path below the data folder",
                    entry.mirror
                ));
            }
        }
        let mut protocols: Vec<Protocol> = Vec::with_capacity(file.protocol.len());
        for entry in file.protocol {
            let id = format!("{name}/{}@{}", entry.name, entry.version);
            if !file.split.contains_key(&entry.split) {
                return Err(format!("{id} scores the unknown split {:?}", entry.split));
            }
            if protocols.iter().any(|other| other.id == id) {
                return Err(format!("{id} is defined twice"));
            }
            let Scoring::Stream { window } = entry.scoring;
            if window < 2 {
                return Err(format!("{id}: {}", Error::WindowTooSmall { window }));
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
            hub: file.hub,
            splits: file.split,
            protocols,
        })
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        title = "A"
        licence = "public domain"
        hub = { repository = "a/b", revision = "0123456789012345678901234567890123456789" }
        [split.test]
        mirror = "text/a/test.txt"
        file = "test.parquet"
        column = "text"
        separator = ""
        sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        [[protocol]]
        name = "stream-8"
        version = 3
        split = "test"
        scoring.stream.window = 8
    "#;

    fn fault(from: &str, to: &str) -> String {
        let changed = GOOD.replacen(from, to, 1);
        assert_ne!(changed, GOOD, "{from} is not in the sample");
        match Catalogue::parse([("a", changed.as_str())]) {
            Ok(_) => panic!("accepted with {to}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn embedded_catalogue_has_every_wikitext2_stream_protocol() {
        let catalogue = Catalogue::embedded().expect("the embedded catalogue is valid");
        for window in [128, 512, 1024, 2048, 4096] {
            let protocol = catalogue
                .protocol(&format!("wikitext2/stream-{window}@1"))
                .expect("present");
            assert_eq!(protocol.scoring, Scoring::Stream { window });
            assert_eq!(
                (protocol.data_set.as_str(), protocol.split.as_str()),
                ("wikitext2", "test")
            );
        }
    }

    #[test]
    fn a_protocol_id_carries_its_version() {
        let catalogue = Catalogue::parse([("a", GOOD)]).expect("valid");
        assert_eq!(catalogue.protocol("a/stream-8@3").expect("present").id, "a/stream-8@3");
        assert!(catalogue.protocol("a/stream-8").is_err());
    }

    #[test]
    fn unknown_names_get_the_near_miss_and_the_list() {
        let catalogue = Catalogue::embedded().expect("valid");
        let text = catalogue
            .protocol("wikitext2/stream-521@1")
            .expect_err("unknown")
            .to_string();
        assert!(text.contains("did you mean \"wikitext2/stream-512@1\"?"), "{text}");
        assert!(text.contains("wikitext2/stream-4096@1"), "{text}");
        let text = catalogue.data_set("wikitxt2").expect_err("unknown").to_string();
        assert!(text.contains("did you mean \"wikitext2\"?"), "{text}");
        let set = catalogue.data_set("wikitext2").expect("present");
        let text = set.split("zzzz").expect_err("unknown").to_string();
        assert!(
            text.contains("test, validation") && !text.contains("did you mean"),
            "{text}"
        );
    }

    #[test]
    fn scoring_says_what_it_does() {
        assert_eq!(
            Scoring::Stream { window: 512 }.to_string(),
            "whole text encoded once, no BOS, cut in windows of 512, the tail dropped, 511 predictions a window"
        );
    }

    #[test]
    fn a_wrong_catalogue_file_is_refused_with_its_reason() {
        assert!(fault("licence", "license").contains("license"));
        assert!(fault("stream.window", "stream.windw").contains("windw"));
        assert!(fault("scoring.stream", "scoring.strem").contains("strem"));
        assert!(fault("scoring.stream.window = 8", "scoring.stream.window = 1").contains("at least 2"));
        assert!(fault("split = \"test\"", "split = \"tset\"").contains("unknown split \"tset\""));
        assert!(fault("0123456789", "main").contains("is no commit"));
        assert!(fault("e3b0", "E3B0").contains("64 lower-case"));
        assert!(fault("text/a/test.txt", "../test.txt").contains("below the data folder"));
        assert!(fault("text/a/test.txt", "/etc/passwd").contains("below the data folder"));
        let twice = format!("{GOOD}[[protocol]]\nname='stream-8'\nversion=3\nsplit='test'\nscoring.stream.window=9");
        let error = Catalogue::parse([("a", twice.as_str())]).expect_err("twice");
        assert!(error.to_string().contains("a/stream-8@3 is defined twice"), "{error}");
    }
}
