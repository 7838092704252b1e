use prunebench_results::Record;

use super::*;
use crate::comparison::tests::{baseline, dense, failed, record};

/// Methods whose names begin with a letter are of a family each.
fn families(recipe: &[String]) -> Option<String> {
    Some(recipe[0][..1].to_owned())
}

fn overview_of(records: &[Record], view: &View) -> Result<Overview, ViewError> {
    let baseline = baseline();
    let comparison = Comparison::new(records, &baseline).unwrap();
    comparison.overview(&families, view)
}

fn recovered(method: &str, recovery: &str, engine: &str, nll: f64) -> Record {
    let mut record = record(method, engine, 0, nll);
    record.cell.recipe.push(recovery.into());
    let budget = &mut record.metrics.as_mut().unwrap().budget;
    budget.training_tokens = 82_000;
    record
}

fn labels(overview: &Overview) -> Vec<(Option<&str>, usize, &str)> {
    let rows = overview.rows.iter();
    rows.map(|row| (row.family.as_deref(), row.depth, row.label.as_str()))
        .collect()
}

#[test]
fn families_stand_together_in_the_order_of_the_records_and_a_recovery_below_what_it_recovers() {
    let records = [
        dense("x"),
        record("mask(ratio=0.5)", "x", 0, 3.1),
        record("depth(ratio=0.25)", "x", 0, 3.5),
        record("mask(ratio=0.3)", "x", 0, 3.05),
        recovered("depth(ratio=0.25)", "lora(batch=16, length=128, steps=40)", "x", 3.2),
    ];
    let overview = overview_of(&records, &View::default()).unwrap();
    assert_eq!(
        labels(&overview),
        [
            (None, 0, "dense"),
            (Some("m"), 0, "mask 50 %"),
            (Some("m"), 0, "mask 30 %"),
            (Some("d"), 0, "depth 25 %"),
            (Some("d"), 1, "+ lora, 82 k tokens"),
        ]
    );
    assert_eq!(
        overview.rows[4].recipe,
        "depth(ratio=0.25) + lora(batch=16, length=128, steps=40)"
    );
}

#[test]
fn engines_that_agree_share_a_row_and_others_have_their_own() {
    let mut records = vec![dense("x"), dense("y")];
    records.push(record("mask(ratio=0.5)", "x", 0, 3.1));
    records.push(record("mask(ratio=0.5)", "y", 0, 3.1 + 1e-7));
    let shared = overview_of(&records, &View::default()).unwrap();
    assert_eq!(labels(&shared).len(), 2);
    assert!(
        shared.notes[0].starts_with("x and y agree: perplexities to 1e-7."),
        "{:?}",
        shared.notes
    );

    records[3] = record("mask(ratio=0.5)", "y", 0, 3.3);
    let apart = overview_of(&records, &View::default()).unwrap();
    let names: Vec<&str> = apart.rows.iter().map(|row| row.label.as_str()).collect();
    assert_eq!(names, ["dense", "mask 50 % on x", "mask 50 % on y"]);
    assert!(
        apart.notes[0].contains("where they don't, each has its row"),
        "{:?}",
        apart.notes
    );

    let view = View {
        engine: Some("y".into()),
        ..View::default()
    };
    assert_eq!(overview_of(&records, &view).unwrap().rows.len(), 2);
    let view = View {
        engine: Some("z".into()),
        ..View::default()
    };
    let error = overview_of(&records, &view).unwrap_err().to_string();
    assert!(error.contains("`z`") && error.contains("x, y"), "{error}");
}

#[test]
fn a_difference_that_is_no_chance_is_marked_and_one_that_may_be_is_not() {
    let mut same = record("same", "x", 0, 3.0);
    // Windows that differ from the dense model's by as much in one direction as in the other.
    let losses = (0..10)
        .map(|w| 2.0 * (3.0 + if w % 2 == 0 { -0.1 } else { 0.1 }))
        .collect();
    let metrics = same.metrics.as_mut().unwrap();
    let of = &metrics.perplexity[0];
    metrics.perplexity[0] =
        prunebench_results::PerplexityResult::from_windows(of.protocol.clone(), losses, 2, 1234, 1).unwrap();
    let records = [dense("x"), record("worse", "x", 0, 3.4), same];
    let overview = overview_of(&records, &View::default()).unwrap();
    let ratio = overview
        .columns
        .iter()
        .position(|column| column.header == "× dense")
        .unwrap();
    let marks: Vec<_> = overview.rows.iter().map(|row| row.values[ratio].mark).collect();
    assert_eq!(marks[0], None);
    assert_eq!(overview.rows[1].values[ratio].text, "1.492");
    assert_eq!(marks[2], None);
    assert!(overview.rows[2].values[ratio].spread.is_some());
}

#[test]
fn what_failed_has_a_row_without_numbers_and_its_reason_below() {
    let records = [dense("x"), failed("mask(ratio=0.5)", "x", 0)];
    let overview = overview_of(&records, &View::default()).unwrap();
    assert!(overview.rows[1].failed.is_some());
    assert!(overview.rows[1].values.iter().all(|value| value.text.is_empty()));
    assert_eq!(overview.failures[0].reason, "asked for 9 GiB");
    assert!(
        overview.failures[0].cell.starts_with("mask 50 % on x"),
        "{:?}",
        overview.failures
    );
}

#[test]
fn rows_are_sorted_by_a_number_with_whole_names_and_only_by_one_that_is_there() {
    let records = [
        dense("x"),
        record("depth(ratio=0.25)", "x", 0, 3.5),
        recovered("depth(ratio=0.25)", "lora(steps=40)", "x", 3.2),
    ];
    let by = |sort| View {
        sort: Some(sort),
        ..View::default()
    };
    let sorted = overview_of(&records, &by(Sort::Perplexity)).unwrap();
    let names: Vec<&str> = sorted.rows.iter().map(|row| row.label.as_str()).collect();
    assert_eq!(
        names,
        ["dense", "depth 25 % + lora steps=40, 82 k tokens", "depth 25 %"]
    );
    let error = overview_of(&records, &by(Sort::Accuracy)).unwrap_err();
    assert_eq!(error, ViewError::NothingToSortBy("accuracy"));
}

#[test]
fn a_column_is_shown_by_its_name_and_a_misspelt_name_has_its_near_miss() {
    let records = [dense("x"), record("mask(ratio=0.5)", "x", 0, 3.1)];
    let named = |name: &str| View {
        show: Show::Named(vec![name.into()]),
        ..View::default()
    };
    let overview = overview_of(&records, &named("peak memory")).unwrap();
    assert_eq!(overview.columns.len(), 1);
    assert_eq!(overview.rows[1].values[0].text, "300");
    let error = overview_of(&records, &named("peak memroy")).unwrap_err().to_string();
    assert!(error.contains("did you mean `peak memory`"), "{error}");
}
