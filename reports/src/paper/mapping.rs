//! Which records answer a published value: `papers/<id>/tables.toml`.

use std::collections::BTreeMap;

use prunebench_results::{MetricName, Paper, PublishedTable, Record};
use serde::Deserialize;
use wildmatch::WildMatch;

/// Paper and text of every file `papers/<id>/tables.toml`.
const EMBEDDED: [(&str, &str); 5] = [
    ("drpruning", include_str!("../../papers/drpruning/tables.toml")),
    ("flexigpt", include_str!("../../papers/flexigpt/tables.toml")),
    (
        "layer_parallelism",
        include_str!("../../papers/layer_parallelism/tables.toml"),
    ),
    ("paser", include_str!("../../papers/paser/tables.toml")),
    (
        "weight_evolution",
        include_str!("../../papers/weight_evolution/tables.toml"),
    ),
];

/// What of a paper's tables can be measured here, and by what.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The sources of the models that the paper names.
    #[serde(default)]
    pub(crate) models: BTreeMap<String, Vec<String>>,
    #[serde(rename = "table", default)]
    pub(crate) tables: Vec<TableMapping>,
}

/// What of one table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableMapping {
    /// The published table.
    pub(crate) id: String,
    /// Why rows that aren't listed are not measured.
    pub(crate) not_measured: String,
    #[serde(default)]
    pub(crate) columns: Vec<ColumnMapping>,
    #[serde(default)]
    pub(crate) rows: Vec<RowMapping>,
    /// The experiment that fills the table, but for its name, description and recipes.
    #[serde(default)]
    pub(crate) plan: Option<toml::Table>,
}

/// What stands in a column. Of several for one column the first that a record has counts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnMapping {
    pub(crate) name: String,
    pub(crate) measured: Measure,
    /// Why the measured number is another thing than the published one.
    #[serde(default)]
    pub(crate) differs: Option<String>,
}

/// A number of a record.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    /// Under this protocol.
    Perplexity(String),
    /// The logarithm of that.
    Loss(String),
    /// Of a task, in percent.
    Accuracy {
        task: String,
        metric: MetricName,
        #[serde(default)]
        shots: usize,
    },
    /// The mean of a suite, in percent.
    Suite(String),
    /// The share of the baseline's mean that is left, in percent.
    Retained(String),
    /// The share that the recipe removed by its own count.
    AchievedRatio,
    /// Parameters stored.
    StoredParameters,
    /// Decoding over the baseline's, in rounds.
    Speed(Timing),
    /// The same in percent.
    SpeedPercent(Timing),
    /// The time of decoding in percent of the baseline's.
    TimePercent(Timing),
}

impl Measure {
    /// Whether it follows from model and recipe, with nothing measured.
    pub(crate) fn is_counted(&self) -> bool {
        matches!(self, Self::AchievedRatio | Self::StoredParameters)
    }

    /// Whether an experiment's `[evaluation]` measures it.
    fn is_in(&self, evaluation: &toml::Table) -> bool {
        match self {
            Self::Perplexity(protocol) | Self::Loss(protocol) => {
                let asked = evaluation.get("perplexity").and_then(toml::Value::as_array);
                let of =
                    |request: &toml::Value| request.get("protocol").and_then(toml::Value::as_str) == Some(protocol);
                asked.is_some_and(|requests| requests.iter().any(of))
            }
            Self::Accuracy { .. } | Self::Suite(_) | Self::Retained(_) => evaluation.contains_key("tasks"),
            Self::AchievedRatio | Self::StoredParameters => true,
            Self::Speed(_) | Self::SpeedPercent(_) | Self::TimePercent(_) => evaluation.contains_key("throughput"),
        }
    }
}

/// A setting of decoding, of a whole model: none split over ranks, whose waits are a model of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timing {
    pub(crate) prompt_tokens: usize,
    pub(crate) generated_tokens: usize,
    pub(crate) batch: usize,
}

/// What fills a row.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowMapping {
    /// The published row's labels.
    pub(crate) row: Vec<String>,
    /// Recipes whose records stand in it, `*` for anything; a plan runs the first one.
    #[serde(default)]
    pub(crate) recipes: Vec<Vec<String>>,
    /// Why these are another thing than the paper's.
    #[serde(default)]
    pub(crate) differs: Option<String>,
    /// Why there is no recipe.
    #[serde(default)]
    pub(crate) not_measured: Option<String>,
}

impl Mapping {
    /// That of a paper.
    ///
    /// # Errors
    /// If the paper has none, or its file is wrong.
    pub fn of(paper: &Paper) -> Result<Self, MappingError> {
        match EMBEDDED.iter().find(|(id, _)| *id == paper.id) {
            Some((_, text)) => Self::parse(paper, text),
            None => Err(fault(paper, "it isn't among the mappings of this program".to_owned())),
        }
    }

