//! Blocks that borrow, low-rank deltas and blocks of different shapes, through everything that a decoder can do.

use prunebench_model::graph::{BlockShape, Step};
use prunebench_model::{Decoder, LinearName, Packed, Sampling, Units, checkpoint, tensor_parallel};
use prunebench_tensor::{DType, Device, Tensor};

use crate::small::{IDS, KINDS, Kind, assert_close, deltas, logits, patchwork, random};

fn models(device: &Device) -> impl Iterator<Item = (Kind, Decoder)> {
    KINDS
        .into_iter()
        .map(move |kind| (kind, random(patchwork(kind), DType::F32, device)))
}

/// The patchwork with every block a plain one: lent matrices copied, deltas added to them.
fn spelt_out(decoder: &Decoder) -> Vec<Tensor> {
    let product = |delta: &prunebench_model::Delta, weight: &Tensor| {
        let product = delta
            .up
            .matmul(&delta.down)
            .unwrap()
            .mul_scalar(delta.shape.scale)
            .unwrap();
        match delta.shape.keeps_zeros {
            false => product,
            true => {
                let nonzero: Vec<f32> = weight
                    .to_f64_vec()
                    .unwrap()
                    .iter()
                    .map(|&w| f32::from(w != 0.0))
                    .collect();
                let mask = Tensor::from_slice(&nonzero, &weight.shape(), &weight.device()).unwrap();
                product.mul(&mask).unwrap()
            }
        }
    };
    let mut weights = Vec::new();
    for block in 0..decoder.blocks.len() {
        let lender = decoder.graph.lender(block);
        for name in LinearName::ALL {
            let Some(linear) = decoder.blocks[lender].linear(name) else {
                continue;
            };
            let own = if lender == block {
                &[]
            } else {
                decoder.blocks[block].deltas(name)
            };
            let deltas = decoder.blocks[lender].deltas(name).iter().chain(own);
            let sum = deltas.fold(linear.weight.clone(), |sum, delta| {
                sum.add(&product(delta, &linear.weight)).unwrap()
            });
            weights.push(sum);
        }
    }
    weights
}

#[test]
fn a_borrowed_block_computes_what_a_copy_with_its_deltas_added_would() {
    for device in Device::available() {
        for (kind, decoder) in models(&device) {
            let mut graph = decoder.graph.clone();
            for shape in &mut graph.blocks {
                (shape.borrows, shape.deltas) = (None, Default::default());
            }
            let mut weights = spelt_out(&decoder).into_iter();
            let copies = Decoder::from_parameters(graph, |name, _| {
                let block = name
                    .strip_prefix("model.layers.")
                    .and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
                if name.ends_with("_proj.weight") {
                    return Ok(weights.next().unwrap());
                }
                let lent =
                    name.ends_with(".bias") || name.ends_with("q_norm.weight") || name.ends_with("k_norm.weight");
                let from = match block {
                    Some(block) if lent => {
                        name.replacen(&format!(".{block}."), &format!(".{}.", decoder.graph.lender(block)), 1)
                    }
                    _ => name.to_owned(),
                };
                let (_, found) = decoder
                    .parameters()
                    .into_iter()
                    .find(|(name, _)| *name == from)
                    .unwrap();
                Ok(found.clone())
            });
            let what = format!("{device}, {}", kind.name);
            assert_close(&logits(&decoder), &logits(&copies.unwrap()), 1e-5, &what);
        }
    }
}

