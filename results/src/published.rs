//! What papers print: their tables as data, each value with its source and how far it can be trusted.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// Id and text of every file in `published/`.
const EMBEDDED: [(&str, &str); 5] = [
    ("drpruning", include_str!("../published/drpruning.toml")),
    ("flexigpt", include_str!("../published/flexigpt.toml")),
    ("layer_parallelism", include_str!("../published/layer_parallelism.toml")),
    ("paser", include_str!("../published/paser.toml")),
    ("weight_evolution", include_str!("../published/weight_evolution.toml")),
];

/// The published tables of one paper, and of the works that it builds on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// The name of its file, e.g. `flexigpt`.
    #[serde(default, skip_deserializing)]
    pub id: String,
    /// Its title.
    pub title: String,
    /// Where it appeared.
    pub reference: String,
    /// What is known of it and not here, and why.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// The tables, in the order of the file.
    #[serde(rename = "table")]
    pub tables: Vec<PublishedTable>,
}

/// One published table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedTable {
    /// Its number or name, unique in the paper.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// Where its values stand.
    pub source: String,
    /// How they got here; single ones may differ ([`Self::trust_of`]).
    pub trust: Trust,
    /// The model that all rows are about; absent if a label says it, or none is named.
    #[serde(default)]
    pub model: Option<String>,
    /// What the first entries of a row are.
    pub labels: Vec<String>,
    /// What the other entries are.
    pub columns: Vec<String>,
    /// How the values were measured, as far as known.
    pub protocol: String,
    /// Columns that follow from others of the table.
    #[serde(default)]
    pub rules: BTreeMap<String, Rule>,
    /// Labels, then values.
    pub rows: Vec<Vec<Published>>,
    /// What there is to say about rows and single values.
    #[serde(default)]
    pub remarks: Vec<Remark>,
}

/// How a value got here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Read in the paper.
    Paper,
    /// Read in what its authors published beside it: code, notebooks, result files, model cards.
    AuthorsCode,
    /// Read in what somebody else writes about it.
    SecondHand,
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Paper => "paper",
            Self::AuthorsCode => "authors-code",
            Self::SecondHand => "second-hand",
        })
    }
}

/// An entry of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "an entry is a number or a text")]
pub enum Published {
    /// A number.
    Number(f64),
    /// A label, or a value that is no single number, such as a range; empty if the paper gives none.
    Text(String),
}

/// How a column follows from others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The unweighted mean of these columns.
    AverageOf(Vec<String>),
    /// `100 · 100 / x` of a column in percent.
    InverseOf(String),
    /// The first column in percent of the second.
    PercentOf([String; 2]),
    /// All rows of this column add up to that.
    Sum(f64),
}

/// Something to say about a row or a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remark {
    /// The row's labels.
    pub row: Vec<String>,
    /// The column; absent of the whole row.
    #[serde(default)]
    pub column: Option<String>,
    /// What the value should be by others that are published, where it is another.
    #[serde(default)]
    pub recomputed: Option<f64>,
    /// Another trust than the table's.
    #[serde(default)]
    pub trust: Option<Trust>,
    /// What to know.
    pub text: String,
}

impl Paper {
    /// All papers this program was built with, by id.
    ///
    /// # Errors
    /// [`PublishedError::File`] if an embedded file is wrong.
    pub fn all() -> Result<Vec<Self>, PublishedError> {
        EMBEDDED.iter().map(|(id, text)| Self::parse(id, text)).collect()
    }

    /// The paper of that id.
    ///
    /// # Errors
    /// [`PublishedError::Unknown`] with the ids that there are, and as [`Self::parse`].
    pub fn find(id: &str) -> Result<Self, PublishedError> {
        match EMBEDDED.iter().find(|(known, _)| *known == id) {
            Some((id, text)) => Self::parse(id, text),
            None => Err(PublishedError::unknown("paper", id, EMBEDDED.iter().map(|(id, _)| *id))),
        }
    }

