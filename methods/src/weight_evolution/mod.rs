//! `weight-evolution`: weights pruned by their average over the training, each tensor against its own spread.

use std::collections::BTreeMap;

use prunebench_model::{Decoder, LinearName};
use prunebench_tensor::{DType, Tensor};
use prunebench_train::Weighting;
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::weights::prunable;
use crate::{Basis, Card, Entry, Error, Family, Method, Need, Ratio, Report, Result, Run};

static CARD: Card = Card {
    id: "weight-evolution",
    title: "Systematic Weight Evaluation",
    summary: "zeros weights that were small all along",
    paper: "Islam, Belhaouari and Bermak, Systematic Weight Evaluation for Pruning Large Language Models, 2025 (arXiv 2502.17071)",
    family: Family::Masks,
    changes: "sets weights of any stored parameter to zero",
    example: "weight-evolution(ratio=0.5, scope=matrices)",
    needs: &[Need::TrainingRun],
    version: 1,
    deviations: &["a target sparsity is met by bisection on k, which the authors choose by hand"],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| {
        let method: WeightEvolution = parse_strict(CARD.id, table)?;
        method.check()?;
        Ok(Box::new(method))
    },
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightEvolution {
    ratio: Option<Ratio>,
    k: Option<f64>,
    #[serde(default)]
    score: Score,
    #[serde(default = "linear")]
    weighting: Weighting,
    #[serde(default)]
    scope: Scope,
    rows: Option<f64>,
}

/// What is compared with the threshold, and whose spread sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Score {
    /// |average over the training|.
    #[default]
    Trajectory,
    /// |weight after the training|.
    Final,
    /// By lot.
    Random,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    #[default]
    All,
    Matrices,
}

/// Which weights of a tensor stay: 1 those, 0 the others.
struct Mask {
    name: String,
    shape: Vec<usize>,
    keep: Vec<f32>,
}

/// One tensor's scores in units of their own standard deviation.
struct Scored {
    name: String,
    shape: Vec<usize>,
    relative: Vec<f32>,
    sorted: Vec<f32>,
}

fn linear() -> Weighting {
    Weighting::Linear
}

impl WeightEvolution {
    fn check(&self) -> Result<()> {
        let refuse = |detail: &str| {
            Err(Error::Config {
                what: CARD.id.to_owned(),
                detail: detail.to_owned(),
            })
        };
        match (self.ratio, self.k) {
            (Some(_), Some(_)) | (None, None) => {
                return refuse(
                    "one of the keys `ratio` and `k` is wanted: a sparsity to meet, or a threshold in standard deviations",
                );
            }
            (None, Some(_)) if self.score == Score::Random => {
                return refuse("score = random has no threshold; give a `ratio`");
            }
            (None, Some(k)) if !(k.is_finite() && k >= 0.0) => return refuse("key `k`: 0 or more wanted"),
            _ => {}
        }
        if self.rows.is_some_and(|share| !(0.0..1.0).contains(&share)) {
            return refuse("key `rows`: a share of a row's weights, at least 0 and below 1");
        }
        Ok(())
    }

    /// The names of the tensors in scope.
    fn names(&self, model: &Decoder) -> Vec<String> {
        match self.scope {
            Scope::All => model.parameters().into_iter().map(|(name, _)| name).collect(),
            Scope::Matrices => prunable(model).into_iter().map(weight_name).collect(),
        }
    }

    /// Each tensor's scores over their standard deviation (n − 1).
    fn scored(&self, run: &Run, names: &[String]) -> Result<Vec<Scored>> {
        let source: BTreeMap<String, Tensor> = match self.score {
            Score::Trajectory => run
                .training_run(CARD.id)?
                .average(self.weighting, &run.model.device())
                .map_err(|source| Error::Train {
                    method: CARD.id,
                    source,
                })?,
            Score::Final | Score::Random => run
                .model
                .parameters()
                .into_iter()
                .map(|(name, tensor)| (name, tensor.clone()))
                .collect(),
        };
        let shapes: BTreeMap<String, Vec<usize>> = run
            .model
            .parameters()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.shape()))
            .collect();
        let mut scored = Vec::with_capacity(names.len());
        for name in names {
            let shape = shapes.get(name).cloned().unwrap_or_default();
            let tensor = source.get(name).filter(|tensor| tensor.shape() == shape).ok_or_else(|| Error::Model {
                method: CARD.id,
                detail: format!(
                    "the training run has no average of `{name}` with shape {shape:?}; prune the trained model itself, before any \
                     method that changes its shape"
                ),
            })?;
            let mut relative = tensor.to_dtype(DType::F32)?.to_vec::<f32>()?;
            relative.par_iter_mut().for_each(|value| *value = value.abs());
            let deviation = deviation(&relative) as f32;
            // Without spread the threshold is 0, and nothing is below it.
            relative.par_iter_mut().for_each(|value| {
                *value = if deviation > 0.0 {
                    *value / deviation
                } else {
                    f32::INFINITY
                };
            });
            let mut sorted = relative.clone();
            sorted.par_sort_unstable_by(f32::total_cmp);
            scored.push(Scored {
                name: name.clone(),
                shape,
                relative,
                sorted,
            });
        }
        Ok(scored)
    }

    /// The mask of each tensor: 1 where a weight stays.
    fn masks(&self, run: &Run, names: &[String]) -> Result<(Vec<Mask>, Option<f64>)> {
        let scored = self.scored(run, names)?;
        if let (Score::Random, Some(ratio)) = (self.score, self.ratio) {
            let seed = run.seed(CARD.id)?;
            let drawn = scored.into_iter().enumerate().map(|(number, scored)| {
                let count = (ratio.value() * scored.relative.len() as f64).round() as usize;
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(number as u64 + 1);
                let mut mask = vec![1.0; scored.relative.len()];
                index::sample(&mut rng, scored.relative.len(), count)
                    .into_iter()
                    .for_each(|lost| mask[lost] = 0.0);
                scored.masked(mask)
            });
            return Ok((drawn.collect(), None));
        }
        let k = match (self.k, self.ratio) {
            (Some(k), _) => k,
            (None, Some(ratio)) => bisect(&scored, ratio.value()),
            (None, None) => 0.0,
        };
        let cut = scored.into_iter().map(|scored| {
            let keep = |score: &f32| f32::from(u8::from(f64::from(*score) >= k));
            let mask = scored.relative.par_iter().map(keep).collect();
            scored.masked(mask)
        });
        Ok((cut.collect(), Some(k)))
    }
}

