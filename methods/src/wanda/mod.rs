//! `wanda`: the weights that move their output least, by magnitude times the norm of what they are multiplied with.

use std::collections::HashMap;

use prunebench_model::{LinearName, Place};
use prunebench_tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::weights::{apply_mask, magnitudes, mask_lowest};
use crate::{Basis, Card, Entry, Error, Family, Method, Need, Ratio, Report, Result, Run};

static CARD: Card = Card {
    id: "wanda",
    title: "Wanda",
    summary: "zeros the smallest weight × input norm",
    paper: "Sun et al., A Simple and Effective Pruning Approach for Large Language Models, ICLR 2024 (arXiv 2306.11695)",
    family: Family::Masks,
    changes: "sets weights of the blocks' linears to zero",
    example: "wanda(ratio=0.5, scope=row)",
    needs: &[Need::CalibrationText],
    version: 1,
    deviations: &["calibration text is what the run gives; the paper's is C4, 128 sequences of the model's context"],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| Ok(Box::new(parse_strict::<Wanda>(CARD.id, table)?)),
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanda {
    ratio: Ratio,
    #[serde(default)]
    scope: Scope,
}

/// The weights that compete with one another.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    #[default]
    Row,
    Tensor,
}

/// Sum of squares of each feature over the tokens of `[..., features]`.
fn squares(x: &Tensor) -> prunebench_model::Result<Vec<f64>> {
    let features = x.dim(x.rank().saturating_sub(1))?;
    let wide = if x.dtype() == DType::F64 {
        x.clone()
    } else {
        x.to_dtype(DType::F32)?
    };
    let rows = wide.reshape(&[x.elem_count() / features.max(1), features])?;
    Ok(rows.square()?.sum(0, false)?.to_f64_vec()?)
}

/// |W_ij| · ||X_j||, from |W| row by row and the squared norms of the features.
fn scores(mut magnitudes: Vec<f32>, squared_norms: &[f64]) -> Vec<f32> {
    let norms: Vec<f32> = squared_norms.iter().map(|square| square.sqrt() as f32).collect();
    for row in magnitudes.chunks_mut(norms.len().max(1)) {
        row.iter_mut().zip(&norms).for_each(|(w, norm)| *w *= norm);
    }
    magnitudes
}

impl Wanda {
    /// Prunes the linears of one block by the norms of their inputs.
    fn prune(&self, run: &mut Run, block: usize, norms: &HashMap<Place, Vec<f64>>) -> Result<()> {
        for name in LinearName::ALL {
            let Some(linear) = run.model.blocks[block].linear(name) else {
                continue;
            };
            let Some(norms) = norms
                .get(&name.input(block))
                .filter(|norms| norms.iter().all(|n| n.is_finite()))
            else {
                return Err(Error::Model {
                    method: CARD.id,
                    detail: format!(
                        "the input of block {block} {} is not finite on the calibration text; load the model as f32",
                        name.hf_name()
                    ),
                });
            };
            let scores = scores(magnitudes(&linear.weight)?, norms);
            let (group, things) = match self.scope {
                Scope::Row => (norms.len(), "weights of a row"),
                Scope::Tensor => (scores.len(), "weights of a matrix"),
            };
            let mask = mask_lowest(&scores, group, self.ratio.floor_of(group, things, CARD.id)?);
            apply_mask(&mut run.model, block, name, &mask)?;
        }
        Ok(())
    }
}

