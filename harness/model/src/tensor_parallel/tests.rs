use std::sync::Mutex;
use std::time::Instant;

use prunebench_tensor::{DType, Device, Engine, Tensor};

use super::*;
use crate::graph::{
    Architecture, AttentionShape, BlockShape, DEFAULT_DELTA, DeltaShape, FfnShape, Graph, NormKind, Rope, RopeScaling,
    Step,
};
use crate::{Delta, LinearName, Result, Sampling};

const IDS: [u32; 8] = [3, 1, 4, 1, 5, 9, 2, 6];

/// Four blocks with every bias and grouped heads.
fn decoder(steps: Vec<Step>, engine: Engine) -> Decoder {
    let block = BlockShape {
        attention: Some(AttentionShape {
            heads: 8,
            kv_heads: 4,
            head_dim: 4,
            qkv_bias: true,
            qk_norm: true,
            o_bias: true,
            ..AttentionShape::default()
        }),
        ffn: Some(FfnShape {
            width: 40,
            bias: true,
            ..FfnShape::default()
        }),
        ..BlockShape::default()
    };
    let graph = Graph {
        architecture: Architecture::Gpt,
        vocab_size: 32,
        hidden_size: 16,
        rms_norm_eps: 1e-6,
        max_position_embeddings: 64,
        tie_word_embeddings: false,
        bos_token_id: None,
        eos_token_ids: vec![],
        rope: Some(Rope {
            theta: 1e4,
            scaling: RopeScaling::None,
        }),
        norm: NormKind::Rms,
        head_bias: false,
        stream_gates: false,
        blocks: vec![block; 4],
        steps,
    };
    let mut seed = 7;
    Decoder::from_parameters(graph, |_, shape| {
        seed += 1;
        let noise = Tensor::randn(shape, seed, DType::F32, &Device::cpu(engine))?;
        Ok(noise.mul_scalar(0.3)?)
    })
    .unwrap()
}

fn sequential() -> Vec<Step> {
    (0..4).map(Step::Block).collect()
}

/// A pair between single blocks, one of which runs a second time.
fn paired() -> Vec<Step> {
    vec![
        Step::Block(0),
        Step::ParallelSublayers(vec![1, 2]),
        Step::Block(3),
        Step::Block(0),
    ]
}

fn each(check: impl Fn(&Decoder, &str)) {
    for &engine in Engine::compiled() {
        for steps in [sequential(), paired()] {
            let case = format!("{engine}, {steps:?}");
            check(&decoder(steps, engine), &case);
        }
    }
}

fn at_once(decoder: &Decoder) -> Result<Vec<f64>> {
    Ok(decoder.forward(&decoder.ids(&[&IDS])?)?.to_f64_vec()?)
}

/// Logits of the same tokens with a KV cache: a prompt of five, and then one at a time.
fn one_by_one(decoder: &Decoder) -> Result<Vec<f64>> {
    let mut cache = decoder.cache(1, IDS.len())?;
    let mut logits = Vec::new();
    for ids in [&IDS[..5], &IDS[5..6], &IDS[6..7], &IDS[7..]] {
        let hidden = decoder.hidden(&decoder.ids(&[ids])?, Some(&mut cache), &mut |_, _| Ok(()))?;
        logits.extend(decoder.logits(&hidden)?.to_f64_vec()?);
    }
    Ok(logits)
}

fn assert_close(found: &[f64], wanted: &[f64], case: &str) {
    let largest = wanted.iter().fold(0f64, |a, b| a.max(b.abs()));
    let apart = found.iter().zip(wanted).map(|(a, b)| (a - b).abs());
    let apart = apart.fold(0f64, f64::max) / largest;
    assert!(found.len() == wanted.len() && apart < 1e-5, "{case}: {apart:e} apart");
}

fn on_ranks<T: Send>(decoder: &Decoder, ranks: usize, work: fn(&Decoder) -> Result<T>) -> Vec<(T, u64)> {
    run(decoder, ranks, Duration::ZERO, |rank, group| {
        work(rank).map(|answer| (answer, group.all_reduces()))
    })
    .unwrap()
}

