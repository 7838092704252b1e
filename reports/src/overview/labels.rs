//! Recipes in few words.

use std::collections::{BTreeMap, BTreeSet};

use crate::comparison::Comparison;

/// A label up to this many characters names every key.
const SHORT: usize = 30;

/// The key that every method with a target has, shown in percent.
const RATIO: &str = "ratio";

/// What tells the recipes of a comparison apart.
pub(crate) struct Labels {
    /// The values of each key of each method.
    values: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Labels {
    pub(super) fn of(comparison: &Comparison) -> Self {
        Self::of_recipes(comparison.records().map(|record| record.cell.recipe.as_slice()))
    }

    pub(crate) fn of_recipes<'a>(recipes: impl Iterator<Item = &'a [String]>) -> Self {
        let mut values: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for method in recipes.flatten() {
            let (name, keys) = parsed(method);
            for (key, value) in keys {
                let key = (name.to_owned(), key.to_owned());
                values.entry(key).or_default().insert(value.to_owned());
            }
        }
        Self { values }
    }

    /// A whole recipe.
    pub(crate) fn whole(&self, recipe: &[String]) -> String {
        let methods: Vec<String> = recipe.iter().map(|method| self.method(method)).collect();
        methods.join(" + ")
    }

    /// A method: its name, its ratio in percent, and its other keys; where that gets long, only those that other recipes here
    /// give another value.
    pub(super) fn method(&self, method: &str) -> String {
        let (name, keys) = parsed(method);
        let label = |with: &dyn Fn(&str) -> bool| {
            let mut text = name.to_owned();
            for (key, value) in keys.iter().filter(|(key, _)| *key == RATIO) {
                match value.parse::<f64>() {
                    Ok(ratio) => text += &format!(" {} %", rounded(100.0 * ratio)),
                    Err(_) => text += &format!(" {key}={value}"),
                }
            }
            for (key, value) in keys.iter().filter(|(key, _)| *key != RATIO && with(key)) {
                text += &format!(" {key}={value}");
            }
            text
        };
        let whole = label(&|_| true);
        if whole.chars().count() <= SHORT {
            return whole;
        }
        label(&|key| {
            let values = self.values.get(&(name.to_owned(), key.to_owned()));
            values.is_some_and(|values| values.len() > 1)
        })
    }
}

/// The name of a method and its keys with their values, as canonical recipes spell them.
fn parsed(method: &str) -> (&str, Vec<(&str, &str)>) {
    let Some((name, rest)) = method.split_once('(') else {
        return (method, Vec::new());
    };
    let inside = rest.strip_suffix(')').unwrap_or(rest);
    let (mut depth, mut quoted, mut start) = (0i32, false, 0);
    let mut parts = Vec::new();
    for (at, character) in inside.char_indices() {
        match character {
            '"' | '\'' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    let keys = parts.into_iter().filter_map(|part| part.trim().split_once('='));
    (name, keys.map(|(key, value)| (key.trim(), value.trim())).collect())
}

/// Up to two decimals.
fn rounded(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_told_from_what_stands_inside_lists_and_quotes() {
        let (name, keys) = parsed("finetune(parameters=[\"a.1,\", 'b(2)'], steps=60)");
        assert_eq!(name, "finetune");
        assert_eq!(keys, [("parameters", "[\"a.1,\", 'b(2)']"), ("steps", "60")]);
        assert_eq!(parsed("dense"), ("dense", Vec::new()));
        assert_eq!(parsed("odd(").1, []);
    }

    #[test]
    fn a_long_label_keeps_its_ratio_and_what_tells_it_from_others() {
        let of = |steps: &[&str]| Labels {
            values: [(
                ("lora".to_owned(), "steps".to_owned()),
                steps.iter().map(|step| (*step).to_owned()).collect(),
            )]
            .into(),
        };
        let long = "lora(batch=16, learning_rate=0.003, length=128, ratio=0.125, steps=40)";
        assert_eq!(of(&["40"]).method(long), "lora 12.5 %");
        assert_eq!(of(&["40", "80"]).method(long), "lora 12.5 % steps=40");
        assert_eq!(of(&[]).method("merge(end=5, start=3)"), "merge end=5 start=3");
    }
}
