//! What papers print: their tables as data, each value with its source and how far it can be trusted.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::statistics;

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
    /// The model that all rows are about; absent if a label says it.
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

/// A published value that doesn't follow from the others as it should.
#[derive(Debug, Clone, PartialEq)]
pub struct Discrepancy {
    /// The row; absent if it is about the whole column.
    pub row: Option<usize>,
    /// The column.
    pub column: String,
    /// What is published.
    pub published: f64,
    /// What follows.
    pub recomputed: f64,
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

    /// The model that a row is about, if the paper says it.
    pub fn model_of(&self, row: usize) -> Option<&str> {
        let label = self.labels.iter().position(|label| label == "model");
        label.map(|label| self.row_labels(row)[label]).or(self.model.as_deref())
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

    /// The values that don't follow from the others by `rules`, beyond what rounding explains.
    pub fn discrepancies(&self) -> Vec<Discrepancy> {
        let mut found = Vec::new();
        for (name, rule) in &self.rules {
            let Some(column) = self.column(name) else { continue };
            let mut add = |row: Option<usize>, published: f64, slack: f64, [low, middle, high]: [f64; 3]| {
                if published + slack < low - 1e-9 || published - slack > high + 1e-9 {
                    found.push(Discrepancy {
                        row,
                        column: name.clone(),
                        published,
                        recomputed: middle,
                    });
                }
            };
            if let Rule::Sum(total) = rule {
                let all: Vec<f64> = (0..self.rows.len())
                    .filter_map(|row| self.number(row, column))
                    .collect();
                let slack = all.len() as f64 * self.rounding(column);
                add(None, all.iter().sum(), slack, [*total; 3]);
                continue;
            }
            for row in 0..self.rows.len() {
                if let (Some(published), Some(range)) = (self.number(row, column), self.recomputed(row, rule)) {
                    add(Some(row), published, self.rounding(column), range);
                }
            }
        }
        found
    }

    /// What follows for a row by a rule, from the lowest to the highest that its rounded inputs allow; `None` if one of them
    /// is no number.
    fn recomputed(&self, row: usize, rule: &Rule) -> Option<[f64; 3]> {
        let input = |name: &String| {
            let column = self.column(name)?;
            let (value, slack) = (self.number(row, column)?, self.rounding(column));
            Some([value - slack, value, value + slack])
        };
        match rule {
            Rule::AverageOf(names) => {
                let inputs: Vec<[f64; 3]> = names.iter().map(input).collect::<Option<_>>()?;
                let mean = |end: usize| statistics::mean(&inputs.iter().map(|input| input[end]).collect::<Vec<_>>());
                Some([mean(0)?, mean(1)?, mean(2)?])
            }
            Rule::InverseOf(name) => input(name).map(|[low, middle, high]| [1e4 / high, 1e4 / middle, 1e4 / low]),
            Rule::PercentOf([part, whole]) => {
                let (part, whole) = (input(part)?, input(whole)?);
                Some([0, 1, 2].map(|end| 100.0 * part[end] / whole[2 - end]))
            }
            Rule::Sum(_) => None,
        }
    }

    /// How far a printed number may be from the exact one.
    fn rounding(&self, column: usize) -> f64 {
        0.5 * 0.1f64.powi(self.decimals(column) as i32)
    }

    fn check(&self) -> Result<(), String> {
        let headers: Vec<&String> = self.labels.iter().chain(&self.columns).collect();
        if self.labels.is_empty() || self.columns.is_empty() {
            return Err("it has no labels or no columns".to_owned());
        }
        if let Some((_, name)) = (headers.iter().enumerate()).find(|(index, name)| headers[..*index].contains(name)) {
            return Err(format!("two of its columns are called `{name}`"));
        }
        for (index, row) in self.rows.iter().enumerate() {
            if row.len() != headers.len() {
                return Err(format!(
                    "row {} has {} entries, and the header {}",
                    index + 1,
                    row.len(),
                    headers.len()
                ));
            }
            let texts = row[..self.labels.len()].iter();
            if !texts
                .clone()
                .all(|label| matches!(label, Published::Text(text) if !text.is_empty()))
            {
                return Err(format!("a label of row {} is no text", index + 1));
            }
            if (0..index).any(|other| self.row_labels(other) == self.row_labels(index)) {
                return Err(format!("two rows are labelled {:?}", self.row_labels(index)));
            }
            let finite = |entry: &Published| !matches!(entry, Published::Number(number) if !number.is_finite());
            if !row.iter().all(finite) {
                return Err(format!("row {} has a number that is none", index + 1));
            }
        }
        let mut named: Vec<&String> = self.rules.keys().collect();
        for rule in self.rules.values() {
            match rule {
                Rule::AverageOf(names) => named.extend(names),
                Rule::InverseOf(name) => named.push(name),
                Rule::PercentOf(names) => named.extend(names),
                Rule::Sum(_) => {}
            }
        }
        named.extend(self.remarks.iter().filter_map(|remark| remark.column.as_ref()));
        if let Some(name) = named.into_iter().find(|name| self.column(name).is_none()) {
            return Err(format!(
                "there is no column `{name}`; columns: {}",
                self.columns.join(", ")
            ));
        }
        for remark in &self.remarks {
            if self.row(&remark.row).is_none() {
                return Err(format!("a remark is about {:?}, and no row is labelled so", remark.row));
            }
            if remark.recomputed.is_some() && remark.column.is_none() {
                return Err(format!(
                    "a remark on {:?} recomputes something, and names no column",
                    remark.row
                ));
            }
        }
        self.check_rules()
    }

    /// Every value that doesn't follow has a remark that says so, and no other one of a rule's column does.
    fn check_rules(&self) -> Result<(), String> {
        let wrong = self.discrepancies();
        for Discrepancy {
            row,
            column,
            published,
            recomputed,
        } in &wrong
        {
            let Some(row) = *row else {
                return Err(format!(
                    "`{column}` adds up to {published}, and its rule says {recomputed}"
                ));
            };
            let place = self.column(column).unwrap_or_default();
            let rounded = |remark: &Remark| {
                let told = remark.recomputed.filter(|_| remark.column.is_some());
                told.is_some_and(|told| (told - recomputed).abs() <= self.rounding(place) + 1e-9)
            };
            if !self.remarks_on(row, place).any(rounded) {
                return Err(format!(
                    "`{column}` of {:?} is {published}, and {recomputed:.4} by the rest of its row; correct the copy, or \
                     record what follows as `recomputed` in a remark",
                    self.row_labels(row)
                ));
            }
        }
        for remark in self.remarks.iter().filter(|remark| remark.recomputed.is_some()) {
            let column = remark.column.as_deref().unwrap_or_default();
            let of_wrong = |wrong: &Discrepancy| wrong.column == column && wrong.row == self.row(&remark.row);
            if self.rules.contains_key(column) && !wrong.iter().any(of_wrong) {
                return Err(format!(
                    "a remark corrects `{column}` of {:?}, which follows from its row",
                    remark.row
                ));
            }
        }
        Ok(())
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
    #[error("there is no {kind} `{name}`; there are: {known}")]
    Unknown {
        /// What was looked for.
        kind: String,
        /// Its name.
        name: String,
        /// Those that there are.
        known: String,
    },
}

impl PublishedError {
    fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        Self::Unknown {
            kind: kind.to_owned(),
            name: name.to_owned(),
            known: known.collect::<Vec<_>>().join(", "),
        }
    }
}

#[cfg(test)]
#[path = "published_tests.rs"]
mod tests;
