use std::io::Read;

use prunebench_results::{Record, Status};

use super::test_snapshots::*;
use super::*;
use crate::accuracy_tables::tests::{choices, with};
use crate::comparison::tests::{baseline, dense, record, timed};

#[test]
fn a_baseline_is_read_as_it_was_written_and_whole_or_not_at_all() {
    let mut snapshot = snapshot([
        cell(
            "a",
            0,
            [
                ("acc", answers(vec![1, 0], "x")),
                ("perplexity p@1", losses(vec![0.1 + 0.2, 1e-300])),
            ],
        ),
        cell("b", 1, [("achieved ratio", Series::Count { value: 1.0 / 3.0 })]),
    ]);
    let mut file = Vec::new();
    snapshot.write(&mut file).unwrap();
    assert_eq!(Snapshot::read(file.as_slice()).unwrap(), snapshot);
    for cut in [0, 10, file.len() / 2, file.len() - 1] {
        assert!(
            matches!(Snapshot::read(&file[..cut]), Err(GateError::Foreign { .. })),
            "{cut}"
        );
    }
    assert!(matches!(
        Snapshot::read(&b"not gzip"[..]),
        Err(GateError::Foreign { .. })
    ));
    assert_eq!(
        snapshot.origin().engines.into_iter().collect::<Vec<_>>(),
        ["candle 0.11.1"]
    );
    snapshot.cells.push(failed("c", 0, Status::Failed));
    let error = snapshot.write(Vec::new()).unwrap_err().to_string();
    assert!(
        error.contains("tiny c on candle") && error.contains("failed: took longer"),
        "{error}"
    );
}

#[test]
fn a_file_that_inflates_without_end_is_no_baseline_before_it_is_held() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::copy(&mut std::io::repeat(b' ').take(1 << 28), &mut bomb).unwrap();
    let bomb = bomb.finish().unwrap();
    let mut read = bomb.as_slice();
    assert!(matches!(Snapshot::read(&mut read), Err(GateError::Foreign { .. })));
    assert!(
        read.len() > bomb.len() / 2,
        "{} of {} bytes were left",
        read.len(),
        bomb.len()
    );
}

#[test]
fn every_number_of_a_record_has_a_name_and_its_samples() {
    let right = [1, 1, 1, 1, 1, 1, 0, 0];
    let tasks = || vec![choices(0, right), choices(5, right)];
    let mut records = vec![
        record("wanda", "candle", 1, 3.5),
        with(record("magnitude", "candle", 1, 3.5), tasks()),
        dense("candle"),
    ];
    let baseline = baseline();
    let snapshot = Snapshot::of(&records, &baseline).unwrap();
    let names = |cell: usize| {
        snapshot.cells[cell]
            .series
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
    };
    let counts = [
        "achieved parameter ratio",
        "achieved ratio",
        "effective depth",
        "flops per token",
        "kv bytes per token",
        "mask sparsity",
        "nonzero parameters",
        "stored bytes",
        "stored parameters",
    ];
    for cell in 0..3 {
        for name in counts {
            assert!(names(cell).contains(&name), "{name}");
        }
    }
    assert!(names(0).contains(&"perplexity wiki/stream-3@1"));
    assert!(names(0).contains(&"decode speed, prompt 100, generated 11, batch 1"));
    // The uncompressed model is the unit of speed.
    assert!(!names(2).iter().any(|name| name.contains("speed")));
    for name in ["acc arc@1", "acc_norm arc@1", "acc arc@1 5 shots", "mean both"] {
        assert!(names(1).contains(&name), "{name}");
    }
    let Series::Answers { scope, right, .. } = &snapshot.cells[1].series["mean both"] else {
        panic!("no answers");
    };
    assert_eq!(
        (right.len(), right[0].as_slice()),
        (2, [1, 1, 1, 1, 1, 1, 0, 0].as_slice())
    );
    assert!(scope.starts_with("acc of arc@1: 8 of 2376 documents"), "{scope}");
    records.push(dense("candle"));
    assert!(matches!(
        Snapshot::of(&records, &baseline),
        Err(GateError::Twice { .. })
    ));
    assert!(matches!(Snapshot::of(&[], &baseline), Err(GateError::Empty { .. })));
}

