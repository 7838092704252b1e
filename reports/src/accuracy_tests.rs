use prunebench_results::{
    ChoiceLength, Evaluation, MetricName, PerplexityResult, Record, ScoredItem, ScoringCounts, SuiteMember,
    SuiteRequest, TaskRequest, TaskResult,
};

use crate::comparison::tests::{baseline, dense, failed, record};
use crate::{Comparison, ComparisonError, Table};

fn request(task: &str, shots: usize) -> TaskRequest {
    TaskRequest {
        task: task.into(),
        shots,
        shots_split: None,
        shots_seed: 1234,
        limit: None,
        divergence: shots == 0,
    }
}

fn counts() -> ScoringCounts {
    ScoringCounts {
        requests: 16,
        tokens_scored: 1500,
        tokens_read: 4000,
        bos_added: false,
        prefix_token: Some(7),
        truncated_requests: 1,
        seconds: 1.0,
    }
}

/// Two choices an item, the first of which is right; by characters the other one is chosen always.
pub(crate) fn choices(shots: usize, right: [usize; 8]) -> TaskResult {
    let item = |(document, right): (usize, usize)| ScoredItem {
        document,
        group: None,
        log_likelihoods: vec![-1.0 - (1 - right) as f64, -1.5],
        greedy: vec![false, false],
        gold: Some(0),
        lengths: vec![ChoiceLength { chars: 1, bytes: 1 }, ChoiceLength { chars: 9, bytes: 1 }],
        divergence: (shots == 0).then_some((0.5, 2)),
    };
    let items = right.into_iter().enumerate().map(item).collect();
    let own = [MetricName::Acc, MetricName::AccNorm];
    TaskResult::from_items(request("arc@1", shots), &own, items, 2376, counts()).unwrap()
}

fn single(log_likelihood: f64, greedy: [usize; 8]) -> TaskResult {
    let item = |(document, greedy): (usize, usize)| ScoredItem {
        document,
        group: Some(["x", "y"][document % 2].into()),
        log_likelihoods: vec![log_likelihood - (document % 2) as f64],
        greedy: vec![greedy == 1],
        gold: None,
        lengths: vec![],
        divergence: Some((0.25, 1)),
    };
    let items = greedy.into_iter().enumerate().map(item).collect();
    let own = [MetricName::Perplexity, MetricName::Acc];
    TaskResult::from_items(request("lambada@1", 0), &own, items, 8, counts()).unwrap()
}

pub(crate) fn with(mut record: Record, tasks: Vec<TaskResult>) -> Record {
    let member = |shots| SuiteMember {
        task: "arc@1".into(),
        shots,
        metric: MetricName::Acc,
    };
    record.cell.evaluation = Evaluation {
        tasks: tasks.iter().map(|task| task.request.clone()).collect(),
        suites: vec![SuiteRequest {
            suite: "both".into(),
            members: vec![member(0), member(5)],
        }],
        ..Evaluation::default()
    };
    if let Some(metrics) = &mut record.metrics {
        metrics.perplexity.clear();
        metrics.throughput = None;
        metrics.tasks = tasks;
    }
    record
}

/// The tasks of a model that gets so many items right and whose log-likelihoods are lower by `worse`.
fn tasks(right: [usize; 8], worse: f64) -> Vec<TaskResult> {
    vec![choices(0, right), choices(5, right), single(-1.0 - worse, right)]
}

const DENSE: [usize; 8] = [1, 1, 1, 1, 1, 1, 0, 0];
const WORSE: [usize; 8] = [1, 1, 1, 1, 0, 0, 1, 0];

fn records() -> [Record; 3] {
    [
        with(record("random(sparsity=0.5)", "candle", 1, 3.5), tasks(WORSE, 0.5)),
        with(dense("candle"), tasks(DENSE, 0.0)),
        with(failed("wanda", "candle", 1), tasks(DENSE, 0.0)),
    ]
}

fn tables(records: &[Record]) -> Vec<Table> {
    let baseline = baseline();
    Comparison::new(records, &baseline).unwrap().tables()
}

