//! Parameters to start training from.

use prunebench_tensor::{DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::block::kaiming;
use crate::parameters::{is_delta, is_gate, is_shortcut};
use crate::{Decoder, Graph, Result};

/// Distribution of a new model's parameters. Norms have gain 1 and bias 0 in all, gates are 1, and low-rank deltas
/// start as no change; shortcuts lead the stream on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Initialisation {
    /// GPT-2's (Radford et al. 2019, §2.3): weights normal with deviation 0.02, those of the output projections in the residual
    /// stream divided by sqrt(2 · blocks), biases 0.
    Normal,
    /// The defaults of `torch.nn`: a linear's weight and bias uniform in ±1/sqrt(inputs), embeddings standard normal.
    Pytorch,
}

/// Deviation of [`Initialisation::Normal`].
const DEVIATION: f64 = 0.02;
/// How many different numbers a model for timing has: a prime, so that rows differ.
const DIFFERENT: usize = 1_048_573;

/// A tensor of `shape` on the device of `numbers`, a list that it repeats from its element `start` on.
pub fn repeated(numbers: &Tensor, start: usize, shape: &[usize]) -> Result<Tensor> {
    let (period, mut left): (usize, usize) = (numbers.dim(0)?, shape.iter().product());
    let mut from = start % period.max(1);
    let mut pieces = Vec::new();
    while left > 0 {
        let piece = numbers.narrow(0, from, left.min(period - from))?;
        left -= piece.elem_count();
        pieces.push(piece);
        from = 0;
    }
    Ok(Tensor::cat(&pieces.iter().collect::<Vec<_>>(), 0)?.reshape(shape)?)
}

impl Decoder {
    /// A decoder to be timed: weights are about a million different normal numbers, over and over, so that they are made on the
    /// device about as fast as it copies. They are the same on every engine.
    pub fn for_timing(graph: Graph, dtype: DType, device: &Device) -> Result<Self> {
        let normal = Tensor::randn(&[DIFFERENT], 0, DType::F32, device)?;
        let numbers = normal.mul_scalar(DEVIATION)?.to_dtype(dtype)?;
        let mut start = 0;
        Self::from_parameters(graph, |name, shape| {
            if name.contains("norm.") || name.ends_with(".bias") || is_gate(name) {
                let value = if name.ends_with(".bias") { 0.0 } else { 1.0 };
                return Ok(Tensor::full(shape, value, dtype, device)?);
            }
            let weight = repeated(&numbers, start, shape)?;
            start += weight.elem_count();
            Ok(weight)
        })
    }