#[test]
fn speeds_are_related_to_the_uncompressed_model_of_their_round() {
    let timed = |method: &str, seed: u64, nll: f64| {
        let mut record = record(method, "candle", seed, nll);
        record.cell.evaluation.perplexity.clear();
        record
    };
    let mut fast = timed("wanda", 1, 3.0);
    fast.metrics
        .as_mut()
        .unwrap()
        .throughput
        .as_mut()
        .unwrap()
        .decode
        .median *= 3.0;
    let records = [fast, timed("dense", 0, 3.0), timed("dense", 1, 3.0)];
    let snapshot = Snapshot::of(&records, &baseline()).unwrap();
    let speed = &snapshot.cells[0].series["decode speed, prompt 100, generated 11, batch 1"];
    assert!(
        matches!(speed, Series::Speed { ratio: Some(ratio), .. } if (ratio - 3.0).abs() < 1e-12),
        "{speed:?}"
    );
}

#[test]
fn a_speed_is_related_to_no_dense_model_of_other_inputs_or_of_another_machine() {
    type Other = (&'static str, fn(&mut Record));
    let other: [Other; 6] = [
        ("content", |dense| {
            drop(dense.inputs.insert("model".into(), "cd".repeat(32)))
        }),
        ("thread count", |dense| {
            drop(dense.inputs.insert("threads".into(), "4".into()))
        }),
        ("CPU", |dense| {
            dense.provenance.cpu = prunebench_results::Cpu::Named("another CPU".into())
        }),
        ("cores", |dense| dense.provenance.cores = 64),
        ("GPU", |dense| dense.provenance.gpu = Some("a GPU".into())),
        ("round", |dense| dense.cell.seed = 2),
    ];
    let ratio = |dense: Record| {
        let records = [timed(record("wanda", "candle", 1, 3.0), 1, 0.5), dense];
        let snapshot = Snapshot::of(&records, &baseline()).unwrap();
        match snapshot.cells[0].series["decode speed, prompt 100, generated 11, batch 1"] {
            Series::Speed { ratio, .. } => ratio,
            _ => panic!("no speed"),
        }
    };
    assert_eq!(ratio(timed(dense("candle"), 1, 1.0)), Some(2.0));
    for (what, change) in other {
        let mut dense = timed(dense("candle"), 1, 1.0);
        change(&mut dense);
        assert_eq!(ratio(dense), None, "of another {what}");
    }
}

#[test]
fn reports_say_what_was_found_and_take_any_name() {
    let of = |wrong: usize| {
        let series = answers(all_but(wrong, 1000), &wrong.to_string());
        snapshot([
            cell("<script>|x", 0, [("acc", series)]),
            cell("gone", 0, [("acc", answers(vec![1; 9], ""))]),
        ])
    };
    let mut store = of(50);
    store.cells.pop();
    let report = judge(&store, &of(0), &accuracy(0.02)).unwrap();
    assert!(
        report
            .headline()
            .starts_with("gate: regression; of 1 numbers in 2 cells 1 worse, 0 inconclusive")
    );
    let markdown = report.to_markdown();
    for words in [
        "## gate: regression",
        "\\<script>\\|x",
        "-5.00 points [-6.35, -3.65]",
        "missing: the baseline has it",
        "0123abcd",
    ] {
        assert!(markdown.contains(words), "`{words}` is not in {markdown}");
    }
    let junit = report.to_junit().unwrap();
    for words in [
        "tests=\"2\"",
        "failures=\"2\"",
        "classname=\"tiny &lt;script&gt;|x on candle cpu f32\"",
        "worse by 5.00 points",
    ] {
        assert!(junit.contains(words), "`{words}` is not in {junit}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["verdict"], "regression");
    assert_eq!(json["findings"][0]["change"]["difference"], -0.05);
}

#[test]
fn a_record_that_names_more_windows_than_it_has_takes_no_room_for_them() {
    let mut record = crate::comparison::tests::dense("candle");
    record.metrics.as_mut().unwrap().perplexity[0].windows = usize::MAX;
    let snapshot = Snapshot::of(&[record], &["dense".to_owned()]).unwrap();
    let Some(Series::Losses { nll, units, .. }) = snapshot.cells[0].series.get("perplexity wiki/stream-3@1") else {
        panic!("{snapshot:?}");
    };
    assert_eq!((nll.len(), units.len()), (10, 10));
}

#[test]
fn counts_and_rows_that_no_sum_holds_are_numbers_like_any_other() {
    let mut record = with(dense("candle"), vec![choices(0, [1; 8])]);
    record.metrics.as_mut().unwrap().tasks[0].items[0].document = usize::MAX;
    let mut losses = dense("candle");
    losses.metrics.as_mut().unwrap().perplexity[0].units = vec![usize::MAX; 10];
    for record in [record, losses] {
        let snapshot = Snapshot::of(&[record], &["dense".to_owned()]).unwrap();
        assert!(!snapshot.cells[0].series.is_empty());
    }
}