#[test]
fn every_tensor_is_in_the_one_list_and_changes_the_logits() {
    let device = Device::available()[0];
    let mut gated = random(patchwork(KINDS[1]), DType::F32, &device);
    let listed: Vec<_> = gated.graph.parameters();
    let found: Vec<_> = gated
        .parameters()
        .into_iter()
        .map(|(name, tensor)| (name, tensor.shape()))
        .collect();
    let sorted = |mut list: Vec<(String, Vec<usize>)>| {
        list.sort();
        list
    };
    assert_eq!(sorted(found), sorted(listed.clone()));
    let before = logits(&gated);
    for (changed, _) in &listed {
        let other = gated.map_parameters(|name, tensor| match name == changed {
            true => Ok(tensor.mul_scalar(1.5)?.add_scalar(0.01)?),
            false => Ok(tensor.clone()),
        });
        let moved = logits(&other.unwrap())
            .iter()
            .zip(&before)
            .any(|(a, b)| (a - b).abs() > 1e-6);
        assert!(moved, "{changed} decides nothing");
    }
    gated.merge_deltas().unwrap();
    let left = gated
        .parameters()
        .into_iter()
        .filter(|(name, _)| name.contains(".lora_"));
    // Two slots of seven linears.
    assert_eq!(left.count(), 2 * 7 * 2);
    assert_close(&logits(&gated), &before, 1e-5, "merged");
}

#[test]
fn a_saved_model_loads_to_the_same_bits_and_its_logits() {
    for device in Device::available() {
        for (kind, decoder) in models(&device) {
            for dtype in [DType::F32, DType::BF16] {
                let decoder = decoder.map_parameters(|_, tensor| Ok(tensor.to_dtype(dtype)?)).unwrap();
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("model");
                checkpoint::save(&decoder, None, &path).unwrap();
                let loaded = checkpoint::load(&path, &device, dtype).unwrap().decoder;
                assert_eq!(loaded.graph, decoder.graph, "{}", kind.name);
                for ((name, found), (_, wanted)) in loaded.parameters().iter().zip(decoder.parameters()) {
                    assert_eq!(found.to_f64_vec().unwrap(), wanted.to_f64_vec().unwrap(), "{name}");
                }
                assert_eq!(logits(&loaded), logits(&decoder), "{device}, {}", kind.name);
            }
        }
    }
}

#[test]
fn cached_generation_and_packed_scoring_are_those_of_the_whole_forward_pass() {
    for device in Device::available() {
        for (kind, mut decoder) in models(&device) {
            for stream in [false, true] {
                if stream {
                    // Outputs that are normalised and gates of the stream exclude each other.
                    decoder = kind.model(DType::F32, &device);
                    let gates = Tensor::from_slice(&[[0.0f32, 1.0, 0.5]; 8].concat(), &[24], &device).unwrap();
                    decoder.gate(Units::Stream, &gates).unwrap();
                }
                let what = format!("{device}, {}, {stream}", kind.name);
                let tokens = decoder.generate(&IDS, 12, &Sampling::Greedy, &[]).unwrap();
                let mut ids = IDS.to_vec();
                for token in &tokens {
                    let logits = decoder.forward(&decoder.ids(&[&ids]).unwrap()).unwrap();
                    let last = logits.narrow(1, ids.len() - 1, 1).unwrap();
                    let next = last.argmax(2).unwrap().to_vec::<i64>().unwrap()[0] as u32;
                    assert_eq!(next, *token, "{what}");
                    ids.push(next);
                }
                let sequences: [&[u32]; 2] = [&IDS, &IDS[..4]];
                let packed = Packed::new(&sequences, 0);
                let rows = decoder.logits(&decoder.hidden_packed(&packed, None).unwrap()).unwrap();
                let rows = rows.to_f64_vec().unwrap();
                let row = packed.row(0, IDS.len() - 1).unwrap();
                let vocab = decoder.graph.vocab_size;
                let wanted = &logits(&decoder)[(IDS.len() - 1) * vocab..];
                assert_close(&rows[row * vocab..(row + 1) * vocab], wanted, 1e-5, &what);
                // Stacked for speed: the same.
                let mut stacked = decoder.clone();
                stacked.stack_projections().unwrap();
                assert_close(&logits(&stacked), &logits(&decoder), 1e-5, &what);
            }
        }
    }
}

