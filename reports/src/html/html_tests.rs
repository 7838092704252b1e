use serde_json::Value;

use super::*;
use crate::comparison::tests::{baseline, dense, failed, record};

fn page(records: &[Record]) -> String {
    let dense = baseline();
    let mut page = Page::new(&dense);
    for record in records {
        page.add("runs/smol", record).unwrap();
    }
    page.to_html("A </title> \"title\"").unwrap()
}

fn data(html: &str) -> Value {
    let begin = "<script type=\"application/json\" id=\"data\">";
    let (_, rest) = html.split_once(begin).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn every_number_has_its_interval_its_change_and_its_record() {
    let records = [
        dense("candle"),
        record("a", "candle", 1, 3.1),
        record("a", "candle", 2, 3.2),
        failed("b", "candle", 1),
    ];
    let data = data(&page(&records));
    let section = &data["sections"][0];
    assert_eq!(
        (section["model"].as_str(), section["rows"].as_array().unwrap().len()),
        (Some("tiny"), 3)
    );
    let row = &section["rows"][1];
    assert_eq!(
        (row["recipe"].as_str(), row["seeds"].as_u64(), row["ok"].as_u64()),
        (Some("a"), Some(2), Some(2))
    );
    let number = &row["numbers"]["perplexity wiki/stream-3@1"];
    let value = number["value"].as_f64().unwrap();
    assert!((value - (3.1f64.exp() + 3.2f64.exp()) / 2.0).abs() < 1e-4, "{number}");
    assert!(number["interval"][0].as_f64().unwrap() < value && value < number["interval"][1].as_f64().unwrap());
    // Both seeds are beside the one of the dense model; the mean loss rises by 0.15.
    assert!(
        (number["change"]["value"].as_f64().unwrap() - 0.15f64.exp_m1()).abs() < 1e-6,
        "{number}"
    );
    assert_eq!(row["origins"][1]["key"], records[2].key.as_str());
    let place = &data["places"][row["origins"][0]["place"].as_u64().unwrap() as usize];
    assert_eq!(place["revision"], "0123456789abcdef0123456789abcdef01234567 dirty");
    assert!(section["rows"][0]["numbers"]["perplexity wiki/stream-3@1"]["change"].is_null());
    assert_ne!(section["rows"][2]["status"], "ok");
}

#[test]
fn values_that_look_like_markup_stay_text_and_nothing_is_fetched() {
    let hostile = "</script><script>alert(\"1\")</script>' onload=";
    let mut evil = record(hostile, "candle", 1, 3.1);
    evil.cell.model = "<img src=x>".into();
    evil.experiment = hostile.into();
    let html = page(&[evil]);
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html.matches("</script").count(), 2);
    assert!(!html.contains("<img") && !html.contains("A </title>"));
    assert_eq!(data(&html)["sections"][0]["rows"][0]["recipe"], hostile);
    for reference in ["http://", "https://", "src=\"", "@import", "url("] {
        let script_free = html.replace("img-src data:", "");
        assert!(!script_free.contains(reference), "{reference}");
    }
}

#[test]
fn lists_of_scores_and_losses_of_a_training_are_charts_and_lists_of_blocks_are_none() {
    let mut scored = record("a", "candle", 1, 3.1);
    scored.metrics.as_mut().unwrap().compression.method_reports[0].details = serde_json::json!({
        "block_influence": [0.5, 0.25, 1], "removed_blocks": [1, 2], "sparsity": { "0.q": 0.5, "0.k": 0.4 }, "steps": 3,
        "validation": [{ "step": 10, "loss": { "world": 2.0 } }, { "step": 20, "loss": { "world": 1.5 } }],
    });
    let data = data(&page(&[scored]));
    let charts = data["sections"][0]["rows"][0]["charts"].as_array().unwrap();
    let names: Vec<&str> = charts.iter().map(|chart| chart["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["block influence", "sparsity", "validation: loss world"]);
    assert_eq!(
        (&charts[2]["across"], &charts[2]["places"]),
        (&"step".into(), &serde_json::json!([10.0, 20.0]))
    );
    assert_eq!(charts[2]["values"], serde_json::json!([2.0, 1.5]));
}

#[test]
fn a_page_of_nothing_or_of_a_cell_twice_is_an_error() {
    let baseline = baseline();
    let mut page = Page::new(&baseline);
    assert!(
        page.to_html("x")
            .unwrap_err()
            .to_string()
            .contains("run the experiment first")
    );
    page.add("s", &dense("candle")).unwrap();
    let twice = page.add("s", &dense("candle")).unwrap_err().to_string();
    assert!(twice.contains("two records of"), "{twice}");
}
