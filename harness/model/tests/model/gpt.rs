//! Decoders with learned positions, LayerNorm, ReLU and biases, against a reference in plain loops.

use std::collections::{BTreeMap, HashSet};

use prunebench_model::graph::{Activation, Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Step};
use prunebench_model::{Decoder, Initialisation, Packed, Sampling, checkpoint};
use prunebench_tensor::{DType, Device, Engine, Tensor};

const CONTEXT: usize = 40;

/// Layers, heads, their size, width, positions and vocabulary of a decoder in the manner of `weight_evolution`'s authors:
/// untied head with bias, bias on every linear but query, key and value, scores divided by the root of the width.
struct Size {
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    hidden: usize,
    context: usize,
    vocabulary: usize,
}

fn graph(size: &Size) -> Graph {
    let block = BlockShape {
        attention: Some(AttentionShape {
            heads: size.heads,
            kv_heads: size.kv_heads,
            head_dim: size.head_dim,
            o_bias: true,
            scale: Some((size.hidden as f64).powf(-0.5)),
            ..AttentionShape::default()
        }),
        ffn: Some(FfnShape {
            width: 4 * size.hidden,
            activation: Activation::Relu,
            bias: true,
            ..FfnShape::default()
        }),
        ..BlockShape::default()
    };
    Graph {
        architecture: Architecture::Gpt,
        vocab_size: size.vocabulary,
        hidden_size: size.hidden,
        rms_norm_eps: 1e-5,
        max_position_embeddings: size.context,
        tie_word_embeddings: false,
        bos_token_id: None,
        eos_token_ids: vec![],
        rope: None,
        norm: NormKind::Layer,
        head_bias: true,
        stream_gates: false,
        blocks: vec![block; size.layers],
        steps: (0..size.layers).map(Step::Block).collect(),
    }
}

/// Heads of an odd size, which only RoPE forbids, and fewer key heads than query heads.
const TINY: Size = Size {
    layers: 2,
    heads: 4,
    kv_heads: 2,
    head_dim: 3,
    hidden: 10,
    context: CONTEXT,
    vocabulary: 17,
};

fn tiny(dtype: DType, device: &Device) -> Decoder {
    let mut seed = 0;
    Decoder::from_parameters(graph(&TINY), |name, shape| {
        seed += 1;
        let noise = Tensor::randn(shape, seed, dtype, device)?.mul_scalar(0.5)?;
        Ok(match name.ends_with("norm.weight") {
            true => noise.add_scalar(1.0)?,
            false => noise,
        })
    })
    .unwrap()
}

fn engines() -> impl Iterator<Item = Device> {
    Engine::compiled().iter().map(|&engine| Device::cpu(engine))
}

fn tokens(count: usize) -> Vec<u32> {
    (0..count as u32).map(|t| (t * t * 5 + 3 * t + 1) % 17).collect()
}

struct Reference(BTreeMap<String, Vec<f64>>);

impl Reference {
    fn of(decoder: &Decoder) -> Self {
        let parameters = decoder.parameters().into_iter();
        Self(
            parameters
                .map(|(name, tensor)| (name, tensor.to_f64_vec().unwrap()))
                .collect(),
        )
    }

    fn linear(&self, x: &[f64], name: &str) -> Vec<f64> {
        let weight = &self.0[&format!("{name}.weight")];
        let bias = self.0.get(&format!("{name}.bias"));
        weight
            .chunks(x.len())
            .enumerate()
            .map(|(row, weights)| {
                let product: f64 = weights.iter().zip(x).map(|(w, x)| w * x).sum();
                product + bias.map_or(0.0, |bias| bias[row])
            })
            .collect()
    }

    fn layer_norm(&self, x: &[f64], name: &str) -> Vec<f64> {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let (gain, bias) = (&self.0[&format!("{name}.weight")], &self.0[&format!("{name}.bias")]);
        (0..x.len())
            .map(|i| (x[i] - mean) / (variance + 1e-5).sqrt() * gain[i] + bias[i])
            .collect()
    }

