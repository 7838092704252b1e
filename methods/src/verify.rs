//! Is a report true to what was counted before and after the method? One that skips half of the blocks would otherwise pass as
//! having pruned all.

use prunebench_model::LinearName;

use crate::census::ParameterCount;
use crate::{Basis, Census, Error, Report, Result};

/// Checks the report of `method` against the counts before and after it, and gives the ratio achieved.
///
/// # Errors
/// [`Error::NotAchieved`] if the method did something else.
pub(crate) fn achieved(method: &'static str, report: &Report, before: &Census, after: &Census) -> Result<f64> {
    nothing_goes_unsaid(before, after)
        .and_then(|()| the_rest_stays(report, before, after))
        .and_then(|()| ratio(report, before, after))
        .map_err(|detail| Error::NotAchieved { method, detail })
}

/// What a method is refused for, in words.
type Checked<T = ()> = std::result::Result<T, String>;

/// What no basis covers: training data, and blocks that are stored but left out of the forward pass.
fn nothing_goes_unsaid(before: &Census, after: &Census) -> Checked {
    let data = |census: &Census| {
        let domains: Vec<String> = census.domains.iter().map(ToString::to_string).collect();
        domains.join(", ")
    };
    if before.domains != after.domains {
        return Err(format!(
            "the data to train on was {}, and is {}",
            data(before),
            data(after)
        ));
    }
    let idle = |census: &Census| {
        census
            .blocks
            .iter()
            .filter(|block| block.uses + block.lent == 0)
            .count()
    };
    match idle(after) {
        found if found > idle(before) => Err(format!("{found} blocks are stored but never run")),
        _ => Ok(()),
    }
}

/// What the basis says is left as it was.
fn the_rest_stays(report: &Report, before: &Census, after: &Census) -> Checked {
    let blocks = [before, after].map(|census| census.blocks.len());
    match report.basis {
        Basis::Nothing => match totals(before)
            .into_iter()
            .zip(totals(after))
            .find(|(was, is)| was != is)
        {
            Some(((what, was), (_, is))) => Err(format!("nothing reported, but {what} went from {was} to {is}")),
            None => Ok(()),
        },
        Basis::Blocks => match report.details["removed_blocks"].as_array() {
            Some(removed) if blocks[1] + removed.len() != blocks[0] => Err(format!(
                "{} of {} blocks reported removed, but {} are left",
                removed.len(),
                blocks[0],
                blocks[1]
            )),
            _ => Ok(()),
        },
        Basis::Width if blocks[0] != blocks[1] => Err(format!(
            "a narrower stream reported, but blocks went from {} to {}",
            blocks[0], blocks[1]
        )),
        Basis::Width => is_as_wide_everywhere(after),
        Basis::Refilled => same_parameters(before, after),
        Basis::Values | Basis::EachMatrix | Basis::Weights | Basis::Parameters => {
            same_parameters(before, after)?;
            let mut pairs = before.parameters.iter().zip(&after.parameters);
            match pairs.find(|(was, is)| is.zeros < was.zeros) {
                Some((ParameterCount { name, zeros, .. }, _)) => {
                    Err(format!("{name} had {zeros} zeros, and not all of them still are"))
                }
                None => Ok(()),
            }
        }
    }
}

/// What is the same after blocks have become part of others.
fn totals(census: &Census) -> [(&'static str, usize); 5] {
    let (zeros, weights) = census.zeros(Basis::Weights);
    let blocks = census.blocks.iter();
    let [heads, kv_heads, channels] = blocks.fold([0; 3], |[heads, kv_heads, channels], block| {
        [
            heads + block.heads,
            kv_heads + block.kv_heads,
            channels + block.channels,
        ]
    });
    [
        ("heads", heads),
        ("key and value heads", kv_heads),
        ("FFN channels", channels),
        ("prunable weights", weights),
        ("prunable weights that are zero", zeros),
    ]
}

/// Each linear that reads the residual stream reads all columns of the embedding.
fn is_as_wide_everywhere(census: &Census) -> Checked {
    let reads = |linear: LinearName| !matches!(linear, LinearName::O | LinearName::Down);
    let mut readers = census
        .parameters
        .iter()
        .filter(|parameter| parameter.linear.is_some_and(reads));
    match readers.find(|parameter| parameter.row != census.width) {
        Some(ParameterCount { name, row, .. }) => Err(format!(
            "{name} reads {row} directions of the stream, and the embedding has {}",
            census.width
        )),
        None => Ok(()),
    }
}

fn same_parameters(before: &Census, after: &Census) -> Checked {
    let counts = [before, after].map(|census| census.parameters.len());
    if counts[0] != counts[1] {
        return Err(format!(
            "the stored tensors were {}, and are {}; all of them are to stay",
            counts[0], counts[1]
        ));
    }
    let shape = |parameter: &ParameterCount| (parameter.elements, parameter.row);
    let mut pairs = before.parameters.iter().zip(&after.parameters);
    match pairs.find(|(was, is)| was.name != is.name || shape(was) != shape(is)) {
        Some((was, is)) => Err(format!(
            "{} had {} elements in rows of {}, and {} in its place has {} in rows of {}",
            was.name, was.elements, was.row, is.name, is.elements, is.row
        )),
        None => Ok(()),
    }
}

/// The ratio achieved, which must be the one asked for but for rounding.
fn ratio(report: &Report, before: &Census, after: &Census) -> Checked<f64> {
    let basis = report.basis;
    if let (Basis::EachMatrix, Some(nominal)) = (basis, report.nominal_ratio) {
        for (was, is) in before.masked(basis).zip(after.masked(basis)) {
            let rounding = report.rounding.max(1.0 / is.row.max(1) as f64);
            asked_for(
                nominal,
                counted(is.sparsity(), was.sparsity(), Some(nominal)),
                rounding,
                &is.name,
            )?;
        }
    }
    let already = match basis.is_of_zeros() {
        true => before.gone(before, basis, 0),
        false => 0.0,
    };
    let achieved = counted(before.gone(after, basis, 0), already, report.nominal_ratio);
    if let Some(nominal) = report.nominal_ratio {
        let rounding = report.rounding.max(least(before, basis));
        asked_for(nominal, achieved, rounding, basis.name())?;
    }
    Ok(achieved)
}

/// What is gone now less what was gone already. Weights that were zero before may be among those that a method chose, and count
/// as far as the ratio asked for takes them.
fn counted(now: f64, already: f64, nominal: Option<f64>) -> f64 {
    let new = (now - already).max(0.0);
    nominal.map_or(new, |nominal| nominal.max(new).min(now))
}

fn asked_for(nominal: f64, achieved: f64, rounding: f64, place: &str) -> Checked {
    match (achieved - nominal).abs() < rounding {
        true => Ok(()),
        false => Err(format!(
            "{place}: a ratio of {nominal} asked for, {achieved} achieved; rounding explains less than {rounding}"
        )),
    }
}

/// The least share that can be removed.
fn least(census: &Census, basis: Basis) -> f64 {
    let parts = match basis {
        Basis::Nothing | Basis::Values | Basis::Refilled => return 0.0,
        Basis::Blocks => census.blocks.len(),
        Basis::Width => census.width,
        // What is asked of rows is rounded in each.
        Basis::EachMatrix | Basis::Weights => census.masked(basis).map(|matrix| matrix.row).min().unwrap_or(1),
        Basis::Parameters => census.zeros(basis).1,
    };
    1.0 / parts.max(1) as f64
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
