//! A number has one interval, whoever shows it.

use prunebench_results::Record;
use serde_json::Value;

use crate::accuracy::{Score, ScoreChange};
use crate::accuracy_tables::tests::{choices, with};
use crate::comparison::tests::{baseline, dense, record, timed};
use crate::gate::{Rules, Snapshot, judge};
use crate::statistics::Interval;
use crate::{Comparison, Differences, Differing, Field, Page, part};

const RECIPE: &str = "prune(ratio=0.5)";
const PERPLEXITY: &str = "perplexity wiki/stream-3@1";

/// Windows that lose `by` more than those of the dense model, some more and some less.
fn perplexity(recipe: &str, seed: u64, by: f64) -> Record {
    let mut record = record(recipe, "candle", seed, 3.0);
    let result = &mut record.metrics.as_mut().unwrap().perplexity[0];
    for (window, loss) in result.window_nll.iter_mut().enumerate() {
        *loss += by * (1.0 + ((7 * window + seed as usize) % 5) as f64 / 10.0);
    }
    record
}

fn accuracy(recipe: &str, seed: u64, right: [usize; 8]) -> Record {
    let mut reversed = right;
    reversed.reverse();
    with(
        record(recipe, "candle", seed, 3.0),
        vec![choices(0, right), choices(5, reversed)],
    )
}

const RIGHT: [usize; 8] = [1, 1, 1, 1, 1, 1, 0, 0];
const WRONG: [usize; 8] = [1, 1, 0, 0, 1, 0, 1, 0];

fn perplexities(seeds: u64) -> Vec<Record> {
    let compressed = (1..=seeds).map(|seed| perplexity(RECIPE, seed, 0.2 * seed as f64));
    std::iter::once(dense("candle")).chain(compressed).collect()
}

fn accuracies(seeds: u64) -> Vec<Record> {
    let compressed = (1..=seeds).map(|seed| {
        let mut right = WRONG;
        right.rotate_left(seed as usize);
        accuracy(RECIPE, seed, right)
    });
    let dense = with(dense("candle"), vec![choices(0, RIGHT), choices(5, RIGHT)]);
    std::iter::once(dense).chain(compressed).collect()
}

/// What the page says of the compressed model's number: by itself, and its change.
fn page(records: &[Record], number: &str) -> Value {
    let dense = baseline();
    let mut page = Page::new(&dense);
    for record in records {
        page.add("store", record).unwrap();
    }
    let html = page.to_html("title").unwrap();
    let (_, data) = html.split_once("id=\"data\">").unwrap();
    let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    data["sections"][0]["rows"][1]["numbers"][number].clone()
}

/// Its difference and interval by `compare`.
fn compared(records: &[Record], number: &str) -> (f64, Option<Interval>) {
    let all = Snapshot::of(records, &baseline()).unwrap();
    let mut sides = ["dense", RECIPE].map(|recipe| part(&all, Field::Recipe, recipe).unwrap());
    // The dense model has one seed, beside which stand all.
    let first = sides[0].cells[0].clone();
    sides[0].cells = sides[1]
        .cells
        .iter()
        .map(|cell| {
            let mut dense = first.clone();
            dense.cell.seed = cell.cell.seed;
            dense
        })
        .collect();
    let values = ["dense".to_owned(), RECIPE.to_owned()];
    let field = Field::Recipe;
    let differences = Differences::of([&sides[0], &sides[1]], vec![Differing { field, values }]).unwrap();
    let difference = differences.numbers.iter().find(|found| found.number == number).unwrap();
    (difference.difference, difference.interval)
}

/// Its difference and interval by a gate for which the dense model was the night before.
fn gated(records: &[Record], number: &str) -> (f64, Option<Interval>) {
    let mut after = Snapshot::of(records, &baseline()).unwrap();
    let dense = after.cells.remove(0);
    let mut before = after.clone();
    for cell in &mut before.cells {
        cell.series = dense.series.clone();
    }
    let rules = format!(
        "[family.all]\nalpha = 0.05\n[[rule]]\nmetric = \"{number}\"\nmargin = 0.02\ndirection = \"unchanged\"\nfamily = \"all\"\n"
    );
    let report = judge(&after, &before, &Rules::parse(&rules).unwrap()).unwrap();
    let change = report.findings[0].change.as_ref().unwrap();
    (change.difference, change.interval)
}

