//! Strict configurations: a key that nobody reads is an error that names the nearest key that somebody does.

use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Reads a typed configuration of `what` (a method, an experiment file) from a TOML table.
///
/// `T` and everything below it must be `deny_unknown_fields`.
///
/// # Errors
/// [`Error::Config`], which names the key by its path, for a key that is unknown, missing, of the wrong type or out of the
/// range that its type allows.
pub fn parse_strict<T: DeserializeOwned>(what: &str, table: toml::Table) -> Result<T> {
    serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| {
        let path = error.path().to_string();
        Error::Config {
            what: what.to_string(),
            detail: explain(&path, error.inner().message()),
        }
    })
}

/// The candidate that `word` was probably meant to be.
pub fn near_miss<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.75;
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(alike, _)| *alike > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`? " for a near miss, else nothing; then all candidates under their `name`.
pub fn suggestion(word: &str, name: &str, candidates: &[&str]) -> String {
    let near = near_miss(word, candidates.iter().copied()).map(|near| format!("did you mean `{near}`? "));
    format!("{}{name}: {}", near.unwrap_or_default(), candidates.join(", "))
}

/// Turns serde's message into one with the key, its place, and the near miss.
fn explain(path: &str, message: &str) -> String {
    let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
    let place = if parent.is_empty() {
        String::new()
    } else {
        format!(" in {parent}")
    };
    if let Some((name, expected)) = alternatives(message, "unknown field `") {
        let keys = match expected.is_empty() {
            true => "it takes no keys".to_string(),
            false => suggestion(name, "keys", &expected),
        };
        // The path ends with the unknown key itself.
        return format!("unknown key `{name}`{place}; {keys}");
    }
    if let Some((name, expected)) = alternatives(message, "unknown variant `") {
        return format!(
            "key `{key}`{place}: unknown value `{name}`; {}",
            suggestion(name, "values", &expected)
        );
    }
    match message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        Some(name) if path == "." => format!("the key `{name}` is missing"),
        Some(name) => format!("the key `{name}` is missing in {path}"),
        None if path == "." => message.to_string(),
        None => format!("key `{key}`{place}: {message}"),
    }
}

/// The refused name and the accepted ones, from serde's "unknown field `a`, expected one of `b`, `c`".
fn alternatives<'a>(message: &'a str, prefix: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let rest = message.strip_prefix(prefix)?;
    let (name, expected) = rest
        .split_once("`, expected ")
        .or_else(|| rest.split_once("`, there are no "))?;
    Some((name, expected.split('`').skip(1).step_by(2).collect()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::Ratio;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        name: String,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        windows: u32,
        ratio: Option<Ratio>,
        unit: Option<Unit>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Unit {
        Blocks,
        Weights,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    fn refusal<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
        parse_strict::<T>("file.toml", toml::from_str(text).unwrap())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place_and_near_miss() {
        assert_eq!(
            refusal::<Outer>("nmae = 'x'"),
            "file.toml: unknown key `nmae`; did you mean `name`? keys: name, inner"
        );
        assert_eq!(
            refusal::<Outer>("name = 'x'\n[[inner]]\nwindows = 1\n[[inner]]\nwindws = 2"),
            "file.toml: unknown key `windws` in inner[1]; did you mean `windows`? keys: windows, ratio, unit"
        );
        assert_eq!(
            refusal::<Outer>("qqq = 1"),
            "file.toml: unknown key `qqq`; keys: name, inner"
        );
        assert_eq!(
            refusal::<Nothing>("ratio = 1"),
            "file.toml: unknown key `ratio`; it takes no keys"
        );
    }

    #[test]
    fn a_key_of_the_wrong_type_or_range_is_named() {
        assert_eq!(
            refusal::<Outer>("name = 3"),
            "file.toml: key `name`: invalid type: integer `3`, expected a string"
        );
        let error = refusal::<Outer>("name = 'x'\ninner = [{ windows = -1 }]");
        assert!(
            error.starts_with("file.toml: key `windows` in inner[0]: invalid value: integer `-1`"),
            "{error}"
        );
        for (ratio, found) in [
            ("1.5", "1.5 is no share"),
            ("nan", "NaN is no share"),
            ("1", "1 removes everything"),
            ("0.0", "0 removes nothing"),
        ] {
            let error = refusal::<Outer>(&format!("name = 'x'\ninner = [{{ windows = 1, ratio = {ratio} }}]"));
            assert!(
                error.starts_with(&format!(
                    "file.toml: key `ratio` in inner[0]: {found}; a number above 0 and below 1"
                )),
                "{error}"
            );
        }
    }

    #[test]
    fn an_unknown_value_is_named_with_its_near_miss() {
        assert_eq!(
            refusal::<Outer>("name = 'x'\ninner = [{ windows = 1, unit = 'block' }]"),
            "file.toml: key `unit` in inner[0]: unknown value `block`; did you mean `blocks`? values: blocks, weights"
        );
    }

    #[test]
    fn a_missing_key_is_named() {
        assert_eq!(refusal::<Outer>(""), "file.toml: the key `name` is missing");
        assert_eq!(
            refusal::<Outer>("name = 'x'\ninner = [{}]"),
            "file.toml: the key `windows` is missing in inner[0]"
        );
    }
}
