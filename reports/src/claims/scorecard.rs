//! Each claim of a paper with its verdict.

use std::collections::{BTreeMap, BTreeSet};

use prunebench_results::MODEL_INPUT;
use serde::Serialize;

use super::{
    Claims, Observation, Part,
    contrast::{Setting, Side},
    definition::{Definition, Samples, Test},
};
use crate::{
    notes::abbreviated,
    statistics::{Interval, benjamini_hochberg},
    table::{Alignment, Column, Entry, Table},
};

/// Inputs that belong to a model, so that two models may have other values.
const OF_MODEL: [&str; 3] = [MODEL_INPUT, "model name", "training run"];

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
    /// Every interval that it takes lies on the claim's side.
    Reproduced,
    /// An interval that it takes lies on the other side.
    NotReproduced,
    /// Neither, or records are missing.
    Inconclusive,
    /// No record tests it.
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
    /// What the records say.
    pub verdict: Verdict,
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

/// A test in one setting, or in none.
struct Tested {
    verdict: Verdict,
    p: Option<f64>,
    parts: Vec<Part>,
    missing: Vec<String>,
}

impl Scorecard {
    /// Judges every claim of a paper by the observations of all stores.
    pub fn new(claims: &Claims, observations: &[Observation]) -> Self {
        let mut scored: Vec<Scored> = claims.all.iter().map(|claim| judge(claim, observations)).collect();
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
                claim.effect.as_ref().map(Effect::shown).unwrap_or_default(),
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
    fn missing_shown(&self) -> String {
        match self.missing.as_slice() {
            [] => String::new(),
            [only] => only.clone(),
            [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
        }
    }
}

impl Effect {
    fn shown(&self) -> String {
        let interval = self.interval.map_or_else(
            || "[too few samples]".to_owned(),
            |Interval { low, high }| format!("[{}, {}]", figures(low), figures(high)),
        );
        format!(
            "{} {interval}, claimed {}: {}",
            figures(self.value),
            self.wanted,
            self.of
        )
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

fn p_shown(p: f64) -> String {
    if p < 0.0001 {
        "under 0.0001".to_owned()
    } else {
        format!("{p:.4}")
    }
}

fn judge(claim: &Definition, observations: &[Observation]) -> Scored {
    let wanted = wanted(claim, observations);
    let mut tests: Vec<Tested> = claim
        .tests
        .iter()
        .flat_map(|test| judge_test(claim, test, &wanted))
        .collect();
    let all = |verdict| tests.iter().all(|test| test.verdict == verdict);
    let verdict = if tests.is_empty() || all(Verdict::NotRun) {
        Verdict::NotRun
    } else if tests.iter().any(|test| test.verdict == Verdict::NotReproduced) {
        Verdict::NotReproduced
    } else if all(Verdict::Reproduced) {
        Verdict::Reproduced
    } else {
        Verdict::Inconclusive
    };
    let p: Option<Vec<f64>> = tests.iter().map(|test| test.p).collect();
    // What decides is a contrast of a test with the claim's verdict, else of any.
    let decided = tests.iter().position(|test| test.verdict == verdict);
    let effect = tests
        .get(decided.unwrap_or(0))
        .and_then(|test| deciding(&test.parts, verdict));
    let effect = effect.map(|part| Effect {
        of: part.of.clone(),
        value: part.value,
        interval: part.interval,
        wanted: part.wanted(),
    });
    let mut missing: Vec<String> = claim.not_run.iter().cloned().collect();
    for test in &mut tests {
        missing.append(&mut test.missing);
    }
    let mut seen = BTreeSet::new();
    missing.retain(|what| seen.insert(what.clone()));
    let parts: Vec<Part> = tests.into_iter().flat_map(|test| test.parts).collect();
    Scored {
        id: claim.id.clone(),
        statement: claim.statement.clone(),
        source: claim.source.clone(),
        trust: claim.trust.clone(),
        verdict,
        effect,
        p: p.filter(|p| !p.is_empty()).map(|p| p.into_iter().fold(0.0, f64::max)),
        p_adjusted: None,
        holding: parts.iter().filter(|part| part.side() == Side::Claimed).count(),
        records: parts.iter().flat_map(|part| part.records.iter().cloned()).collect(),
        parts,
        missing,
    }
}

/// Observations by recipe.
type ByRecipe<'a> = BTreeMap<&'a str, Vec<&'a Observation>>;

/// The observations that a claim is about, apart by model, place, metric and scope.
fn wanted<'a>(claim: &Definition, observations: &'a [Observation]) -> BTreeMap<[String; 4], ByRecipe<'a>> {
    let mut wanted: BTreeMap<[String; 4], ByRecipe> = BTreeMap::new();
    for observation in observations.iter().filter(|observation| claim.wants(observation)) {
        let model = match claim.samples {
            Samples::Items => observation.model.clone(),
            Samples::Models => claim.models.join(", "),
        };
        let Observation {
            place, metric, scope, ..
        } = observation;
        wanted
            .entry([model, place.clone(), metric.clone(), scope.clone()])
            .or_default()
            .entry(&observation.recipe)
            .or_default()
            .push(observation);
    }
    wanted
}

/// The observations that agree, since records with different values of one input say nothing of each other: a set for each
/// value, with those that don't have the input in all; and in words what tells the set from the others.
fn agreeing(all: Vec<&Observation>) -> Vec<(String, Vec<&Observation>)> {
    let mut inputs: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for observation in &all {
        for (input, value) in &observation.inputs {
            let of = if OF_MODEL.contains(&input.as_str()) {
                observation.model.as_str()
            } else {
                ""
            };
            inputs.entry((input, of)).or_default().insert(value);
        }
    }
    let Some(((input, of), values)) = inputs.into_iter().find(|(_, values)| values.len() > 1) else {
        return vec![(String::new(), all)];
    };
    let mut sets = Vec::new();
    for value in values {
        let is_in = |observation: &&Observation| {
            let found = observation.inputs.get(input);
            found.is_none_or(|found| found == value) || !(of.is_empty() || of == observation.model)
        };
        for (words, set) in agreeing(all.iter().copied().filter(is_in).collect()) {
            sets.push((format!(", {input} = {}{words}", abbreviated(value)), set));
        }
    }
    sets
}

/// By recipe, model and seed; several stores may hold the same measurement, of which the latest counts.
fn setting(observations: Vec<&Observation>) -> Setting<'_> {
    let mut setting = Setting::new();
    for observation in observations {
        let models = setting.entry(&observation.recipe).or_default();
        let seeds = models.entry(&observation.model).or_default();
        let known = seeds.entry(observation.seed).or_insert(observation);
        if known.finished_at < observation.finished_at {
            *known = observation;
        }
    }
    setting
}

/// A test in every setting that has anything of it; in none, what is missing.
fn judge_test(claim: &Definition, test: &Test, wanted: &BTreeMap<[String; 4], ByRecipe>) -> Vec<Tested> {
    // Checked when the file was read.
    let contrasts = test.contrasts().unwrap_or_default();
    let mut tested = Vec::new();
    // Of the setting that has the most of it.
    let mut lacking: Option<(usize, Vec<String>)> = None;
    let named = |recipe: &str| contrasts.iter().any(|contrast| contrast.names(recipe));
    let sets = wanted.iter().flat_map(|([model, place, metric, _], by_recipe)| {
        let named = by_recipe.iter().filter(|(recipe, _)| named(recipe));
        let sets = agreeing(named.flat_map(|(_, observations)| observations).copied().collect());
        sets.into_iter()
            .map(move |(apart, set)| (format!("{model}, {place}, {metric}{apart}"), apart, setting(set)))
    });
    for (name, apart, setting) in sets {
        let (mut parts, mut missing) = (Vec::new(), Vec::new());
        for contrast in &contrasts {
            match contrast.measure(claim, &setting, &name) {
                Ok(part) => parts.push(part),
                Err(what) => missing.push(what),
            }
        }
        if parts.is_empty() {
            let absent = contrasts.iter().map(|contrast| contrast.absent(&setting)).sum();
            if lacking.as_ref().is_none_or(|(least, _)| absent < *least) {
                missing.iter_mut().for_each(|what| *what += &apart);
                lacking = Some((absent, missing));
            }
            continue;
        }
        missing.iter_mut().for_each(|what| *what += &format!(" ({name})"));
        let all = contrasts.len();
        let needed = if test.most { all / 2 + 1 } else { all };
        let count = |side| parts.iter().filter(|part| part.side() == side).count();
        let verdict = if count(Side::Claimed) >= needed {
            Verdict::Reproduced
        } else if count(Side::Other) > all - needed {
            Verdict::NotReproduced
        } else {
            Verdict::Inconclusive
        };
        tested.push(Tested {
            verdict,
            p: p_of(&parts, all, needed),
            parts,
            missing,
        });
    }
    if tested.is_empty() {
        let nothing = || {
            let models = claim.models.iter().map(|model| match model.as_str() {
                "*" => "any model",
                pattern => pattern,
            });
            let models: Vec<&str> = models.collect();
            vec![format!("no record of {} with {}", models.join(" or "), claim.metric)]
        };
        tested.push(Tested {
            verdict: Verdict::NotRun,
            p: None,
            parts: Vec::new(),
            missing: lacking.map_or_else(nothing, |(_, missing)| missing),
        });
    }
    tested
}

/// Of the claim that `needed` of all hold: the p-value of that rank, corrected for the choice of which hold (partial
/// conjunction, Benjamini and Heller 2008), which is the largest where all are needed.
fn p_of(parts: &[Part], all: usize, needed: usize) -> Option<f64> {
    let mut p: Vec<f64> = parts.iter().map(|part| part.p).collect::<Option<_>>()?;
    p.sort_by(f64::total_cmp);
    let at = p.get(needed.checked_sub(1)?)?;
    Some(((all - needed + 1) as f64 * at).min(1.0))
}

/// The part on the other side that most surely is there, else the one that is least surely on the claim's.
fn deciding(parts: &[Part], verdict: Verdict) -> Option<&Part> {
    let doubt = |part: &Part| match (part.side(), part.p) {
        (Side::Other, p) => 1.0 + p.unwrap_or(1.0),
        (_, Some(p)) => p,
        (Side::Claimed, None) => 0.0,
        (Side::Neither, None) => 1.0,
    };
    let surely = |part: &&Part| verdict != Verdict::NotReproduced || part.side() == Side::Other;
    let mut parts: Vec<&Part> = parts.iter().filter(surely).collect();
    parts.sort_by(|a, b| doubt(a).total_cmp(&doubt(b)));
    parts.last().copied()
}
