//! Tables of an invented paper beside made-up records.

use prunebench_results::Paper;

use super::*;
use crate::accuracy_tables::tests::{choices, with};
use crate::comparison::tests::{baseline, dense, failed, record, timed};

const PUBLISHED: &str = r#"
    title = "T"
    reference = "R"
    [[table]]
    id = "1"
    title = "a table"
    source = "table 1"
    trust = "paper"
    model = "Big"
    labels = ["method"]
    columns = ["PPL", "arc", "mean", "speed"]
    protocol = "theirs"
    rows = [["dense", 20.00, 80.0, 79.0, 100], ["half", "5 to 9", 70.0, 60.0, 120], ["other", 9.5, 1.0, 2.0, 3]]
    remarks = [{ row = ["half"], column = "mean", recomputed = 61.0, text = "a misprint" }]
    [[table]]
    id = "2"
    title = "another"
    source = "table 2"
    trust = "second-hand"
    labels = ["x"]
    columns = ["y"]
    protocol = "none"
    rows = [["z", 1]]
"#;

const MAPPING: &str = r#"
    [models]
    "Big" = ["hf:big/model", "tiny"]
    [[table]]
    id = "1"
    not_measured = "the method is not implemented"
    columns = [
        { name = "PPL", measured.perplexity = "wiki/stream-9@1" },
        { name = "PPL", measured.perplexity = "wiki/stream-3@1", differs = "windows of 3" },
        { name = "arc", measured.accuracy = { task = "arc", metric = "acc" } },
        { name = "mean", measured.suite = "both" },
        { name = "speed", measured.speed_percent = { prompt_tokens = 100, generated_tokens = 11, batch = 1 } },
    ]
    rows = [
        { row = ["dense"], recipes = [["dense"]] },
        { row = ["half"], recipes = [["prune(ratio=0.5)"], ["prune(*, ratio=0.5)"]] },
    ]
    [table.plan]
    models = ["tiny"]
    engines = ["candle"]
    evaluation = { perplexity = [{ protocol = "wiki/stream-3@1" }] }
"#;

fn paper() -> Paper {
    Paper::parse("invented", PUBLISHED).unwrap()
}

fn table(records: &[Record], mapping: &str) -> PaperTable {
    let mapping = Mapping::parse(&paper(), mapping).unwrap();
    PaperTable::new(&paper(), "1", &mapping, records, &baseline()).unwrap()
}

fn half(seed: u64, nll: f64) -> Record {
    record("prune(ratio=0.5)", "candle", seed, nll)
}

#[test]
fn a_measured_value_stands_below_the_published_one_with_interval_and_difference() {
    let shown = table(&[dense("candle")], MAPPING);
    let cell = shown.rows[0].measured[0].cells[0].as_ref().unwrap();
    assert!((cell.measured.value - 3f64.exp()).abs() < 1e-12);
    // The exponential of the mean loss and Student's interval of it, t(0.975; 9) = 2.262157.
    let half_width = 2.262_157 * 0.105_409_255 / 10f64.sqrt();
    let interval = cell.measured.interval.unwrap();
    assert!(
        (interval.high - (3.0 + half_width).exp()).abs() < 1e-5
            && (interval.low - (3.0 - half_width).exp()).abs() < 1e-5,
        "{interval:?}"
    );
    assert!((cell.difference.unwrap() - (3f64.exp() - 20.0)).abs() < 1e-12);
    assert_eq!(
        cell.reasons,
        ["PPL: windows of 3", "PPL: the first 10 of 1,234 windows or documents"]
    );
    assert!(!cell.comparable);
    let markdown = shown.to_table().to_markdown();
    for line in [
        "**invented, table 1: a table**",
        "| method | value | PPL | arc | mean | speed | comparable |",
        "| dense | published | 20 | 80 | 79 | 100 |  |",
        "| dense | tiny, candle cpu f32 | 20 [19, 21] (+0) | — | — | — | no (1, 2) |",
        "| half | published | 5 to 9 | 70 | 60 (!) | 120 | not run: prune(ratio=0.5) |",
        "| other | published | 10 | 1 | 2 | 3 | not measured here: the method is not implemented |",
        "- half, mean (61 follows): a misprint",
        "- (1) PPL: windows of 3",
    ] {
        let line = line
            .replace("20 [19, 21] (+0)", "20.1 [18.6, 21.7] (+0.1)")
            .replace("| 20 |", "| 20.0 |");
        let line = line.replace("| 10 | 1 |", "| 9.5 | 1 |");
        assert!(markdown.contains(&line), "{line}\nin\n{markdown}");
    }
}

