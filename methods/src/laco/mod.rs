//! `laco`: runs of blocks collapsed into their lowest one, wherever the output of the model hardly turns.

use std::collections::BTreeMap;

use prunebench_model::{Decoder, Linear};
use prunebench_tensor::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::depth::{Depth, sequential_blocks};
use crate::residual::cosine;
use crate::{Basis, Card, Entry, Error, Family, Method, Need, Ratio, Report, Result, Run};

static CARD: Card = Card {
    id: "laco",
    title: "LaCo",
    summary: "merges runs where the output hardly turns",
    paper: "Yang et al., LaCo: Large Language Model Pruning via Layer Collapse (arXiv 2402.11187)",
    family: Family::Depth,
    changes: "merges runs of blocks",
    example: "laco(layers=3, threshold=0.6)",
    needs: &[Need::CalibrationText],
    version: 1,
    deviations: &[
        "calibration text is what the run gives; the authors' is five sentences of Wikipedia",
        "`ratio` and `blocks`, which stop at a number of blocks, are not the authors'",
        "the rule `sum` is the paper's as secondary sources give it; the authors' code is `telescoping`",
    ],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| {
        let config: Config = parse_strict(CARD.id, table)?;
        let refuse = |detail: String| {
            Err(Error::Config {
                what: CARD.id.to_string(),
                detail,
            })
        };
        if config.layers < 2 {
            return refuse(format!(
                "key `layers`: {} merges nothing; at least 2 is wanted",
                config.layers
            ));
        }
        if !(-1.0..1.0).contains(&config.threshold) {
            return refuse(format!(
                "key `threshold`: {} is no cosine to be exceeded; −1 or more, and below 1, is wanted",
                config.threshold
            ));
        }
        if config.interval == 0 {
            return refuse("key `interval`: 0 never moves on; at least 1 is wanted".to_string());
        }
        let depth = match (config.ratio, config.blocks) {
            (None, None) => None,
            (ratio, blocks) => Some(Depth::new(CARD.id, ratio, blocks)?),
        };
        Ok(Box::new(LaCo { config, depth }))
    },
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    layers: usize,
    threshold: f64,
    #[serde(default)]
    rule: Rule,
    #[serde(default)]
    lowest: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    highest: Option<usize>,
    #[serde(default = "one")]
    interval: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Ratio>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<usize>,
}

fn one() -> usize {
    1
}

/// What the linears of the lowest block of a run become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rule {
    /// Those of the highest: differences to a base that has already moved cancel but for the last.
    #[default]
    Telescoping,
    /// θ_l + Σ_k (θ_l+k − θ_l).
    Sum,
}

#[derive(Debug)]
struct LaCo {
    config: Config,
    depth: Option<Depth>,
}

impl Method for LaCo {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self.config)
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let mut alive = sequential_blocks(CARD.id, &run.model.graph)?;
        let total = alive.len();
        let most = match self.depth {
            Some(depth) => depth.count(CARD.id, total)?,
            None => total - 1,
        };
        let mut place = self.first_place(total)?;
        let streams = run.streams()?;
        let original = run.model.clone();
        let outputs = run.finish(&original, 0, &streams)?;
        if mean_cosine(&outputs, &outputs)?.is_nan() {
            return Err(Error::Model {
                method: CARD.id,
                detail: "the model's output is zero or not finite on the calibration text; load the model as f32"
                    .to_string(),
            });
        }
        let (mut removed, mut tried) = (Vec::new(), Vec::new());
        let mut merged: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        while place >= self.config.lowest && removed.len() < most {
            let last = (place + self.config.layers - 1)
                .min(alive.len() - 1)
                .min(place + most - removed.len());
            let candidate = collapse(&run.model, place, last, self.config.rule)?;
            let similarity = mean_cosine(&outputs, &run.finish(&candidate, 0, &streams)?)?;
            tried.push(json!({ "blocks": alive[place..=last], "similarity": similarity }));
            let back = if similarity > self.config.threshold {
                run.model = candidate;
                let gone: Vec<usize> = alive.drain(place + 1..=last).collect();
                merged.entry(alive[place]).or_default().extend(&gone);
                removed.extend(gone);
                self.config.interval
            } else {
                1
            };
            run.progress(removed.len(), most, "blocks merged");
            match place.checked_sub(back) {
                Some(next) => place = next,
                None => break,
            }
        }
        self.check_reached(removed.len(), most)?;
        let nominal = self.depth.map(|depth| depth.nominal(total));
        let details = json!({ "merged_into": merged, "tried": tried, "removed_blocks": removed });
        Ok(Report::of(Basis::Blocks, nominal, details))
    }
}

