use prunebench_datasets::Scoring;
use prunebench_model::Decoder;
use prunebench_model::graph::{
    Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Rope, RopeScaling, Step,
};
use prunebench_results::MeasurementError;
use prunebench_tensor::{DType, Device, Engine, Tensor};

use super::*;
use crate::Error;

/// One block over a vocabulary of 32, its weights drawn by the name's length.
pub(crate) fn small_decoder(engine: Engine) -> Decoder {
    let graph = Graph {
        architecture: Architecture::Llama,
        vocab_size: 32,
        hidden_size: 8,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 64,
        tie_word_embeddings: true,
        bos_token_id: None,
        eos_token_ids: vec![0],
        rope: Some(Rope {
            theta: 1e4,
            scaling: RopeScaling::None,
        }),
        norm: NormKind::Rms,
        head_bias: false,
        stream_gates: false,
        blocks: vec![BlockShape {
            attention: Some(AttentionShape {
                heads: 2,
                kv_heads: 2,
                head_dim: 4,
                qkv_bias: false,
                qk_norm: false,
                window: None,
                ..AttentionShape::default()
            }),
            ffn: Some(FfnShape {
                width: 16,
                ..FfnShape::default()
            }),
            ..BlockShape::default()
        }],
        steps: vec![Step::Block(0)],
    };
    Decoder::from_parameters(graph, |name, shape| {
        let noise = Tensor::randn(shape, name.len() as u64, DType::F32, &Device::cpu(engine))?;
        Ok(noise.mul_scalar(0.5)?)
    })
    .unwrap()
}

fn protocol(window: usize) -> Protocol {
    Protocol {
        id: format!("a/stream-{window}@1"),
        data_set: "a".into(),
        split: "test".into(),
        scoring: Scoring::Stream { window },
    }
}

fn ids(count: u32) -> Vec<u32> {
    (0..count).map(|i| (i * i + 3 * i) % 32).collect()
}

#[test]
fn every_window_is_scored_alone_and_the_tail_never() {
    for &engine in Engine::compiled() {
        let decoder = small_decoder(engine);
        let ids = ids(27);
        let result = score(&decoder, &ids, &protocol(8), None, &mut |_, _| {}).unwrap();
        assert_eq!((result.windows, result.windows_available), (3, 3));
        assert_eq!((result.tail_tokens_dropped, result.tokens_scored), (3, 21));
        for (index, window) in ids.chunks_exact(8).enumerate() {
            let logits = decoder.forward(&decoder.ids(&[window]).unwrap()).unwrap();
            let log_p = logits.log_softmax().unwrap().to_f64_vec().unwrap();
            let expected: f64 = (1..8).map(|t| -log_p[(t - 1) * 32 + window[t] as usize]).sum();
            assert!(
                (result.window_nll[index] - expected).abs() < 1e-4,
                "{engine} window {index}"
            );
        }
        assert!((result.value - (result.total_nll / 21.0).exp()).abs() < 1e-9);
    }
}

#[test]
fn a_limit_scores_the_first_windows_and_progress_reaches_the_end() {
    let decoder = small_decoder(Engine::compiled()[0]);
    let mut heard = Vec::new();
    let limited = score(&decoder, &ids(64), &protocol(8), Some(2), &mut |done, all| {
        heard.push((done, all));
    })
    .unwrap();
    let all = score(&decoder, &ids(64), &protocol(8), None, &mut |_, _| {}).unwrap();
    assert_eq!((limited.windows, limited.windows_available), (2, 8));
    for (a, b) in limited.window_nll.iter().zip(&all.window_nll) {
        assert!((a - b).abs() < 1e-4);
    }
    assert_eq!((heard.first(), heard.last()), (Some(&(0, 2)), Some(&(2, 2))));
}

#[test]
fn a_loss_that_is_no_number_names_its_window() {
    let mut decoder = small_decoder(Engine::compiled()[0]);
    let nan = decoder.final_norm.gain.mul_scalar(f64::NAN).unwrap();
    decoder.final_norm.gain = nan;
    let error = score(&decoder, &ids(64), &protocol(8), None, &mut |_, _| {}).unwrap_err();
    assert!(
        matches!(error, Error::Measurement(MeasurementError::Loss { index: 0, .. })),
        "{error}"
    );
    assert!(error.to_string().contains("document 0"), "{error}");
}

#[test]
fn a_text_shorter_than_a_window_is_an_error() {
    let decoder = small_decoder(Engine::compiled()[0]);
    let error = score(&decoder, &ids(7), &protocol(8), None, &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("7 tokens"), "{error}");
}