impl Method for Wanda {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self)
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let steps = run.model.graph.steps.clone();
        let mut pruned = Vec::new();
        let mut streams = run.streams()?;
        for (index, step) in steps.iter().enumerate() {
            let mut norms: HashMap<Place, Vec<f64>> = HashMap::new();
            run.step(index, &streams, &mut |place, x| {
                let squares = squares(x)?;
                let sums = norms.entry(place).or_insert_with(|| vec![0.0; squares.len()]);
                sums.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
                Ok(())
            })?;
            for &block in step.blocks() {
                if !pruned.contains(&block) {
                    self.prune(run, block, &norms)?;
                    pruned.push(block);
                }
            }
            // What the next step reads comes from the pruned blocks before it.
            if index + 1 < steps.len() {
                streams = run.step(index, &streams, &mut |_, _| Ok(()))?;
            }
            run.progress(index + 1, steps.len(), "wanda");
        }
        Ok(Report::of(Basis::EachMatrix, Some(self.ratio.value()), json!({})))
    }
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::Device;

    use super::*;
    use crate::fixture::{HIDDEN, apply, apply_with, model, windows, zeros};

    #[test]
    fn with_equal_norms_the_choice_is_that_of_magnitude() {
        let magnitudes: Vec<f32> = (0..64).map(|i| ((i * 37) % 64) as f32).collect();
        let by_magnitude = mask_lowest(&magnitudes, 8, 3);
        assert_eq!(mask_lowest(&scores(magnitudes.clone(), &[4.0; 8]), 8, 3), by_magnitude);
        let unequal = [1e6, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0];
        assert_ne!(mask_lowest(&scores(magnitudes, &unequal), 8, 3), by_magnitude);
    }

    #[test]
    fn squares_are_summed_over_every_token() {
        for device in Device::available() {
            let x = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 0.0, -5.0], &[1, 3, 2], &device).unwrap();
            assert_eq!(squares(&x).unwrap(), [10.0, 45.0]);
        }
    }

    #[test]
    fn weights_on_a_feature_of_large_norm_are_kept() {
        for device in Device::available() {
            let mut model = model(&device);
            let mut gain = [1.0_f32; HIDDEN];
            gain[5] = 1e4;
            let attention = model.blocks[3].attention.as_mut().unwrap();
            attention.norm.gain = Tensor::from_slice(&gain, &[HIDDEN], &device).unwrap();
            let kept = |recipe: &str| {
                let zeros = zeros(&apply(recipe, &model, 0).unwrap().model);
                zeros[3 * 7..3 * 7 + 3]
                    .iter()
                    .all(|(_, rows)| rows.iter().all(|row| !row[5]))
            };
            assert!(kept("wanda(ratio=0.5)"));
            assert!(!kept("magnitude(ratio=0.5, scope=row)"));
        }
    }

    #[test]
    fn every_row_loses_exactly_the_share_asked_for() {
        let outcome = apply("wanda(ratio=0.3)", &model(&Device::available()[0]), 0).unwrap();
        for (name, rows) in zeros(&outcome.model) {
            let wanted = (0.3 * rows[0].len() as f64) as usize;
            assert!(
                rows.iter()
                    .all(|row| row.iter().filter(|&&zero| zero).count() == wanted),
                "{name:?}"
            );
        }
    }

    #[test]
    fn both_engines_zero_the_same_weights() {
        let of = |device: &Device| zeros(&apply("wanda(ratio=0.5)", &model(device), 0).unwrap().model);
        let first = of(&Device::available()[0]);
        assert!(Device::available().iter().all(|device| of(device) == first));
    }

    #[test]
    fn a_block_is_scored_on_what_the_pruned_blocks_before_it_give() {
        let model = model(&Device::available()[0]);
        let pruned = apply("wanda(ratio=0.6)", &model, 0).unwrap().model;
        // The reference runs the whole half-pruned model up to the second block.
        let mut half = model.clone();
        half.blocks[0] = pruned.blocks[0].clone();
        let masked_as_reported = |decoder: &prunebench_model::Decoder| {
            let mut norms = vec![0.0; HIDDEN];
            for window in windows() {
                let ids = decoder.ids(&[&window]).unwrap();
                let tap = &mut |place, x: &Tensor| {
                    if place == Place::AttentionInput(1) {
                        norms
                            .iter_mut()
                            .zip(squares(x)?)
                            .for_each(|(sum, square)| *sum += square);
                    }
                    Ok(())
                };
                decoder.hidden(&ids, None, tap).unwrap();
            }
            let weight = &model.blocks[1].linear(LinearName::Q).unwrap().weight;
            let mask = mask_lowest(
                &scores(magnitudes(weight).unwrap(), &norms),
                HIDDEN,
                (0.6 * HIDDEN as f64) as usize,
            );
            mask.chunks(HIDDEN)
                .map(|row| row.iter().map(|&m| m == 0.0).collect())
                .collect::<Vec<Vec<bool>>>()
        };
        let found = &zeros(&pruned)[7].1;
        assert_eq!(&masked_as_reported(&half), found);
        assert_ne!(&masked_as_reported(&model), found);
    }

    #[test]
    fn two_passes_through_every_block_but_the_last_are_counted() {
        let outcome = apply("wanda(ratio=0.5)", &model(&Device::available()[0]), 0).unwrap();
        // 3 windows, 6 blocks: 3 · (6 + 5) / 6 = 5.5 passes.
        assert_eq!(
            (outcome.budget.calibration_tokens, outcome.budget.forward_passes),
            (48, 6)
        );
        assert!(outcome.budget.wall_seconds >= outcome.budget.update_seconds && outcome.budget.update_seconds > 0.0);
    }

    #[test]
    fn windows_of_different_lengths_are_read_whole() {
        let windows = [vec![1, 2, 3], vec![4; 9]];
        let outcome = apply_with("wanda(ratio=0.5)", &model(&Device::available()[0]), 0, &windows).unwrap();
        assert_eq!(outcome.budget.calibration_tokens, 12);
    }

    #[test]
    fn activations_that_overflow_are_an_error_that_names_the_block() {
        let device = Device::available()[0];
        let mut model = model(&device);
        model.blocks[2].ffn.as_mut().unwrap().norm.gain =
            Tensor::full(&[HIDDEN], 1e30, prunebench_tensor::DType::F32, &device).unwrap();
        let error = apply("wanda(ratio=0.5)", &model, 0).err().unwrap().to_string();
        assert!(error.contains("block 2 mlp.gate_proj is not finite"), "{error}");
    }
}
