//! Each claim of a paper with its verdict.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Claims, Evidence, Observations, Part, judging::judge};
use crate::{
    statistics::{Interval, benjamini_hochberg},
    table::{Alignment, Column, Entry, Table, escaped},
};

/// What became of a paper's claims.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scorecard {
    /// The paper's id.
    pub paper: String,
    /// In the order of the file.
    pub claims: Vec<Scored>,
    /// How many have which verdict.
    pub totals: Totals,
}

/// How many claims have which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// [`Verdict::Reproduced`].
    pub reproduced: usize,
    /// [`Verdict::NotReproduced`].
    pub not_reproduced: usize,
    /// [`Verdict::Inconclusive`].
    pub inconclusive: usize,
    /// [`Verdict::NotRun`].
    pub not_run: usize,
}

/// What the records say of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every interval that it takes lies on the claim's side, or the test of the code that shows it passed.
    Reproduced,
    /// An interval that it takes lies on the other side.
    NotReproduced,
    /// Neither, or records are missing.
    Inconclusive,
    /// No record tests it, or nothing says that its test passed.
    NotRun,
}

/// A claim with its verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scored {
    /// Its id within the paper.
    pub id: String,
    /// What is claimed.
    pub statement: String,
    /// Where it comes from.
    pub source: String,
    /// How far it is the paper's own.
    pub trust: String,
    /// What the records say, or the test that shows it.
    pub verdict: Verdict,
    /// The test of the code that shows it, and when it passed.
    pub shown_by: Option<String>,
    /// The contrast that decides it: the surest on the other side, else the least sure.
    pub effect: Option<Effect>,
    /// The largest p-value of what has to hold; absent if anything is missing or without noise.
    pub p: Option<f64>,
    /// That by Benjamini and Hochberg over the paper's claims.
    pub p_adjusted: Option<f64>,
    /// Contrasts whose intervals lie on the claim's side.
    pub holding: usize,
    /// Every contrast that was found.
    pub parts: Vec<Part>,
    /// Keys of all records that it rests on.
    pub records: BTreeSet<String>,
    /// What is missing, or why it isn't run.
    pub missing: Vec<String>,
}

/// The contrast that decides a claim.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// The weighted sum, in words.
    pub of: String,
    /// Its value.
    pub value: f64,
    /// The 95 % interval.
    pub interval: Option<Interval>,
    /// What it is claimed to be.
    pub wanted: String,
}

impl Scorecard {
    /// Judges every claim of a paper by the observations of all stores, and by the tests of the code that passed.
    pub fn new(claims: &Claims, observations: &Observations, evidence: &Evidence) -> Self {
        let judged = claims.all.iter().map(|claim| judge(claim, observations, evidence));
        let mut scored: Vec<Scored> = judged.collect();
        let tested: Vec<usize> = (0..scored.len()).filter(|&claim| scored[claim].p.is_some()).collect();
        let p: Vec<f64> = scored.iter().filter_map(|claim| claim.p).collect();
        for (claim, adjusted) in tested.into_iter().zip(benjamini_hochberg(&p)) {
            scored[claim].p_adjusted = Some(adjusted);
        }
        let count = |verdict| scored.iter().filter(|claim| claim.verdict == verdict).count();
        let totals = Totals {
            reproduced: count(Verdict::Reproduced),
            not_reproduced: count(Verdict::NotReproduced),
            inconclusive: count(Verdict::Inconclusive),
            not_run: count(Verdict::NotRun),
        };
        Self {
            paper: claims.paper.clone(),
            claims: scored,
            totals,
        }
    }

    /// That table as Markdown in `results/papers/<paper>/claims.md`, from where pages of the repository that sources name are
    /// linked.
    pub fn to_markdown(&self) -> String {
        let mut text = self.to_table().to_markdown();
        for Scored { source, trust, .. } in &self.claims {
            let words: Vec<String> = source.split(' ').map(linked).collect();
            let shown = escaped(&format!("({source}; {trust})"));
            text = text.replace(&shown, &format!("({}; {})", words.join(" "), escaped(trust)));
        }
        text
    }

