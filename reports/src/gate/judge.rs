//! The verdict.

use std::collections::{BTreeMap, HashMap, HashSet};

use prunebench_results::{Cell, CellKey, Status};
use serde::Serialize;

use super::GateError;
use super::rules::{Rule, Rules};
use super::snapshot::{Observed, Origin, Snapshot};
use crate::paired::{NoChange, PairedDifference, Scale};
use crate::statistics::{Interval, holm};

/// The probability with which the smallest effects that are reported would have been found.
pub const POWER: f64 = 0.8;

/// What came out, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing to object to.
    Ok,
    /// A difference would mean nothing.
    NotJudged,
    /// A loss beyond the margin could have gone unseen.
    Inconclusive,
    /// A loss beyond the margin that is no chance, or a number that should be there and isn't.
    Regression,
}

/// Everything that a gate found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// `regression` if there are failures, else the worst of the single ones that were judged, else `inconclusive`; never
    /// `not_judged`.
    pub verdict: Verdict,
    /// Why nothing was judged, though no cell is missing or failed; absent if something was.
    pub nothing_judged: Option<String>,
    /// Cells that are missing, failed, or measured otherwise than in the baseline. Each is a regression.
    pub failures: Vec<CellFailure>,
    /// Every number that a rule names, in the order of the baseline's cells.
    pub findings: Vec<Finding>,
    /// How many comparisons each family's level is shared by.
    pub families: Vec<FamilySize>,
    /// Cells of the baseline.
    pub cells: usize,
    /// Cells that the baseline doesn't have, which are not judged.
    pub new_cells: Vec<String>,
    /// Where the baseline comes from.
    pub baseline: Origin,
    /// Where the store comes from.
    pub store: Origin,
}

/// A cell without the numbers that it should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CellFailure {
    /// The cell, with its seed where it is a single one.
    pub cell: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// A number before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What came out.
    pub verdict: Verdict,
    /// Why, in words.
    pub reason: String,
    /// The cells, which differ in nothing but their seed.
    pub cell: String,
    /// The number.
    pub metric: String,
    /// The family that it was corrected in.
    pub family: String,
    /// How much worse it might get, in units of `scale`.
    pub margin: f64,
    /// What came out of the comparison; absent if it was not judged.
    pub change: Option<Compared>,
    /// The keys of the records that it rests on, of the baseline and of the store.
    pub records: Vec<[CellKey; 2]>,
}

/// The numbers of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// What `difference`, `interval` and `smallest` are in.
    pub scale: Scale,
    /// The baseline's value.
    pub before: f64,
    /// The store's.
    pub after: f64,
    /// The difference, without a sign of better or worse.
    pub difference: f64,
    /// 95 %, of this comparison alone.
    pub interval: Option<Interval>,
    /// Whether all samples are the same to the last digit.
    pub unchanged: bool,
    /// Windows, items or rounds in a seed.
    pub samples: usize,
    /// Seeds.
    pub seeds: usize,
    /// The test of no difference; absent of a number without noise.
    pub test: Option<&'static str>,
    /// Its p-value.
    pub p: Option<f64>,
    /// Corrected by Holm within the family.
    pub p_adjusted: Option<f64>,
    /// The smallest loss that this test would have found with probability [`POWER`] at the family's level, shared by its
    /// comparisons.
    pub smallest: Option<f64>,
}

/// A family of this gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FamilySize {
    /// Its name.
    pub family: String,
    /// The chance of a false alarm in all of it.
    pub alpha: f64,
    /// Comparisons with a test.
    pub comparisons: usize,
}

