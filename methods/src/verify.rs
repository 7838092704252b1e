//! Does the model have what the method reports? A derived method that skips half the layers would otherwise pass as equal.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prunebench_model::{Decoder, LinearName, count_zeros};

use crate::weights::prunable;
use crate::{Change, Error, Parameter, Report, Result};

/// What the checks compare: blocks, and zero weights of each prunable matrix.
#[derive(Clone)]
pub(crate) struct Census {
    blocks: usize,
    /// Columns of the embedding.
    width: usize,
    matrices: HashMap<(usize, LinearName), Count>,
    /// Zero elements and all elements of every stored parameter.
    parameters: BTreeMap<String, (usize, usize)>,
}

#[derive(Clone, Copy)]
struct Count {
    weights: usize,
    row: usize,
    zeros: usize,
}

impl Census {
    /// Counts a model.
    pub(crate) fn of(model: &Decoder) -> Result<Self> {
        let mut matrices = HashMap::new();
        for (block, name) in prunable(model) {
            if let Some(linear) = model.blocks[block].linear(name) {
                let weight = &linear.weight;
                let count = Count {
                    weights: weight.elem_count(),
                    row: weight.dim(1)?,
                    zeros: count_zeros(weight)? as usize,
                };
                matrices.insert((block, name), count);
            }
        }
        let mut parameters = BTreeMap::new();
        for (name, tensor) in model.parameters() {
            parameters.insert(name, (count_zeros(tensor)? as usize, tensor.elem_count()));
        }
        Ok(Self {
            blocks: model.blocks.len(),
            width: model.embedding.dim(1)?,
            matrices,
            parameters,
        })
    }

    /// The share of this model that is gone from the `finished` one, over the base of the only change that removed something.
    /// `fused` blocks are gone into others. A weight that was set to zero is gone as long as it is zero; zeros that the change
    /// did not make count for nothing.
    pub(crate) fn gone(&self, finished: &Census, change: &Change, fused: usize) -> f64 {
        let (gone, all) = match change {
            Change::Nothing | Change::Values | Change::Refilled | Change::Fused(_) => (0, 1),
            Change::Blocks(_) => (self.blocks.saturating_sub(finished.blocks + fused), self.blocks),
            Change::Width { .. } => return 1.0 - finished.width as f64 / self.width as f64,
            Change::Weights { matrices, .. } => {
                let chosen: usize = matrices.iter().map(|matrix| matrix.zeroed).sum();
                let zeros = finished.matrices.values().map(|count| count.zeros).sum();
                (
                    chosen.min(zeros),
                    self.matrices.values().map(|count| count.weights).sum(),
                )
            }
            Change::Parameters(parameters) => {
                let chosen: usize = parameters.iter().map(|parameter| parameter.zeroed).sum();
                let zeros = finished.parameters.values().map(|(zeros, _)| zeros).sum();
                (chosen.min(zeros), self.parameters.values().map(|(_, all)| all).sum())
            }
        };
        gone as f64 / all.max(1) as f64
    }

    /// Stored parameters that aren't zero.
    pub(crate) fn nonzero(&self) -> usize {
        self.parameters.values().map(|(zeros, all)| all - zeros).sum()
    }

