use prunebench_results::{
    Accounting, Budget, Cell, Compression, Cpu, Evaluation, Inputs, Memory, MethodReport, PerplexityRequest,
    PerplexityResult, Provenance, SCHEMA, Status, TensorParallel, ThroughputRequest,
};

use super::*;

const PROTOCOL: &str = "wiki/stream-3@1";

/// Ten windows of two scored tokens, whose mean losses alternate between `nll ± 0.1`.
fn losses(nll: f64) -> Vec<f64> {
    (0..10)
        .map(|w| 2.0 * (nll + if w % 2 == 0 { 0.1 } else { -0.1 }))
        .collect()
}

pub(crate) fn record(method: &str, engine: &str, seed: u64, nll: f64) -> Record {
    let cell = Cell {
        model: "tiny".into(),
        recipe: vec![method.into()],
        engine: engine.into(),
        device: "cpu".into(),
        dtype: "f32".into(),
        seed,
        evaluation: Evaluation {
            perplexity: vec![PerplexityRequest {
                protocol: PROTOCOL.into(),
                windows: Some(10),
            }],
            throughput: Some(ThroughputRequest {
                prompt_tokens: 100,
                generated_tokens: 11,
                batch: 1,
                repeats: 3,
                warmup: 1,
                tensor_parallel: None,
                ceilings: false,
            }),
            ..Evaluation::default()
        },
    };
    let inputs = Inputs::from([("model".into(), "ab".repeat(32)), ("threads".into(), "2".into())]);
    let result = PerplexityResult::from_windows(PROTOCOL.into(), losses(nll), 2, 1234, 1);
    let metrics = Metrics {
        perplexity: vec![result.unwrap()],
        throughput: Some(ThroughputResult {
            prompt_tokens: 100,
            generated_tokens: 11,
            batch: 1,
            threads: 2,
            prefill: Samples::new(100, vec![0.5, 0.25, 1.0]).unwrap(),
            decode: Samples::new(10, vec![1.0, 2.0, 4.0]).unwrap(),
            first_call_s: 1.5,
            tensor_parallel: None,
            all_reduces_per_token: None,
            first_token: None,
            stacked_projections: false,
            ceilings: None,
            gpu: None,
        }),
        training: None,
        tasks: Vec::new(),
        compression: Compression {
            nominal_ratio: Some(0.5),
            achieved_ratio: 0.4996,
            achieved_parameter_ratio: 0.0,
            mask_sparsity: 0.25,
            method_reports: vec![MethodReport {
                method: "random".into(),
                config: serde_json::json!({}),
                nominal: Some(0.5),
                achieved: 0.4996,
                basis: "prunable weights".into(),
                stochastic: true,
                details: serde_json::json!({}),
            }],
        },
        accounting: Accounting {
            stored_parameters: 134_515,
            executed_parameters: 134_515,
            nonzero_parameters: 70_000,
            stored_bytes: 538_060,
            flops_per_token: 269_030,
            kv_bytes_per_token: 1024,
            effective_depth: 4,
        },
        budget: Budget {
            calibration_tokens: 4096,
            training_tokens: 0,
            forward_passes: 2,
            cpu_seconds: 1.25,
            wall_seconds: 0.75,
            update_seconds: 0.5,
            shared: Vec::new(),
            cache_faults: Vec::new(),
        },
    };
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
        metrics: Some(metrics),
        samples: None,
        memory: Some(Memory {
            peak_resident_bytes: 300 << 20,
            how: "VmHWM".into(),
        }),
        provenance: Provenance {
            git_revision: Some("0123456789abcdef0123456789abcdef01234567".into()),
            git_dirty: true,
            prunebench_version: "0.1.0".into(),
            rustc: "rustc 1.95.0".into(),
            engine_version: format!("{engine} 1.2.3"),
            host: None,
            cpu: Cpu::Named("a CPU".into()),
            cores: 2,
            threads: 2,
            memory_bytes: 8 << 30,
            gpu: None,
            gpu_uuid: None,
            driver: None,
            os: "an OS".into(),
            started_at: "2025-01-01T00:00:00Z".into(),
            finished_at: "2025-01-01T00:00:09Z".into(),
        },
    }
}

