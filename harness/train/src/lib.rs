//! Gradients of a decoder's loss: what importance scores and optimisers start from.

use std::collections::BTreeMap;

use prunebench_model::{Decoder, ModelError, Result};
use prunebench_tensor::Tensor;

/// Mean next-token loss in nats of a batch of sequences of one length, and its gradient with respect to every stored
/// parameter, by Hugging Face name. A tied head and embedding share one gradient.
pub fn loss_and_gradients(decoder: &Decoder, sequences: &[&[u32]]) -> Result<(f64, BTreeMap<String, Tensor>)> {
    let ids = decoder.ids(sequences)?;
    let (batch, length) = (sequences.len(), ids.dim(1)?);
    if length < 2 {
        return Err(ModelError::Graph(
            "a sequence of one token predicts nothing".to_string(),
        ));
    }
    let parameters: BTreeMap<String, Tensor> = decoder
        .parameters()
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.param()?)))
        .collect::<Result<_>>()?;
    let tracked = Decoder::from_parameters(decoder.graph.clone(), |name, _| {
        parameters
            .get(name)
            .cloned()
            .ok_or_else(|| ModelError::Graph(format!("the graph wants `{name}`, which the decoder lacks")))
    })?;
    let rows = batch * (length - 1);
    let logits = tracked.forward(&ids)?.narrow(1, 0, length - 1)?;
    let targets = ids.narrow(1, 1, length - 1)?.reshape(&[rows])?;
    let loss = logits
        .reshape(&[rows, decoder.graph.vocab_size])?
        .cross_entropy(&targets)?
        .mean_all()?;
    let gradients = Tensor::backward(&loss, &parameters.values().collect::<Vec<_>>())?;
    Ok((loss.to_f64()?, parameters.into_keys().zip(gradients).collect()))
}

#[cfg(test)]
mod tests {
    use prunebench_model::graph::{Architecture, AttentionShape, BlockShape, FfnShape, Graph, Rope, RopeScaling, Step};
    use prunebench_tensor::{DType, Device, Engine};

    use super::*;

    const SEQUENCES: [&[u32]; 2] = [&[1, 5, 9, 2, 7, 7], &[3, 3, 8, 0, 10, 4]];

    fn graph() -> Graph {
        let block = BlockShape {
            attention: Some(AttentionShape {
                heads: 4,
                kv_heads: 2,
                head_dim: 4,
                qkv_bias: true,
                qk_norm: true,
                window: Some(4),
            }),
            ffn: Some(FfnShape { width: 12 }),
        };
        Graph {
            architecture: Architecture::Qwen3,
            vocab_size: 11,
            hidden_size: 8,
            rms_norm_eps: 1e-5,
            max_position_embeddings: 32,
            tie_word_embeddings: true,
            bos_token_id: None,
            eos_token_ids: vec![],
            rope: Rope {
                theta: 100.0,
                scaling: RopeScaling::None,
            },
            blocks: vec![block; 3],
            steps: vec![Step::Block(0), Step::ParallelSublayers(vec![1, 2])],
        }
    }

    /// The random decoder, with `shift` added to element `index` of parameter `name`.
    fn decoder(device: &Device, name: &str, index: usize, shift: f64) -> Decoder {
        let mut seed = 0;
        Decoder::from_parameters(graph(), |parameter, shape| {
            seed += 1;
            let mut values = Tensor::randn(shape, seed, DType::F64, device)?
                .mul_scalar(0.5)?
                .to_vec::<f64>()?;
            if parameter == name {
                values[index] += shift;
            }
            Ok(Tensor::from_slice(&values, shape, device)?)
        })
        .unwrap()
    }

    #[test]
    fn gradients_of_every_parameter_equal_central_differences() {
        for &engine in Engine::compiled() {
            let device = Device::cpu(engine);
            let (_, gradients) = loss_and_gradients(&decoder(&device, "", 0, 0.0), &SEQUENCES).unwrap();
            let loss = |name: &str, index, shift| {
                let shifted = decoder(&device, name, index, shift);
                let nll = shifted.negative_log_likelihood(&SEQUENCES).unwrap();
                // The loss itself, in f64: likelihoods come back as f32.
                let (loss, _) = loss_and_gradients(&shifted, &SEQUENCES).unwrap();
                let mean = nll.iter().flatten().map(|&x| x as f64).sum::<f64>() / 10.0;
                assert!(
                    (mean - loss).abs() < 1e-5,
                    "the loss is the mean negative log-likelihood"
                );
                loss
            };
            assert!(gradients.len() > 40);
            for (name, gradient) in &gradients {
                let gradient = gradient.to_f64_vec().unwrap();
                assert!(gradient.iter().any(|&g| g != 0.0), "{engine}: {name} has no gradient");
                let index = gradient.len() * 2 / 3;
                let step = 1e-5;
                let want = (loss(name, index, step) - loss(name, index, -step)) / (2.0 * step);
                let got = gradient[index];
                assert!(
                    (got - want).abs() < 1e-7 + 1e-5 * want.abs(),
                    "{engine}: {name}[{index}]: {got}, want {want}"
                );
            }
        }
    }
}
