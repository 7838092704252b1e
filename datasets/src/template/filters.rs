//! What templates can do beside the template language's own means.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use regex::Regex;

pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.set_unknown_method_callback(method);
    let cache = Mutex::new(HashMap::new());
    environment.add_filter(
        "regex_replace",
        move |value: &str, pattern: &str, replacement: &str| -> Result<String, Error> {
            let regex = cached(&cache, pattern)?;
            Ok(regex.replace_all(value, replacement).into_owned())
        },
    );
    environment.add_filter("python_literal", python_literal);
}

/// Patterns are compiled once, not for every row.
fn cached(cache: &Mutex<HashMap<String, Arc<Regex>>>, pattern: &str) -> Result<Arc<Regex>, Error> {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = cache.get(pattern) {
        return Ok(Arc::clone(regex));
    }
    let regex = Regex::new(pattern)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("no regular expression: {error}")))?;
    Ok(Arc::clone(cache.entry(pattern.to_owned()).or_insert(Arc::new(regex))))
}

/// Python's `list.index`, else the methods of `pycompat`.
fn method(state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let [wanted] = arguments else {
        return unknown_method_callback(state, value, name, arguments);
    };
    if name != "index" || value.as_str().is_some() {
        return unknown_method_callback(state, value, name, arguments);
    }
    let position = value.try_iter()?.position(|item| item == *wanted);
    let missing = || Error::new(ErrorKind::InvalidOperation, format!("{wanted:?} is not in {value}"));
    position.map(Value::from).ok_or_else(missing)
}

/// The value of a Python literal, which the template language's constants contain but for one escape.
fn python_literal(literal: &str) -> Result<Value, Error> {
    let wrong = |reason: String| Error::new(ErrorKind::InvalidOperation, format!("no Python literal: {reason}"));
    if literal.contains("\\U") || literal.contains("\\N") {
        return Err(wrong("it has an escape \\U or \\N".to_owned()));
    }
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let value = environment
        .compile_expression(literal)
        .and_then(|expression| expression.eval(()))
        .map_err(|error| wrong(error.to_string()))?;
    if value.is_undefined() {
        return Err(wrong("it is a name".to_owned()));
    }
    Ok(value)
}