    /// Reads a file of published values.
    ///
    /// # Errors
    /// [`PublishedError::File`] if it is no TOML of this form, or contradicts itself: rows of another length than the header,
    /// names twice, remarks on what isn't there, or a value that doesn't follow from the others without a remark.
    pub fn parse(id: &str, text: &str) -> Result<Self, PublishedError> {
        let fault = |place: String, problem: String| PublishedError::File {
            file: format!("published/{id}.toml"),
            place,
            problem,
        };
        let mut paper: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(start).filter(|&byte| byte == b'\n').count();
            fault(format!("line {line}"), error.message().to_owned())
        })?;
        id.clone_into(&mut paper.id);
        for (index, table) in paper.tables.iter().enumerate() {
            let place = || format!("table `{}`", table.id);
            if paper.tables[..index].iter().any(|other| other.id == table.id) {
                return Err(fault(place(), "another table has this id".to_owned()));
            }
            table.check().map_err(|problem| fault(place(), problem))?;
        }
        Ok(paper)
    }

    /// The table of that id.
    ///
    /// # Errors
    /// [`PublishedError::Unknown`] with the ids that there are.
    pub fn table(&self, id: &str) -> Result<&PublishedTable, PublishedError> {
        self.tables.iter().find(|table| table.id == id).ok_or_else(|| {
            let known = self.tables.iter().map(|table| table.id.as_str());
            PublishedError::unknown(&format!("table of {}", self.id), id, known)
        })
    }
}

impl PublishedTable {
    /// The labels of a row.
    pub fn row_labels(&self, row: usize) -> Vec<&str> {
        let labels = self.rows[row].iter().take(self.labels.len());
        labels
            .map(|label| match label {
                Published::Text(text) => text.as_str(),
                Published::Number(_) => "",
            })
            .collect()
    }

    /// The row with these labels.
    pub fn row(&self, labels: &[String]) -> Option<usize> {
        (0..self.rows.len()).find(|&row| self.row_labels(row) == labels)
    }

    /// The place of a column among `columns`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// The value of a row in one of `columns`.
    pub fn value(&self, row: usize, column: usize) -> &Published {
        &self.rows[row][self.labels.len() + column]
    }

    /// That value if it is a number.
    pub fn number(&self, row: usize, column: usize) -> Option<f64> {
        match self.value(row, column) {
            Published::Number(number) => Some(*number),
            Published::Text(_) => None,
        }
    }

    /// The model that a row is about, unless it is `not named`.
    pub fn model_of(&self, row: usize) -> Option<&str> {
        let label = self.labels.iter().position(|label| label == "model");
        let model = label.map(|label| self.row_labels(row)[label]).or(self.model.as_deref());
        model.filter(|model| *model != "not named")
    }

    /// How far a value can be trusted.
    pub fn trust_of(&self, row: usize, column: usize) -> Trust {
        let remarks = self.remarks_on(row, column).filter_map(|remark| remark.trust);
        remarks.last().unwrap_or(self.trust)
    }

    /// The remarks on a value, those on its row included.
    pub fn remarks_on(&self, row: usize, column: usize) -> impl Iterator<Item = &Remark> {
        let labels = self.row_labels(row);
        self.remarks.iter().filter(move |remark| {
            let name = remark.column.as_deref();
            remark.row == labels && name.is_none_or(|name| name == self.columns[column])
        })
    }

    /// A value with the decimals of its column; empty if there is none.
    pub fn text(&self, row: usize, column: usize) -> String {
        match self.value(row, column) {
            Published::Text(text) => text.clone(),
            Published::Number(number) if number.fract() == 0.0 && number.abs() >= 1000.0 => number.to_string(),
            Published::Number(number) => format!("{number:.*}", self.decimals(column)),
        }
    }

    /// The most decimals that a number of the column has.
    pub fn decimals(&self, column: usize) -> usize {
        let numbers = (0..self.rows.len()).filter_map(|row| self.number(row, column));
        let decimals = |number: f64| {
            number
                .to_string()
                .split_once('.')
                .map_or(0, |(_, decimals)| decimals.len())
        };
        numbers.map(decimals).max().unwrap_or(0)
    }
}

/// Published values that can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishedError {
    /// A file is wrong.
    #[error("{file}, {place}: {problem}")]
    File {
        /// The file.
        file: String,
        /// The place in it.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// There is no paper or table of that name.
    #[error("there is no {kind} `{name}`; {hint}there are: {known}")]
    Unknown {
        /// What was looked for.
        kind: String,
        /// Its name.
        name: String,
        /// What was probably meant, as a question; empty if nothing is near.
        hint: String,
        /// Those that there are.
        known: String,
    },
}

impl PublishedError {
    fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        const ALIKE: f64 = 0.75;
        let known: Vec<&str> = known.collect();
        let likeness = known.iter().map(|known| (strsim::jaro_winkler(name, known), known));
        let near = likeness
            .filter(|(likeness, _)| *likeness > ALIKE)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        Self::Unknown {
            kind: kind.to_owned(),
            name: name.to_owned(),
            hint: near.map_or_else(String::new, |(_, near)| format!("did you mean `{near}`? ")),
            known: known.join(", "),
        }
    }
}

#[cfg(test)]
#[path = "published_tests.rs"]
mod tests;
