//! A gate as people read it.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Finding, POWER, Report, Verdict, not_judged};
use crate::paired::Scale;
use crate::statistics::Interval;
use crate::table::{Column, Entry, Table, grouped};

impl Report {
    /// The verdict in a line.
    pub fn headline(&self) -> String {
        let count = |verdict| {
            self.findings
                .iter()
                .filter(|finding| finding.verdict == verdict)
                .count()
        };
        let (regressions, inconclusive) = (count(Verdict::Regression), count(Verdict::Inconclusive));
        let verdict = self.word();
        let nothing = self.nothing_judged.as_ref();
        let nothing = nothing.map_or_else(String::new, |reason| format!(", nothing was judged: {reason}"));
        format!(
            "gate: {verdict}{nothing}; of {} numbers in {} cells {regressions} worse, {inconclusive} inconclusive, {} not judged, and {} \
             cells or numbers missing or failed",
            grouped(self.findings.len() as u64),
            grouped(self.cells as u64),
            count(Verdict::NotJudged),
            self.failures.len()
        )
    }

    /// The tables of what is to be looked at, if there is anything, and of all numbers by name.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        if self.nothing_judged.is_some() || !self.failures.is_empty() || self.findings.iter().any(is_of_note) {
            tables.push(self.objections());
        }
        tables.push(self.overview());
        tables
    }

    /// The tables as Markdown under the verdict, as GitHub shows them in a job's summary.
    pub fn to_markdown(&self) -> String {
        let tables: Vec<String> = self.tables().iter().map(Table::to_markdown).collect();
        format!("## {}\n\n{}", self.headline(), tables.join("\n"))
    }

    fn objections(&self) -> Table {
        let without_numbers = |verdict: &str, cell: Entry, why: &str| {
            let mut row = vec![text(verdict), cell];
            row.extend(vec![Entry::Missing; 6]);
            row.push(text(why));
            row
        };
        let nothing = self.nothing_judged.iter().map(|reason| {
            let why = format!("nothing was judged: {reason}");
            without_numbers("inconclusive", Entry::Missing, &why)
        });
        let failures = self
            .failures
            .iter()
            .map(|failure| without_numbers("regression", text(&failure.cell), &failure.problem));
        let mut findings: Vec<&Finding> = self.findings.iter().filter(|finding| is_of_note(finding)).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
        let findings = findings.into_iter().map(|finding| {
            let change = finding.change.as_ref();
            let number = |value: Option<f64>| value.map_or(Entry::Missing, |value| text(&format!("{value:.4}")));
            let verdict = match finding.verdict {
                Verdict::Regression => "regression",
                _ => "inconclusive",
            };
            vec![
                text(verdict),
                text(&finding.cell),
                text(&finding.metric),
                number(change.map(|change| change.before)),
                number(change.map(|change| change.after)),
                change.map_or(Entry::Missing, |change| {
                    text(&change.scale.show(change.difference, change.interval))
                }),
                change
                    .and_then(|change| change.p_adjusted)
                    .map_or(Entry::Missing, |p| text(&format!("{p:.2e}"))),
                Entry::Count(change.map_or(0, |change| (change.samples * change.seeds) as u64)),
                text(&finding.reason),
            ]
        });
        Table {
            caption: "Worse, or too little to say".to_owned(),
            columns: vec![
                Column::text("verdict"),
                Column::text("cell"),
                Column::text("number"),
                Column::number("baseline", ""),
                Column::number("now", ""),
                Column::number("difference [95 %]", ""),
                Column::number("p (Holm)", ""),
                Column::number("samples", ""),
                Column::text("why"),
            ],
            rows: nothing.chain(failures).chain(findings).collect(),
            ..Table::default()
        }
    }

    fn overview(&self) -> Table {
        let mut by_metric: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
        for finding in &self.findings {
            by_metric.entry(&finding.metric).or_default().push(finding);
        }
        let rows = by_metric.into_iter().map(|(metric, findings)| {
            let count = |wanted: &dyn Fn(&Finding) -> bool| {
                Entry::Count(findings.iter().filter(|finding| wanted(finding)).count() as u64)
            };
            let changes = || findings.iter().filter_map(|finding| finding.change.as_ref());
            let largest = changes().max_by(|a, b| a.difference.abs().total_cmp(&b.difference.abs()));
            let smallest = changes().filter_map(|change| Some((change.scale, change.smallest?)));
            let smallest = smallest.max_by(|a, b| a.1.total_cmp(&b.1));
            vec![
                text(metric),
                count(&|_| true),
                count(&|finding| finding.change.as_ref().is_some_and(|change| change.unchanged)),
                count(&|finding| finding.verdict == Verdict::Regression),
                count(&|finding| finding.verdict == Verdict::Inconclusive),
                count(&|finding| finding.verdict == Verdict::NotJudged),
                largest.map_or(Entry::Missing, |change| {
                    text(&change.scale.show(change.difference, None))
                }),
                smallest.map_or(Entry::Missing, |(scale, value)| text(&scale.show(value, None))),
            ]
        });
        Table {
            caption: "All numbers that a rule names".to_owned(),
            columns: vec![
                Column::text("number"),
                Column::number("cells", ""),
                Column::number("unchanged", ""),
                Column::number("worse", ""),
                Column::number("inconclusive", ""),
                Column::number("not judged", ""),
                Column::number("largest difference", ""),
                Column::number("would have been seen", ""),
            ],
            rows: rows.collect(),
            notes: self.notes(),
            ..Table::default()
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![format!(
            "Would have been seen: the smallest loss that the test finds with probability {POWER} at the family's level, shared by \
             its comparisons, of the cell where that is largest; 0 where nothing changed."
        )];
        notes.extend(
            self.families
                .iter()
                .filter(|family| family.comparisons > 0)
                .map(|family| {
                    format!(
                        "Family {}: {} comparisons share a chance of {} of a false alarm (Holm).",
                        family.family, family.comparisons, family.alpha
                    )
                }),
        );
        notes.extend(
            not_judged(&self.findings)
                .iter()
                .map(|(reason, count)| format!("Not judged, {count} numbers: {reason}.")),
        );
        if !self.new_cells.is_empty() {
            notes.push(format!(
                "Not in the baseline, and so not judged until one is accepted: {}.",
                self.new_cells.join("; ")
            ));
        }
        for (what, origin) in [("Baseline", &self.baseline), ("Store", &self.store)] {
            let listed = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join("; ");
            notes.push(format!(
                "{what}: measured {} to {}, revision {}, prunebench {}, {}, on {}.",
                origin.from,
                origin.to,
                listed(&origin.revisions),
                listed(&origin.prunebench),
                listed(&origin.engines),
                listed(&origin.machines)
            ));
        }
        notes
    }
}