#[test]
fn the_tables_of_accuracies_are_as_expected() {
    let [_, accuracies, changes] = tables(&records()).try_into().unwrap();
    // 6 and 5 of 8 right; their errors sqrt(p (1 - p) / 7); the suite's sqrt(2 · 0.1637²) / 2. The log-likelihoods are -1
    // and -2 by group, without any spread within: exp(1.5) and exp(2).
    let expected = "\
**tiny, accuracy; experiment smol**

| method | engine | seeds | arc acc (± stderr) | arc, 5 shots, acc (± stderr) | lambada perplexity (± stderr) | lambada acc (± stderr) | both mean (± stderr) |
| :-- | :-- | --: | --: | --: | --: | --: | --: |
| dense | candle cpu f32 | 1 | 0.7500 ± 0.1637 | 0.7500 ± 0.1637 | 4.48 ± 0.00 | 0.7500 ± 0.1768 | 0.7500 ± 0.1157 |
| random(sparsity=0.5) | candle cpu f32 | 1 | 0.6250 ± 0.1830 | 0.6250 ± 0.1830 | 7.39 ± 0.00 | 0.6250 ± 0.1909 | 0.6250 ± 0.1294 |
| wanda | candle cpu f32 | 0 | — | — | — | — | — |

- arc@1: 0 shots; n = 8 of 2,376 documents, 16 requests, 1,500 tokens scored, 4,000 read; no BOS, token 7 for an empty context; at most 1 requests cut to the model's context, 0 ties and 0 NaN items in a record.
- arc@1: 5 shots, seed 1234; n = 8 of 2,376 documents, 16 requests, 1,500 tokens scored, 4,000 read; no BOS, token 7 for an empty context; at most 1 requests cut to the model's context, 0 ties and 0 NaN items in a record.
- lambada@1: 0 shots; n = 8 of 8 documents, 16 requests, 1,500 tokens scored, 4,000 read; no BOS, token 7 for an empty context; at most 1 requests cut to the model's context, 0 ties and 0 NaN items in a record.
";
    let markdown = accuracies.to_markdown();
    assert!(markdown.starts_with(expected), "{markdown}");
    let suite =
        "- both mean: unweighted mean of arc acc; arc, 5 shots, acc; its standard error is sqrt(Σ stderr²) / 2.";
    assert!(markdown.contains(suite), "{markdown}");

    let rows: Vec<Vec<String>> = changes
        .rows
        .iter()
        .map(|row| row.iter().skip(2).map(ToString::to_string).collect())
        .collect();
    // Three items of eight answered otherwise, one of them now right: -1/8. Every item's perplexity is exp(0.5) higher.
    let [scores, deltas, retained, flips, kl] = [0, 1, 2, 3, 4].map(|column| {
        let entries = rows.iter().map(|row| row[column].as_str());
        entries.collect::<Vec<_>>()
    });
    assert_eq!(
        scores,
        [
            "arc acc",
            "arc, 5 shots, acc",
            "lambada perplexity",
            "lambada acc",
            "both mean"
        ]
    );
    assert!(deltas[0].starts_with("-0.1250 [-0."), "{deltas:?}");
    assert_eq!(deltas[2], "1.649 [1.649, 1.649]");
    assert!(deltas[4].starts_with("-0.1250 [-0."), "{deltas:?}");
    // 5 of 6; a perplexity has its ratio instead.
    assert!(retained[0].starts_with("0.833 [0."), "{retained:?}");
    assert_eq!(retained[2], "—");
    assert!(retained[4].starts_with("0.833 [0."), "{retained:?}");
    assert_eq!(
        flips,
        [
            "0.3750 ± 0.1830",
            "0.3750 ± 0.1830",
            "0.3750 ± 0.1830",
            "0.3750 ± 0.1830",
            "—"
        ]
    );
    assert_eq!(kl, ["0.2500 ± 0.0000", "—", "0.2500 ± 0.0000", "0.2500 ± 0.0000", "—"]);
}

