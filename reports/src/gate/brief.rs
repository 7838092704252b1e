//! A gate in few words: what is worse, what can't be said, and how much of each number there is.

use super::report::{Finding, Report, Verdict};
use crate::short_names::ShortNames;
use crate::table::grouped;

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The cell; what tells it from the others if it has a number.
    pub cell: String,
    /// The number with its values before and now and their difference; absent if it is the whole cell.
    pub number: Option<[String; 4]>,
    /// What is wrong.
    pub why: String,
}

impl Report {
    /// The verdict as a word.
    pub fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Regression => "regression",
            Verdict::Inconclusive | Verdict::NotJudged => "inconclusive",
            Verdict::Ok => "ok",
        }
    }

    /// What the verdict rests on, in a sentence.
    pub fn counts(&self) -> String {
        let (numbers, cells) = (grouped(self.findings.len() as u64), grouped(self.cells as u64));
        let mut parts = Vec::new();
        for (verdict, words) in [
            (Verdict::Regression, "worse"),
            (Verdict::Inconclusive, "inconclusive"),
            (Verdict::NotJudged, "not judged"),
        ] {
            let count = self
                .findings
                .iter()
                .filter(|finding| finding.verdict == verdict)
                .count();
            if count > 0 || verdict == Verdict::Regression {
                parts.push(format!("{} {words}", grouped(count as u64)));
            }
        }
        if !self.failures.is_empty() {
            parts.push(format!("{} missing or failed", grouped(self.failures.len() as u64)));
        }
        let nothing = self.nothing_judged.as_ref();
        let nothing = nothing.map_or_else(String::new, |reason| format!("nothing was judged: {reason}; "));
        format!("{nothing}{numbers} numbers in {cells} cells: {}", parts.join(", "))
    }

    /// What is worse, cells without numbers first.
    pub fn worse(&self) -> Vec<Objection> {
        let failures = self.failures.iter().map(|failure| Objection {
            cell: failure.cell.clone(),
            number: None,
            why: failure.problem.clone(),
        });
        failures.chain(self.objections_of(Verdict::Regression)).collect()
    }

    /// Numbers that may be worse, unseen.
    pub fn inconclusive(&self) -> Vec<Objection> {
        self.objections_of(Verdict::Inconclusive)
    }

    fn objections_of(&self, verdict: Verdict) -> Vec<Objection> {
        let names = ShortNames::of(self.findings.iter().map(|finding| &finding.of), &[]);
        let objection = |finding: &Finding| {
            let change = finding.change.as_ref()?;
            Some(Objection {
                cell: names.name(&finding.of),
                number: Some([
                    finding.metric.clone(),
                    format!("{:.4}", change.before),
                    format!("{:.4}", change.after),
                    change.scale.brief(change.difference, change.interval),
                ]),
                why: finding.reason.clone(),
            })
        };
        let findings = self.findings.iter().filter(|finding| finding.verdict == verdict);
        findings.filter_map(objection).collect()
    }
}
