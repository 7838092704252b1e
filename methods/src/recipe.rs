//! Recipes: methods in order, as text and as work.

use std::fmt;

use serde_json::Value;

use crate::registry::find;
use crate::verify::achieved;
use crate::{Basis, Census, Error, Family, Method, Need, Result, Run};

/// Methods to apply in order.
#[derive(Debug)]
pub struct Recipe {
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    /// As configured, keys sorted.
    text: String,
    method: Box<dyn Method>,
}

/// What a recipe did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Each of its methods, in order.
    pub methods: Vec<MethodReport>,
    /// The share asked for, if one of them alone removed something and asks for one.
    pub nominal_ratio: Option<f64>,
    /// The share of the source model that is gone from the finished one. If one method alone removed something it is a share of
    /// what that method removes, its basis; else one of the parameters that aren't zero, for shares of different bases don't
    /// add up.
    pub achieved_ratio: f64,
}

/// What one method of a recipe did, checked against the model.
#[derive(Clone, Debug)]
pub struct MethodReport {
    /// The method's id.
    pub method: &'static str,
    /// The whole configuration, defaults included.
    pub config: Value,
    /// The share asked for, if the method asks for one.
    pub nominal_ratio: Option<f64>,
    /// The share removed of what the method found when it started, counted. Of zeros those that it found count as far as the
    /// ratio asked for takes them.
    pub achieved_ratio: f64,
    /// What both are shares of.
    pub basis: &'static str,
    /// Whether another seed would give another model.
    pub stochastic: bool,
    /// What else there is to tell: `removed_blocks` (by their index when the method started) or `sparsity` of each matrix, and
    /// the method's own.
    pub details: Value,
}

impl Recipe {
    /// Reads a recipe, each method as `name` or `name(key=value, key=value)`. Values are TOML; a string of letters, digits,
    /// `-` and `_` needs no quotes.
    ///
    /// # Errors
    /// [`Error::Recipe`], [`Error::UnknownMethod`] and [`Error::Config`].
    pub fn parse<S: AsRef<str>>(methods: &[S]) -> Result<Self> {
        if methods.is_empty() {
            return Err(Error::Recipe {
                text: "[]".to_string(),
                detail: "at least one method is wanted; the unchanged model is `dense`".to_string(),
            });
        }
        let stages = methods
            .iter()
            .map(|text| parse_stage(text.as_ref()))
            .collect::<Result<_>>()?;
        Ok(Self { stages })
    }

    /// Each method as configured, with sorted keys and values in one spelling.
    pub fn canonical(&self) -> Vec<String> {
        self.stages.iter().map(|stage| stage.text.clone()).collect()
    }

    /// The methods in order.
    pub fn methods(&self) -> impl Iterator<Item = &dyn Method> {
        self.stages.iter().map(|stage| stage.method.as_ref())
    }

    /// The family of its first method, which the others build on.
    pub fn family(&self) -> Family {
        self.stages
            .first()
            .map_or(Family::Baseline, |stage| stage.method.family())
    }

    /// Whether a method needs it.
    pub fn needs(&self, need: Need) -> bool {
        self.methods().any(|method| method.needs().contains(&need))
    }

    /// Whether another seed would give another model.
    pub fn is_stochastic(&self) -> bool {
        self.methods().any(Method::is_stochastic)
    }

    /// Whether the methods go together, which those who plan ask before anything is done.
    ///
    /// # Errors
    /// [`Error::Recipe`] if one wants another after it that is not there.
    pub fn check(&self) -> Result<()> {
        let wants = |stage: &Stage, need| stage.method.needs().contains(&need);
        for (index, stage) in self.stages.iter().enumerate() {
            let mut later = self.stages[index + 1..].iter();
            if wants(stage, Need::LaterTraining) && !later.any(|later| wants(later, Need::RecoveryData)) {
                return Err(Error::Recipe {
                    text: self.to_string(),
                    detail: format!(
                        "`{}` leaves random weights, which a training after it makes a model; add one, such as `finetune(steps=50)`",
                        stage.method.card().id
                    ),
                });
            }
        }
        Ok(())
    }

