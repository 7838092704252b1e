//! What of a published table follows from the rest of it, and tables that contradict themselves.

use crate::published::{Published, PublishedTable, Remark, Rule};
use crate::statistics;

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

impl PublishedTable {
    /// The values that don't follow from the others by `rules`, beyond what rounding explains.
    pub fn discrepancies(&self) -> Vec<Discrepancy> {
        let mut found = Vec::new();
        for (name, rule) in &self.rules {
            let Some(column) = self.column(name) else { continue };
            let rounding = self.rounding(name, rule);
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
                let slack = all.len() as f64 * rounding;
                add(None, all.iter().sum(), slack, [*total; 3]);
                continue;
            }
            for row in 0..self.rows.len() {
                if let (Some(published), Some(range)) = (self.number(row, column), self.recomputed(row, rule, rounding))
                {
                    add(Some(row), published, rounding, range);
                }
            }
        }
        found
    }

    /// What follows for a row by a rule, from the lowest to the highest that its rounded inputs allow; `None` if one of them
    /// is no number.
    fn recomputed(&self, row: usize, rule: &Rule, slack: f64) -> Option<[f64; 3]> {
        let input = |name: &String| {
            let column = self.column(name)?;
            let value = self.number(row, column)?;
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

    /// How far a printed number of a rule's columns may be from the exact one: all are as fine as the finest, since trailing
    /// zeros don't show in a number.
    fn rounding(&self, name: &str, rule: &Rule) -> f64 {
        let mut names = rule.inputs();
        names.push(name);
        let columns = names.into_iter().filter_map(|name| self.column(name));
        let decimals = columns.map(|column| self.decimals(column)).max().unwrap_or(0);
        0.5 * 0.1f64.powi(decimals as i32)
    }

    /// Checks what the types can't say.
    pub(crate) fn check(&self) -> Result<(), String> {
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
        let mut named: Vec<&str> = self.rules.keys().map(String::as_str).collect();
        named.extend(self.rules.values().flat_map(Rule::inputs));
        named.extend(self.remarks.iter().filter_map(|remark| remark.column.as_deref()));
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
                told.is_some_and(|told| {
                    (told - recomputed).abs() <= 0.5 * 0.1f64.powi(self.decimals(place) as i32) + 1e-9
                })
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

impl Rule {
    /// The columns that it reads.
    fn inputs(&self) -> Vec<&str> {
        match self {
            Self::AverageOf(names) => names.iter().map(String::as_str).collect(),
            Self::InverseOf(name) => vec![name],
            Self::PercentOf(names) => names.iter().map(String::as_str).collect(),
            Self::Sum(_) => Vec::new(),
        }
    }
}