    /// A line for each claim.
    pub fn to_table(&self) -> Table {
        let columns = [
            ("claim", Alignment::Left),
            ("statement", Alignment::Left),
            ("verdict", Alignment::Left),
            ("effect [95 % interval]", Alignment::Left),
            ("holding", Alignment::Right),
            ("p", Alignment::Right),
            ("records", Alignment::Right),
            ("missing", Alignment::Left),
        ];
        let rows = self.claims.iter().map(|claim| {
            let entries = [
                claim.id.clone(),
                format!("{} ({}; {})", claim.statement, claim.source, claim.trust),
                claim.verdict.words().to_owned(),
                match &claim.effect {
                    Some(effect) => effect.shown(),
                    None => claim.shown_by.clone().unwrap_or_default(),
                },
                match claim.parts.len() {
                    0 => String::new(),
                    parts => format!("{} of {parts}", claim.holding),
                },
                claim.p_adjusted.map(p_shown).unwrap_or_default(),
                match claim.records.len() {
                    0 => String::new(),
                    records => records.to_string(),
                },
                claim.missing_shown(),
            ];
            entries.map(Entry::Text).to_vec()
        });
        let Totals {
            reproduced,
            not_reproduced,
            inconclusive,
            not_run,
        } = self.totals;
        Table {
            caption: format!("{}, claims", self.paper),
            columns: columns
                .into_iter()
                .map(|(header, alignment)| Column {
                    alignment,
                    ..Column::text(header)
                })
                .collect(),
            rows: rows.collect(),
            notes: vec![
                format!(
                    "{reproduced} reproduced, {not_reproduced} not reproduced, {inconclusive} inconclusive, {not_run} not run"
                ),
                "effect: of the contrast that decides; of perplexities and speeds in logarithms".to_owned(),
                "p: by Benjamini and Hochberg over the paper's claims; the verdict is the interval's".to_owned(),
            ],
            ..Table::default()
        }
    }
}

/// A word of a source as Markdown: a link where it is a page of the repository, such as `docs/papers/paser.md#T1`.
fn linked(word: &str) -> String {
    let path = word.trim_end_matches([',', ';', ':']);
    let (page, _) = path.split_once('#').unwrap_or((path, ""));
    if page.contains('/') && page.ends_with(".md") {
        format!("[{}](../../../{path}){}", escaped(path), &word[path.len()..])
    } else {
        escaped(word)
    }
}

impl Verdict {
    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not reproduced",
            Self::Inconclusive => "inconclusive",
            Self::NotRun => "not run",
        }
    }
}

impl Scored {
    /// What the verdict rests on, in a line: the effect with its interval, what is claimed of it, and how sure that is; or the
    /// test of the code. Empty if nothing was found.
    pub fn evidence(&self) -> String {
        let mut parts: Vec<String> = self.shown_by.iter().cloned().collect();
        parts.extend(self.effect.as_ref().map(Effect::size));
        if self.parts.len() > 1 {
            parts.push(format!("holds in {} of {}", self.holding, self.parts.len()));
        }
        parts.extend(self.p_adjusted.map(|p| match p_shown(p) {
            shown if p < LEAST_P => format!("p {shown}"),
            shown => format!("p = {shown}"),
        }));
        match self.records.len() {
            0 => {}
            1 => parts.push("1 record".to_owned()),
            records => parts.push(format!("{records} records")),
        }
        parts.join(" · ")
    }

    /// What is missing, or why it isn't run: the first of it, and how much more there is.
    pub fn missing_shown(&self) -> String {
        match self.missing.as_slice() {
            [] => String::new(),
            [only] => only.clone(),
            [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
        }
    }
}

impl Effect {
    fn shown(&self) -> String {
        format!("{}: {}", self.size(), self.of)
    }

    /// `0.100 [0.015, 0.185], claimed above 0`
    fn size(&self) -> String {
        let interval = self.interval.map_or_else(
            || "[too few samples]".to_owned(),
            |Interval { low, high }| format!("[{}, {}]", figures(low), figures(high)),
        );
        format!("{} {interval}, claimed {}", figures(self.value), self.wanted)
    }
}

/// Three decimals, or as many figures where those would be noughts.
fn figures(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.001 {
        format!("{value:.2e}")
    } else {
        format!("{value:.3}")
    }
}

/// Smaller p-values are only said to be so.
const LEAST_P: f64 = 0.0001;

fn p_shown(p: f64) -> String {
    if p < LEAST_P {
        "under 0.0001".to_owned()
    } else {
        format!("{p:.4}")
    }
}