/// Judges a store against a baseline.
///
/// A number is a regression if its loss is beyond the margin and its difference is significant after Holm's correction
/// within its family; of a number without noise, if its loss is beyond the margin. It is inconclusive if it is neither a
/// regression nor significantly better, and its loss, the worse end of [`Compared::interval`] or [`Compared::smallest`] is
/// beyond the margin. What is the same to the last digit is ok, however little it is. Where nothing was judged, the whole is
/// inconclusive.
///
/// # Errors
/// If the baseline has no cell, or a rule names nothing in it.
pub fn judge(store: &Snapshot, baseline: &Snapshot, rules: &Rules) -> Result<Report, GateError> {
    if baseline.cells.is_empty() {
        return Err(GateError::Empty { what: "the baseline" });
    }
    let here: HashMap<&Cell, &Observed> = store.cells.iter().map(|cell| (&cell.cell, cell)).collect();
    let mut failures = Vec::new();
    let mut groups: Vec<Vec<(&Observed, &Observed)>> = Vec::new();
    let mut group_of: HashMap<Cell, usize> = HashMap::new();
    let mut used = vec![false; rules.rule.len()];
    for before in &baseline.cells {
        for metric in before.series.keys() {
            if let Some(rule) = rules.find(metric, &before.group()) {
                used[rule] = true;
            }
        }
        match here.get(&before.cell) {
            Some(after) if after.status == Status::Ok && before.status == Status::Ok => {
                let group = Cell {
                    seed: 0,
                    ..before.cell.clone()
                };
                let place = *group_of.entry(group).or_insert_with(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                groups[place].push((before, after));
            }
            // What the baseline says nothing of is judged below, as a new cell.
            Some(_) if before.status != Status::Ok => {}
            Some(after) => failures.push(CellFailure {
                cell: after.name(),
                problem: after.outcome(),
            }),
            None if before.status == Status::Ok => failures.push(CellFailure {
                cell: before.name(),
                problem:
                    "missing: the baseline has it and the store has not; run the experiment to its end, or accept a \
                          new baseline if it was taken out"
                        .to_owned(),
            }),
            None => {}
        }
    }
    let guarded = baseline.cells.iter().filter(|cell| cell.status == Status::Ok);
    let guarded: HashSet<&Cell> = guarded.map(|cell| &cell.cell).collect();
    let mut new_cells = Vec::new();
    for cell in store.cells.iter().filter(|cell| !guarded.contains(&cell.cell)) {
        match cell.status {
            Status::Ok => new_cells.push(cell.name()),
            Status::Skipped => {}
            _ => failures.push(CellFailure {
                cell: cell.name(),
                problem: cell.outcome(),
            }),
        }
    }
    if let Some((rule, _)) = rules.rule.iter().zip(used).find(|(_, used)| !used) {
        return Err(unused(rule, baseline));
    }

    let mut judged: Vec<(Finding, &Rule, Option<PairedDifference>)> = Vec::new();
    for pairs in &groups {
        let Some((first, _)) = pairs.first() else { continue };
        for metric in first.series.keys() {
            let Some(rule) = rules.find(metric, &first.group()) else {
                continue;
            };
            let rule = &rules.rule[rule];
            let mut finding = Finding {
                verdict: Verdict::NotJudged,
                reason: String::new(),
                cell: first.group(),
                metric: metric.clone(),
                family: rule.family.clone(),
                margin: rule.margin,
                change: None,
                records: pairs
                    .iter()
                    .map(|(before, after)| [before.key.clone(), after.key.clone()])
                    .collect(),
            };
            match PairedDifference::of(metric, pairs) {
                Ok(change) => judged.push((finding, rule, Some(change))),
                Err(NoChange::NotJudged(reason)) => {
                    finding.reason = reason;
                    judged.push((finding, rule, None));
                }
                Err(NoChange::Incomparable(reason)) => failures.push(CellFailure {
                    cell: finding.cell,
                    problem: format!(
                        "{metric} can't be compared with the baseline: {reason}; accept a new baseline if that is meant to be"
                    ),
                }),
            }
        }
    }
    let families = correct(&mut judged, rules);
    let findings: Vec<Finding> = judged.into_iter().map(|(finding, ..)| finding).collect();
    let verdicts = findings.iter().map(|finding| finding.verdict);
    let worst = verdicts.filter(|&verdict| verdict != Verdict::NotJudged).max();
    let verdict = match worst {
        _ if !failures.is_empty() => Verdict::Regression,
        worst => worst.unwrap_or(Verdict::Inconclusive),
    };
    Ok(Report {
        verdict,
        nothing_judged: (failures.is_empty() && worst.is_none()).then(|| why_nothing(&findings)),
        failures,
        findings,
        families,
        cells: guarded.len(),
        new_cells,
        baseline: baseline.origin(),
        store: store.origin(),
    })
}

/// How many of the numbers were not judged for each reason.
pub(super) fn not_judged(findings: &[Finding]) -> BTreeMap<&str, usize> {
    let mut reasons = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::NotJudged) {
        *reasons.entry(finding.reason.as_str()).or_default() += 1;
    }
    reasons
}

fn why_nothing(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "no rule names a number of a cell that is ok in the baseline and in the store; add a rule for one, or accept a \
                baseline in which the cells of the rules are ok"
            .to_owned();
    }
    let reasons = not_judged(findings).into_iter().map(|(reason, count)| match count {
        1 => format!("1 number: {reason}"),
        count => format!("{count} numbers: {reason}"),
    });
    reasons.collect::<Vec<_>>().join("; ")
}

fn unused(rule: &Rule, baseline: &Snapshot) -> GateError {
    let mut metrics: Vec<&str> = baseline
        .cells
        .iter()
        .flat_map(|cell| cell.series.keys().map(String::as_str))
        .collect();
    metrics.sort_unstable();
    metrics.dedup();
    GateError::Rules {
        problem: format!(
            "the rule for `{}` of `{}` names nothing in the baseline that a rule before it doesn't; numbers there: {}; a cell is \
             called e.g. `{}`",
            rule.metric,
            rule.cells,
            metrics.join(", "),
            baseline.cells.first().map(Observed::group).unwrap_or_default()
        ),
    }
}