#[test]
fn prefill_over_ranks_gives_the_logits_of_one_decoder_with_two_all_reduces_a_step() {
    each(|decoder, case| {
        let wanted = at_once(decoder).unwrap();
        for ranks in [1, 2, 4] {
            let answers = on_ranks(decoder, ranks, at_once);
            assert_eq!(answers.len(), ranks);
            for (logits, all_reduces) in answers {
                assert_close(&logits, &wanted, case);
                assert_eq!(all_reduces, 2 * decoder.graph.steps.len() as u64);
                assert_eq!(all_reduces, decoder.accounting().unwrap().collectives_per_token);
            }
        }
    });
}

#[test]
fn cached_decoding_over_ranks_equals_recomputing_and_one_decoder() {
    let greedy: fn(&Decoder) -> Result<Vec<u32>> = |rank| rank.generate(&IDS, 6, &Sampling::Greedy, &[]);
    each(|decoder, case| {
        let wanted = at_once(decoder).unwrap();
        assert_close(&one_by_one(decoder).unwrap(), &wanted, case);
        for ranks in [1, 2, 4] {
            for (logits, all_reduces) in on_ranks(decoder, ranks, one_by_one) {
                assert_close(&logits, &wanted, case);
                assert_eq!(all_reduces, 4 * 2 * decoder.graph.steps.len() as u64);
            }
            for (tokens, _) in on_ranks(decoder, ranks, greedy) {
                assert_eq!(tokens, greedy(decoder).unwrap(), "{case}");
            }
        }
    });
}

#[test]
fn a_pair_gives_the_same_as_it_is_and_fused_and_over_two_ranks_fused_or_not() {
    for &engine in Engine::compiled() {
        let steps = vec![Step::Block(0), Step::ParallelSublayers(vec![1, 2]), Step::Block(3)];
        let mut pair = decoder(steps, engine);
        // Only heads with one norm can be fused.
        let first = pair.blocks[1].attention.clone().unwrap().linears.unwrap();
        let second = pair.blocks[2].attention.as_mut().unwrap().linears.as_mut().unwrap();
        (second.q_norm, second.k_norm) = (first.q_norm, first.k_norm);
        let mut fused = pair.clone();
        fused.fuse_parallel_sublayers().unwrap();
        assert_eq!(fused.blocks.len(), 3);
        let wanted = at_once(&pair).unwrap();
        for decoder in [&pair, &fused] {
            assert_close(&at_once(decoder).unwrap(), &wanted, "one decoder");
            assert_close(&one_by_one(decoder).unwrap(), &wanted, "one decoder, cached");
            for work in [at_once, one_by_one] {
                for (logits, _) in on_ranks(decoder, 2, work) {
                    assert_close(&logits, &wanted, "two ranks");
                }
            }
        }
    }
}

#[test]
fn a_rank_holds_its_share_of_the_blocks_and_of_the_cache() {
    let decoder = decoder(paired(), Engine::compiled()[0]);
    let whole = decoder.accounting().unwrap();
    for ranks in [2, 4] {
        let sizes = on_ranks(&decoder, ranks, |rank| rank.accounting());
        for (share, _) in sizes {
            assert_eq!(share.kv_bytes_per_token * ranks as u64, whole.kv_bytes_per_token);
            assert_eq!(share.effective_depth, whole.effective_depth);
        }
    }
}

#[test]
fn an_adapter_is_merged_before_it_is_split() {
    let mut decoder = decoder(paired(), Engine::compiled()[0]);
    for block in 0..decoder.blocks.len() {
        for name in LinearName::ALL {
            let weight = &decoder.blocks[block].linear(name).unwrap().weight;
            let (size, device) = ([weight.dim(0).unwrap(), weight.dim(1).unwrap()], weight.device());
            let shape = DeltaShape {
                name: DEFAULT_DELTA.to_owned(),
                rank: 2,
                scale: 0.1,
                keeps_zeros: false,
            };
            let mut delta = Delta::start(shape, size, 5, DType::F32, &device).unwrap();
            delta.up = Tensor::randn(&[size[0], 2], 5, DType::F32, &device).unwrap();
            decoder.add_delta(block, name, delta).unwrap();
        }
    }
    let wanted = at_once(&decoder).unwrap();
    for (logits, _) in on_ranks(&decoder, 2, at_once) {
        assert_close(&logits, &wanted, "adapters");
    }
}