fn is_of_note(finding: &Finding) -> bool {
    matches!(finding.verdict, Verdict::Regression | Verdict::Inconclusive)
}

impl Scale {
    /// `-2.00 points [-3.10, -0.90]`
    pub(crate) fn show(self, value: f64, interval: Option<Interval>) -> String {
        let unit = match self {
            Self::Points => "points",
            Self::Relative => "%",
        };
        let interval = interval.map_or_else(String::new, |Interval { low, high }| {
            format!(" [{:+.2}, {:+.2}]", 100.0 * low, 100.0 * high)
        });
        format!("{:+.2} {unit}{interval}", 100.0 * value)
    }

    /// `−2.00 ± 1.10 points`, where `±` is half the interval, with as many decimals as show it.
    pub(crate) fn brief(self, value: f64, interval: Option<Interval>) -> String {
        let unit = match self {
            Self::Points => "points",
            Self::Relative => "%",
        };
        let value = 100.0 * value;
        let spread = interval.map(|Interval { low, high }| 50.0 * (high - low));
        let size = spread.filter(|spread| *spread > 0.0).unwrap_or(value.abs());
        let places = match size {
            size if size >= 0.1 || size == 0.0 => 2,
            // The first two figures.
            size => (1 - size.log10().floor() as i32).clamp(2, 9) as usize,
        };
        let sign = if value < 0.0 { "−" } else { "+" };
        if value.abs() >= 1e4 {
            return format!("{sign}{:.1e} {unit}", value.abs());
        }
        let spread = spread.map_or_else(String::new, |spread| format!(" ± {spread:.places$}"));
        format!("{sign}{:.places$}{spread} {unit}", value.abs())
    }
}

fn text(text: &str) -> Entry {
    Entry::Text(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_in_short_has_as_many_decimals_as_its_spread_wants() {
        let within = |low, high| Some(Interval { low, high });
        assert_eq!(
            Scale::Points.brief(-0.02, within(-0.031, -0.009)),
            "−2.00 ± 1.10 points"
        );
        assert_eq!(
            Scale::Relative.brief(2.1e-6, within(0.6e-6, 3.6e-6)),
            "+0.00021 ± 0.00015 %"
        );
        assert_eq!(Scale::Relative.brief(0.0, within(0.0, 0.0)), "+0.00 ± 0.00 %");
        assert_eq!(Scale::Relative.brief(-0.25, None), "−25.00 %");
        assert_eq!(Scale::Relative.brief(442_367.0, None), "+4.4e7 %");
    }
}