#[test]
fn in_half_precision_a_cached_pass_has_the_logits_of_the_whole_but_for_its_rounding() {
    for device in Device::available() {
        let decoder = random(patchwork(KINDS[1]), DType::BF16, &device);
        let wanted = logits(&decoder);
        let mut cache = decoder.cache(1, IDS.len()).unwrap();
        let mut found = Vec::new();
        for part in [&IDS[..5], &IDS[5..]] {
            let ids = decoder.ids(&[part]).unwrap();
            let hidden = decoder.hidden(&ids, Some(&mut cache), &mut |_, _| Ok(())).unwrap();
            found.extend(decoder.logits(&hidden).unwrap().to_f64_vec().unwrap());
        }
        assert_close(&found, &wanted, 0.05, &format!("{device}"));
        let exact = logits(&random(patchwork(KINDS[1]), DType::F32, &device));
        assert_close(&wanted, &exact, 0.1, &format!("{device}, against f32"));
    }
}

#[test]
fn a_shared_tensor_is_stored_once_and_executed_for_each_use() {
    let device = Device::available()[0];
    let kind = KINDS[3];
    let slot = BlockShape {
        borrows: Some(1),
        deltas: deltas(&[LinearName::Q], 2),
        ..kind.block()
    };
    let plain = random(kind.graph(vec![kind.block(); 2]), DType::F32, &device)
        .accounting()
        .unwrap();
    let shared = random(kind.graph(vec![kind.block(), kind.block(), slot]), DType::F32, &device)
        .accounting()
        .unwrap();
    let norms = 2 * 24;
    let delta = 2 * (24 + 32);
    // q, k, v with their biases, o, and the three of the FFN.
    let lent = 24 * 32 + 32 + 2 * (24 * 16 + 16) + 32 * 24 + 3 * 24 * 40;
    assert_eq!(shared.stored_parameters, plain.stored_parameters + norms + delta);
    assert_eq!(
        shared.executed_parameters,
        plain.executed_parameters + norms + delta + lent
    );
    let biases = 32 + 2 * 16;
    assert_eq!(
        shared.flops_per_token,
        plain.flops_per_token + 2 * (lent - biases + delta)
    );
    assert_eq!(shared.prunable_weights, plain.prunable_weights);
    assert_eq!(shared.kv_bytes_per_token, plain.kv_bytes_per_token / 2 * 3);
}

#[test]
fn a_model_over_ranks_has_the_logits_of_one_decoder_with_all_of_it() {
    for device in Device::available() {
        let kind = KINDS[1];
        let decoder = random(patchwork(kind), DType::F32, &device);
        let wanted = logits(&decoder);
        let found = tensor_parallel::run(&decoder, 2, std::time::Duration::ZERO, |rank, _| {
            rank.forward(&rank.ids(&[&IDS])?)?
                .to_f64_vec()
                .map_err(prunebench_model::ModelError::from)
        });
        for found in found.unwrap() {
            assert_close(&found, &wanted, 1e-4, &format!("{device}"));
        }
    }
}

#[test]
fn parallel_steps_run_such_blocks_and_fuse_what_is_not_shared() {
    for device in Device::available() {
        let kind = KINDS[0];
        let mut gated = kind.block();
        gated.attention.as_mut().unwrap().scales.unit_gates = true;
        gated.ffn.as_mut().unwrap().scales.gate = true;
        gated.deltas = deltas(&LinearName::ALL, 3);
        let mut graph = kind.graph(vec![kind.block(), gated, kind.block(), kind.block()]);
        graph.steps = vec![Step::ParallelSublayers(vec![0, 1]), Step::Block(2), Step::Block(3)];
        let decoder = random(graph, DType::F32, &device);
        let mut fused = decoder.clone();
        fused.fuse_parallel_sublayers().unwrap();
        assert_eq!(fused.blocks.len(), 3);
        assert_close(&logits(&fused), &logits(&decoder), 1e-5, "fused");

        let mut borrowing = decoder.clone();
        let slot = BlockShape {
            borrows: Some(0),
            ..kind.block()
        };
        borrowing.graph.blocks[1] = slot;
        let mut borrowing = random(borrowing.graph, DType::F32, &device);
        let error = borrowing.fuse_parallel_sublayers().unwrap_err().to_string();
        assert!(error.contains("block 1 runs the linears of block 0 too"), "{error}");
        logits(&borrowing);
    }
}

