use prunebench_model::graph::{DEFAULT_DELTA, DeltaShape, Step};
use prunebench_model::{Decoder, Initialisation, LinearName};
use prunebench_tensor::{DType, Device, Engine};

use super::*;
use crate::perplexity::tests::small_decoder;

const REQUEST: ThroughputRequest = ThroughputRequest {
    prompt_tokens: 6,
    generated_tokens: 4,
    batch: 2,
    repeats: 3,
    warmup: 1,
    tensor_parallel: None,
    ceilings: false,
};

#[test]
fn rates_count_every_prompt_token_and_every_interval_between_generated_tokens() {
    for &engine in Engine::compiled() {
        let mut repeats = Vec::new();
        let result = throughput(&mut small_decoder(engine), &REQUEST, 5, 0, &mut |done, all| {
            repeats.push((done, all));
        })
        .unwrap();
        assert_eq!((result.prefill.tokens, result.decode.tokens), (12, 6));
        assert_eq!((result.prefill.seconds.len(), result.decode.seconds.len()), (3, 3));
        assert_eq!((result.batch, result.threads), (2, 5));
        assert!(result.first_call_s > 0.0);
        let first = result.first_token.unwrap();
        assert_eq!((first.tokens, first.seconds.len()), (2, 3));
        assert!(result.stacked_projections && result.ceilings.is_none() && result.gpu.is_none());
        assert_eq!((result.tensor_parallel, result.all_reduces_per_token), (None, None));
        assert_eq!(repeats, [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]);
    }
}

#[test]
fn ranks_make_the_same_passes_and_their_all_reduces_are_counted_per_token() {
    for &engine in Engine::compiled() {
        // A pair over two ranks, of which each has the attention of one block.
        let mut decoder = small_decoder(engine);
        decoder.graph.blocks.push(decoder.graph.blocks[0].clone());
        decoder.blocks.push(decoder.blocks[0].clone());
        decoder.graph.steps = vec![Step::ParallelSublayers(vec![0, 1])];
        let ranks = TensorParallel {
            ranks: 2,
            all_reduce_latency_us: 1,
        };
        let request = ThroughputRequest {
            tensor_parallel: Some(ranks),
            ..REQUEST
        };
        let mut repeats = Vec::new();
        let result = throughput(&mut decoder, &request, 2, 0, &mut |done, all| repeats.push((done, all))).unwrap();
        assert_eq!((result.prefill.seconds.len(), result.decode.seconds.len()), (3, 3));
        assert_eq!(
            (result.tensor_parallel, result.all_reduces_per_token),
            (Some(ranks), Some(2))
        );
        assert!(!result.stacked_projections);
        assert_eq!(repeats, [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]);
    }
}

#[test]
fn a_block_that_borrows_with_a_delta_is_timed() {
    for &engine in Engine::compiled() {
        let mut graph = small_decoder(engine).graph;
        let mut slot = graph.blocks[0].clone();
        let delta = DeltaShape {
            name: DEFAULT_DELTA.to_owned(),
            rank: 1,
            scale: 1.0,
            keeps_zeros: false,
        };
        (slot.borrows, slot.deltas) = (Some(0), [(LinearName::Q, vec![delta])].into());
        graph.blocks.push(slot);
        graph.steps.push(Step::Block(1));
        let device = Device::cpu(engine);
        let mut decoder = Decoder::initialise(graph, Initialisation::Normal, 1, DType::F32, &device).unwrap();
        let result = throughput(&mut decoder, &REQUEST, 5, 0, &mut |_, _| ()).unwrap();
        assert!(result.stacked_projections);
        assert_eq!(result.decode.seconds.len(), 3);
    }
}

#[test]
fn a_full_cache_is_timed_up_to_the_last_position() {
    let request = ThroughputRequest {
        prompt_tokens: 61,
        repeats: 1,
        ..REQUEST
    };
    for &engine in Engine::compiled() {
        assert!(throughput(&mut small_decoder(engine), &request, 1, 0, &mut |_, _| {}).is_ok());
    }
}

#[test]
fn a_request_that_times_nothing_is_refused_with_its_reason() {
    let mut decoder = small_decoder(Engine::compiled()[0]);
    let mut refused = |request: ThroughputRequest, wanted: &str| {
        let error = throughput(&mut decoder, &request, 1, 0, &mut |_, _| {})
            .unwrap_err()
            .to_string();
        assert!(error.contains(wanted), "{error}");
    };
    refused(
        ThroughputRequest {
            prompt_tokens: 0,
            ..REQUEST
        },
        "prompt_tokens 0",
    );
    refused(ThroughputRequest { batch: 0, ..REQUEST }, "batch 0");
    refused(ThroughputRequest { repeats: 0, ..REQUEST }, "repeats 0");
    refused(ThroughputRequest { warmup: 0, ..REQUEST }, "warmup is 0");
    refused(
        ThroughputRequest {
            generated_tokens: 1,
            ..REQUEST
        },
        "at least 2",
    );
    refused(
        ThroughputRequest {
            generated_tokens: usize::MAX,
            ..REQUEST
        },
        "64 positions",
    );
    refused(
        ThroughputRequest {
            prompt_tokens: 62,
            ..REQUEST
        },
        "64 positions",
    );
    refused(
        ThroughputRequest {
            tensor_parallel: Some(TensorParallel {
                ranks: 2,
                all_reduce_latency_us: 0,
            }),
            ..REQUEST
        },
        "2 ranks",
    );
}
