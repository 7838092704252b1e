//! Generation with a KV cache.

use prunebench_tensor::no_grad;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Decoder, ModelError, Result};

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Sampling {
    /// The most likely token; the first of equals.
    Greedy,
    /// A draw from softmax(logits / `temperature`), limited to the smallest set of tokens whose probabilities reach `top_p`.
    Nucleus {
        /// Positive; 1 leaves the model's distribution.
        temperature: f64,
        /// In (0, 1]; 1 keeps every token.
        top_p: f64,
        /// Seed of the draws.
        seed: u64,
    },
}

impl Decoder {
    /// Up to `max_new_tokens` tokens after `prompt`, ending early after a token of `stop` (which is included).
    pub fn generate(
        &self,
        prompt: &[u32],
        max_new_tokens: usize,
        sampling: &Sampling,
        stop: &[u32],
    ) -> Result<Vec<u32>> {
        let mut sampler = Sampler::new(sampling)?;
        let mut cache = self.cache(1, prompt.len() + max_new_tokens)?;
        let mut generated = Vec::with_capacity(max_new_tokens);
        let mut input = prompt.to_vec();
        while generated.len() < max_new_tokens {
            let logits = no_grad(|| -> Result<Vec<f64>> {
                let hidden = self.hidden(&self.ids(&[&input])?, Some(&mut cache), &mut |_, _| Ok(()))?;
                let last = hidden.narrow(1, input.len() - 1, 1)?;
                Ok(self.logits(&last)?.to_f64_vec()?)
            })?;
            let token = sampler.choose(&logits)?;
            generated.push(token);
            if stop.contains(&token) {
                break;
            }
            input = vec![token];
        }
        Ok(generated)
    }
}

struct Sampler {
    nucleus: Option<(f64, f64, ChaCha8Rng)>,
}

impl Sampler {
    fn new(sampling: &Sampling) -> Result<Self> {
        let nucleus = match *sampling {
            Sampling::Greedy => None,
            Sampling::Nucleus {
                temperature,
                top_p,
                seed,
            } => {
                if !(temperature > 0.0 && temperature.is_finite() && top_p > 0.0 && top_p <= 1.0) {
                    return Err(ModelError::Graph(format!(
                        "temperature {temperature} must be positive and top_p {top_p} in (0, 1]"
                    )));
                }
                Some((temperature, top_p, ChaCha8Rng::seed_from_u64(seed)))
            }
        };
        Ok(Sampler { nucleus })
    }

    fn choose(&mut self, logits: &[f64]) -> Result<u32> {
        if let Some(token) = logits.iter().position(|logit| logit.is_nan()) {
            return Err(ModelError::Graph(format!(
                "the logit of token {token} is NaN; the weights are damaged or the dtype is too narrow"
            )));
        }
        let mut order: Vec<usize> = (0..logits.len()).collect();
        let Some((temperature, top_p, rng)) = &mut self.nucleus else {
            // Of equals max_by keeps the last, so the order is reversed to keep the first.
            let best = order.into_iter().rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            return Ok(best.unwrap_or_default() as u32);
        };
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let weights: Vec<f64> = order
            .iter()
            .map(|&token| ((logits[token] - logits[order[0]]) / *temperature).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        let mut mass = 0.0;
        let kept = 1 + weights
            .iter()
            .take_while(|&&weight| {
                mass += weight;
                mass < *top_p * total
            })
            .count();
        let kept = kept.min(order.len());
        let mut draw = rng.random::<f64>() * weights[..kept].iter().sum::<f64>();
        let chosen = weights[..kept].iter().position(|&weight| {
            draw -= weight;
            draw < 0.0
        });
        Ok(order[chosen.unwrap_or(kept - 1)] as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(top_p: f64, temperature: f64) -> [usize; 3] {
        let mut sampler = Sampler::new(&Sampling::Nucleus {
            temperature,
            top_p,
            seed: 1,
        })
        .unwrap();
        let logits = [0.2f64.ln(), 0.5f64.ln(), 0.3f64.ln()];
        let mut counts = [0; 3];
        for _ in 0..4000 {
            counts[sampler.choose(&logits).unwrap() as usize] += 1;
        }
        counts
    }

    #[test]
    fn nucleus_sampling_draws_by_probability_within_top_p() {
        let [a, b, c] = draws(1.0, 1.0);
        assert!((a as f64 / 4000.0 - 0.2).abs() < 0.03 && (b as f64 / 4000.0 - 0.5).abs() < 0.03 && c > 1000);
        let [a, b, c] = draws(0.75, 1.0);
        assert!(a == 0 && (b as f64 / 4000.0 - 0.625).abs() < 0.03 && c > 0);
        assert_eq!(draws(0.4, 1.0), [0, 4000, 0]);
        assert!(draws(1.0, 0.1)[1] > 3900);
    }

    #[test]
    fn greedy_takes_the_first_of_equals_and_refuses_nan() {
        let mut sampler = Sampler::new(&Sampling::Greedy).unwrap();
        assert_eq!(sampler.choose(&[0.0, 2.0, 2.0]).unwrap(), 1);
        assert!(sampler.choose(&[0.0, f64::NAN]).is_err());
    }

    #[test]
    fn impossible_sampling_settings_are_refused() {
        for (temperature, top_p) in [(0.0, 1.0), (1.0, 0.0), (1.0, 1.5), (f64::NAN, 1.0)] {
            assert!(
                Sampler::new(&Sampling::Nucleus {
                    temperature,
                    top_p,
                    seed: 0
                })
                .is_err()
            );
        }
    }
}