    /// Applies the methods to `run.model`, and checks each one's report against the model it left.
    ///
    /// # Errors
    /// [`Error::Recipe`] and [`Error::Unmet`] before anything is done; [`Error::NotAchieved`] if a method left another model than it reports.
    pub fn apply(&self, run: &mut Run) -> Result<Applied> {
        self.check()?;
        for method in self.methods() {
            for need in method.needs() {
                need.check(method.card().id, run)?;
            }
        }
        if self.methods().any(|method| method.family() != Family::Baseline) {
            // Methods read and change weights, which from here on are all that a linear is, but where a block borrows it.
            run.model.merge_deltas()?;
        }
        let source = Census::of(&run.model, &run.recovery)?;
        let mut finished = source.clone();
        let mut reports = Vec::with_capacity(self.stages.len());
        let mut removing = Vec::new();
        let mut fused = 0;
        for (index, method) in self.methods().enumerate() {
            let card = method.card();
            run.begin(index, method.is_stochastic());
            let mut report = run.timed(|run| method.apply(run))?;
            let basis = report.basis;
            run.masked |= basis.is_of_zeros();
            let before = std::mem::replace(&mut finished, Census::of(&run.model, &run.recovery)?);
            let achieved_ratio = achieved(card.id, &report, &before, &finished)?;
            if let (Some(sparsity), Some(details)) = (finished.sparsity(basis), report.details.as_object_mut()) {
                details.insert("sparsity".to_owned(), sparsity);
            }
            if basis != Basis::Blocks {
                fused += before.blocks.len().saturating_sub(finished.blocks.len());
            }
            if achieved_ratio > 0.0 {
                removing.push((report.nominal_ratio, achieved_ratio, basis));
            }
            reports.push(MethodReport {
                method: card.id,
                config: method.config(),
                nominal_ratio: report.nominal_ratio,
                achieved_ratio,
                basis: basis.name(),
                stochastic: method.is_stochastic(),
                details: report.details,
            });
        }
        let (nominal_ratio, achieved_ratio) = match removing.as_slice() {
            [] => (None, 0.0),
            // What a later one made or filled again is not on its account.
            [(nominal, achieved, basis)] => (*nominal, source.gone(&finished, *basis, fused).min(*achieved)),
            _ => (
                None,
                1.0 - finished.nonzero_parameters() as f64 / source.nonzero_parameters().max(1) as f64,
            ),
        };
        Ok(Applied {
            methods: reports,
            nominal_ratio,
            achieved_ratio,
        })
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical().join(" + "))
    }
}

fn parse_stage(text: &str) -> Result<Stage> {
    let malformed = |detail: String| Error::Recipe {
        text: text.to_string(),
        detail,
    };
    let (name, arguments) = match text.trim().split_once('(') {
        None => (text.trim(), ""),
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(arguments) => (name.trim_end(), arguments),
            None => return Err(malformed("a `)` is wanted at the end".to_string())),
        },
    };
    let entry = find(name)?;
    let wrapped: toml::Table = toml::from_str(&format!("arguments = {{ {} }}", quote_bare_words(arguments)))
        .map_err(|error| malformed(format!("{}; write it as name(key=value, key=value)", error.message())))?;
    let table = match wrapped.into_iter().collect::<Vec<_>>().as_slice() {
        [(_, toml::Value::Table(table))] => table.clone(),
        _ => return Err(malformed("one list of arguments is wanted".to_string())),
    };
    Ok(Stage {
        text: canonical(name, &table),
        method: (entry.parse)(table)?,
    })
}

fn canonical(name: &str, table: &toml::Table) -> String {
    let mut arguments: Vec<String> = table
        .iter()
        .map(|(key, value)| match value {
            toml::Value::String(word) if is_bare(word) => format!("{key}={word}"),
            value => format!("{key}={value}"),
        })
        .collect();
    arguments.sort();
    match arguments.as_slice() {
        [] => name.to_string(),
        arguments => format!("{name}({})", arguments.join(", ")),
    }
}

/// A string that is written without quotes: a word that TOML would not take for a value.
fn is_bare(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && !["true", "false", "inf", "nan"].contains(&word)
}

