//! The statements of a paper as tests on records: `papers/<id>/claims.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;
use wildmatch::WildMatch;

use super::{Observation, detail::Detail};

/// Paper and text of every file `papers/<id>/claims.toml`.
const EMBEDDED: [(&str, &str); 5] = [
    ("drpruning", include_str!("../../papers/drpruning/claims.toml")),
    ("flexigpt", include_str!("../../papers/flexigpt/claims.toml")),
    (
        "layer_parallelism",
        include_str!("../../papers/layer_parallelism/claims.toml"),
    ),
    ("paser", include_str!("../../papers/paser/claims.toml")),
    (
        "weight_evolution",
        include_str!("../../papers/weight_evolution/claims.toml"),
    ),
];

/// Every checkable statement of a paper.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The paper's id.
    #[serde(skip)]
    pub paper: String,
    #[serde(rename = "claim")]
    pub(super) all: Vec<Definition>,
}

/// A statement, and the tests that all have to hold for it, or why there is none.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Definition {
    pub(super) id: String,
    pub(super) statement: String,
    /// Where it comes from.
    pub(super) source: String,
    /// How far it is the paper's own.
    pub(super) trust: String,
    /// Why no test can answer it here.
    #[serde(default)]
    pub(super) not_run: Option<String>,
    /// The test of the code that shows it, with its crate before it, for a claim that no record can answer.
    #[serde(default)]
    pub(super) shown_by: Option<String>,
    /// Sources of models, `*` for anything.
    #[serde(default = "anything")]
    pub(super) models: Vec<String>,
    #[serde(default = "any")]
    pub(super) engine: String,
    /// A number by the name that the rules of a gate give it, `*` for anything, or as [`Detail`] is written.
    #[serde(default)]
    metric: String,
    /// Seeds, or rounds of a speed, that there must be at least.
    #[serde(default = "one")]
    pub(super) seeds: usize,
    #[serde(default)]
    pub(super) scale: Scale,
    #[serde(default)]
    pub(super) samples: Samples,
    #[serde(default)]
    pub(super) tests: Vec<Test>,
}

/// What weighted sums of perplexities are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scale {
    /// Their logarithms, so that differences are ratios.
    #[default]
    Loss,
    /// Themselves.
    Perplexity,
}

/// What is drawn at random.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Samples {
    /// Windows, items and seeds of one model, or rounds of a speed.
    #[default]
    Items,
    /// Models, such as several trainings of one kind.
    Models,
}

/// Contrasts between recipes; one of `rising`, `convex` and `sum`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    /// Values of names in braces, the first of each, then the second of each, and so on.
    #[serde(default, rename = "for")]
    bindings: BTreeMap<String, Vec<toml::Value>>,
    /// In place of the claim's.
    #[serde(default)]
    metric: Option<String>,
    /// Whether more than half of the contrasts are enough; else all have to hold.
    #[serde(default)]
    pub(super) most: bool,
    /// Each is larger than the one before.
    #[serde(default)]
    rising: Vec<String>,
    /// Second differences are above zero.
    #[serde(default)]
    convex: Vec<String>,
    /// A weighted sum between `above` and `below`.
    #[serde(default)]
    sum: BTreeMap<String, f64>,
    #[serde(default)]
    above: Option<f64>,
    #[serde(default)]
    below: Option<f64>,
}

/// A weighted sum of the numbers of recipes, and the range that it is claimed to lie in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Contrast {
    pub(super) terms: Vec<(f64, Term)>,
    pub(super) above: Option<f64>,
    pub(super) below: Option<f64>,
}

/// One recipe, its methods joined by ` + `, `*` for anything, or one that is chosen of several by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) choice: Choice,
    pub(super) of: Vec<String>,
}

/// Which of several recipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Only,
    Lowest,
    /// The upper one of two in the middle.
    Median,
}

fn any() -> String {
    "*".to_owned()
}

fn anything() -> Vec<String> {
    vec![any()]
}

fn one() -> usize {
    1
}

