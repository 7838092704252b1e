//! Everything about one of a kind, from what JSON says of it.

use serde_json::Value;

use super::Entry;
use crate::terminal::{heading, indented};

/// A line for each thing that is known.
pub fn drawn(entry: &Entry, width: usize) -> String {
    let mut text = format!("{}\n", heading(&entry.name));
    let Value::Object(fields) = &entry.value else {
        return text;
    };
    let is_name = |value: &Value| value.as_str() == Some(entry.name.as_str());
    let fields = fields.iter().filter(|(_, value)| !is_name(value));
    text += &lines(fields, 0, width);
    text
}

fn lines<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>, indent: usize, width: usize) -> String {
    let fields: Vec<_> = fields.filter(|(_, value)| !is_empty(value)).collect();
    let label = |name: &str| name.replace('_', " ");
    let longest = fields
        .iter()
        .filter(|(_, value)| inline(value).is_some())
        .map(|(name, _)| label(name).chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (name, value) in fields {
        match inline(value) {
            Some(words) => text += &indented(&format!("{:indent$}{:<longest$}  ", "", label(name)), &words, width),
            None => {
                text += &format!("{:indent$}{}\n", "", label(name));
                if let Value::Object(inside) = value {
                    text += &lines(inside.iter(), indent + 2, width);
                }
            }
        }
    }
    text
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        _ => false,
    }
}

/// A value as words; objects have lines of their own.
fn inline(value: &Value) -> Option<String> {
    match value {
        Value::Object(_) => None,
        Value::Bool(true) => Some("yes".to_owned()),
        Value::Bool(false) => Some("no".to_owned()),
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => {
            let words = values.iter().map(|value| match value {
                Value::Object(fields) => fields.values().filter_map(inline).collect::<Vec<_>>().join(" "),
                value => inline(value).unwrap_or_default(),
            });
            let words: Vec<String> = words.collect();
            // Sentences have commas of their own.
            let between = if words.iter().any(|word| word.contains(", ")) {
                "; "
            } else {
                ", "
            };
            Some(words.join(between))
        }
        value => Some(value.to_string()),
    }
}
