use prunebench_tensor::Engine;

use super::*;
use crate::perplexity::tests::small_decoder;

const REQUEST: ThroughputRequest = ThroughputRequest {
    prompt_tokens: 6,
    generated_tokens: 4,
    batch: 2,
    repeats: 3,
    warmup: 1,
};

#[test]
fn rates_count_every_prompt_token_and_every_interval_between_generated_tokens() {
    for &engine in Engine::compiled() {
        let mut repeats = Vec::new();
        let result = throughput(&small_decoder(engine), &REQUEST, 5, 0, &mut |done, all| {
            repeats.push((done, all));
        })
        .unwrap();
        assert_eq!((result.prefill.tokens, result.decode.tokens), (12, 6));
        assert_eq!((result.prefill.seconds.len(), result.decode.seconds.len()), (3, 3));
        assert_eq!((result.batch, result.threads), (2, 5));
        assert!(result.first_call_s > 0.0);
        assert_eq!(repeats, [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]);
    }
}

#[test]
fn a_request_that_times_nothing_is_refused_with_its_reason() {
    let decoder = small_decoder(Engine::compiled()[0]);
    let refused = |request: ThroughputRequest, wanted: &str| {
        let error = throughput(&decoder, &request, 1, 0, &mut |_, _| {})
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
}