#[test]
fn a_rank_that_fails_or_panics_or_stops_early_ends_the_others_with_its_name_and_cause() {
    let decoder = decoder(paired(), Engine::compiled()[0]);
    type Ending = fn() -> Result<()>;
    let endings: [(Ending, &str); 3] = [
        (|| Err(ModelError::Graph("the disk is on fire".to_owned())), "on fire"),
        (|| panic!("the roof fell in"), "the roof fell in"),
        (|| Ok(()), "ended after 8 all-reduces"),
    ];
    for (ending, cause) in endings {
        let heard = Mutex::new(Vec::new());
        let error = run(&decoder, 4, Duration::ZERO, |rank, group| {
            at_once(rank)?;
            if group.rank() == 2 {
                return ending();
            }
            let answer = at_once(rank).map(|_| ());
            heard
                .lock()
                .unwrap()
                .extend(answer.as_ref().err().map(ToString::to_string));
            answer
        });
        let (error, heard) = (error.unwrap_err().to_string(), heard.into_inner().unwrap());
        assert!(error.contains(cause), "{error}");
        assert_eq!(heard.len(), 3);
        for error in heard {
            assert!(error.contains("rank 2") && error.contains(cause), "{error}");
        }
    }
}

#[test]
fn parts_that_cannot_be_added_end_every_rank() {
    let decoder = decoder(sequential(), Engine::compiled()[0]);
    let device = decoder.device();
    let error = run(&decoder, 2, Duration::ZERO, |_, group| {
        let part = Tensor::zeros(&[2 + group.rank()], DType::F32, &device)?;
        group.all_reduce_sum(&part)
    });
    assert!(matches!(error, Err(ModelError::Tensor(_))), "{error:?}");
}

#[test]
fn sums_are_added_in_the_order_of_ranks_whoever_comes_first() {
    let decoder = decoder(sequential(), Engine::compiled()[0]);
    let device = decoder.device();
    // Added in another order they make 1.
    let parts = [1e8f32, 1.0, -1e8, 0.0];
    let sums = run(&decoder, 4, Duration::ZERO, |_, group| -> Result<f64> {
        let part = Tensor::from_slice(&[parts[group.rank()]], &[1], &device)?;
        (0..200).try_fold(0.0, |sum, _| Ok(sum + group.all_reduce_sum(&part)?.to_f64()?))
    });
    assert_eq!(sums.unwrap(), [0.0; 4]);
}

#[test]
fn a_sum_comes_no_sooner_than_the_latency() {
    let decoder = decoder(sequential(), Engine::compiled()[0]);
    let latency = Duration::from_millis(1);
    let spent = run(&decoder, 2, latency, |rank, _| {
        let start = Instant::now();
        at_once(rank).map(|_| start.elapsed())
    });
    assert!(spent.unwrap().into_iter().all(|spent| spent >= 8 * latency));
}

#[test]
fn what_ranks_cannot_share_evenly_is_refused_with_its_numbers() {
    let engine = Engine::compiled()[0];
    let refused = |decoder: &Decoder, ranks: usize, wanted: &[&str]| {
        let error = run(decoder, ranks, Duration::ZERO, |rank, _| at_once(rank)).unwrap_err();
        let error = error.to_string();
        assert!(wanted.iter().all(|wanted| error.contains(wanted)), "{error}");
    };
    let single = decoder(sequential(), engine);
    refused(&single, 0, &["0 ranks"]);
    refused(&single, 3, &["8 query heads", "block 0", "3 ranks"]);
    refused(&single, 8, &["4 key heads", "block 0", "8 ranks"]);
    let mut narrow = single.clone();
    narrow.graph.blocks[1].ffn.as_mut().unwrap().width = 41;
    refused(&narrow, 2, &["41 FFN columns", "block 1", "2 ranks"]);
    let odd = decoder(vec![Step::ParallelSublayers(vec![1, 2])], engine);
    refused(&odd, 3, &["[1, 2]", "3 ranks", "even"]);
    refused(&odd, 16, &["4 key heads", "8 ranks"]);
    let whole = decoder(vec![Step::Parallel(vec![1, 2])], engine);
    refused(&whole, 2, &["step 0", "[1, 2]", "2 ranks"]);
    let three = decoder(vec![Step::ParallelSublayers(vec![0, 1, 2])], engine);
    refused(&three, 2, &["[0, 1, 2]"]);
    let mut mixed = odd;
    (mixed.graph.blocks[2].attention, mixed.blocks[2].attention) = (None, None);
    refused(&mixed, 2, &["[1, 2]", "only one"]);
}