#[test]
fn a_value_on_the_papers_model_data_and_protocol_is_comparable() {
    let mapping = MAPPING.replace(", differs = \"windows of 3\"", "");
    let mut whole = dense("candle");
    for result in &mut whole.metrics.as_mut().unwrap().perplexity {
        result.windows_available = result.windows;
    }
    let of = |record: Record, mapping: &str| table(&[record], mapping).rows[0].measured[0].cells[0].clone().unwrap();
    assert!(of(whole.clone(), &mapping).comparable);
    let at_revision = |model: &str| {
        let mut record = whole.clone();
        record.cell.model = model.to_owned();
        of(record, &mapping)
    };
    assert!(at_revision("hf:big/model@main").comparable);
    assert_eq!(
        at_revision("hf:big/model-2").reasons,
        ["another model: hf:big/model-2, not Big"]
    );
}

#[test]
fn accuracies_are_in_percent_and_say_how_many_documents_they_rest_on() {
    let right = [1, 1, 1, 1, 1, 1, 0, 0];
    let record = with(dense("candle"), vec![choices(0, right), choices(5, right)]);
    let shown = table(&[record], MAPPING);
    let cells = &shown.rows[0].measured[0].cells;
    let (task, suite) = (cells[1].as_ref().unwrap(), cells[2].as_ref().unwrap());
    assert_eq!((task.measured.value, task.difference), (75.0, Some(-5.0)));
    assert_eq!(task.reasons, ["arc: 8 of 2,376 documents"]);
    assert_eq!((suite.measured.value, suite.reasons.len()), (75.0, 1));
    assert!(cells[0].is_none() && cells[3].is_none());
}

#[test]
fn speed_is_a_ratio_to_the_baseline_of_the_same_experiment_in_rounds() {
    let only_speed = |mut record: Record, seed: u64| {
        record.cell.seed = seed;
        record.cell.evaluation.perplexity.clear();
        record.metrics.as_mut().unwrap().perplexity.clear();
        record
    };
    let records = [0, 1].map(|seed| [only_speed(dense("candle"), seed), only_speed(half(seed, 3.0), seed)]);
    let mut records = records.concat();
    let shown = table(&records, MAPPING);
    let speed = shown.rows[1].measured[0].cells[3].clone().unwrap();
    assert!(
        (speed.measured.value - 100.0).abs() < 1e-9 && speed.measured.seeds == 2,
        "{speed:?}"
    );
    // Nor is another setting the one that is asked for.
    let batched = MAPPING.replace("batch = 1", "batch = 2");
    assert!(table(&records, &batched).rows[1].measured.is_empty());
    // The speeds of another experiment are no baseline.
    for record in records.iter_mut().filter(|record| record.cell.recipe == baseline()) {
        record.experiment = "another".to_owned();
    }
    assert!(table(&records, MAPPING).rows[1].measured.is_empty());
}

#[test]
fn a_number_beside_the_baseline_is_beside_one_of_the_same_inputs_and_a_speed_on_the_same_machine() {
    let right = |count: usize| std::array::from_fn(|item| usize::from(item < count));
    let of = |record: Record, count: usize| with(record, vec![choices(0, right(count)), choices(5, right(count))]);
    let mapping = MAPPING.replace("measured.suite = \"both\"", "measured.retained = \"both\"");
    // Of another content, and one more of the same seed.
    let mut stale = of(dense("candle"), 8);
    stale.inputs.insert("model".into(), "cd".repeat(32));
    stale.key = stale.cell.key(&stale.inputs);
    let mut records = vec![stale, of(dense("candle"), 4), of(half(1, 3.0), 4)];
    let retained = |records: &[Record]| {
        let row = table(records, &mapping).rows[1].measured[0].clone();
        row.cells[2].as_ref().map(|cell| cell.measured.value)
    };
    assert_eq!(retained(&records), Some(100.0));
    records.remove(1);
    assert_eq!(retained(&records), None);

    let mut records = [0, 1]
        .map(|round| [timed(dense("candle"), round, 1.0), timed(half(1, 3.0), round, 0.5)])
        .concat();
    let speed = |records: &[Record]| {
        let rows = &table(records, MAPPING).rows[1].measured;
        rows.first().map(|row| row.cells[3].as_ref().unwrap().measured.value)
    };
    assert!((speed(&records).unwrap() - 200.0).abs() < 1e-9);
    records[0].provenance.threads = 4;
    records[2].provenance.cpu = prunebench_results::Cpu::Named("another CPU".into());
    assert_eq!(speed(&records), None);
}