    fn logits(&self, ids: &[u32]) -> Vec<Vec<f64>> {
        let row = |name: &str, at: usize| &self.0[name][at * TINY.hidden..(at + 1) * TINY.hidden];
        let mut stream: Vec<Vec<f64>> = ids
            .iter()
            .enumerate()
            .map(|(position, &id)| {
                let token = row("model.embed_tokens.weight", id as usize);
                let place = row("model.embed_positions.weight", position);
                token.iter().zip(place).map(|(a, b)| a + b).collect()
            })
            .collect();
        for layer in 0..TINY.layers {
            let at = |name: &str| format!("model.layers.{layer}.{name}");
            let normed: Vec<_> = stream
                .iter()
                .map(|x| self.layer_norm(x, &at("input_layernorm")))
                .collect();
            let project = |name: &str| -> Vec<_> { normed.iter().map(|x| self.linear(x, &at(name))).collect() };
            let (q, k, v) = (
                project("self_attn.q_proj"),
                project("self_attn.k_proj"),
                project("self_attn.v_proj"),
            );
            for (position, x) in stream.iter_mut().enumerate() {
                let mut mixed = vec![0.0; TINY.heads * TINY.head_dim];
                for head in 0..TINY.heads {
                    let of_query = head * TINY.head_dim;
                    let of_key = head / (TINY.heads / TINY.kv_heads) * TINY.head_dim;
                    let weights: Vec<f64> = (0..=position)
                        .map(|earlier| {
                            let score: f64 = (0..TINY.head_dim)
                                .map(|d| q[position][of_query + d] * k[earlier][of_key + d])
                                .sum();
                            (score / (TINY.hidden as f64).sqrt()).exp()
                        })
                        .collect();
                    let total: f64 = weights.iter().sum();
                    for (earlier, weight) in weights.iter().enumerate() {
                        for d in 0..TINY.head_dim {
                            mixed[of_query + d] += weight / total * v[earlier][of_key + d];
                        }
                    }
                }
                let update = self.linear(&mixed, &at("self_attn.o_proj"));
                x.iter_mut().zip(update).for_each(|(x, update)| *x += update);
                let inner = self.layer_norm(x, &at("post_attention_layernorm"));
                let hidden: Vec<f64> = self
                    .linear(&inner, &at("mlp.up_proj"))
                    .into_iter()
                    .map(|h| if h > 0.0 { h } else { 0.0 })
                    .collect();
                let update = self.linear(&hidden, &at("mlp.down_proj"));
                x.iter_mut().zip(update).for_each(|(x, update)| *x += update);
            }
        }
        stream
            .iter()
            .map(|x| self.linear(&self.layer_norm(x, "model.norm"), "lm_head"))
            .collect()
    }
}

fn assert_near(found: &[f64], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            (found - wanted).abs() <= tolerance,
            "{what}, element {index}: {found}, want {wanted}"
        );
    }
}

#[test]
fn the_authors_model_has_their_number_of_parameters() {
    let size = Size {
        layers: 6,
        heads: 6,
        kv_heads: 6,
        head_dim: 64,
        hidden: 384,
        context: 256,
        vocabulary: 65,
    };
    let device = Device::cpu(Engine::compiled()[0]);
    let decoder = Decoder::initialise(graph(&size), Initialisation::Pytorch, 1337, DType::F32, &device).unwrap();
    let accounting = decoder.accounting().unwrap();
    assert_eq!(accounting.stored_parameters, 10_788_929);
    assert_eq!(accounting.stored_bytes, 4 * 10_788_929);
    // A token reads one row of each embedding.
    assert_eq!(
        accounting.executed_parameters,
        10_788_929 - (65 - 1) * 384 - (256 - 1) * 384
    );
    let weights = 6 * (4 * 384 * 384 + 2 * 384 * 1536);
    assert_eq!(accounting.prunable_weights, weights);
    assert_eq!(accounting.flops_per_token, 2 * (weights + 65 * 384));
    assert_eq!(accounting.flops_per_token_and_position, 6 * 4 * 384);
    assert_eq!(accounting.kv_bytes_per_token, 6 * 2 * 384 * 4);
    assert_eq!((accounting.effective_depth, accounting.collectives_per_token), (6, 12));
}

#[test]
fn logits_equal_plain_loops() {
    let ids = tokens(CONTEXT);
    for device in engines() {
        let decoder = tiny(DType::F64, &device);
        let wanted = Reference::of(&decoder).logits(&ids).concat();
        let found = decoder.forward(&decoder.ids(&[&ids]).unwrap()).unwrap();
        assert_near(&found.to_f64_vec().unwrap(), &wanted, 1e-10, &format!("{device}, f64"));

        let narrow = tiny(DType::F32, &device);
        let wanted = Reference::of(&narrow).logits(&ids).concat();
        let found = narrow.forward(&narrow.ids(&[&ids]).unwrap()).unwrap();
        assert_near(&found.to_f64_vec().unwrap(), &wanted, 1e-3, &format!("{device}, f32"));
    }
}