/// Quotes the bare words among the values, which makes the arguments an inline table of TOML.
fn quote_bare_words(arguments: &str) -> String {
    let mut quoted = String::with_capacity(arguments.len() + 8);
    let mut rest = arguments;
    let mut quote = None;
    while let Some(c) = rest.chars().next() {
        quoted.push(c);
        rest = &rest[c.len_utf8()..];
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (_, Some(open)) if c == open => quote = None,
            ('=', None) => {
                let value = rest.trim_start();
                let end = value.find([',', '}', ']']).unwrap_or(value.len());
                let word = value[..end].trim_end();
                if is_bare(word) {
                    quoted.push_str(&format!("\"{word}\""));
                    rest = &value[word.len()..];
                }
            }
            _ => {}
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::Device;
    use serde_json::json;

    use super::*;
    use crate::fixture::{apply_with, model, windows};

    fn refusal(text: &str) -> String {
        Recipe::parse(&[text]).unwrap_err().to_string()
    }

    #[test]
    fn spellings_of_one_recipe_have_one_canonical_text() {
        let wanted = ["magnitude(ratio=0.5, scope=row)"];
        for text in [
            "magnitude(ratio=0.5, scope=row)",
            "magnitude( scope = row ,ratio=0.50)",
            " magnitude (scope = \"row\", ratio = 5e-1) ",
            "magnitude(scope='row',ratio=0.5,)",
        ] {
            assert_eq!(Recipe::parse(&[text]).unwrap().canonical(), wanted, "{text}");
        }
        assert_eq!(
            Recipe::parse(&["dense()", "gromov(blocks=2)"]).unwrap().to_string(),
            "dense + gromov(blocks=2)"
        );
    }

    #[test]
    fn a_canonical_text_reads_as_itself() {
        for entry in crate::registry() {
            let once = Recipe::parse(&[entry.card.example]).unwrap().canonical();
            assert_eq!(Recipe::parse(&once).unwrap().canonical(), once);
        }
    }

    #[test]
    fn the_configuration_reported_has_the_defaults() {
        let recipe = Recipe::parse(&["gromov(blocks=2)"]).unwrap();
        let configs: Vec<Value> = recipe.methods().map(|method| method.config()).collect();
        assert_eq!(configs, [json!({ "blocks": 2, "variant": "angular" })]);
    }

    #[test]
    fn a_misspelt_key_or_value_names_the_near_miss() {
        assert_eq!(
            refusal("magnitude(rato=0.5)"),
            "magnitude: unknown key `rato`; did you mean `ratio`? keys: ratio, scope"
        );
        assert_eq!(
            refusal("magnitude(ratio=0.5, scope=rows)"),
            "magnitude: key `scope`: unknown value `rows`; did you mean `row`? values: tensor, row, global"
        );
        assert_eq!(
            refusal("dense(ratio=0.5)"),
            "dense: unknown key `ratio`; it takes no keys"
        );
        assert!(refusal("wnada(ratio=0.5)").contains("did you mean `wanda`?"));
    }

    #[test]
    fn malformed_recipes_are_refused_with_what_is_wanted() {
        for (text, part) in [
            ("magnitude(ratio=0.5", "a `)` is wanted"),
            ("magnitude(ratio)", "write it as name(key=value, key=value)"),
            ("magnitude(ratio=0.5, ratio=0.6)", "duplicate key"),
            ("magnitude(ratio=0.5 }\nother = {)", "one list of arguments is wanted"),
            ("magnitude", "the key `ratio` is missing"),
            ("magnitude(ratio=half)", "key `ratio`: invalid type: string \"half\""),
            ("shortgpt", "one of the keys `ratio` and `blocks` is wanted"),
            ("gromov(ratio=0.1, blocks=3)", "both are given"),
            ("shortgpt(blocks=0)", "key `blocks`: 0 removes nothing"),
            ("", "there is no method ``"),
        ] {
            let error = refusal(text);
            assert!(error.contains(part), "{text}: {error}");
        }
        let none: [&str; 0] = [];
        assert!(
            Recipe::parse(&none)
                .unwrap_err()
                .to_string()
                .contains("at least one method is wanted")
        );
    }

    #[test]
    fn a_ratio_outside_the_open_interval_is_refused_by_every_method() {
        for method in [
            "random",
            "magnitude",
            "wanda",
            "shortgpt",
            "gromov",
            "sleb",
            "laco",
            "slicegpt",
        ] {
            for ratio in ["0", "1", "1.0", "-0.1", "1.5", "nan", "inf"] {
                let error = refusal(&format!("{method}(ratio={ratio})"));
                assert!(
                    error.contains("key `ratio`") && error.contains("above 0 and below 1"),
                    "{method} {ratio}: {error}"
                );
            }
        }
    }

    #[test]
    fn calibration_text_is_asked_for_before_anything_is_done() {
        let model = model(&Device::available()[0]);
        for (text, needs) in [
            ("wanda(ratio=0.5)", true),
            ("shortgpt(blocks=1)", true),
            ("gromov(blocks=1)", true),
            ("sleb(blocks=1)", true),
            ("laco(layers=2, threshold=-1)", true),
            ("slicegpt(ratio=0.2)", true),
            ("gromov(blocks=1, variant=deepest)", false),
            ("magnitude(ratio=0.5)", false),
        ] {
            assert_eq!(
                Recipe::parse(&[text]).unwrap().needs(Need::CalibrationText),
                needs,
                "{text}"
            );
            let outcome = apply_with(text, &model, 0, &[]);
            match outcome {
                Ok(_) => assert!(!needs, "{text}"),
                Err(error) => assert!(
                    needs && error.to_string().contains("needs calibration text"),
                    "{text}: {error}"
                ),
            }
        }
    }

    #[test]
    fn methods_of_a_recipe_work_on_what_the_one_before_left() {
        let model = model(&Device::available()[0]);
        let windows = windows();
        let mut quiet = |_: usize, _: usize, _: &str| {};
        let mut run = Run::new(&model, &windows, 1, &mut quiet);
        let recipe = Recipe::parse(&["shortgpt(blocks=2)", "wanda(ratio=0.5)", "dense"]).unwrap();
        let reports = recipe.apply(&mut run).unwrap().methods;
        assert_eq!(run.model.blocks.len(), 4);
        assert_eq!(run.model.accounting().unwrap().mask_sparsity(), 0.5);
        assert_eq!(run.dense.accounting().unwrap().zero_weights, 0);
        let summary: Vec<_> = reports.iter().map(|r| (r.method, r.basis, r.achieved_ratio)).collect();
        assert_eq!(
            summary,
            [
                ("shortgpt", "blocks", 2.0 / 6.0),
                ("wanda", "prunable weights", 0.5),
                ("dense", "nothing", 0.0)
            ]
        );
        assert_eq!(reports[1].details["sparsity"]["3.mlp.down_proj"], 0.5);
    }
}