impl Claims {
    /// Those of all papers, by id.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn all() -> Result<Vec<Self>, ClaimsError> {
        EMBEDDED.iter().map(|(id, text)| Self::parse(id, text)).collect()
    }

    /// Reads the statements of a paper.
    ///
    /// # Errors
    /// If it is no TOML of this form, an id is there twice, or a test says nothing.
    pub fn parse(paper: &str, text: &str) -> Result<Self, ClaimsError> {
        let fault = |problem: String| ClaimsError {
            file: format!("papers/{paper}/claims.toml"),
            problem,
        };
        let mut claims: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(start).filter(|&byte| byte == b'\n').count();
            fault(format!("line {line}: {}", error.message()))
        })?;
        paper.clone_into(&mut claims.paper);
        for (index, claim) in claims.all.iter().enumerate() {
            let wrong = |problem: &str| fault(format!("claim `{}`: {problem}", claim.id));
            if claims.all[..index].iter().any(|other| other.id == claim.id) {
                return Err(wrong("another one has this id"));
            }
            claim.check().map_err(|problem| wrong(&problem))?;
        }
        Ok(claims)
    }

    /// Whether one of them may rest on a number.
    pub(super) fn want(&self, observation: &Observation) -> bool {
        let mut tests = self.tests();
        tests.any(|(claim, test)| claim.wants(test, observation))
    }

    fn tests(&self) -> impl Iterator<Item = (&Definition, &Test)> {
        let of = |claim| move |test| (claim, test);
        self.all.iter().flat_map(move |claim| claim.tests.iter().map(of(claim)))
    }

    /// What methods report that a test may be about on a model by an engine: the metric, and what it says.
    pub(super) fn details<'a>(&'a self, model: &'a str, engine: &'a str) -> impl Iterator<Item = (&'a str, Detail)> {
        let here = self.tests().filter(move |(claim, _)| claim.is_of(model, engine));
        here.filter_map(|(claim, test)| {
            let metric = claim.metric(test);
            Some((metric, Detail::parse(metric).ok()??))
        })
    }

    #[cfg(test)]
    pub(super) fn tests_of_code(&self) -> Vec<String> {
        self.all.iter().filter_map(|claim| claim.shown_by.clone()).collect()
    }

    /// The methods of whose details the tests speak.
    pub fn methods(&self) -> Vec<String> {
        let metrics = self.tests().map(|(claim, test)| claim.metric(test));
        let details = metrics.filter_map(|metric| Detail::parse(metric).ok()?);
        details.map(|detail| detail.method().to_owned()).collect()
    }

    /// The recipes without `*` that the tests name, each with its methods joined by ` + `.
    pub fn recipes(&self) -> Vec<String> {
        let contrasts = self.tests().flat_map(|(_, test)| test.contrasts().unwrap_or_default());
        let terms = contrasts.flat_map(|contrast| contrast.terms);
        let mut recipes: Vec<String> = terms.flat_map(|(_, term)| term.of).collect();
        recipes.retain(|recipe| !recipe.contains('*'));
        recipes.sort();
        recipes.dedup();
        recipes
    }
}

impl Definition {
    fn check(&self) -> Result<(), String> {
        let kinds = [!self.tests.is_empty(), self.not_run.is_some(), self.shown_by.is_some()];
        if kinds.iter().filter(|&&kind| kind).count() != 1 {
            return Err("it needs one of `tests`, `shown_by` and `not_run`".to_owned());
        }
        if let Some(test) = &self.shown_by
            && (!test.contains("::") || test.contains(char::is_whitespace))
        {
            return Err(format!(
                "`shown_by = \"{test}\"`: write crate and test as in `prunebench_train::tests::steps::name`"
            ));
        }
        for test in &self.tests {
            let metric = self.metric(test);
            if metric.is_empty() {
                return Err("its tests need a `metric`".to_owned());
            }
            if Detail::parse(metric)?.is_some() && self.scale == Scale::Perplexity {
                return Err(format!("`scale = \"perplexity\"` is nothing for `{metric}`"));
            }
            test.contrasts()?;
        }
        Ok(())
    }

    /// What a test of it is about.
    pub(super) fn metric<'a>(&'a self, test: &'a Test) -> &'a str {
        test.metric.as_deref().unwrap_or(&self.metric)
    }

    pub(super) fn wants(&self, test: &Test, observation: &Observation) -> bool {
        fits(self.metric(test), &observation.metric) && self.is_of(&observation.model, &observation.engine)
    }

    fn is_of(&self, model: &str, engine: &str) -> bool {
        fits(&self.engine, engine) && self.models.iter().any(|pattern| fits(pattern, model))
    }
}

fn fits(pattern: &str, text: &str) -> bool {
    WildMatch::new(pattern).matches(text)
}