    /// Checks the report of `method` against the model before (`self`) and after it, and gives the ratio achieved.
    pub(crate) fn achieved(&self, method: &'static str, report: &Report, after: &Census) -> Result<f64> {
        let fail = |detail: String| Err(Error::NotAchieved { method, detail });
        // Weights that happened to be zero before may lie outside the mask.
        let zeros = |census: &Census| census.matrices.values().map(|count| count.zeros).sum::<usize>();
        let weights = |census: &Census| census.matrices.values().map(|count| count.weights).sum::<usize>();
        let removed = match &report.change {
            Change::Blocks(removed) => removed.len(),
            Change::Fused(blocks) => *blocks,
            _ => 0,
        };
        if after.blocks + removed != self.blocks {
            return fail(format!(
                "{removed} of {} blocks reported removed, but {} are left",
                self.blocks, after.blocks
            ));
        }
        let (achieved, rounding) = match &report.change {
            Change::Fused(_) if weights(self) != weights(after) => {
                return fail(format!(
                    "blocks reported fused, but their weights went from {} to {}",
                    weights(self),
                    weights(after)
                ));
            }
            Change::Nothing | Change::Fused(_) if zeros(self) == zeros(after) => (0.0, 0.0),
            Change::Nothing | Change::Fused(_) => {
                return fail(format!(
                    "nothing reported, but zeros went from {} to {}",
                    zeros(self),
                    zeros(after)
                ));
            }
            Change::Refilled => (0.0, 0.0),
            Change::Values => {
                let lost = self
                    .parameters
                    .iter()
                    .find(|(name, (zeros, _))| after.parameters.get(*name).is_none_or(|(now, _)| now < zeros));
                if let Some((name, (zeros, _))) = lost {
                    return fail(format!("{name} had {zeros} zeros, and not all of them still are"));
                }
                (0.0, 0.0)
            }
            Change::Parameters(parameters) => {
                for Parameter { name, elements, zeroed } in parameters {
                    let before = self.parameters.get(name).map_or(0, |(zeros, _)| *zeros);
                    let now = after.parameters.get(name).copied();
                    if now.is_none_or(|(zeros, all)| !(*zeroed..=zeroed + before).contains(&zeros) || all != *elements)
                    {
                        return fail(format!(
                            "{name}: {zeroed} of {elements} elements reported zeroed, found {now:?}"
                        ));
                    }
                }
                let names: BTreeSet<&String> = parameters.iter().map(|parameter| &parameter.name).collect();
                if names.len() != after.parameters.len() {
                    return fail(format!(
                        "{} parameters reported of {}",
                        names.len(),
                        after.parameters.len()
                    ));
                }
                let all = parameters
                    .iter()
                    .map(|parameter| parameter.elements)
                    .sum::<usize>()
                    .max(1);
                let zeroed: usize = parameters.iter().map(|parameter| parameter.zeroed).sum();
                // Thresholds fall between elements: of the whole model one part in a thousand.
                (zeroed as f64 / all as f64, 1e-3)
            }
            Change::Blocks(removed) => {
                let of = self.blocks as f64;
                (removed.len() as f64 / of, 1.0 / of)
            }
            Change::Width { from, to, multiple } => {
                if (self.width, after.width) != (*from, *to) {
                    return fail(format!(
                        "a stream narrowed from {from} to {to} reported, but the embedding went from {} to {}",
                        self.width, after.width
                    ));
                }
                let reads = |name: LinearName| !matches!(name, LinearName::O | LinearName::Down);
                let wide = after
                    .matrices
                    .iter()
                    .find(|((_, name), count)| reads(*name) && count.row != *to);
                if let Some(((block, name), count)) = wide {
                    return fail(format!(
                        "block {block} {} reads {} directions of the stream, {to} reported",
                        name.hf_name(),
                        count.row
                    ));
                }
                let of = *from as f64;
                (1.0 - *to as f64 / of, *multiple as f64 / of)
            }
            Change::Weights { matrices, evenly } => {
                let mut coarsest: f64 = 0.0;
                for matrix in matrices {
                    let at = format!("block {} {}", matrix.block, matrix.linear.hf_name());
                    let key = (matrix.block, matrix.linear);
                    let (Some(before), Some(now)) = (self.matrices.get(&key), after.matrices.get(&key)) else {
                        return fail(format!("{at} is reported, but the model has no such matrix"));
                    };
                    let wanted = matrix.zeroed..=matrix.zeroed + before.zeros;
                    if !wanted.contains(&now.zeros) || now.weights != matrix.weights {
                        return fail(format!(
                            "{at}: {} of {} weights reported zeroed, {} of {} are zero",
                            matrix.zeroed, matrix.weights, now.zeros, now.weights
                        ));
                    }
                    let rounding = 1.0 / now.row as f64;
                    coarsest = coarsest.max(rounding);
                    let share = matrix.zeroed as f64 / matrix.weights as f64;
                    match report.nominal_ratio {
                        Some(nominal) if *evenly && (share - nominal).abs() > rounding => {
                            return fail(format!("{at}: {nominal} of the weights asked for, {share} zeroed"));
                        }
                        _ => {}
                    }
                }
                if matrices.len() != after.matrices.len() {
                    return fail(format!(
                        "{} matrices reported of {}",
                        matrices.len(),
                        after.matrices.len()
                    ));
                }
                let (zeroed, all) = matrices
                    .iter()
                    .fold((0, 0), |sum, m| (sum.0 + m.zeroed, sum.1 + m.weights));
                (zeroed as f64 / all.max(1) as f64, coarsest)
            }
        };
        match report.nominal_ratio {
            Some(nominal) if (achieved - nominal).abs() > rounding => fail(format!(
                "a ratio of {nominal} asked for, {achieved} achieved; rounding explains only {rounding}"
            )),
            _ => Ok(achieved),
        }
    }
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::Device;
    use serde_json::json;

