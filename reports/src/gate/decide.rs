//! Each number's verdict, with the others of its family.

use std::collections::BTreeMap;

use super::report::{Compared, FamilySize, Finding, POWER, Verdict};
use super::rules::{Rule, Rules};
use crate::paired::{PairedDifference, Scale};
use crate::statistics::holm;

/// Corrects the p-values of each family, and fills in what came out.
pub(super) fn correct(judged: &mut [(Finding, &Rule, Option<PairedDifference>)], rules: &Rules) -> Vec<FamilySize> {
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
