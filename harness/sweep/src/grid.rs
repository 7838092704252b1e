//! Recipes as a grid: `{a,b}` stands for each of a and b, `{name}` for the entries of a named axis.

use std::collections::{BTreeMap, HashSet};

use prunebench_methods::config::suggestion;

use crate::experiment::{AxisValue, Experiment, RecipeText, Seeded};
use crate::problem::Collector;

/// A recipe of an experiment.
pub(crate) struct Written<'a> {
    /// Where it is written.
    pub(crate) place: String,
    pub(crate) methods: Vec<String>,
    /// Its own, if it has some.
    pub(crate) seeds: Option<&'a [u64]>,
}

/// Every recipe of an experiment without repetitions.
pub(crate) fn recipes<'a>(experiment: &'a Experiment, problems: &mut Collector) -> Vec<Written<'a>> {
    let axes = &experiment.axes;
    for (name, values) in axes {
        let place = format!("axes.{name}");
        if !is_name(name) {
            problems.usage(
                &place,
                format_args!("axis `{name}`: letters, digits, `-` and `_` are wanted, a letter first"),
            );
        }
        if values.is_empty() {
            problems.usage(
                &place,
                format_args!("axis `{name}` is empty; it needs at least one entry"),
            );
        }
        if values.iter().any(|value| value.to_string().contains(['{', '}'])) {
            problems.usage(
                &place,
                format_args!("axis `{name}`: an entry has braces, which belong into `recipes`"),
            );
        }
    }
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    let mut named: Vec<&str> = Vec::new();
    for (index, recipe) in experiment.recipes.iter().enumerate() {
        let place = format!("recipes[{index}]");
        let (methods, seeds) = match recipe {
            RecipeText::One(method) => (std::slice::from_ref(method), None),
            RecipeText::Several(methods) => (methods.as_slice(), None),
            RecipeText::Seeded(Seeded { recipe, seeds }) => (recipe.as_slice(), Some(seeds.as_slice())),
        };
        if seeds.is_some_and(<[u64]>::is_empty) {
            problems.usage(&place, "`seeds` is empty; it needs at least one, or leave it out");
        }
        if seeds.is_some() && experiment.evaluation.is_speed_alone() {
            problems.usage(
                &place,
                "a recipe has `seeds` of its own, and speed is measured in rounds of the experiment's; give them there",
            );
        }
        let names = names(methods);
        for name in names.iter().filter(|name| !axes.contains_key(**name)) {
            let known: Vec<&str> = axes.keys().map(String::as_str).collect();
            let hint = match known.as_slice() {
                [] => "there are no [axes]".to_owned(),
                known => suggestion(name, "axes", known),
            };
            problems.usage(
                &place,
                format_args!("recipe `{}`: `{{{name}}}` names no axis; {hint}", methods.join(" + ")),
            );
        }
        if names.iter().all(|name| axes.contains_key(*name)) {
            for methods in with_axes(methods, &names, axes) {
                match expand_recipe(&methods) {
                    Ok(recipes) => {
                        let new = recipes.into_iter().filter(|recipe| seen.insert(recipe.clone()));
                        all.extend(new.map(|methods| Written {
                            place: place.clone(),
                            methods,
                            seeds,
                        }));
                    }
                    Err(error) => problems.usage(&place, error),
                }
            }
        }
        named.extend(names);
    }
    for name in axes.keys().filter(|name| !named.contains(&name.as_str())) {
        let unknown: Vec<&str> = named.iter().copied().filter(|name| !axes.contains_key(*name)).collect();
        let hint = match unknown.as_slice() {
            [] => format!("write {{{name}}} in one, or leave the axis out"),
            unknown => suggestion(name, "recipes name", unknown),
        };
        problems.usage(
            &format!("axes.{name}"),
            format_args!("axis `{name}` is in no recipe; {hint}"),
        );
    }
    all
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// The names in braces, each once.
fn names(methods: &[String]) -> Vec<&str> {
    let mut names = Vec::new();
    for method in methods {
        let braces = method.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
        for (name, _) in braces {
            if is_name(name) && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// The methods with every combination of the axes' entries in place of their names, the last name varying fastest.
fn with_axes(methods: &[String], names: &[&str], axes: &BTreeMap<String, Vec<AxisValue>>) -> Vec<Vec<String>> {
    let mut recipes = vec![methods.to_vec()];
    for name in names {
        let entries = axes.get(*name).map_or(&[][..], Vec::as_slice);
        let with = |recipe: &Vec<String>, entry: &AxisValue| -> Vec<String> {
            let put = |method: &String| method.replace(&format!("{{{name}}}"), &entry.to_string());
            recipe.iter().map(put).collect()
        };
        recipes = recipes
            .iter()
            .flat_map(|recipe| entries.iter().map(move |entry| with(recipe, entry)))
            .collect();
    }
    recipes
}

fn expand_recipe(methods: &[String]) -> Result<Vec<Vec<String>>, String> {
    let mut recipes = vec![Vec::new()];
    for method in methods {
        let choices = expand(method)?;
        recipes = recipes
            .iter()
            .flat_map(|recipe| {
                choices
                    .iter()
                    .map(|choice| [recipe.as_slice(), std::slice::from_ref(choice)].concat())
            })
            .collect();
    }
    Ok(recipes)
}

/// `a{b,c}d` as `abd` and `acd`; several braces give every combination, the last varying fastest.
fn expand(text: &str) -> Result<Vec<String>, String> {
    let fault = |what: &str| {
        Err(format!(
            "recipe `{text}`: {what}; write one recipe for each of a and b as {{a,b}}"
        ))
    };
    let Some((before, rest)) = text.split_once('{') else {
        return if text.contains('}') {
            fault("a `}` without `{`")
        } else {
            Ok(vec![text.to_owned()])
        };
    };
    let Some((choices, after)) = rest.split_once('}') else {
        return fault("a `{` without `}`");
    };
    if before.contains('}') || choices.contains('{') {
        return fault("braces that don't pair");
    }
    let tails = expand(after)?;
    let choices = choices.split(',').map(str::trim);
    Ok(choices
        .flat_map(|choice| tails.iter().map(move |tail| format!("{before}{choice}{tail}")))
        .collect())
}

#[cfg(test)]
#[path = "grid_tests.rs"]
mod tests;