#[test]
fn seeds_are_averaged_models_and_places_stand_apart_and_more_windows_win() {
    let mut elsewhere = half(1, 9.0);
    elsewhere.cell.model = "hf:small/model".to_owned();
    let mut fewer = half(7, 8.0);
    fewer.experiment = "another".to_owned();
    let result = &mut fewer.metrics.as_mut().unwrap().perplexity[0];
    (result.windows, result.window_nll) = (5, result.window_nll[..5].to_vec());
    let records = [
        half(1, 2.0),
        half(2, 3.0),
        fewer,
        record("prune(a=1, ratio=0.5)", "torch", 1, 2.5),
        elsewhere,
    ];
    let shown = table(&records, MAPPING);
    let rows = &shown.rows[1].measured;
    let sites: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row.model.as_str(), row.place.as_str()))
        .collect();
    assert_eq!(
        sites,
        [
            ("tiny", "candle cpu f32"),
            ("tiny", "torch cpu f32"),
            ("hf:small/model", "candle cpu f32")
        ]
    );
    let measured = &rows[0].cells[0].as_ref().unwrap().measured;
    assert!((measured.value - (2f64.exp() + 3f64.exp()) / 2.0).abs() < 1e-12);
    assert_eq!((measured.seeds, measured.records.len()), (2, 2));
    assert!(measured.seed_sd.unwrap() > 1.0);
    // No difference to a range.
    assert_eq!(rows[0].cells[0].as_ref().unwrap().difference, None);
}

#[test]
fn a_failed_cell_is_shown_as_such() {
    let shown = table(&[failed("prune(ratio=0.5)", "candle", 1)], MAPPING);
    assert!(shown.rows[1].missing.is_none());
    let markdown = shown.to_table().to_markdown();
    assert!(
        markdown.contains("oom: prune(ratio=0.5): asked for 9 GiB and a long trace"),
        "{markdown}"
    );
}

#[test]
fn a_plan_has_the_recipes_that_lack_something_until_none_does() {
    let planned = |records: &[Record]| {
        let plan = table(records, MAPPING).plan().unwrap();
        plan.map(|plan| toml::from_str::<toml::Table>(&plan).unwrap())
    };
    let all = planned(&[]).unwrap();
    assert_eq!(all["name"].as_str(), Some("invented-1"));
    assert_eq!(all["recipes"].to_string(), r#"[["dense"], ["prune(ratio=0.5)"]]"#);
    assert_eq!(all["models"].to_string(), r#"["tiny"]"#);
    let rest = planned(&[dense("candle"), failed("prune(ratio=0.5)", "candle", 1)]).unwrap();
    assert_eq!(rest["recipes"].to_string(), r#"[["prune(ratio=0.5)"]]"#);
    assert_eq!(planned(&[dense("candle"), half(1, 2.0)]), None);
}

#[test]
fn every_table_of_every_paper_is_printed_without_a_record() {
    for paper in Paper::all().unwrap() {
        let mapping = Mapping::of(&paper).unwrap();
        for published in &paper.tables {
            let shown = PaperTable::new(&paper, &published.id, &mapping, &[], &baseline()).unwrap();
            let table = shown.to_table();
            assert_eq!(table.rows.len(), published.rows.len(), "{} {}", paper.id, published.id);
            let width = published.labels.len() + published.columns.len() + 2;
            assert!(table.columns.len() == width && table.rows.iter().all(|row| row.len() == width));
            let markdown = table.to_markdown();
            assert!(
                markdown.matches("not measured here").count() + markdown.matches("not run").count() >= table.rows.len()
            );
        }
    }
}
