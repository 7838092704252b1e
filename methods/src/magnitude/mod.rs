//! `magnitude`: the smallest weights set to zero.

use prunebench_model::{Decoder, LinearName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::weights::{apply_mask, magnitudes, mask_lowest, prunable};
use crate::{Basis, Card, Entry, Family, Method, Ratio, Report, Result, Run};

static CARD: Card = Card {
    id: "magnitude",
    title: "Magnitude",
    summary: "zeros the smallest weights",
    paper: "Han et al., Learning both Weights and Connections for Efficient Neural Networks, NeurIPS 2015 (arXiv 1506.02626), without retraining",
    family: Family::Masks,
    changes: "sets weights of the blocks' linears to zero",
    example: "magnitude(ratio=0.5, scope=row)",
    needs: &[],
    version: 1,
    deviations: &["one shot, without the paper's retraining and with one ratio for all matrices"],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| Ok(Box::new(parse_strict::<Magnitude>(CARD.id, table)?)),
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Magnitude {
    ratio: Ratio,
    #[serde(default)]
    scope: Scope,
}

/// The weights that compete with one another.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    #[default]
    Tensor,
    Row,
    Global,
}

/// Where the zeroed weights end when all matrices compete: every magnitude below `value`, and the first `ties` equal to it.
#[derive(Debug, PartialEq)]
struct Threshold {
    value: f32,
    ties: usize,
}

/// The magnitudes of one matrix.
fn scores(model: &Decoder, (block, name): (usize, LinearName)) -> Result<Vec<f32>> {
    model.blocks[block]
        .linear(name)
        .map_or(Ok(Vec::new()), |linear| magnitudes(&linear.weight))
}

/// Finds the `count` smallest magnitudes of all matrices, one matrix in memory at a time. The bits of a non-negative f32 order
/// as the number does: a histogram of their upper half finds the bucket, and only its values are sorted.
fn threshold(model: &Decoder, targets: &[(usize, LinearName)], count: usize) -> Result<Threshold> {
    const HALF: u32 = 16;
    let mut histogram = vec![0; 1 << HALF];
    for &target in targets {
        scores(model, target)?
            .iter()
            .for_each(|score| histogram[(score.to_bits() >> HALF) as usize] += 1);
    }
    let mut below = 0;
    let last = count.saturating_sub(1);
    let bucket = histogram.iter().position(|&size: &usize| {
        below += size;
        below > last
    });
    let bucket = bucket.unwrap_or(histogram.len() - 1);
    below -= histogram[bucket];
    let mut values = Vec::with_capacity(histogram[bucket]);
    for &target in targets {
        values.extend(
            scores(model, target)?
                .into_iter()
                .filter(|score| (score.to_bits() >> HALF) as usize == bucket),
        );
    }
    values.sort_unstable_by(f32::total_cmp);
    let value = values.get(last - below).copied().unwrap_or_default();
    let smaller = below + values.partition_point(|&other| other < value);
    Ok(Threshold {
        value,
        ties: count - smaller,
    })
}

impl Magnitude {
    fn local(&self, run: &mut Run, targets: &[(usize, LinearName)]) -> Result<()> {
        for (done, &(block, name)) in targets.iter().enumerate() {
            let scores = scores(&run.model, (block, name))?;
            let row = run.model.blocks[block]
                .linear(name)
                .map_or(Ok(0), |linear| linear.weight.dim(1))?;
            let (group, things) = match self.scope {
                Scope::Row => (row, "weights of a row"),
                Scope::Tensor | Scope::Global => (scores.len(), "weights of a matrix"),
            };
            let mask = mask_lowest(&scores, group, self.ratio.floor_of(group, things, CARD.id)?);
            apply_mask(&mut run.model, block, name, &mask)?;
            run.progress(done + 1, targets.len(), "magnitude");
        }
        Ok(())
    }

    fn global(&self, run: &mut Run, targets: &[(usize, LinearName)]) -> Result<()> {
        let sizes = targets
            .iter()
            .filter_map(|&(block, name)| run.model.blocks[block].linear(name));
        let total = sizes.map(|linear| linear.weight.elem_count()).sum();
        let count = self.ratio.floor_of(total, "prunable weights", CARD.id)?;
        let Threshold { value, mut ties } = threshold(&run.model, targets, count)?;
        for (done, &(block, name)) in targets.iter().enumerate() {
            let mut mask = scores(&run.model, (block, name))?;
            for entry in &mut mask {
                let tie = *entry == value && ties > 0;
                ties -= usize::from(tie);
                *entry = f32::from(u8::from(*entry >= value && !tie));
            }
            apply_mask(&mut run.model, block, name, &mask)?;
            run.progress(done + 1, targets.len(), "magnitude");
        }
        Ok(())
    }
}

impl Method for Magnitude {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self)
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let targets = prunable(&run.model);
        let basis = match self.scope {
            Scope::Tensor | Scope::Row => {
                self.local(run, &targets)?;
                Basis::EachMatrix
            }
            Scope::Global => {
                self.global(run, &targets)?;
                Basis::Weights
            }
        };
        Ok(Report::of(basis, Some(self.ratio.value()), json!({})))
    }
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::{Device, Tensor};

    use super::*;
    use crate::fixture::{apply, model, refusal, zeros};

    fn count(zeros: &[bool]) -> usize {
        zeros.iter().filter(|&&zero| zero).count()
    }

    #[test]
    fn scope_row_zeroes_exactly_the_share_in_every_row() {
        for device in Device::available() {
            let outcome = apply("magnitude(ratio=0.3, scope=row)", &model(&device), 0).unwrap();
            for (name, rows) in zeros(&outcome.model) {
                assert!(
                    rows.iter().all(|row| count(row) == (0.3 * row.len() as f64) as usize),
                    "{name:?}"
                );
            }
        }
    }

    #[test]
    fn scope_tensor_zeroes_exactly_the_share_in_every_matrix_but_not_in_every_row() {
        for device in Device::available() {
            let outcome = apply("magnitude(ratio=0.3)", &model(&device), 0).unwrap();
            for (name, rows) in zeros(&outcome.model) {
                assert_eq!(
                    count(&rows.concat()),
                    (0.3 * rows.concat().len() as f64) as usize,
                    "{name:?}"
                );
                assert!(rows.iter().any(|row| count(row) != count(&rows[0])), "{name:?}");
            }
        }
    }

    #[test]
    fn scope_global_zeroes_exactly_the_share_of_all_and_most_where_weights_are_small() {
        for device in Device::available() {
            let mut model = model(&device);
            let q = model.blocks[2].linear_mut(LinearName::Q).unwrap();
            q.weight = q.weight.mul_scalar(1e-3).unwrap();
            let outcome = apply("magnitude(ratio=0.3, scope=global)", &model, 0).unwrap();
            let zeros = zeros(&outcome.model);
            let all: Vec<bool> = zeros.iter().flat_map(|(_, rows)| rows.concat()).collect();
            assert_eq!(count(&all), (0.3 * all.len() as f64) as usize);
            assert!(
                zeros[14].1.concat().iter().all(|&zero| zero),
                "the small matrix goes first"
            );
        }
    }

    #[test]
    fn what_is_zeroed_is_smaller_than_what_is_kept() {
        let model = model(&Device::available()[0]);
        let targets = prunable(&model);
        for scope in ["tensor", "global"] {
            let outcome = apply(&format!("magnitude(ratio=0.6, scope={scope})"), &model, 0).unwrap();
            let mut zeroed_most = vec![0.0_f32; targets.len()];
            let mut kept_least = vec![f32::MAX; targets.len()];
            for (index, (&target, (_, rows))) in targets.iter().zip(zeros(&outcome.model)).enumerate() {
                for (score, zero) in scores(&model, target).unwrap().into_iter().zip(rows.concat()) {
                    let bound = if zero {
                        &mut zeroed_most[index]
                    } else {
                        &mut kept_least[index]
                    };
                    *bound = if zero { bound.max(score) } else { bound.min(score) };
                }
            }
            let max = |values: &[f32]| values.iter().copied().fold(0.0, f32::max);
            let min = |values: &[f32]| values.iter().copied().fold(f32::MAX, f32::min);
            assert!(
                zeroed_most.iter().zip(&kept_least).all(|(zeroed, kept)| zeroed <= kept),
                "{scope}"
            );
            assert_eq!(max(&zeroed_most) <= min(&kept_least), scope == "global");
        }
    }

    #[test]
    fn the_streamed_threshold_is_the_sorted_one_for_every_count() {
        let device = Device::available()[0];
        let mut model = model(&device);
        // Few distinct values, so that most counts end among ties.
        let coarse = |weight: &Tensor| {
            let values: Vec<f32> = magnitudes(weight)
                .unwrap()
                .iter()
                .map(|w| (w * 8.0).round() / 8.0)
                .collect();
            Tensor::from_slice(&values, &weight.shape(), &device).unwrap()
        };
        let targets = [(0, LinearName::Q), (1, LinearName::K)];
        for (block, name) in targets {
            let linear = model.blocks[block].linear_mut(name).unwrap();
            linear.weight = coarse(&linear.weight);
        }
        let mut sorted: Vec<f32> = targets
            .iter()
            .flat_map(|&target| scores(&model, target).unwrap())
            .collect();
        sorted.sort_by(f32::total_cmp);
        for count in 1..sorted.len() {
            let value = sorted[count - 1];
            let ties = count - sorted.partition_point(|&other| other < value);
            assert_eq!(
                threshold(&model, &targets, count).unwrap(),
                Threshold { value, ties },
                "{count}"
            );
        }
    }

    #[test]
    fn embedding_and_norms_are_never_touched() {
        let before = model(&Device::available()[0]);
        let after = apply("magnitude(ratio=0.9, scope=global)", &before, 0).unwrap().model;
        for ((name, a), (_, b)) in before.parameters().into_iter().zip(after.parameters()) {
            if name.contains("norm") || name.contains("embed") {
                assert_eq!(a.to_f64_vec().unwrap(), b.to_f64_vec().unwrap(), "{name}");
            }
        }
    }

    #[test]
    fn a_ratio_below_one_weight_of_a_row_is_refused() {
        assert_eq!(
            refusal("magnitude(ratio=0.01, scope=row)"),
            "magnitude: key `ratio`: 0.01 of 32 weights of a row removes nothing; at least 1/32 is wanted"
        );
    }
}