/// The uncompressed model: nothing removed, nothing spent.
pub(crate) fn dense(engine: &str) -> Record {
    let mut record = record("dense", engine, 1, 3.0);
    let metrics = record.metrics.as_mut().unwrap();
    metrics.compression = Compression {
        nominal_ratio: None,
        achieved_ratio: 0.0,
        achieved_parameter_ratio: 0.0,
        mask_sparsity: 0.0,
        method_reports: vec![],
    };
    metrics.budget.cpu_seconds = 0.0;
    metrics.budget.calibration_tokens = 0;
    record
}

pub(crate) fn failed(method: &str, engine: &str, seed: u64) -> Record {
    Record {
        status: Status::Oom,
        error: Some("asked for 9 GiB\nand a long trace".into()),
        metrics: None,
        ..record(method, engine, seed, 0.0)
    }
}

pub(crate) fn baseline() -> Vec<String> {
    vec!["dense".into()]
}

fn markdown(records: &[Record]) -> String {
    Comparison::new(records, &baseline()).unwrap().table().to_markdown()
}

/// The entries of a table's row, as text.
fn row(records: &[Record], row: usize) -> Vec<String> {
    let baseline = baseline();
    let table = Comparison::new(records, &baseline).unwrap().table();
    table.rows[row].iter().map(ToString::to_string).collect()
}

#[test]
fn the_markdown_of_a_comparison_is_as_expected() {
    let records = [
        record("random(sparsity=0.5)", "candle", 1, 3.5),
        dense("candle"),
        failed("wanda|x", "candle", 1),
    ];
    // exp(3) = 20.09 and exp(3.5) = 33.12; the sd of ±0.1 over ten windows is 0.1054, its error
    // 0.0333, times the perplexities 0.67 and 1.10; every window is worse by the same 0.5, so the
    // ratio is exp(0.5) without any spread. Rates 200, 400, 100 and 10, 5, 2.5 a second.
    let expected = "\
**tiny, compressed and measured; experiment smol**

| method | engine | seeds | nominal ratio | achieved ratio | mask sparsity | stored parameters | perplexity wiki/stream-3@1 (± stderr) | ratio to dense (95 % interval) | prefill (tokens/s ± MAD) | decode (tokens/s ± MAD) | peak memory (MiB) | method cost (CPU s) | calibration (tokens) | status |
| :-- | :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | :-- |
| dense | candle cpu f32 | 1 | — | 0.0 % | 0.0 % | 134,515 | 20.09 ± 0.67 | 1.000 | 200.0 ± 100.0 | 5.00 ± 2.50 | 300 | 0.00 | 0 | ok |
| random(sparsity=0.5) | candle cpu f32 | 1 | 50.0 % | 50.0 % | 25.0 % | 134,515 | 33.12 ± 1.10 | 1.649 [1.649, 1.649] | 200.0 ± 100.0 | 5.00 ± 2.50 | 300 | 1.25 | 4,096 | ok |
| wanda\\|x | candle cpu f32 | 0 | — | — | — | — | — | — | — | — | — | — | — | oom: asked for 9 GiB |

- Model: tiny, content hash abababababababab; threads = 2.
- Perplexity wiki/stream-3@1: per token, n = 10 of 1234 windows, 20 tokens scored, 1 tail tokens dropped; ± is the standard error over windows (delta method).
- Ratio to dense: perplexity over that of dense on the same engine, device and dtype, of several seeds the geometric mean of theirs; 95 % interval by Student's t on the differences of the same windows' losses (taken as independent), of several seeds over seeds too.
- Prefill and decode, timed apart: 100 prompt tokens, 11 generated tokens, batch 1, 2 threads; median ± median absolute deviation of 3 repeats after 1 for warm-up, all seeds together.
- Nominal and achieved ratio are shares of: prunable weights (random). Mask sparsity is the share of stored weights that a mask makes zero; they still take memory and time.
- Peak memory: VmHWM; the highest of all seeds.
- Method cost: CPU time of all threads and tokens of calibration text that the recipe took, its forward passes included and evaluation excluded.
- Seeds: 1. Numbers are means over the seeds that succeeded; the seed sd is the standard deviation between seeds and no part of the standard error. Measured with one seed, so its seed noise is unknown: random(sparsity=0.5).
- Machine: a CPU, 2 cores, 2 threads, 8 GiB, an OS.
- Measured 2025-01-01T00:00:00Z to 2025-01-01T00:00:09Z by prunebench 0.1.0 (git 0123456789abcdef with local changes) with candle 1.2.3, rustc 1.95.0.
";
    assert_eq!(markdown(&records), expected);
}

