//! A gate as a JUnit report, which CI servers show test by test.

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::GateError;
use super::report::{Report, Verdict};

impl Report {
    /// The report as JUnit XML: a suite for each family with a case for each number, and one for the cells. What is
    /// inconclusive or not judged is skipped, with the reason; it did not pass.
    ///
    /// # Errors
    /// If a name can't be written as XML.
    pub fn to_junit(&self) -> Result<String, GateError> {
        let mut junit = quick_junit::Report::new("prunebench gate");
        let mut cells = TestSuite::new("cells");
        if let Some(reason) = &self.nothing_judged {
            let why = format!("nothing was judged: {reason}");
            cells.add_test_case(case("some number is judged", "cell", Verdict::Inconclusive, &why));
        }
        for failure in &self.failures {
            cells.add_test_case(case(&failure.cell, "cell", Verdict::Regression, &failure.problem));
        }
        if self.failures.is_empty() {
            let name = format!("all {} cells of the baseline are there", self.cells);
            cells.add_test_case(case(&name, "cell", Verdict::Ok, ""));
        }
        junit.add_test_suite(cells);
        for family in &self.families {
            let mut suite = TestSuite::new(family.family.as_str());
            for finding in self.findings.iter().filter(|finding| finding.family == family.family) {
                suite.add_test_case(case(&finding.metric, &finding.cell, finding.verdict, &finding.reason));
            }
            junit.add_test_suite(suite);
        }
        Ok(junit.to_string()?)
    }
}

fn case(name: &str, class: &str, verdict: Verdict, reason: &str) -> TestCase {
    let mut status = match verdict {
        Verdict::Ok => TestCaseStatus::success(),
        Verdict::Regression => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Inconclusive | Verdict::NotJudged => TestCaseStatus::skipped(),
    };
    match verdict {
        Verdict::Ok => {}
        Verdict::Inconclusive => _ = status.set_message(format!("inconclusive: {reason}")),
        Verdict::NotJudged => _ = status.set_message(format!("not judged: {reason}")),
        Verdict::Regression => _ = status.set_message(reason),
    }
    let mut case = TestCase::new(name, status);
    case.set_classname(class);
    case
}
