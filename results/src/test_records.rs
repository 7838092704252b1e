//! Records that tests write.

use crate::*;

/// A measured cell, with numbers that only an exact text keeps.
pub(crate) fn record(seed: u64) -> Record {
    let cell = Cell {
        model: "tiny".into(),
        recipe: vec!["wanda(sparsity=0.5)".into()],
        engine: "candle".into(),
        device: "cpu".into(),
        dtype: "f32".into(),
        seed,
        evaluation: Evaluation::default(),
    };
    let inputs = Inputs::from([
        (MODEL_INPUT.to_owned(), "abc".to_owned()),
        ("numerics:candle".to_owned(), "version 2".to_owned()),
    ]);
    Record {
        schema: SCHEMA,
        key: cell.key(&inputs),
        cell,
        inputs,
        experiment: "smol".into(),
        status: Status::Ok,
        error: None,
        log: Vec::new(),
        attempts: Vec::new(),
        metrics: Some(Metrics {
            perplexity: vec![PerplexityResult::from_windows("p@1".into(), vec![0.1 + 0.2, 1e-300], 3, 4, 5).unwrap()],
            throughput: Some(ThroughputResult {
                prompt_tokens: 128,
                generated_tokens: 32,
                batch: 1,
                threads: 2,
                prefill: Samples::new(128, vec![0.5, 0.7]).unwrap(),
                decode: Samples::new(31, vec![1.5, 1.7]).unwrap(),
                first_call_s: 0.9,
                tensor_parallel: None,
                all_reduces_per_token: None,
                first_token: None,
                stacked_projections: false,
                ceilings: None,
                gpu: None,
            }),
            training: None,
            tasks: vec![task()],
            compression: Compression {
                nominal_ratio: Some(0.5),
                achieved_ratio: 0.4999,
                achieved_parameter_ratio: 0.0,
                mask_sparsity: 0.4,
                method_reports: vec![MethodReport {
                    method: "wanda".into(),
                    config: serde_json::json!({"sparsity": 0.5, "b": 1, "a": null}),
                    nominal: Some(0.5),
                    achieved: 0.4999,
                    basis: "prunable weights".into(),
                    stochastic: false,
                    details: serde_json::json!({}),
                }],
            },
            accounting: Accounting {
                stored_parameters: 10,
                executed_parameters: 12,
                nonzero_parameters: 6,
                stored_bytes: 40,
                flops_per_token: 24,
                kv_bytes_per_token: 8,
                effective_depth: 2,
            },
            budget: Budget {
                calibration_tokens: 1024,
                training_tokens: 0,
                forward_passes: 2,
                cpu_seconds: 1.25,
                wall_seconds: 0.75,
                update_seconds: 0.5,
                shared: Vec::new(),
                cache_faults: Vec::new(),
            },
        }),
        samples: None,
        memory: Some(Memory {
            peak_resident_bytes: 1 << 20,
            how: "VmHWM".into(),
        }),
        provenance: Provenance {
            git_revision: Some("0123abcd".into()),
            git_dirty: false,
            prunebench_version: "0.1.0".into(),
            rustc: "rustc 1.95.0".into(),
            engine_version: "candle 0.11.1".into(),
            host: None,
            cpu: Cpu::Named("a CPU".into()),
            cores: 2,
            threads: 2,
            memory_bytes: 1 << 33,
            gpu: None,
            gpu_uuid: None,
            driver: None,
            os: "an OS".into(),
            started_at: "2025-01-01T00:00:00Z".into(),
            finished_at: "2025-01-01T00:00:09Z".into(),
        },
    }
}

/// Two documents, one of them with a likelihood that is no number.
fn task() -> TaskResult {
    let item = |document, log_likelihoods| ScoredItem {
        document,
        group: Some("a group".into()),
        log_likelihoods,
        greedy: vec![true, false],
        gold: Some(0),
        lengths: vec![ChoiceLength { chars: 1, bytes: 2 }; 2],
        divergence: Some((0.1 + 0.2, 3)),
    };
    let request = TaskRequest {
        task: "t@1".into(),
        shots: 0,
        shots_split: None,
        shots_seed: 1234,
        limit: None,
        divergence: true,
    };
    let counts = ScoringCounts {
        requests: 4,
        tokens_scored: 6,
        tokens_read: 9,
        bos_added: false,
        prefix_token: None,
        truncated_requests: 0,
        seconds: 0.25,
    };
    let items = vec![item(0, vec![-0.1, -1.0 / 3.0]), item(4, vec![f64::NEG_INFINITY, -1.0])];
    TaskResult::from_items(request, &[MetricName::Acc], items, 9, counts).unwrap()
}

/// The same cell at its time limit.
pub(crate) fn failed(seed: u64) -> Record {
    Record {
        status: Status::Timeout,
        error: Some("took longer than 60 s".into()),
        log: vec!["last words".into()],
        metrics: None,
        ..record(seed)
    }
}
