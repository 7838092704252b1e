//! Cosines and sines of the rotary position embedding.

use std::collections::{HashMap, hash_map::Entry};
use std::f64::consts::TAU;

use prunebench_tensor::{DType, Device, Tensor};

use crate::graph::{Graph, Rope, RopeScaling};
use crate::{ModelError, Result};

/// Cosines and sines `[positions, head_dim / 2]` of some positions, by head size; none without RoPE.
#[derive(Debug, Default)]
pub(crate) struct RopeTables(HashMap<usize, (Tensor, Tensor)>);

impl RopeTables {
    /// The tables of every head size in the graph.
    pub(crate) fn new(graph: &Graph, positions: &[usize], dtype: DType, device: &Device) -> Result<Self> {
        let mut of_sizes = HashMap::new();
        if let Some(rope) = &graph.rope {
            for shape in graph.blocks.iter().filter_map(|block| block.attention.as_ref()) {
                if let Entry::Vacant(entry) = of_sizes.entry(shape.head_dim) {
                    entry.insert(tables(rope, shape.head_dim, positions, dtype, device)?);
                }
            }
        }
        Ok(RopeTables(of_sizes))
    }

    /// The rows of `count` positions from `start`.
    pub(crate) fn narrow(&self, start: usize, count: usize) -> Result<Self> {
        let narrowed = self.0.iter().map(|(&head_dim, (cos, sin))| {
            let rows = (cos.narrow(0, start, count)?, sin.narrow(0, start, count)?);
            Ok((head_dim, rows))
        });
        narrowed.collect::<Result<_>>().map(RopeTables)
    }

    /// Turns heads `[B, H, positions, head_dim]`; leaves them as they are without RoPE.
    pub(crate) fn apply(&self, heads: Tensor) -> Result<Tensor> {
        match self.0.get(&heads.dim(3)?) {
            Some((cos, sin)) => Ok(heads.rope(cos, sin)?),
            None => Ok(heads),
        }
    }
}

/// Inverse frequencies of one head, as f32: the precision that trained models saw.
fn inverse_frequencies(rope: &Rope, head_dim: usize) -> Result<Vec<f32>> {
    let plain = (0..head_dim / 2).map(|i| 1.0 / rope.theta.powf(2.0 * i as f64 / head_dim as f64));
    Ok(match &rope.scaling {
        RopeScaling::None => plain.map(|f| f as f32).collect(),
        RopeScaling::Linear { factor } => plain.map(|f| (f / factor) as f32).collect(),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => plain
            .map(|f| {
                let turns = *original_max_position_embeddings as f64 * f / TAU;
                let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                (kept * f + (1.0 - kept) * f / factor) as f32
            })
            .collect(),
        RopeScaling::Factors { factors } => {
            if factors.len() != head_dim / 2 {
                return Err(ModelError::Graph(format!(
                    "{} rope factors given, heads of size {head_dim} have {} frequencies",
                    factors.len(),
                    head_dim / 2
                )));
            }
            plain.zip(factors).map(|(f, factor)| (f / factor) as f32).collect()
        }
    })
}

fn tables(
    rope: &Rope,
    head_dim: usize,
    positions: &[usize],
    dtype: DType,
    device: &Device,
) -> Result<(Tensor, Tensor)> {
    let frequencies = inverse_frequencies(rope, head_dim)?;
    let angles = positions
        .iter()
        .flat_map(|&position| frequencies.iter().map(move |f| position as f32 * f));
    let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
    let table = |values: &[f32]| Tensor::from_slice(values, &[positions.len(), head_dim / 2], device)?.to_dtype(dtype);
    Ok((table(&cos)?, table(&sin)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_scaling_divides_long_waves_keeps_short_ones_and_blends_between() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let plain = inverse_frequencies(
            &Rope {
                theta: 5e5,
                scaling: RopeScaling::None,
            },
            128,
        )
        .unwrap();
        let scaled = inverse_frequencies(&Rope { theta: 5e5, scaling }, 128).unwrap();
        for (p, s) in plain.iter().zip(&scaled) {
            let turns = 8192.0 * *p as f64 / TAU;
            let ratio = *p as f64 / *s as f64;
            match turns {
                t if t < 1.0 => assert!((ratio - 8.0).abs() < 1e-5),
                t if t > 4.0 => assert!((ratio - 1.0).abs() < 1e-6),
                _ => assert!(ratio > 1.0 && ratio < 8.0),
            }
        }
        assert!(plain.iter().any(|p| (1.0..4.0).contains(&(8192.0 * *p as f64 / TAU))));
    }

    #[test]
    fn wrong_number_of_factors_is_refused() {
        let scaling = RopeScaling::Factors { factors: vec![1.0; 3] };
        assert!(inverse_frequencies(&Rope { theta: 1e4, scaling }, 8).is_err());
    }
}