/// As the page has numbers: to seven digits.
fn short(interval: Option<Interval>) -> Vec<f64> {
    let short = |value: f64| format!("{value:.6e}").parse().unwrap();
    interval.map(|ends| vec![short(ends.low), short(ends.high)]).unwrap()
}

fn ends(value: &Value) -> Vec<f64> {
    let ends = value.as_array().unwrap().iter();
    ends.map(|end| end.as_f64().unwrap()).collect()
}

#[test]
fn table_page_gate_and_compare_have_one_interval_for_a_ratio_of_perplexities() {
    for seeds in [1, 3] {
        let (records, baseline) = (perplexities(seeds), baseline());
        let (difference, interval) = gated(&records, PERPLEXITY);
        assert_eq!(compared(&records, PERPLEXITY), (difference, interval));
        assert_eq!(ends(&page(&records, PERPLEXITY)["change"]["interval"]), short(interval));

        let comparison = Comparison::new(&records, &baseline).unwrap();
        let ratio = comparison.ratio(&comparison.groups[1].records, 0).unwrap();
        let (of_table, interval) = (ratio.interval.unwrap(), interval.unwrap());
        assert_eq!(
            (ratio.value, of_table.low, of_table.high),
            (1.0 + difference, 1.0 + interval.low, 1.0 + interval.high)
        );
        assert!(of_table.low < ratio.value && ratio.value < of_table.high);
    }
}

#[test]
fn table_page_gate_and_compare_have_one_interval_for_a_difference_of_accuracies() {
    for seeds in [1, 3] {
        let (records, baseline) = (accuracies(seeds), baseline());
        let comparison = Comparison::new(&records, &baseline).unwrap();
        let scores = comparison.scores();
        for (score, number) in [(scores[0], "acc arc@1"), (scores[2], "mean both")] {
            assert_eq!(matches!(score, Score::Suite(_)), number == "mean both");
            let (difference, interval) = gated(&records, number);
            assert_eq!(compared(&records, number), (difference, interval));
            assert_eq!(ends(&page(&records, number)["change"]["interval"]), short(interval));
            let change = comparison.change(&comparison.groups[1].records, score);
            let Some(ScoreChange::Difference {
                value,
                interval: of_table,
                ..
            }) = change
            else {
                panic!("{change:?}");
            };
            assert_eq!((value, of_table), (difference, interval));
        }
    }
}

#[test]
fn table_and_claim_have_one_interval_for_a_speed_in_its_rounds() {
    let records: Vec<Record> = (0..4)
        .flat_map(|round| {
            let seconds = 1.0 + round as f64;
            let fast = timed(
                record(RECIPE, "candle", 0, 3.0),
                round,
                seconds / (1.5 + 0.1 * round as f64),
            );
            [timed(dense("candle"), round, seconds), fast]
        })
        .collect();
    let baseline = baseline();
    let comparison = Comparison::new(&records, &baseline).unwrap();
    let ratio = comparison
        .speed_ratio(&comparison.groups[1].records, |result| &result.decode)
        .unwrap();
    let claims = crate::claims::Claims::parse(
        "invented",
        "[[claim]]\nid = \"1\"\nstatement = \"s\"\nsource = \"x\"\ntrust = \"paper\"\nmetric = \"decode speed*\"\n\
         tests = [{ sum = { \"prune(*)\" = 1.0 }, above = 0.0 }]",
    );
    let claims = claims.unwrap();
    let mut observations = crate::claims::Observations::default();
    observations.add(&records, &baseline, std::slice::from_ref(&claims));
    let evidence = crate::claims::Evidence::embedded().unwrap();
    let scorecard = crate::claims::Scorecard::new(&claims, &observations, &evidence);
    let effect = scorecard.claims[0].effect.clone().unwrap();
    let (of_claim, of_table) = (effect.interval.unwrap(), ratio.interval.unwrap());
    assert_eq!(
        (effect.value.exp(), of_claim.low.exp(), of_claim.high.exp()),
        (ratio.value, of_table.low, of_table.high)
    );
}