#[test]
fn blocks_that_lend_stay_and_references_follow() {
    let device = Device::available()[0];
    let decoder = random(patchwork(KINDS[1]), DType::F32, &device);
    let error = decoder.clone().remove_blocks(&[4]).unwrap_err().to_string();
    assert!(
        error.contains("block 4 can't be removed: block 0 borrows its linears"),
        "{error}"
    );
    let mut fewer = decoder.clone();
    fewer.remove_blocks(&[1, 2]).unwrap();
    fewer.graph.validate().unwrap();
    let borrows: Vec<_> = fewer.graph.blocks.iter().map(|shape| shape.borrows).collect();
    assert_eq!(borrows, [Some(2), None, None, Some(2)]);
    let mut skipped = decoder.clone();
    skipped.graph.steps.retain(|step| !matches!(step, Step::Block(1 | 2)));
    assert_eq!(logits(&fewer), logits(&skipped));
    let mut all = decoder.clone();
    all.remove_blocks(&[0, 4, 5]).unwrap();
    assert_eq!(all.blocks.len(), 3);
    for (work, part) in [
        (
            decoder.clone().keep(Units::Channels(4), &[0]),
            "block 0 runs the same linears",
        ),
        (decoder.clone().keep(Units::Ffns, &[0, 1, 2, 3, 5]), "which has none"),
        (
            decoder.clone().merge_blocks(&[0, 5]),
            "its linears are those of block 4",
        ),
    ] {
        let error = work.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn graphs_and_checkpoints_that_do_not_fit_are_refused_with_the_place() {
    let device = Device::available()[0];
    let kind = KINDS[1];
    let slot = |borrows| BlockShape {
        borrows: Some(borrows),
        ..kind.block()
    };
    let with = |shape: BlockShape| {
        kind.graph(vec![kind.block(), slot(0), shape])
            .validate()
            .unwrap_err()
            .to_string()
    };
    let mut wide = slot(0);
    wide.ffn.as_mut().unwrap().width += 1;
    let delta = |rank, name: &str| {
        let mut shape = kind.block();
        shape.deltas = deltas(&[LinearName::K], rank);
        shape.deltas.get_mut(&LinearName::K).unwrap()[0].name = name.to_owned();
        shape
    };
    let mut nothing = delta(1, "default");
    nothing.attention = None;
    for (error, part) in [
        (
            with(slot(1)),
            "block 2 borrows the linears of block 1, which borrows them itself; name the block that has them, 0",
        ),
        (
            with(slot(2)),
            "block 2 borrows the linears of block 2, which borrows them itself",
        ),
        (
            with(slot(3)),
            "block 2 borrows the linears of block 3, but there are 3 blocks",
        ),
        (with(wide), "has another shape"),
        (
            with(delta(17, "default")),
            "block 2 self_attn.k_proj: a low-rank delta of rank 17; a matrix of 16 × 24 takes 1 to 16",
        ),
        (with(delta(0, "default")), "a low-rank delta of rank 0"),
        (with(delta(1, "a.b")), "a low-rank delta named `a.b`"),
        (with(nothing), "has a low-rank delta, but the block has no such linear"),
    ] {
        assert!(error.contains(part), "{error}");
    }

    let decoder = random(patchwork(kind), DType::F32, &device);
    let lost = "model.layers.5.mlp.up_proj.lora_B.weight";
    let error = Decoder::from_parameters(decoder.graph.clone(), |name, shape| match name == lost {
        true => Err(prunebench_model::ModelError::Graph(format!("no {name}"))),
        false => Ok(Tensor::zeros(shape, DType::F32, &device)?),
    });
    assert!(error.unwrap_err().to_string().contains(lost));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    checkpoint::save(&decoder, None, &path).unwrap();
    let file = path.join("model.safetensors");
    let mut tensors = checkpoint::load_tensors(&file, &device).unwrap();
    tensors.remove(lost).unwrap();
    let left: Vec<(String, &Tensor)> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    std::fs::remove_file(&file).unwrap();
    checkpoint::save_tensors(&left, &file).unwrap();
    let error = checkpoint::load(&path, &device, DType::F32).err().unwrap().to_string();
    assert!(error.contains(lost), "{error}");
}