    /// Reads the mapping of a paper's tables.
    ///
    /// # Errors
    /// If it is no TOML of this form, or names a table, row, column or model that the paper hasn't.
    pub fn parse(paper: &Paper, text: &str) -> Result<Self, MappingError> {
        let mapping: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(start).filter(|&byte| byte == b'\n').count();
            fault(paper, format!("line {line}: {}", error.message()))
        })?;
        let mut named = Vec::new();
        for table in &mapping.tables {
            let published = paper
                .table(&table.id)
                .map_err(|error| fault(paper, error.to_string()))?;
            if named.contains(&&table.id) {
                return Err(fault(paper, format!("table `{}` is there twice", table.id)));
            }
            named.push(&table.id);
            let problem = table.check(published);
            problem.map_err(|problem| fault(paper, format!("table `{}`: {problem}", table.id)))?;
        }
        let known = |model: &String| {
            let of_table = |table: &PublishedTable| (0..table.rows.len()).any(|row| table.model_of(row) == Some(model));
            paper.tables.iter().any(of_table)
        };
        match mapping.models.keys().find(|model| !known(model)) {
            Some(model) => Err(fault(paper, format!("no table is about the model `{model}`"))),
            None => Ok(mapping),
        }
    }

    /// Whether a record may stand in one of the tables, or beside one that does.
    pub fn wants(&self, record: &Record, baseline: &[String]) -> bool {
        let rows = self.tables.iter().flat_map(|table| &table.rows);
        record.cell.recipe == baseline || rows.into_iter().any(|row| row.holds(&record.cell.recipe))
    }

    pub(crate) fn table(&self, id: &str) -> Option<&TableMapping> {
        self.tables.iter().find(|table| table.id == id)
    }

    /// Whether a source is the model that the paper names, at whatever revision.
    pub(crate) fn is_model(&self, name: &str, source: &str) -> bool {
        let bare = source.split_once('@').map_or(source, |(bare, _)| bare);
        let sources = self.models.get(name);
        sources.is_some_and(|sources| sources.iter().any(|known| known == bare))
    }
}

impl TableMapping {
    pub(crate) fn row(&self, labels: &[&str]) -> Option<&RowMapping> {
        self.rows.iter().find(|row| row.row == labels)
    }

    /// Whether the plan measures what stands in this column.
    pub(crate) fn fills(&self, column: &str) -> bool {
        let evaluation = self.plan.as_ref().and_then(|plan| plan.get("evaluation")?.as_table());
        let mut columns = self.columns.iter().filter(|mapped| mapped.name == column);
        evaluation.is_some_and(|evaluation| columns.any(|mapped| mapped.measured.is_in(evaluation)))
    }

    fn check(&self, published: &PublishedTable) -> Result<(), String> {
        for column in &self.columns {
            if published.column(&column.name).is_none() {
                let known = published.columns.join(", ");
                return Err(format!("there is no column `{}`; columns: {known}", column.name));
            }
        }
        for (index, row) in self.rows.iter().enumerate() {
            if published.row(&row.row).is_none() {
                return Err(format!("no row is labelled {:?}", row.row));
            }
            if self.rows[..index].iter().any(|other| other.row == row.row) {
                return Err(format!("the row {:?} is there twice", row.row));
            }
            if row.recipes.is_empty() == row.not_measured.is_none() {
                return Err(format!(
                    "the row {:?} needs either `recipes` or `not_measured`",
                    row.row
                ));
            }
        }
        if self.columns.is_empty() && self.rows.iter().any(|row| !row.recipes.is_empty()) {
            return Err("it has recipes and no column".to_owned());
        }
        Ok(())
    }
}

impl RowMapping {
    /// Whether one of `recipes` is this one.
    pub(crate) fn holds(&self, recipe: &[String]) -> bool {
        let is = |pattern: &Vec<String>| {
            let mut parts = pattern.iter().zip(recipe);
            pattern.len() == recipe.len() && parts.all(|(pattern, part)| WildMatch::new(pattern).matches(part))
        };
        self.recipes.iter().any(is)
    }
}

fn fault(paper: &Paper, problem: String) -> MappingError {
    MappingError {
        file: format!("papers/{}/tables.toml", paper.id),
        problem,
    }
}

/// A mapping that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct MappingError {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_mapping_fits_its_paper() {
        for paper in Paper::all().unwrap() {
            let mapping = Mapping::of(&paper).unwrap();
            assert!(mapping.table(&paper.tables[0].id).is_some(), "{}", paper.id);
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        let row = RowMapping {
            row: Vec::new(),
            recipes: vec![vec!["*".into(), "finetune(*steps=50*)".into()]],
            differs: None,
            not_measured: None,
        };
        let holds = |recipe: [&str; 2]| row.holds(&recipe.map(str::to_owned));
        assert!(holds(["wanda(ratio=0.5)", "finetune(batch=32, steps=50)"]));
        assert!(!holds(["wanda(ratio=0.5)", "finetune(steps=5)"]));
    }

    #[test]
    fn a_mapping_of_what_the_paper_has_not_is_refused() {
        let paper = Paper::find("flexigpt").unwrap();
        let cases = [
            (
                "[[table]]\nid = \"9\"\nnot_measured = \"x\"",
                "no table of flexigpt `9`",
            ),
            (
                "[[table]]\nid = \"6\"\nnot_mesured = \"x\"",
                "line 3: unknown field `not_mesured`",
            ),
            ("[models]\n\"GPT-5\" = []", "no table is about the model `GPT-5`"),
            (
                "[[table]]\nid = \"6\"\nnot_measured = \"x\"\ncolumns = [{ name = \"t\", measured.suite = \"s\" }]",
                "no column `t`; columns: time (%)",
            ),
            (
                "[[table]]\nid = \"6\"\nnot_measured = \"x\"\nrows = [{ row = [\"Dense\"], recipes = [[\"dense\"]] }]",
                "no row is labelled [\"Dense\"]",
            ),
            (
                "[[table]]\nid = \"6\"\nnot_measured = \"x\"\nrows = [{ row = [\"Unpruned\"] }]",
                "needs either `recipes` or `not_measured`",
            ),
        ];
        for (text, words) in cases {
            let error = Mapping::parse(&paper, text).unwrap_err().to_string();
            assert!(
                error.starts_with("papers/flexigpt/tables.toml: ") && error.contains(words),
                "{error}"
            );
        }
    }
}