#[test]
fn likelihoods_score_a_window_of_one_token_more_than_the_context() {
    let ids = tokens(CONTEXT + 1);
    for device in engines() {
        let decoder = tiny(DType::F32, &device);
        let found = decoder.negative_log_likelihood(&[&ids]).unwrap().remove(0);
        let wanted: Vec<f64> = Reference::of(&decoder)
            .logits(&ids[..CONTEXT])
            .iter()
            .zip(&ids[1..])
            .map(|(logits, &next)| logits.iter().map(|x| x.exp()).sum::<f64>().ln() - logits[next as usize])
            .collect();
        assert_near(&found, &wanted, 1e-3, &device.to_string());
    }
}

#[test]
fn positions_continue_in_the_cache_and_in_packed_sequences() {
    let ids = tokens(CONTEXT);
    for device in engines() {
        let decoder = tiny(DType::F64, &device);
        let reference = Reference::of(&decoder);
        let wanted = reference.logits(&ids).concat();
        let mut cache = decoder.cache(1, CONTEXT).unwrap();
        let mut found = Vec::new();
        for part in [&ids[..7], &ids[7..8], &ids[8..20], &ids[20..]] {
            let hidden = decoder
                .hidden(&decoder.ids(&[part]).unwrap(), Some(&mut cache), &mut |_, _| Ok(()))
                .unwrap();
            found.extend(decoder.logits(&hidden).unwrap().to_f64_vec().unwrap());
        }
        assert_near(&found, &wanted, 1e-10, &format!("{device}, in parts"));

        let sequences = [
            [&ids[..9], &[1, 2]].concat(),
            [&ids[..9], &[5, 4, 3]].concat(),
            vec![8, 8],
        ];
        let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
        let packed = Packed::new(&sequences, 0);
        let logits = decoder.logits(&decoder.hidden_packed(&packed, None).unwrap()).unwrap();
        let logits = logits.to_f64_vec().unwrap();
        for (index, sequence) in sequences.iter().enumerate() {
            for (position, wanted) in reference.logits(sequence).iter().enumerate() {
                let row = packed.row(index, position).unwrap() * TINY.vocabulary;
                let what = format!("{device}, sequence {index}, position {position}");
                assert_near(&logits[row..row + TINY.vocabulary], wanted, 1e-10, &what);
            }
        }
    }
}

#[test]
fn cached_generation_gives_the_tokens_of_full_recomputation() {
    for device in engines() {
        let decoder = tiny(DType::F64, &device);
        let reference = Reference::of(&decoder);
        let mut wanted = vec![3, 11, 6];
        while wanted.len() < CONTEXT + 1 {
            let logits = reference.logits(&wanted);
            let last = logits.last().unwrap();
            let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap();
            wanted.push(best as u32);
        }
        // The last token is made from a full context, and not read.
        let found = decoder
            .generate(&wanted[..3], CONTEXT - 2, &Sampling::Greedy, &[])
            .unwrap();
        assert_eq!(found, wanted[3..], "{device}");
        assert!(found.iter().collect::<HashSet<_>>().len() > 2, "{found:?} tests little");
    }
}

#[test]
fn a_position_beyond_the_context_is_refused_with_the_context() {
    let decoder = tiny(DType::F32, &Device::cpu(Engine::compiled()[0]));
    let long = tokens(CONTEXT + 2);
    for error in [
        decoder.forward(&decoder.ids(&[&long]).unwrap()).unwrap_err(),
        decoder.negative_log_likelihood(&[&long]).unwrap_err(),
        decoder
            .generate(&long[..3], CONTEXT - 1, &Sampling::Greedy, &[])
            .unwrap_err(),
    ] {
        assert!(error.to_string().contains("context of 40 tokens"), "{error}");
    }
}

#[test]
fn a_checkpoint_gives_the_same_model_back() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let device = Device::cpu(Engine::compiled()[0]);
    let first = tiny(DType::F32, &device);
    checkpoint::save(&first, None, &out).unwrap();
    assert!(out.join("prunebench_graph.json").exists());
    let second = checkpoint::load(&out, &device, DType::F32).unwrap().decoder;
    assert_eq!(first.graph, second.graph);
    let ids = first.ids(&[&tokens(CONTEXT)]).unwrap();
    let logits = |decoder: &Decoder| decoder.forward(&ids).unwrap().to_f64_vec().unwrap();
    assert_eq!(logits(&first), logits(&second));
}