impl Test {
    /// Its contrasts, one or more for each set of values.
    pub(super) fn contrasts(&self) -> Result<Vec<Contrast>, String> {
        let forms = [!self.rising.is_empty(), !self.convex.is_empty(), !self.sum.is_empty()];
        if forms.iter().filter(|&&form| form).count() != 1 {
            return Err("a test needs one of `rising`, `convex` and `sum`".to_owned());
        }
        let bounded = self.above.is_some() || self.below.is_some();
        if bounded == self.sum.is_empty() {
            return Err("a `sum` needs `above`, `below` or both, and nothing else does".to_owned());
        }
        let sets = self.bindings.values().next().map_or(1, Vec::len);
        if sets == 0 || self.bindings.values().any(|values| values.len() != sets) {
            return Err("the lists of `for` need equally many values, one at least".to_owned());
        }
        let mut contrasts = Vec::new();
        for set in 0..sets {
            let terms = |texts: &[String], weights: &[f64]| -> Result<Vec<Vec<(f64, Term)>>, String> {
                if texts.len() < weights.len() {
                    return Err(format!("it names {} recipes; more are wanted", texts.len()));
                }
                let parsed: Vec<Term> = texts
                    .iter()
                    .map(|text| self.term(text, set))
                    .collect::<Result<_, _>>()?;
                let of = |window: &[Term]| weights.iter().copied().zip(window.iter().cloned()).collect();
                Ok(parsed.windows(weights.len()).map(of).collect())
            };
            let [texts, weights] = [&self.rising, &self.convex].map(Vec::is_empty);
            let found = match (texts, weights) {
                (false, _) => terms(&self.rising, &[-1.0, 1.0])?,
                (_, false) => terms(&self.convex, &[1.0, -2.0, 1.0])?,
                _ => vec![
                    self.sum
                        .iter()
                        .map(|(text, &weight)| Ok((weight, self.term(text, set)?)))
                        .collect::<Result<_, String>>()?,
                ],
            };
            contrasts.extend(found.into_iter().map(|terms| Contrast {
                terms,
                above: if bounded { self.above } else { Some(0.0) },
                below: self.below,
            }));
        }
        Ok(contrasts)
    }

    /// `lowest of A | B`, `median of A | B | C`, or a recipe.
    fn term(&self, text: &str, set: usize) -> Result<Term, String> {
        let (choice, rest) = if let Some(rest) = text.strip_prefix("lowest of ") {
            (Choice::Lowest, rest)
        } else if let Some(rest) = text.strip_prefix("median of ") {
            (Choice::Median, rest)
        } else {
            (Choice::Only, text)
        };
        let of: Vec<String> = rest
            .split(" | ")
            .map(|recipe| self.filled(recipe, set))
            .collect::<Result<_, _>>()?;
        if choice == Choice::Only && of.len() > 1 {
            return Err(format!(
                "`{text}` names several recipes; write `lowest of` or `median of` before them"
            ));
        }
        Ok(Term { choice, of })
    }

    /// A recipe with `{name}`, `{name+1}` and `{name-1}` replaced by values.
    fn filled(&self, recipe: &str, set: usize) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = recipe;
        while let Some((before, tail)) = rest.split_once('{') {
            let (place, after) = tail.split_once('}').ok_or_else(|| format!("`{recipe}` lacks a `}}`"))?;
            let end = place.find(['+', '-']).unwrap_or(place.len());
            let (name, step) = place.split_at(end);
            let value = self.bindings.get(name).and_then(|values| values.get(set));
            let value = value.ok_or_else(|| format!("`for` has no values of `{name}`"))?;
            filled += before;
            filled += &match (value, step) {
                (toml::Value::String(text), "") => text.clone(),
                (toml::Value::Float(number), "") => number.to_string(),
                (toml::Value::Integer(number), "") => number.to_string(),
                (toml::Value::Integer(number), step) => match step.parse::<i64>() {
                    Ok(step) => (number + step).to_string(),
                    Err(_) => return Err(format!("`{{{place}}}` is no name with a whole number added")),
                },
                _ => return Err(format!("`{{{place}}}` can't be made of {value}")),
            };
            rest = after;
        }
        Ok(filled + rest)
    }
}

/// Statements in a form that can't be tested.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct ClaimsError {
    /// The file.
    pub file: String,
    /// What is wrong with it.
    pub problem: String,
}