    /// A decoder with random parameters, the same on every engine for the same seed.
    pub fn initialise(
        graph: Graph,
        initialisation: Initialisation,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        // Seeds of the parameters come from a generator: with a seed and its successor, two models would share numbers.
        let mut seeds = ChaCha8Rng::seed_from_u64(seed);
        let residual = DEVIATION / (2.0 * graph.blocks.len() as f64).sqrt();
        let hidden = graph.hidden_size;
        let mut inputs = hidden;
        Self::from_parameters(graph, |name, shape| {
            let seed = seeds.next_u64();
            let bias = name.ends_with(".bias");
            if name.contains("norm.") || is_gate(name) {
                return Ok(Tensor::full(shape, if bias { 0.0 } else { 1.0 }, dtype, device)?);
            }
            if let (true, &[rows, columns]) = (is_shortcut(name), shape) {
                let identity: Vec<f32> = (0..rows * columns)
                    .map(|at| f32::from(u8::from(at / columns == at % columns)))
                    .collect();
                return Ok(Tensor::from_slice(&identity, shape, device)?.to_dtype(dtype)?);
            }
            if is_delta(name) {
                return match name.contains(".lora_A.") {
                    true => kaiming(shape, seed, dtype, device),
                    false => Ok(Tensor::zeros(shape, dtype, device)?),
                };
            }
            // A bias follows its weight, but that of the head stands alone if the embedding is the head.
            inputs = match shape {
                _ if name.starts_with("lm_head.") => hidden,
                &[_, inputs] => inputs,
                _ => inputs,
            };
            Ok(match initialisation {
                Initialisation::Normal if bias => Tensor::zeros(shape, dtype, device)?,
                Initialisation::Normal => {
                    let into_residual = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
                    let deviation = if into_residual { residual } else { DEVIATION };
                    Tensor::randn(shape, seed, dtype, device)?.mul_scalar(deviation)?
                }
                Initialisation::Pytorch if name.starts_with("model.embed_") => {
                    Tensor::randn(shape, seed, dtype, device)?
                }
                Initialisation::Pytorch => {
                    let bound = 1.0 / (inputs as f64).sqrt();
                    let unit = Tensor::rand(shape, seed, dtype, device)?;
                    unit.mul_scalar(2.0 * bound)?.add_scalar(-bound)?
                }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::Engine;

    use super::*;
    use crate::graph::{Activation, Architecture, AttentionShape, BlockShape, FfnShape, NormKind, Step};

    fn graph(tied: bool) -> Graph {
        let block = BlockShape {
            attention: Some(AttentionShape {
                heads: 4,
                kv_heads: 4,
                head_dim: 16,
                o_bias: true,
                ..AttentionShape::default()
            }),
            ffn: Some(FfnShape {
                width: 256,
                activation: Activation::Relu,
                bias: true,
                ..FfnShape::default()
            }),
            ..BlockShape::default()
        };
        Graph {
            architecture: Architecture::Gpt,
            vocab_size: 300,
            hidden_size: 64,
            rms_norm_eps: 1e-5,
            max_position_embeddings: 32,
            tie_word_embeddings: tied,
            bos_token_id: None,
            eos_token_ids: vec![],
            rope: None,
            norm: NormKind::Layer,
            head_bias: true,
            stream_gates: false,
            blocks: vec![block; 8],
            steps: (0..8).map(Step::Block).collect(),
        }
    }

    fn draw(initialisation: Initialisation, seed: u64, device: &Device, tied: bool) -> Vec<(String, Vec<f64>)> {
        let decoder = Decoder::initialise(graph(tied), initialisation, seed, DType::F32, device).unwrap();
        let parameters = decoder.parameters();
        parameters
            .into_iter()
            .map(|(name, tensor)| (name, tensor.to_f64_vec().unwrap()))
            .collect()
    }

    fn first_device() -> Device {
        Device::cpu(Engine::compiled()[0])
    }

    fn deviation(values: &[f64]) -> f64 {
        (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn normal_weights_have_their_deviation_and_residual_outputs_a_smaller_one() {
        for (name, values) in draw(Initialisation::Normal, 1, &first_device(), false) {
            let wanted = match name.as_str() {
                name if name.ends_with("norm.weight") => {
                    assert!(values.iter().all(|&x| x == 1.0), "{name}");
                    continue;
                }
                name if name.ends_with(".bias") => 0.0,
                name if name.contains("o_proj") || name.contains("down_proj") => 0.02 / 4.0,
                _ => 0.02,
            };
            let found = deviation(&values);
            assert!(
                (found - wanted).abs() <= 0.06 * wanted,
                "{name}: {found}, want {wanted}"
            );
        }
    }

    #[test]
    fn pytorch_linears_fill_their_interval_and_embeddings_are_standard_normal() {
        for tied in [false, true] {
            for (name, values) in draw(Initialisation::Pytorch, 1, &first_device(), tied) {
                if name.contains("norm.") {
                    continue;
                }
                let largest = values.iter().fold(0f64, |largest, x| largest.max(x.abs()));
                if name.starts_with("model.embed_") {
                    assert!((deviation(&values) - 1.0).abs() < 0.06 && largest > 2.5, "{name}");
                    continue;
                }
                let inputs: f64 = if name.contains("down_proj") { 256.0 } else { 64.0 };
                let bound = 1.0 / inputs.sqrt();
                // f32 may round the end of the interval up.
                assert!(
                    largest <= bound * (1.0 + 1e-6) && largest > 0.9 * bound,
                    "{name}: {largest}, want {bound}"
                );
                assert!((deviation(&values) - bound / 3f64.sqrt()).abs() < 0.2 * bound, "{name}");
            }
        }
    }

    #[test]
    fn weights_for_timing_are_normal_differ_by_row_and_are_the_same_on_every_engine() {
        let mut first: Option<Vec<Vec<f64>>> = None;
        for &engine in Engine::compiled() {
            let decoder = Decoder::for_timing(graph(true), DType::F32, &Device::cpu(engine)).unwrap();
            let values = decoder.parameters().into_iter().map(|(name, tensor)| {
                let values = tensor.to_f64_vec().unwrap();
                if name.contains("proj.weight") {
                    let rows: Vec<&[f64]> = values.chunks(tensor.dim(1).unwrap()).collect();
                    assert!(rows.windows(2).all(|pair| pair[0] != pair[1]), "{name}");
                    assert!((deviation(&values) - DEVIATION).abs() < 0.06 * DEVIATION, "{name}");
                }
                values
            });
            let values: Vec<Vec<f64>> = values.collect();
            assert!(first.is_none_or(|first| first == values), "{engine}");
            first = Some(values);
        }
    }

    #[test]
    fn numbers_repeat_from_where_they_are_asked_to_start() {
        let numbers = Tensor::from_slice(&[0.0f32, 1.0, 2.0], &[3], &first_device()).unwrap();
        let found = repeated(&numbers, 5, &[2, 4]).unwrap().to_f64_vec().unwrap();
        assert_eq!(found, [2.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0]);
    }

    #[test]
    fn a_seed_decides_every_number_on_every_engine() {
        for initialisation in [Initialisation::Normal, Initialisation::Pytorch] {
            let first = draw(initialisation, 1, &first_device(), false);
            for &engine in Engine::compiled() {
                assert_eq!(first, draw(initialisation, 1, &Device::cpu(engine), false), "{engine}");
            }
            // The next seed shares no parameter, its neighbours neither.
            let next = draw(initialisation, 2, &first_device(), false);
            let drawn = |values: &[f64]| values.iter().any(|&x| x != values[0]);
            for (name, values) in first.iter().filter(|(_, values)| drawn(values)) {
                assert!(next.iter().all(|(_, other)| other[0] != values[0]), "{name}");
            }
        }
    }
}