impl LaCo {
    /// The lowest block of the first run of blocks to try.
    fn first_place(&self, total: usize) -> Result<usize> {
        let Config {
            layers,
            lowest,
            highest,
            ..
        } = self.config;
        let highest = highest.unwrap_or(total - 1);
        match highest.checked_sub(layers) {
            Some(place) if place >= lowest && highest < total => Ok(place),
            _ => Err(Error::Config {
                what: CARD.id.to_string(),
                detail: format!(
                    "keys `lowest`, `highest` and `layers`: {layers} layers from {lowest} to {highest} asked for, of {total} blocks; \
                     a highest of at most {} and `layers` of at most highest − lowest are wanted",
                    total - 1
                ),
            }),
        }
    }

    /// A number of blocks asked for must be met; without one the threshold decides alone, but what merges nothing would
    /// silently be `dense`.
    fn check_reached(&self, removed: usize, most: usize) -> Result<()> {
        let wanted = self.depth.map_or(1, |_| most);
        if removed >= wanted {
            return Ok(());
        }
        Err(Error::Model {
            method: CARD.id,
            detail: format!(
                "{removed} blocks could be merged away with a similarity above {}, and {wanted} are wanted; lower `threshold`, or \
                 ask for fewer blocks",
                self.config.threshold
            ),
        })
    }
}

/// The model with the blocks of steps `first` to `last` collapsed into the first of them, whose norms stay.
fn collapse(model: &Decoder, first: usize, last: usize, rule: Rule) -> Result<Decoder> {
    let block_of = |step: usize| model.graph.steps[step].blocks()[0];
    let base = block_of(first);
    let merged: Vec<usize> = (first + 1..=last).map(block_of).collect();
    if let Some(other) = merged
        .iter()
        .find(|&&block| model.graph.blocks[block] != model.graph.blocks[base])
    {
        return Err(Error::Model {
            method: CARD.id,
            detail: format!("blocks {base} and {other} have different shapes; blocks of one shape can be merged"),
        });
    }
    let mut collapsed = model.clone();
    for (name, linear) in collapsed.blocks[base].linears_mut() {
        let own = linear.clone();
        let others = merged.iter().filter_map(|&block| model.blocks[block].linear(name));
        for other in others {
            match rule {
                Rule::Telescoping => *linear = other.clone(),
                Rule::Sum => add_difference(linear, other, &own)?,
            }
        }
    }
    collapsed.remove_blocks(&merged)?;
    Ok(collapsed)
}

/// sum ← sum + (other − own).
fn add_difference(sum: &mut Linear, other: &Linear, own: &Linear) -> Result<()> {
    sum.weight = sum.weight.add(&other.weight.sub(&own.weight)?)?;
    if let (Some(sum), Some(other), Some(own)) = (&mut sum.bias, &other.bias, &own.bias) {
        *sum = sum.add(&other.sub(own)?)?;
    }
    Ok(())
}

/// Mean over windows of the cosine between final hidden states, each flattened to one vector.
fn mean_cosine(a: &[Tensor], b: &[Tensor]) -> Result<f64> {
    let mut sum = 0.0;
    for (a, b) in a.iter().zip(b) {
        sum += cosine(&a.to_f64_vec()?, &b.to_f64_vec()?);
    }
    Ok(sum / a.len() as f64)
}

#[cfg(test)]
mod tests;