#[test]
fn the_csv_has_every_record_unrounded() {
    let records = [
        record("random(sparsity=0.5)", "candle", 1, 3.5),
        dense("candle"),
        failed("wanda", "candle", 1),
    ];
    let baseline = baseline();
    let mut csv = Vec::new();
    Comparison::new(&records, &baseline)
        .unwrap()
        .write_csv(&mut csv)
        .unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    let headers = reader.headers().unwrap().clone();
    let lines: Vec<_> = reader.records().map(Result::unwrap).collect();
    let cell = |line: usize, column: &str| {
        let index = headers.iter().position(|header| header == column);
        lines[line].get(index.unwrap()).unwrap().to_owned()
    };
    let all = |line: usize, columns: &[&str]| {
        columns
            .iter()
            .map(|column| cell(line, column))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(lines.len(), 3);
    let identity = ["method", "seed", "status", "error", "achieved_ratio"];
    assert_eq!(all(0, &identity), "dense,1,ok,,0.0");
    assert_eq!(all(1, &identity), "random(sparsity=0.5),1,ok,,0.4996");
    assert_eq!(all(2, &identity), "wanda,1,oom,asked for 9 GiB\nand a long trace,");
    let protocol = ["protocol", "windows", "windows_available", "tokens_scored", "baseline"];
    assert_eq!(all(1, &protocol), "wiki/stream-3@1,10,1234,20,dense");
    let result = &records[0].metrics.as_ref().unwrap().perplexity[0];
    assert_eq!(cell(1, "perplexity").parse(), Ok(result.value));
    assert_eq!(cell(1, "perplexity_stderr").parse(), Ok(result.stderr.unwrap()));
    assert_eq!(cell(2, "perplexity"), "");
    for column in ["ratio_to_baseline", "ratio_low", "ratio_high"] {
        let ratio: f64 = cell(1, column).parse().unwrap();
        assert!((ratio - 0.5f64.exp()).abs() < 1e-12, "{column} {ratio}");
    }
    assert_eq!(all(0, &["ratio_to_baseline", "ratio_low"]), "1.0,");
    let speed = ["prefill_tokens_per_s", "prefill_mad", "decode_tokens_per_s", "repeats"];
    assert_eq!(all(1, &speed), "200.0,100.0,5.0,3");
    let windows: Vec<f64> = serde_json::from_str(&cell(1, "window_nll")).unwrap();
    assert_eq!(windows, records[0].metrics.as_ref().unwrap().perplexity[0].window_nll);
    assert_eq!(cell(2, "key"), records[2].key.as_str());
    assert_eq!(cell(2, "git_revision"), "0123456789abcdef0123456789abcdef01234567");
}

#[test]
fn seeds_share_a_row_with_their_own_spread() {
    let mut records = vec![dense("candle")];
    records.extend([3.4, 3.5, 3.6].map(|nll| record("random", "candle", (nll * 10.0) as u64, nll)));
    // exp(3.4), exp(3.5), exp(3.6) = 29.964, 33.115, 36.598: the mean is 33.226, the sd 3.319.
    let row = row(&records, 1);
    assert_eq!((row[2].as_str(), row[8].as_str()), ("3", "3.32"), "{row:?}");
    assert!(row[7].starts_with("33.23 ± 1.11"), "{row:?}");
    // The geometric mean of exp(0.4), exp(0.5) and exp(0.6), and an interval over seeds: t(0.975; 2) = 4.303 times 0.1 / sqrt(3).
    assert_eq!(row[9], "1.649 [1.286, 2.114]");
    assert!(!markdown(&records).contains("seed noise is unknown"));
}

#[test]
fn ranks_stand_in_the_notes_and_their_all_reduces_in_a_column() {
    let ranks = TensorParallel {
        ranks: 2,
        all_reduce_latency_us: 50,
    };
    let split = |mut record: Record, all_reduces| {
        let throughput = &mut record.cell.evaluation.throughput;
        throughput.as_mut().unwrap().tensor_parallel = Some(ranks);
        let result = record.metrics.as_mut().unwrap().throughput.as_mut().unwrap();
        (result.tensor_parallel, result.all_reduces_per_token) = (Some(ranks), Some(all_reduces));
        record
    };
    let text = markdown(&[
        split(dense("candle"), 60),
        split(record("random(sparsity=0.5)", "candle", 1, 3.5), 46),
    ]);
    for wanted in [
        "all-reduces (per token)",
        " 60 |",
        " 46 |",
        "2 threads, 2 ranks, 50 µs waited after each all-reduce",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    assert!(!markdown(&[dense("candle")]).contains("all-reduces"));
}

#[test]
fn speeds_timed_in_rounds_are_compared_round_by_round() {
    // Round by round half and a quarter as long; the slow second round is no part of it.
    let records = [
        timed(dense("candle"), 0, 1.0),
        timed(record("random", "candle", 0, 3.5), 0, 0.5),
        timed(dense("candle"), 1, 80.0),
        timed(record("random", "candle", 0, 3.5), 1, 20.0),
    ];
    let text = markdown(&records);
    for wanted in [
        "| prefill (tokens/s ± MAD) | prefill, ratio to dense (95 % interval) | decode (tokens/s ± MAD) | decode, ratio to dense (95 % interval) |",
        "| 2.828 [",
        "1.000 [1.000, 1.000]",
        "A round is a seed",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    assert!(!markdown(&[dense("candle")]).contains("A round is a seed"));
}

/// A record of speed alone, in a round.
pub(crate) fn timed(mut record: Record, round: u64, seconds: f64) -> Record {
    record.cell.seed = round;
    record.cell.evaluation.perplexity.clear();
    let metrics = record.metrics.as_mut().unwrap();
    metrics.perplexity.clear();
    metrics.throughput.as_mut().unwrap().decode = Samples::new(10, vec![seconds]).unwrap();
    record
}

#[test]
fn a_round_without_the_baseline_on_its_machine_is_no_part_of_a_speed_ratio() {
    let mut records = [
        timed(dense("candle"), 0, 1.0),
        timed(record("random", "candle", 0, 3.5), 0, 0.5),
        timed(dense("candle"), 1, 1.0),
        timed(record("random", "candle", 0, 3.5), 1, 0.125),
    ];
    let baseline = baseline();
    let ratio = |records: &[Record]| {
        let comparison = Comparison::new(records, &baseline).unwrap();
        let ratio = comparison.speed_ratio(&comparison.groups[1].records, |result| &result.decode);
        ratio.map(|ratio| ratio.value)
    };
    assert!((ratio(&records).unwrap() - 4.0).abs() < 1e-12);
    records[2].provenance.cpu = prunebench_results::Cpu::Named("another CPU".into());
    assert_eq!(ratio(&records), Some(2.0));
    assert!(
        markdown(&records).contains("Rounds left out, dense not timed on the same machine: random, seed 1."),
        "{}",
        markdown(&records)
    );
    records[0].provenance.cores = 64;
    assert_eq!(ratio(&records), None);
}

#[test]
fn an_effective_depth_that_differs_has_a_column() {
    let mut shallow = record("random", "candle", 1, 3.5);
    shallow.metrics.as_mut().unwrap().accounting.effective_depth = 1;
    let text = markdown(&[dense("candle"), shallow]);
    assert!(text.contains("| effective depth |") && text.contains("| 1 |"), "{text}");
    assert!(!markdown(&[dense("candle")]).contains("effective depth"));
}

#[test]
fn a_seed_that_failed_is_named_beside_the_numbers_of_the_rest() {
    let records = [
        dense("candle"),
        record("random", "candle", 1, 3.5),
        failed("random", "candle", 2),
    ];
    let row = row(&records, 1);
    assert_eq!(row[2], "1");
    assert!(row[7].starts_with("33.12"), "{row:?}");
    assert_eq!(row.last().unwrap(), "1 of 2 ok; seed 2 oom: asked for 9 GiB");
}

#[test]
fn ratios_are_to_the_baseline_of_the_same_engine() {
    let mut other = dense("torch");
    other.metrics.as_mut().unwrap().perplexity =
        vec![PerplexityResult::from_windows(PROTOCOL.into(), losses(2.5), 2, 1234, 1).unwrap()];
    let records = [
        record("random", "candle", 1, 3.5),
        record("random", "torch", 1, 3.5),
        record("random", "third", 1, 3.5),
        dense("candle"),
        other,
    ];
    // exp(3.5 - 3.0) and exp(3.5 - 2.5); the rows of the baseline come first.
    assert!(row(&records, 2)[8].starts_with("1.649"));
    assert!(row(&records, 3)[8].starts_with("2.718"));
    assert_eq!(row(&records, 4)[8], "—");
    let text = markdown(&records);
    assert!(
        text.contains("No ratio on third cpu f32: dense has no successful record"),
        "{text}"
    );
}

#[test]
fn a_failed_baseline_leaves_no_ratio() {
    let records = [failed("dense", "candle", 1), record("random", "candle", 1, 3.5)];
    assert_eq!(row(&records, 1)[8], "—");
}

#[test]
fn what_may_not_share_a_table_is_refused_by_name() {
    type Change = (&'static str, fn(&mut Record));
    let changes: [Change; 7] = [
        ("model", |r| r.cell.model = "other".into()),
        ("evaluation", |r| {
            r.cell.evaluation.perplexity[0].protocol = "wiki/stream-4@1".into()
        }),
        ("evaluation", |r| r.cell.evaluation.perplexity[0].windows = None),
        ("threads", |r| drop(r.inputs.insert("threads".into(), "4".into()))),
        ("set of scored windows", |r| {
            let fewer = losses(3.5)[1..].to_vec();
            let result = PerplexityResult::from_windows(PROTOCOL.into(), fewer, 2, 1234, 1);
            r.metrics.as_mut().unwrap().perplexity = vec![result.unwrap()];
        }),
        ("set of scored windows", |r| {
            r.metrics.as_mut().unwrap().perplexity[0].windows_available = 1235;
        }),
        ("throughput setting", |r| {
            r.metrics.as_mut().unwrap().throughput.as_mut().unwrap().threads = 4;
        }),
    ];
    for (wanted, change) in changes {
        let mut records = [dense("candle"), record("random", "candle", 1, 3.5)];
        change(&mut records[1]);
        match Comparison::new(&records, &baseline()) {
            Err(ComparisonError::Mixed { what, .. }) => assert_eq!(what, wanted),
            other => panic!("{wanted}: {other:?}"),
        }
    }
}

#[test]
fn nothing_and_duplicates_and_gaps_are_refused() {
    let baseline = baseline();
    let error = |records: &[Record]| Comparison::new(records, &baseline).unwrap_err();
    assert_eq!(error(&[]), ComparisonError::Empty);
    let twice = error(&[dense("candle"), dense("candle")]);
    assert_eq!(
        twice,
        ComparisonError::Twice {
            cell: "dense on candle cpu f32, seed 1".into()
        }
    );
    let mut gap = dense("candle");
    gap.metrics.as_mut().unwrap().perplexity.clear();
    assert!(matches!(error(&[gap]), ComparisonError::Incomplete { .. }));
}
