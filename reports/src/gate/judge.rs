//! A store beside its baseline.

use std::collections::{HashMap, HashSet};

use prunebench_results::{Cell, Status};

use super::GateError;
use super::decide::correct;
use super::report::{CellFailure, Finding, Report, Verdict, not_judged};
use super::rules::{Rule, Rules};
use super::snapshot::{Observed, Snapshot};
use crate::paired::{NoChange, PairedDifference};

/// Judges a store against a baseline.
///
/// A number is a regression if its loss is beyond the margin and its difference is significant after Holm's correction
/// within its family; of a number without noise, if its loss is beyond the margin. It is inconclusive if it is neither a
/// regression nor significantly better, and its loss, the worse end of [`Compared::interval`](super::Compared::interval) or [`Compared::smallest`](super::Compared::smallest) is
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
                of: first.cell.clone(),
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
