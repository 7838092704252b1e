//! The JSON Schema of the experiment file: made from the types that read it, shown to editors, and what a file is checked
//! against before it is read, so that all its mistakes are met at once.

use std::ops::Range;

use prunebench_methods::config::suggestion;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::experiment::Experiment;

/// A mistake in a TOML text, and the bytes that it is about.
pub(crate) struct Fault {
    pub(crate) span: Range<usize>,
    pub(crate) text: String,
}

/// The JSON Schema (draft 7, which TOML editors know) of an experiment file.
pub fn experiment_schema() -> Value {
    let mut schema = of::<Experiment>();
    // What an included file gives need not be given again.
    if let Some(required) = schema.shift_remove("required") {
        schema.insert("if".to_owned(), json!({ "not": { "required": ["include"] } }));
        schema.insert("then".to_owned(), json!({ "required": required }));
    }
    schema.into()
}

/// The schema of a type, without references.
pub(crate) fn of<T: JsonSchema>() -> Map<String, Value> {
    let settings = SchemaSettings::draft07()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(simplify));
    let schema = settings.into_generator().into_root_schema_for::<T>();
    schema.as_object().cloned().unwrap_or_default()
}

/// TOML has no null, and no widths of integers.
fn simplify(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    object.shift_remove("format");
    if object.get("default").is_some_and(Value::is_null) {
        object.shift_remove("default");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [kind] = types.as_slice() {
            let kind = kind.clone();
            object.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(only)] = choices.as_mut_slice() {
            let only = std::mem::take(only);
            object.shift_remove("anyOf");
            for (key, value) in only {
                // The description of the place says more than that of the type.
                object.entry(key).or_insert(value);
            }
        }
    }
    // Rust's links mean nothing to an editor.
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
    }
}

/// Checks a table against its schema, but for the presence of keys at its top; takes out what is wrong, and says what that was.
pub(crate) fn check(schema: &Map<String, Value>, table: &mut DeTable) -> Vec<Fault> {
    let mut checker = Checker::default();
    checker.entries(schema, table, "");
    checker.faults
}

/// The keys that a table of this schema must have.
pub(crate) fn required(schema: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let keys = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    keys.filter_map(Value::as_str)
}

#[derive(Default)]
struct Checker {
    faults: Vec<Fault>,
}

impl Checker {
    /// Whether a value at `path` is as its schema wants it, at its own level; what is wrong below is taken out of it.
    fn value<'i>(&mut self, schema: &Map<String, Value>, value: &mut Spanned<DeValue<'i>>, path: &str) -> bool {
        let span = value.span();
        let found = Kind::of(value.get_ref());
        let Some(schema) = choices(schema).into_iter().find(|schema| found.fits(schema)) else {
            let wanted: Vec<String> = choices(schema).into_iter().map(wanted).collect();
            self.fault(
                span,
                format!("{path}: found {}, wanted {}", found.said(value), wanted.join(" or ")),
            );
            return false;
        };
        match value.get_mut() {
            DeValue::Table(table) => {
                for key in required(schema).filter(|key| !table.contains_key(*key)) {
                    self.fault(span.clone(), format!("{path}: the key `{key}` is missing"));
                }
                self.entries(schema, table, path);
                required(schema).all(|key| table.contains_key(key))
            }
            DeValue::Array(array) => {
                if let Some(items) = schema.get("items").and_then(Value::as_object) {
                    let entries = std::mem::replace(array, DeArray::new()).into_iter().enumerate();
                    *array = entries
                        .filter_map(|(index, mut entry)| {
                            self.value(items, &mut entry, &format!("{path}[{index}]"))
                                .then_some(entry)
                        })
                        .collect();
                }
                true
            }
            _ => true,
        }
    }

    fn entries<'i>(&mut self, schema: &Map<String, Value>, table: &mut DeTable<'i>, path: &str) {
        let none = Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let others = schema.get("additionalProperties");
        let mut good = DeTable::new();
        for (key, mut value) in std::mem::take(table) {
            let name: &str = key.get_ref();
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            let keep = match known.get(name).or(others) {
                Some(Value::Object(schema)) => self.value(schema, &mut value, &path),
                Some(Value::Bool(false)) => {
                    let keys: Vec<&str> = known.keys().map(String::as_str).collect();
                    let text = format!("unknown key `{path}`; {}", suggestion(name, "keys", &keys));
                    self.fault(key.span(), text);
                    false
                }
                _ => true,
            };
            if keep {
                good.insert(key, value);
            }
        }
        *table = good;
    }

    fn fault(&mut self, span: Range<usize>, text: String) {
        self.faults.push(Fault { span, text });
    }
}

/// The alternatives of a schema; itself if there are none.
fn choices(schema: &Map<String, Value>) -> Vec<&Map<String, Value>> {
    match schema.get("anyOf") {
        Some(Value::Array(choices)) => choices.iter().filter_map(Value::as_object).collect(),
        _ => vec![schema],
    }
}

/// What a schema wants, in words.
fn wanted(schema: &Map<String, Value>) -> String {
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => match schema.get("items").and_then(Value::as_object) {
            Some(items) => {
                let entries: Vec<String> = choices(items).into_iter().map(wanted).collect();
                format!("a list, each entry {}", entries.join(" or "))
            }
            None => "a list".to_owned(),
        },
        Some("integer") if schema.contains_key("minimum") => "a whole number, not negative".to_owned(),
        kind => Kind::ALL
            .into_iter()
            .find(|known| Some(known.name()) == kind)
            .map_or_else(|| "something else".to_owned(), |kind| kind.words().to_owned()),
    }
}

/// JSON's name for the kind of a TOML value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    String,
    Integer { negative: bool },
    Number,
    Boolean,
    Array,
    Object,
    Date,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::String,
        Self::Integer { negative: false },
        Self::Number,
        Self::Boolean,
        Self::Array,
        Self::Object,
    ];

    fn of(value: &DeValue) -> Self {
        match value {
            DeValue::String(_) => Self::String,
            DeValue::Integer(number) => Self::Integer {
                negative: number.as_str().starts_with('-'),
            },
            DeValue::Float(_) => Self::Number,
            DeValue::Boolean(_) => Self::Boolean,
            DeValue::Array(_) => Self::Array,
            DeValue::Table(_) => Self::Object,
            DeValue::Datetime(_) => Self::Date,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer { .. } => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
            Self::Date => "date",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer { .. } => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Array => "a list",
            Self::Object => "a table",
            Self::Date => "a date",
        }
    }

    fn fits(self, schema: &Map<String, Value>) -> bool {
        match (schema.get("type").and_then(Value::as_str), self) {
            (Some("integer"), Self::Integer { negative }) => !(negative && schema.contains_key("minimum")),
            (Some("number"), Self::Integer { .. }) | (None, _) => true,
            (Some(wanted), _) => wanted == self.name(),
        }
    }

    /// The kind, with the value itself where that is short.
    fn said(self, value: &Spanned<DeValue>) -> String {
        match value.get_ref() {
            DeValue::Integer(number) => format!("{} ({number})", self.words()),
            DeValue::String(text) => format!("{} (\"{text}\")", self.words()),
            _ => self.words().to_owned(),
        }
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
