//! Which tests of the code passed, for the claims that such a test shows.

use serde::Deserialize;

use super::ClaimsError;

const FILE: &str = "results/papers/tests.toml";
const TEXT: &str = include_str!("../../../results/papers/tests.toml");
const TARGET: &str = "make claim-tests";

/// What `make claim-tests` noted of the tests that it ran.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The version of prunebench whose tests these are.
    version: String,
    /// As `git describe --always --dirty` has it.
    revision: String,
    date: String,
    /// Each with its crate before it: `prunebench_train::tests::steps::averages`.
    passed: Vec<String>,
}

impl Evidence {
    /// What the program was built with.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn embedded() -> Result<Self, ClaimsError> {
        Self::parse(TEXT)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If it is no TOML of this form.
    pub fn parse(text: &str) -> Result<Self, ClaimsError> {
        toml::from_str(text).map_err(|error: toml::de::Error| ClaimsError {
            file: FILE.to_owned(),
            problem: format!("{}; make it again with `{TARGET}`", error.message()),
        })
    }

    /// That a test passed in this version, in words.
    ///
    /// # Errors
    /// Why nothing says so, and what to run.
    pub(super) fn of(&self, test: &str) -> Result<String, String> {
        let this = env!("CARGO_PKG_VERSION");
        let Self {
            version,
            revision,
            date,
            passed,
        } = self;
        if !passed.iter().any(|passed| passed == test) {
            return Err(format!("nothing says that the test {test} passed; run `{TARGET}`"));
        }
        if version != this {
            let what = format!("the test {test} passed in {version}, and this is {this}");
            return Err(format!("{what}; run `{TARGET}`"));
        }
        Ok(format!("test {test} passed in {version} ({date}, {revision})"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Claims, Observations, Scorecard, Scored, Verdict, claims_tests::claim};
    use super::*;

    const TEST: &str = "a::tests::it_holds";

    fn evidence(version: &str, test: &str) -> Evidence {
        let text =
            format!("version = \"{version}\"\nrevision = \"0123\"\ndate = \"2026-01-01\"\npassed = [\"{test}\"]");
        Evidence::parse(&text).unwrap()
    }

    fn scored(evidence: &Evidence) -> (Scored, String) {
        let claims = Claims::parse("invented", &claim(&format!("shown_by = \"{TEST}\""))).unwrap();
        let mut card = Scorecard::new(&claims, &Observations::default(), evidence);
        let markdown = card.to_markdown();
        (card.claims.remove(0), markdown)
    }

    #[test]
    fn a_test_that_passed_in_this_version_shows_a_claim() {
        let version = env!("CARGO_PKG_VERSION");
        let (scored, markdown) = scored(&evidence(version, TEST));
        let words = format!("test {TEST} passed in {version} (2026-01-01, 0123)");
        assert_eq!((scored.verdict, scored.p), (Verdict::Reproduced, None));
        assert_eq!(scored.evidence(), words);
        assert!(scored.missing.is_empty());
        let line = format!(
            "| 1 | s (x; paper) | reproduced | {} |  |  |  |  |",
            words.replace('_', "\\_")
        );
        assert!(markdown.contains(&line), "{line}\nin\n{markdown}");
        assert!(markdown.contains("- 1 reproduced, 0 not reproduced, 0 inconclusive, 0 not run"));
    }

    #[test]
    fn another_test_or_another_version_shows_nothing_and_names_the_command() {
        let this = env!("CARGO_PKG_VERSION");
        for (evidence, reason) in [
            (
                evidence("0.0.9", TEST),
                format!("the test {TEST} passed in 0.0.9, and this is {this}; run `make claim-tests`"),
            ),
            (
                evidence(this, "a::tests::it_hold"),
                format!("nothing says that the test {TEST} passed; run `make claim-tests`"),
            ),
        ] {
            let (scored, _) = scored(&evidence);
            assert_eq!((scored.verdict, scored.missing), (Verdict::NotRun, vec![reason]));
            assert_eq!(scored.shown_by, None);
        }
    }

    #[test]
    fn a_file_of_another_form_is_refused() {
        for text in [
            "passed = []",
            "version = \"0.1.0\"\nrevision = \"\"\ndate = \"\"\nfailed = [\"a\"]\npassed = []",
        ] {
            let error = Evidence::parse(text).unwrap_err().to_string();
            assert!(
                error.starts_with("results/papers/tests.toml: ") && error.ends_with("`make claim-tests`"),
                "{error}"
            );
        }
    }

    #[test]
    fn every_test_that_is_noted_is_named_by_a_claim() {
        let named: Vec<String> = Claims::all().unwrap().iter().flat_map(Claims::tests_of_code).collect();
        let noted = Evidence::embedded().unwrap().passed;
        assert!(
            noted.iter().all(|test| named.contains(test)),
            "{noted:?}, and claims name {named:?}"
        );
    }
}
