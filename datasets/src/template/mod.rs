//! Templates and expressions of catalogue files: what turns a row into text. They are compiled once for many rows, and
//! every fault names the file and line.

mod filters;

use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Expression, UndefinedBehavior, Value};
use toml::Spanned;

use crate::error::{Error, Result, TemplateProblem};

/// A template, or an expression, with the place where the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    file: String,
    key: &'static str,
    /// Line of the file on which the text starts, from 1.
    line: usize,
    /// Whether each line of the text is a line of the file.
    multi_line: bool,
    text: String,
}

impl Template {
    /// The value of `key` in the catalogue file `file` whose content is `content`.
    pub(crate) fn new(file: &str, key: &'static str, value: Spanned<String>, content: &str) -> Self {
        let span = value.span();
        let quoted = content.get(span.clone()).unwrap_or_default();
        let multi_line = quoted.starts_with("\"\"\"") || quoted.starts_with("'''");
        let trimmed_newline = multi_line && quoted[3..].trim_start_matches('\r').starts_with('\n');
        let lines_before = content.get(..span.start).unwrap_or_default().matches('\n').count();
        Self {
            file: file.to_owned(),
            key,
            line: 1 + lines_before + usize::from(trimmed_newline),
            multi_line,
            text: value.into_inner(),
        }
    }

    /// As the catalogue has it.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn problem(&self, row: Option<&Place>, problem: TemplateProblem) -> Error {
        self.problem_at(1, row, problem)
    }

    fn problem_at(&self, line: usize, row: Option<&Place>, problem: TemplateProblem) -> Error {
        Error::Template {
            file: self.file.clone(),
            line: self.line + if self.multi_line { line.saturating_sub(1) } else { 0 },
            key: self.key,
            row: row.map(Place::to_string),
            problem,
        }
    }

    fn engine_problem(&self, row: Option<&Place>, error: &minijinja::Error) -> Error {
        let line = error.line().unwrap_or(1);
        let detail = || error.detail().map_or_else(String::new, |detail| format!(": {detail}"));
        let problem = match error.kind() {
            ErrorKind::UndefinedError => TemplateProblem::Undefined {
                expression: error
                    .range()
                    .and_then(|range| self.text.get(range))
                    .unwrap_or(&self.text)
                    .trim()
                    .to_owned(),
            },
            kind => TemplateProblem::Failed(format!("{kind}{}", detail())),
        };
        self.problem_at(line, row, problem)
    }
}

/// The fields of a row as templates see them.
pub(crate) fn values(row: &serde_json::Value) -> Value {
    Value::from(Serde(row))
}

/// A row for an error message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) split: &'a str,
    pub(crate) row: usize,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {} of {} (the first is 0)", self.row, self.split)
    }
}

/// What compiles templates: strict about undefined names, with the methods of Python's strings and lists and with
/// this crate's filters.
pub(crate) struct Engine(Environment<'static>);

impl Engine {
    /// For the templates of `file`.
    pub(crate) fn new(file: &str) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        // An error carries the place in its template only in this mode.
        environment.set_debug(true);
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
        environment.set_syntax(syntax.map_err(|error| Error::Catalogue {
            file: file.to_owned(),
            reason: error.to_string(),
        })?);
        filters::add_to(&mut environment);
        Ok(Self(environment))
    }

    pub(crate) fn template<'a>(&'a self, template: &'a Template) -> Result<Compiled<'a>> {
        let inner = self
            .0
            .template_from_str(&template.text)
            .map_err(|error| template.engine_problem(None, &error))?;
        Ok(Compiled { template, inner })
    }

    pub(crate) fn expression<'a>(&'a self, template: &'a Template) -> Result<CompiledExpression<'a>> {
        let inner = self
            .0
            .compile_expression(&template.text)
            .map_err(|error| template.engine_problem(None, &error))?;
        Ok(CompiledExpression { template, inner })
    }
}

/// A compiled template.
pub(crate) struct Compiled<'a> {
    template: &'a Template,
    inner: minijinja::Template<'a, 'a>,
}

impl Compiled<'_> {
    pub(crate) fn render(&self, fields: &Value, place: &Place) -> Result<String> {
        self.inner
            .render(fields.clone())
            .map_err(|error| self.template.engine_problem(Some(place), &error))
    }
}

/// A compiled expression.
pub(crate) struct CompiledExpression<'a> {
    template: &'a Template,
    inner: Expression<'a, 'a>,
}

impl CompiledExpression<'_> {
    /// Its value, a list of at least one text.
    pub(crate) fn texts(&self, fields: &Value, place: &Place) -> Result<Vec<String>> {
        let value = self.value(fields, place)?;
        let wrong = || {
            let found = value.to_string();
            self.template.problem(
                Some(place),
                TemplateProblem::NoTexts {
                    found: shortened(&found),
                },
            )
        };
        if value.is_none() || value.as_str().is_some() {
            return Err(wrong());
        }
        let texts: Vec<String> = value
            .try_iter()
            .map_err(|_| wrong())?
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect::<Result<_>>()?;
        if texts.is_empty() {
            return Err(self.template.problem(Some(place), TemplateProblem::NoChoices));
        }
        Ok(texts)
    }

    /// Its value, an index below `choices`.
    pub(crate) fn index(&self, fields: &Value, place: &Place, choices: usize) -> Result<usize> {
        let value = self.value(fields, place)?;
        let index = if value.is_integer() { value.as_usize() } else { None };
        index.filter(|index| *index < choices).ok_or_else(|| {
            let found = shortened(&value.to_string());
            self.template
                .problem(Some(place), TemplateProblem::WrongGold { found, choices })
        })
    }

    fn value(&self, fields: &Value, place: &Place) -> Result<Value> {
        let undefined = |expression: String| {
            self.template
                .problem(Some(place), TemplateProblem::Undefined { expression })
        };
        let value = self
            .inner
            .eval(fields.clone())
            .map_err(|error| self.template.engine_problem(Some(place), &error))?;
        if value.is_undefined() {
            return Err(undefined(self.template.text.clone()));
        }
        Ok(value)
    }
}

/// At most 60 characters of a value, for an error message.
fn shortened(value: &str) -> String {
    match value.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests;
