//! Averages of every trained parameter over the steps of a run.

use std::collections::BTreeMap;

use prunebench_tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Result;
use crate::callback::{Callback, Moment};
use crate::weights::Weights;

/// What is averaged, with which weights. w_t are the parameters after step t = 1..T.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// Σ t w_t / Σ t.
    Linear,
    /// Σ w_t / T.
    Uniform,
    /// Σ √t w_t / Σ √t.
    Sqrt,
    /// Σ t |w_t| / Σ t: signs don't cancel.
    Magnitude,
    /// Exponential: each step closes 1 % of the distance to w_t, from w_1 on.
    Ema,
}

impl Weighting {
    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Uniform => "uniform",
            Self::Sqrt => "sqrt",
            Self::Magnitude => "magnitude",
            Self::Ema => "ema",
        }
    }

    /// Share of the way to the new value that the average goes at snapshot `t`, from 1. With 2 / (t + 1) the weights rise
    /// linearly: A_t = (A_{t−1} t(t−1)/2 + t w_t) / (t(t+1)/2).
    fn share(self, t: u64) -> f64 {
        match self {
            Self::Linear | Self::Magnitude => 2.0 / (t as f64 + 1.0),
            Self::Uniform => 1.0 / t as f64,
            Self::Sqrt => (t as f64).sqrt() / (1..=t).map(|i| (i as f64).sqrt()).sum::<f64>(),
            Self::Ema if t == 1 => 1.0,
            Self::Ema => 0.01,
        }
    }
}

/// Accumulates averages as a run goes on; a copy of the parameters for each.
pub struct Trajectory {
    averages: BTreeMap<Weighting, BTreeMap<String, Tensor>>,
    snapshots: u64,
}

impl Trajectory {
    /// Averages of these kinds.
    pub fn new(weightings: &[Weighting]) -> Self {
        Self {
            averages: weightings
                .iter()
                .map(|&weighting| (weighting, BTreeMap::new()))
                .collect(),
            snapshots: 0,
        }
    }

    /// The averages, each parameter named `<weighting>.<parameter>`.
    pub fn tensors(&self) -> Vec<(String, &Tensor)> {
        self.averages
            .iter()
            .flat_map(|(weighting, tensors)| {
                tensors
                    .iter()
                    .map(move |(name, tensor)| (format!("{}.{name}", weighting.name()), tensor))
            })
            .collect()
    }
}

impl Callback for Trajectory {
    fn updated(&mut self, _: &Moment, weights: &Weights) -> Result<()> {
        self.snapshots += 1;
        for (weighting, averages) in &mut self.averages {
            for (name, master) in weights.masters() {
                let value = match weighting {
                    Weighting::Magnitude => &master.abs()?,
                    _ => master,
                };
                match averages.get(name) {
                    Some(average) => average.lerp_in_place(value, weighting.share(self.snapshots))?,
                    None => {
                        averages.insert(name.clone(), value.param()?.detach()?);
                    }
                }
            }
        }
        Ok(())
    }

    fn configuration(&self) -> Option<(&'static str, Value)> {
        Some(("averages", json!(self.averages.keys().collect::<Vec<_>>())))
    }

    fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let device = self
            .averages
            .values()
            .flat_map(BTreeMap::values)
            .next()
            .map(Tensor::device);
        let mut state: Vec<_> = self
            .tensors()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.clone()))
            .collect();
        if let Some(device) = device {
            let snapshots = Tensor::from_slice(&[self.snapshots as i64], &[1], &device)?;
            state.push(("snapshots".to_owned(), snapshots));
        }
        Ok(state)
    }

    fn restore(&mut self, mut state: BTreeMap<String, Tensor>) -> Result<()> {
        if let Some(snapshots) = state.remove("snapshots") {
            self.snapshots = snapshots.to_dtype(DType::F64)?.to_f64()? as u64;
        }
        for (name, tensor) in state {
            let found = self.averages.iter_mut().find_map(|(weighting, averages)| {
                name.strip_prefix(weighting.name())?
                    .strip_prefix('.')
                    .map(|name| (averages, name.to_owned()))
            });
            if let Some((averages, name)) = found {
                averages.insert(name, tensor);
            }
        }
        Ok(())
    }
}
