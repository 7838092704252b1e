//! The methods by name.

use crate::config::suggestion;
use crate::{Card, Error, Method, Result};

/// A method of the registry.
#[derive(Debug)]
pub struct Entry {
    /// What the method is.
    pub card: &'static Card,
    /// Makes the method from its configuration.
    pub parse: fn(toml::Table) -> Result<Box<dyn Method>>,
}

/// Declares each method's module and lists its entry, so that a method is one line.
macro_rules! methods {
    ($($(#[$condition:meta])* $method:ident,)*) => {
        $($(#[$condition])* pub mod $method;)*

        /// Every method.
        pub fn registry() -> &'static [Entry] {
            static ENTRIES: &[Entry] = &[$($(#[$condition])* $method::ENTRY),*];
            ENTRIES
        }
    };
}
pub(crate) use methods;

/// The method of that name.
///
/// # Errors
/// [`Error::UnknownMethod`] with the near miss.
pub fn find(name: &str) -> Result<&'static Entry> {
    crate::registry()
        .iter()
        .find(|entry| entry.card.id == name)
        .ok_or_else(|| {
            let ids: Vec<&str> = crate::registry().iter().map(|entry| entry.card.id).collect();
            Error::UnknownMethod {
                name: name.to_string(),
                hint: suggestion(name, "methods", &ids),
            }
        })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{Recipe, SUMMARY, registry};

    #[test]
    fn no_two_methods_share_a_name() {
        let mut seen = HashSet::new();
        for entry in registry() {
            assert!(seen.insert(entry.card.id), "`{}` is registered twice", entry.card.id);
        }
    }

    #[test]
    fn every_summary_fits_a_line_of_the_list() {
        for entry in registry() {
            let length = entry.card.summary.chars().count();
            assert!((1..=SUMMARY).contains(&length), "{}: {length}", entry.card.id);
        }
    }

    #[test]
    fn every_example_is_a_recipe_of_its_method() {
        for entry in registry() {
            let recipe = Recipe::parse(&[entry.card.example.to_string()]).unwrap();
            let methods: Vec<_> = recipe.methods().map(|method| method.card().id).collect();
            assert_eq!(methods, [entry.card.id]);
        }
    }

    #[test]
    fn every_readme_explains_every_key() {
        for entry in registry() {
            let recipe = Recipe::parse(&[entry.card.example.to_string()]).unwrap();
            for method in recipe.methods() {
                for key in method.config().as_object().unwrap().keys() {
                    assert!(
                        entry.card.readme.contains(&format!("`{key}`")),
                        "{}: `{key}`",
                        entry.card.id
                    );
                }
            }
        }
    }

    #[test]
    fn an_unknown_method_names_the_near_miss_and_all_methods() {
        let error = find("magnitud").unwrap_err().to_string();
        assert!(error.contains("did you mean `magnitude`?"), "{error}");
        assert!(
            error.contains("dense, random, magnitude, wanda, shortgpt, gromov"),
            "{error}"
        );
    }
}