impl Scored {
    fn masked(self, keep: Vec<f32>) -> Mask {
        Mask {
            name: self.name,
            shape: self.shape,
            keep,
        }
    }
}

/// Standard deviation with n − 1; 0 of a single value.
fn deviation(values: &[f32]) -> f64 {
    let count = values.len() as f64;
    let mean = values.par_iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let squares: f64 = values.par_iter().map(|&value| (f64::from(value) - mean).powi(2)).sum();
    if values.len() < 2 {
        0.0
    } else {
        (squares / (count - 1.0)).sqrt()
    }
}

/// The k for which the share of all scores below k deviations is the target, or the nearest that ties allow.
fn bisect(scored: &[Scored], target: f64) -> f64 {
    let total: usize = scored.iter().map(|scored| scored.sorted.len()).sum();
    let share = |k: f64| {
        let below = scored
            .iter()
            .map(|scored| scored.sorted.partition_point(|&score| f64::from(score) < k));
        below.sum::<usize>() as f64 / total as f64
    };
    let (mut low, mut high) = (0.0, 1.0);
    while share(high) < target && high < 1e6 {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if share(middle) < target {
            low = middle
        } else {
            high = middle
        }
    }
    high
}

/// Zeroes whole rows (indexes of dimension 0) of which more than a share is zero.
fn drop_rows(mask: &mut [f32], shape: &[usize], share: f64) {
    let rows = shape.first().copied().unwrap_or(1).max(1);
    let width = (mask.len() / rows).max(1);
    mask.par_chunks_mut(width).for_each(|row| {
        let zeros = row.iter().filter(|&&entry| entry == 0.0).count();
        if zeros as f64 / row.len() as f64 > share {
            row.fill(0.0);
        }
    });
}

fn weight_name((block, linear): (usize, LinearName)) -> String {
    format!("model.layers.{block}.{}.weight", linear.hf_name())
}

impl Method for WeightEvolution {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self)
    }

    fn needs(&self) -> &'static [Need] {
        match self.score {
            Score::Trajectory => CARD.needs,
            Score::Final | Score::Random => &[],
        }
    }

    fn is_stochastic(&self) -> bool {
        self.score == Score::Random
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let names = self.names(&run.model);
        let (masks, k) = self.masks(run, &names)?;
        let mut values: BTreeMap<String, Tensor> = run
            .model
            .parameters()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.clone()))
            .collect();
        let (mut cut, mut zeroed, mut all) = (0, 0, 0);
        let (mut zeroed_of_matrices, mut all_of_matrices) = (0, 0);
        for Mask {
            name,
            shape,
            keep: mut mask,
        } in masks
        {
            let zeros = |mask: &[f32]| mask.iter().filter(|&&entry| entry == 0.0).count();
            cut += zeros(&mask);
            if let Some(share) = self.rows {
                drop_rows(&mut mask, &shape, share);
            }
            zeroed += zeros(&mask);
            all += mask.len();
            if name.ends_with("_proj.weight") {
                zeroed_of_matrices += zeros(&mask);
                all_of_matrices += mask.len();
            }
            if let Some(value) = values.get_mut(&name) {
                let tensor = Tensor::from_slice(&mask, &shape, &value.device())?.to_dtype(value.dtype())?;
                *value = value.mul(&tensor)?;
            }
        }
        run.model = Decoder::from_parameters(run.model.graph.clone(), |name, shape| match values.get(name) {
            Some(value) => Ok(value.clone()),
            None => Ok(Tensor::zeros(shape, DType::F32, &run.dense.device())?),
        })?;
        let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        let details = json!({
            "k": k,
            "sparsity_before_rows": share(cut, all),
            "sparsity_in_scope": share(zeroed, all),
            "sparsity_of_matrices": share(zeroed_of_matrices, all_of_matrices),
        });
        let basis = match self.scope {
            Scope::All => Basis::Parameters,
            Scope::Matrices => Basis::Weights,
        };
        // Rows lost on top are no part of what was asked for.
        let nominal = self.ratio.filter(|_| self.rows.is_none()).map(|ratio| ratio.value());
        Ok(Report {
            // Thresholds fall between elements: of the whole model one part in a thousand.
            rounding: 1e-3,
            ..Report::of(basis, nominal, details)
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