/// Corrects the p-values of each family, and fills in what came out.
fn correct(judged: &mut [(Finding, &Rule, Option<PairedDifference>)], rules: &Rules) -> Vec<FamilySize> {
    let mut members: BTreeMap<&str, Vec<usize>> = rules.family.keys().map(|name| (name.as_str(), Vec::new())).collect();
    for (place, (_, rule, change)) in judged.iter().enumerate() {
        if change.as_ref().is_some_and(|change| change.test.is_some()) {
            members.entry(&rule.family).or_default().push(place);
        }
    }
    let mut adjusted = vec![None; judged.len()];
    for places in members.values() {
        let p_value = |&place: &usize| judged[place].2.as_ref()?.test.map(|(_, p)| p);
        let p_values: Vec<f64> = places.iter().filter_map(p_value).collect();
        for (&place, p) in places.iter().zip(holm(&p_values)) {
            adjusted[place] = Some(p);
        }
    }
    let families: Vec<FamilySize> = rules
        .family
        .iter()
        .map(|(name, family)| FamilySize {
            family: name.clone(),
            alpha: family.alpha,
            comparisons: members.get(name.as_str()).map_or(0, Vec::len),
        })
        .collect();
    for ((finding, rule, change), p_adjusted) in judged.iter_mut().zip(adjusted) {
        let family = families.iter().find(|family| family.family == rule.family);
        if let (Some(change), Some(family)) = (change, family) {
            let (verdict, reason, smallest) = decide(change, rule, family, p_adjusted);
            finding.verdict = verdict;
            finding.reason = reason;
            finding.change = Some(Compared {
                scale: change.scale,
                before: change.before,
                after: change.after,
                difference: change.difference,
                interval: change.interval,
                unchanged: change.unchanged,
                samples: change.samples,
                seeds: change.seeds,
                test: change.test.map(|(test, _)| test),
                p: change.test.map(|(_, p)| p),
                p_adjusted,
                smallest,
            });
        }
    }
    families
}

fn decide(
    change: &PairedDifference,
    rule: &Rule,
    family: &FamilySize,
    p: Option<f64>,
) -> (Verdict, String, Option<f64>) {
    let loss = rule.direction.loss(change.difference);
    let beyond = loss > rule.margin;
    let size = |value: f64| match change.scale {
        Scale::Points => format!("{:.2} points", 100.0 * value),
        Scale::Relative => format!("{:.2} %", 100.0 * value),
    };
    if change.unchanged {
        return (Verdict::Ok, "the same to the last digit".to_owned(), Some(0.0));
    }
    let margin = size(rule.margin);
    let Some(p) = p else {
        return match beyond {
            true => (
                Verdict::Regression,
                format!("worse by {}, beyond the margin of {margin}", size(loss)),
                None,
            ),
            false => (Verdict::Ok, format!("within the margin of {margin}"), None),
        };
    };
    let smallest = change.smallest(family.alpha / family.comparisons as f64, POWER);
    let smallest = smallest.map(|smallest| rule.direction.smallest_loss(smallest));
    let significant = p < family.alpha;
    if beyond && significant {
        let reason = format!(
            "worse by {}, beyond the margin of {margin}, with p = {p:.1e} after correction for {} comparisons",
            size(loss),
            family.comparisons
        );
        return (Verdict::Regression, reason, smallest);
    }
    if significant && loss < 0.0 {
        return (Verdict::Ok, "better, and not by chance".to_owned(), smallest);
    }
    let seen = match smallest {
        Some(smallest) => format!("a loss of {} or more would have been seen", size(smallest)),
        None => "no loss would have been seen".to_owned(),
    };
    let largest = change.interval.map(|interval| rule.direction.largest_loss(interval));
    let within = |loss: Option<f64>| loss.is_some_and(|loss| loss <= rule.margin);
    let reason = if beyond {
        format!(
            "worse by {}, beyond the margin of {margin}, but that may be chance (p = {p:.2} after correction for {} \
             comparisons; {seen}): measure more items or seeds",
            size(loss),
            family.comparisons,
        )
    } else if !within(smallest) {
        format!("{seen}, the margin is {margin}: measure more items or seeds, or judge fewer numbers")
    } else if !within(largest) {
        format!(
            "worse by {}, with a 95 % interval up to {}, beyond the margin of {margin}: measure more items or seeds",
            size(loss),
            largest.map_or_else(String::new, size)
        )
    } else {
        return (Verdict::Ok, format!("within the margin of {margin}"), smallest);
    };
    (Verdict::Inconclusive, reason, smallest)
}