#[test]
fn records_without_tasks_have_the_one_table_and_dense_alone_has_no_changes() {
    assert_eq!(tables(&[dense("candle")]).len(), 1);
    let alone = [with(dense("candle"), tasks(DENSE, 0.0))];
    assert_eq!(tables(&alone).len(), 2);
    let no_suite = alone.map(|mut record| {
        record.cell.evaluation.suites.clear();
        record
    });
    // Without a suite a task is shown by its own metrics.
    let headers: Vec<String> = tables(&no_suite)[1]
        .columns
        .iter()
        .map(|column| column.header.clone())
        .collect();
    assert_eq!(headers[3..5], ["arc acc", "arc acc_norm"]);
}

#[test]
fn items_without_a_number_are_shown_beside_the_accuracy() {
    let mut records = records();
    records[0].metrics.as_mut().unwrap().tasks[0].nan_items = 2;
    let [_, accuracies, _] = tables(&records).try_into().unwrap();
    let row: Vec<String> = accuracies.rows[1].iter().map(ToString::to_string).collect();
    assert_eq!(
        (row[3].as_str(), row[7].as_str()),
        ("0.6250 ± 0.1830 (2 NaN)", "0.6250 ± 0.1294 (2 NaN)")
    );
    assert!(accuracies.notes[0].contains("2 NaN items"), "{}", accuracies.notes[0]);
}

#[test]
fn seeds_are_averaged_item_by_item_with_their_spread_apart() {
    let right = [WORSE, [0, 0, 0, 0, 1, 1, 0, 1]];
    let seed = |seed: usize| {
        with(
            record("random", "candle", seed as u64, 3.5),
            tasks(right[seed], seed as f64),
        )
    };
    let records = [with(dense("candle"), tasks(DENSE, 0.0)), seed(0), seed(1)];
    let [_, accuracies, changes] = tables(&records).try_into().unwrap();
    let row: Vec<String> = accuracies.rows[1].iter().map(ToString::to_string).collect();
    // 5/8 and 3/8; of every item one seed is right and the other wrong but for the seventh and eighth: the means are
    // 0.5 for all, so there is no spread over items at all. The perplexities are exp(1.5) and exp(2.5).
    assert_eq!((row[2].as_str(), row[3].as_str()), ("2", "0.5000 ± 0.0000"));
    assert!(row[5].starts_with("8.33"), "{row:?}");
    let row: Vec<String> = changes.rows[0].iter().map(ToString::to_string).collect();
    assert!(row[3].starts_with("-0.2500 ["), "{row:?}");
    // sd of 5/8 and 3/8; flips of both seeds: 3/8 and 5/8 of the items.
    assert_eq!((row[5].split(' ').next(), row[7].as_str()), (Some("0.5000"), "0.1768"));
}

#[test]
fn a_record_may_name_any_number_as_a_group() {
    let of_seed = |seed: u64, group: usize| {
        let mut record = with(record("random", "candle", seed, 3.5), tasks(WORSE, 0.5));
        let items = &mut record.metrics.as_mut().unwrap().tasks[2].items;
        items
            .iter_mut()
            .filter(|item| item.group == Some(1))
            .for_each(|item| item.group = Some(group));
        record
    };
    let error = |group| {
        let records = [
            with(dense("candle"), tasks(DENSE, 0.0)),
            of_seed(1, group),
            of_seed(2, group),
        ];
        tables(&records)[1].rows[1][6].clone()
    };
    assert_eq!(error(usize::MAX), error(1));
}

#[test]
fn other_documents_or_missing_results_are_refused() {
    let baseline = baseline();
    let error = |change: fn(&mut Record)| {
        let mut records = records();
        change(&mut records[0]);
        Comparison::new(&records, &baseline).unwrap_err()
    };
    for change in [
        |record: &mut Record| record.metrics.as_mut().unwrap().tasks[0].items[7].document = 9,
        |record: &mut Record| record.metrics.as_mut().unwrap().tasks[0].documents_available = 9,
    ] {
        let error = error(change);
        assert!(
            matches!(&error, ComparisonError::Mixed { what, .. } if what == "set of documents"),
            "{error}"
        );
    }
    let missing = error(|record| drop(record.metrics.as_mut().unwrap().tasks.pop()));
    assert!(matches!(missing, ComparisonError::Incomplete { .. }), "{missing}");
    let other = error(|record| {
        record.cell.evaluation.tasks[0].limit = Some(8);
        record.metrics.as_mut().unwrap().tasks[0].request.limit = Some(8);
    });
    assert!(
        matches!(&other, ComparisonError::Mixed { what, .. } if what == "evaluation"),
        "{other}"
    );
}

