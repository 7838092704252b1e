//! Names that can be files, modules or results.

use std::str::FromStr;

/// Words that a module can't be called.
const RUST: &str = "abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if \
impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true try type typeof \
unsafe unsized use virtual where while yield";

/// A name of an experiment: letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone)]
pub struct ExperimentName(String);

/// A name of a task or a text: small letters, digits, `-` and `_`.
#[derive(Debug, Clone)]
pub struct TableName(String);

/// A name of a method: small letters and digits in words with `-` between them.
#[derive(Debug, Clone)]
pub struct MethodName(String);

impl FromStr for ExperimentName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&letter);
        let begins = name.starts_with(|first: char| first.is_ascii_alphanumeric());
        match begins && name.chars().all(fits) {
            true => Ok(Self(name.to_owned())),
            false => Err("letters, digits, `-`, `_` and `.` are wanted, a letter or digit first".to_owned()),
        }
    }
}

impl FromStr for TableName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let fits = |letter: char| is_small(letter) || ['-', '_'].contains(&letter);
        match begins_small(name) && name.chars().all(fits) {
            true => Ok(Self(name.to_owned())),
            false => Err("small letters, digits, `-` and `_` are wanted, a letter first".to_owned()),
        }
    }
}

impl FromStr for MethodName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let id = name.replace('_', "-");
        let words = id
            .split('-')
            .all(|word| begins_small(word) && word.chars().all(is_small));
        if !words {
            return Err("words of small letters and digits are wanted, joined by `-`, such as small-blocks".to_owned());
        }
        if RUST.split(' ').any(|reserved| reserved == id) {
            return Err("no module of Rust can be called so; take two words".to_owned());
        }
        Ok(Self(id))
    }
}

fn is_small(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit()
}

fn begins_small(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase())
}

impl ExperimentName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TableName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MethodName {
    /// As recipes spell it: `small-blocks`.
    pub fn id(&self) -> &str {
        &self.0
    }

    /// `small_blocks`.
    pub fn module(&self) -> String {
        self.0.replace('-', "_")
    }

    /// `SmallBlocks`.
    pub fn type_name(&self) -> String {
        let words = self.0.split('-').map(|word| {
            let (first, rest) = word.split_at(1.min(word.len()));
            first.to_ascii_uppercase() + rest
        });
        words.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_that_no_file_or_module_could_have() {
        for name in ["a", "A-1.b_c", "7"] {
            assert!(name.parse::<ExperimentName>().is_ok(), "{name}");
        }
        for name in ["", ".", "..", "../a", "a/b", "a b", "-a"] {
            assert!(name.parse::<ExperimentName>().is_err(), "{name}");
        }
        for name in ["arc_easy", "flexigpt-5"] {
            assert!(name.parse::<TableName>().is_ok(), "{name}");
        }
        for name in ["", "Arc", "1a", "a.b", "a/b", "_a"] {
            assert!(name.parse::<TableName>().is_err(), "{name}");
        }
        for name in ["", "-", "a--b", "A", "1a", "a-1", "type", "a/b"] {
            assert!(name.parse::<MethodName>().is_err(), "{name}");
        }
        let method: MethodName = "small_heads2".parse().unwrap();
        assert_eq!(
            (method.id(), method.module().as_str(), method.type_name().as_str()),
            ("small-heads2", "small_heads2", "SmallHeads2")
        );
    }
}