    use super::*;
    use crate::Matrix;
    use crate::fixture::model;
    use crate::weights::apply_mask;

    fn report(nominal: f64, change: Change) -> Report {
        Report {
            nominal_ratio: Some(nominal),
            change,
            details: json!({}),
        }
    }

    /// Zeroes half of every matrix but those that `skip` names, and reports only what was done.
    fn halved(skip: fn(usize) -> bool) -> (Census, Census, Vec<Matrix>) {
        let mut model = model(&Device::available()[0]);
        let before = Census::of(&model).unwrap();
        let mut matrices = Vec::new();
        for (block, name) in prunable(&model) {
            let weights = model.blocks[block].linear(name).unwrap().weight.elem_count();
            let half = |i: usize| if skip(block) || i.is_multiple_of(2) { 1.0 } else { 0.0 };
            let mask: Vec<f32> = (0..weights).map(half).collect();
            matrices.extend(apply_mask(&mut model, block, name, &mask).unwrap());
        }
        (before, Census::of(&model).unwrap(), matrices)
    }

    #[test]
    fn an_honest_report_passes_with_the_ratio_counted_from_the_model() {
        let (before, after, matrices) = halved(|_| false);
        let achieved = before
            .achieved("m", &report(0.5, Change::Weights { matrices, evenly: true }), &after)
            .unwrap();
        assert_eq!(achieved, 0.5);
    }

    #[test]
    fn a_method_that_skips_half_the_blocks_is_refused() {
        let (before, after, matrices) = halved(|block| block % 2 == 0);
        for (evenly, part) in [
            (true, "block 0 self_attn.q_proj: 0.5 of the weights asked for, 0 zeroed"),
            (false, "0.25 achieved"),
        ] {
            let change = Change::Weights {
                matrices: matrices.clone(),
                evenly,
            };
            let error = before
                .achieved("m", &report(0.5, change), &after)
                .unwrap_err()
                .to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_report_that_leaves_matrices_out_or_claims_too_much_is_refused() {
        let (before, after, mut matrices) = halved(|_| false);
        let fewer = Change::Weights {
            matrices: matrices[1..].to_vec(),
            evenly: true,
        };
        assert!(
            before
                .achieved("m", &report(0.5, fewer), &after)
                .unwrap_err()
                .to_string()
                .contains("41 matrices reported of 42")
        );
        matrices[0].zeroed += 1;
        let more = Change::Weights { matrices, evenly: true };
        assert!(
            before
                .achieved("m", &report(0.5, more), &after)
                .unwrap_err()
                .to_string()
                .contains("weights reported zeroed")
        );
    }

    #[test]
    fn blocks_reported_removed_must_be_gone() {
        let (before, after, _) = halved(|_| true);
        let error = before
            .achieved("m", &report(0.2, Change::Blocks(vec![3])), &after)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("1 of 6 blocks reported removed, but 6 are left"),
            "{error}"
        );
    }

    #[test]
    fn a_stream_reported_narrower_must_be_narrower_everywhere() {
        use prunebench_tensor::Tensor;
        let mut model = model(&Device::available()[0]);
        let change = || Change::Width {
            from: 32,
            to: 16,
            multiple: 8,
        };
        let before = Census::of(&model).unwrap();
        let refusal = |model: &Decoder| {
            let after = Census::of(model).unwrap();
            before
                .achieved("m", &report(0.5, change()), &after)
                .unwrap_err()
                .to_string()
        };
        assert!(refusal(&model).contains("the embedding went from 32 to 32"));
        let narrow = |tensor: &Tensor| tensor.narrow(1, 0, 16).unwrap();
        model.embedding = narrow(&model.embedding);
        assert!(refusal(&model).contains("reads 32 directions of the stream, 16 reported"));
        for (name, linear) in model.blocks.iter_mut().flat_map(|block| block.linears_mut()) {
            if !matches!(name, LinearName::O | LinearName::Down) {
                linear.weight = narrow(&linear.weight);
            }
        }
        let after = Census::of(&model).unwrap();
        assert_eq!(before.achieved("m", &report(0.5, change()), &after).unwrap(), 0.5);
        assert!(before.achieved("m", &report(0.2, change()), &after).is_err());
    }

    #[test]
    fn a_method_that_reports_nothing_must_change_nothing() {
        let (before, after, _) = halved(|_| false);
        assert!(
            before
                .achieved(
                    "m",
                    &Report {
                        nominal_ratio: None,
                        change: Change::Nothing,
                        details: json!({})
                    },
                    &after
                )
                .is_err()
        );
    }
}
