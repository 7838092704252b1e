//! What the records say of a claim.

use std::collections::{BTreeMap, BTreeSet};

use prunebench_results::MODEL_INPUT;

use super::{
    Effect, Evidence, Observation, Observations, Part, Scored, Verdict,
    contrast::{Setting, Side},
    definition::{Definition, Samples, Test},
};
use crate::notes::abbreviated;

/// Inputs that belong to a model, so that two models may have other values.
const OF_MODEL: [&str; 3] = [MODEL_INPUT, "model name", "training run"];

/// A test in one setting, or in none.
struct Tested {
    verdict: Verdict,
    p: Option<f64>,
    parts: Vec<Part>,
    missing: Vec<String>,
}

pub(super) fn judge(claim: &Definition, observations: &Observations, evidence: &Evidence) -> Scored {
    let (shown_by, not_shown) = match claim.shown_by.as_deref().map(|test| evidence.of(test)) {
        Some(Ok(words)) => (Some(words), None),
        Some(Err(reason)) => (None, Some(reason)),
        None => (None, None),
    };
    let mut tests: Vec<Tested> = claim
        .tests
        .iter()
        .flat_map(|test| judge_test(claim, test, observations))
        .collect();
    let all = |verdict| tests.iter().all(|test| test.verdict == verdict);
    let verdict = if shown_by.is_some() {
        Verdict::Reproduced
    } else if tests.is_empty() || all(Verdict::NotRun) {
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
    let mut missing: Vec<String> = claim.not_run.iter().cloned().chain(not_shown).collect();
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
        shown_by,
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

/// The observations that a test is about, apart by model, place, metric and scope.
fn wanted<'a>(claim: &Definition, test: &Test, all: &'a [Observation]) -> BTreeMap<[String; 4], ByRecipe<'a>> {
    let mut wanted: BTreeMap<[String; 4], ByRecipe> = BTreeMap::new();
    for observation in all.iter().filter(|observation| claim.wants(test, observation)) {
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
fn judge_test(claim: &Definition, test: &Test, observations: &Observations) -> Vec<Tested> {
    let wanted = wanted(claim, test, &observations.all);
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
            vec![format!(
                "no record of {} with {}",
                models.join(" or "),
                claim.metric(test)
            )]
        };
        let mut missing = lacking.map_or_else(nothing, |(_, missing)| missing);
        missing.extend(observations.lacking(claim.metric(test)));
        tested.push(Tested {
            verdict: Verdict::NotRun,
            p: None,
            parts: Vec::new(),
            missing,
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