#[test]
fn the_csv_of_tasks_has_every_metric_and_group_unrounded() {
    let baseline = baseline();
    let records = records();
    let mut csv = Vec::new();
    let comparison = Comparison::new(&records, &baseline).unwrap();
    comparison.write_tasks_csv(&mut csv).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    let headers = reader.headers().unwrap().clone();
    let lines: Vec<_> = reader.records().map(Result::unwrap).collect();
    let all = |line: usize, columns: &[&str]| {
        let cells = columns.iter().map(|column| {
            let index = headers.iter().position(|header| header == *column);
            lines[line].get(index.unwrap()).unwrap()
        });
        cells.collect::<Vec<_>>().join(",")
    };
    // Of each record three metrics of arc twice, two of lambada over all and over two groups, and the suite; of the
    // failed one its tasks.
    assert_eq!(lines.len(), 2 * (3 + 3 + 2 + 2 * 2 + 1) + 3);
    let identity = ["method", "kind", "task", "shots", "group", "metric", "own", "n"];
    assert_eq!(all(0, &identity), "dense,task,arc@1,0,,acc,true,8");
    assert_eq!(all(2, &identity), "dense,task,arc@1,0,,acc_bytes,false,8");
    assert_eq!(all(8, &identity), "dense,task,lambada@1,0,x,perplexity,true,4");
    assert_eq!(all(12, &identity), "dense,suite,both,,,mean,,");
    assert_eq!(all(26, &identity), "wanda,task,arc@1,0,,,,");
    let change = [
        "value",
        "difference_to_baseline",
        "ratio_to_baseline",
        "retained",
        "flips",
        "kl",
    ];
    assert_eq!(all(0, &change), "0.75,,,,,0.25");
    assert_eq!(all(13, &change), "0.625,-0.125,,0.8333333333333334,0.375,0.25");
    assert_eq!(all(19, &change)[..17], *"7.38905609893065,");
    assert_eq!(all(25, &change), "0.625,-0.125,,0.8333333333333334,,");
    assert_eq!(
        all(13, &["requests", "bos_added", "prefix_token", "nan_items"]),
        "16,false,7,0"
    );
    assert_eq!(all(8, &["requests", "flips", "value"]), format!(",,{}", 1f64.exp()));
    let mut nothing = Vec::new();
    let without = [dense("candle")];
    Comparison::new(&without, &baseline)
        .unwrap()
        .write_tasks_csv(&mut nothing)
        .unwrap();
    assert!(nothing.is_empty());
}

#[test]
fn a_word_perplexity_is_compared_by_its_words() {
    let of = |method: &str, worse: f64| {
        let mut record = record(method, "candle", 1, 3.0);
        let nll = |words: usize| words as f64 * (3.0 + worse);
        let words = vec![10, 20, 30, 40, 50, 60];
        let result = PerplexityResult::from_documents(
            "wiki/stream-3@1".into(),
            words.iter().map(|&words| nll(words)).collect(),
            words,
            vec![50; 6],
            400,
            62,
            2048,
        );
        record.metrics.as_mut().unwrap().perplexity = vec![result.unwrap()];
        record
    };
    let tables = tables(&[of("dense", 0.0), of("random", 0.5)]);
    let row: Vec<String> = tables[0].rows[1].iter().map(ToString::to_string).collect();
    assert_eq!(
        (row[7].as_str(), row[8].as_str()),
        ("33.12 ± <0.01", "1.649 [1.649, 1.649]")
    );
    let note = "per word, n = 6 of 62 documents, 210 words, 400 tokens scored in windows of at most 2048; ± is the standard \
                error over documents";
    assert!(tables[0].notes[1].contains(note), "{:?}", tables[0].notes[1]);
}
