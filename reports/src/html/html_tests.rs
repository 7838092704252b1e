use serde_json::Value;

use super::*;
use crate::claims::{Scored, Totals, Verdict};
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
    assert_eq!(
        section["setting"],
        "10 windows of wiki/stream-3@1; prompt 100, generated 11, batch 1"
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
fn a_row_stands_beside_the_dense_model_of_its_inputs_and_holds_seeds_of_equal_inputs() {
    let with = |mut record: Record, input: &str, value: &str| {
        record.inputs.insert(input.into(), value.into());
        record.key = record.cell.key(&record.inputs);
        record
    };
    let mut stale = with(record("dense", "candle", 2, 9.0), "model", "another");
    stale.cell.seed = 2;
    let records = [
        stale,
        dense("candle"),
        with(record("a", "candle", 1, 3.1), "calibration", "x"),
        with(record("a", "candle", 2, 3.2), "calibration", "x"),
        with(record("a", "candle", 3, 3.3), "calibration", "y"),
    ];
    let data = data(&page(&records));
    let rows = data["sections"][0]["rows"].as_array().unwrap();
    let seeds: Vec<u64> = rows.iter().map(|row| row["seeds"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [1, 1, 2, 1]);
    let change = |row: usize| rows[row]["numbers"]["perplexity wiki/stream-3@1"]["change"]["value"].as_f64();
    for (row, loss) in [(2, 0.15f64), (3, 0.3)] {
        assert!(
            (change(row).unwrap() - loss.exp_m1()).abs() < 1e-6,
            "{row}: {:?}",
            change(row)
        );
    }
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

fn shallow(recipe: &str, depth: usize, nll: f64) -> Record {
    let mut record = record(recipe, "candle", 1, nll);
    record.metrics.as_mut().unwrap().accounting.effective_depth = depth as _;
    record
}

fn plots(records: &[Record]) -> Result<Vec<Plot>, PlotError> {
    let dense = baseline();
    let mut page = Page::new(&dense);
    for record in records {
        page.add("runs/smol", record).unwrap();
    }
    page.plots()
}

#[test]
fn plots_are_of_quality_against_what_differs_and_of_each_list_that_a_method_reports() {
    let scored = |recipe: &str, depth, scores: [f64; 3]| {
        let mut record = shallow(recipe, depth, 3.2);
        record.metrics.as_mut().unwrap().compression.method_reports[0].details =
            serde_json::json!({ "block_influence": scores });
        record
    };
    let records = [
        dense("candle"),
        scored("a(ratio=1)", 3, [0.5, 0.25, 1.0]),
        scored("a(ratio=2)", 2, [0.5, 0.25, 1.0]),
        scored("b", 1, [0.5, 0.25, 0.75]),
    ];
    let plots = plots(&records).unwrap();
    let of = |part: &str| plots.iter().filter(|plot| plot.name.contains(part)).collect::<Vec<_>>();
    let [scatter] = of("perplexity-wiki-stream-3-1-by-effective-depth")[..] else {
        panic!("{plots:?}")
    };
    assert!(scatter.name.starts_with("smol-tiny-"), "{}", scatter.name);
    for words in [
        "perplexity wiki/stream-3@1, ← better",
        "ringed and joined: Pareto front",
        "whiskers: 95 %",
        "runs/smol",
        ">\na\n<",
        ">\ndense\n<",
    ] {
        assert!(scatter.svg.contains(words), "{words}: {}", scatter.svg);
    }
    // Nothing is drawn against a size that is the same for all.
    assert!(of("nonzero-parameters").is_empty(), "{plots:?}");
    let [curve] = of("block-influence")[..] else {
        panic!("{plots:?}")
    };
    assert!(
        curve.svg.contains("+1: a(ratio=1)\n") && !curve.svg.contains("a(ratio=2)"),
        "{}",
        curve.svg
    );
    assert_eq!(curve.svg.matches("<circle").count() % 2, 0);
}

fn sized(recipe: &str, stored: u64, nonzero: u64) -> Record {
    let mut record = record(recipe, "candle", 1, 3.0 + nonzero as f64 * 1e-6);
    let accounting = &mut record.metrics.as_mut().unwrap().accounting;
    (accounting.stored_parameters, accounting.nonzero_parameters) = (stored, nonzero);
    record
}

/// The dense model with zeros of its own, a mask, a model of half the blocks, and one with a zero more.
fn sizes() -> [Record; 4] {
    [
        sized("dense", 100_000, 97_000),
        sized("mask", 100_000, 50_000),
        sized("blocks", 50_000, 48_500),
        sized("trained", 100_000, 96_999),
    ]
}

#[test]
fn stored_parameters_are_the_first_axis_and_what_a_mask_zeroed_is_marked() {
    let data = data(&page(&sizes()));
    assert_eq!(data["sizes"][0], "stored parameters");
    let rows = data["sections"][0]["rows"].as_array().unwrap();
    let masked: Vec<&Value> = rows.iter().map(|row| &row["masked"]).collect();
    assert_eq!(masked, [false, true, false, false]);
}

#[test]
fn a_masked_point_is_hollow_and_the_front_ringed() {
    let by = |records: &[Record], size: &str| {
        let name = format!("by-{size}-parameters");
        let plots = plots(records).unwrap();
        plots
            .into_iter()
            .find(|plot| plot.name.ends_with(&name))
            .map(|plot| plot.svg)
    };
    let svg = by(&sizes(), "stored").unwrap();
    for words in [
        "hollow: masked, its zeros are stored",
        "ringed and joined: Pareto front",
    ] {
        assert!(svg.contains(words), "{words}: {svg}");
    }
    // The paper and one mark.
    assert_eq!(svg.matches("fill=\"#FFFFFF\"").count(), 2, "{svg}");
    assert!(by(&sizes(), "nonzero").is_some());
    let unmasked = sizes().map(|mut record| {
        let accounting = &mut record.metrics.as_mut().unwrap().accounting;
        accounting.nonzero_parameters = accounting.nonzero_parameters.max(accounting.stored_parameters - 3000);
        record
    });
    let svg = by(&unmasked, "stored").unwrap();
    assert!(
        !svg.contains("hollow") && svg.matches("fill=\"#FFFFFF\"").count() == 1,
        "{svg}"
    );
    // It would be the same picture.
    assert_eq!(by(&unmasked, "nonzero"), None);
}

#[test]
fn names_that_look_like_markup_are_text_in_plots_and_nothing_to_plot_is_an_error() {
    let hostile = "</svg><script>alert(\"1\")</script>' onload=";
    let mut records = [dense("candle"), shallow(hostile, 1, 3.2)];
    for record in &mut records {
        record.cell.model = "../<img src=x>".into();
    }
    for plot in plots(&records).unwrap() {
        assert!(
            plot.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            "{}",
            plot.name
        );
        assert!(
            !plot.svg.contains("<script") && !plot.svg.contains("<img"),
            "{}",
            plot.svg
        );
        assert_eq!(plot.svg.matches("</svg>").count(), 1);
        plot.to_png().unwrap();
    }
    let nothing = plots(&[dense("candle")]).unwrap_err().to_string();
    assert!(nothing.contains("nothing to plot"), "{nothing}");
}

#[test]
fn a_scorecard_is_on_the_page_with_its_verdicts_and_records() {
    let claim = Scored {
        id: "1a".into(),
        statement: "<b>fewer</b> is better".into(),
        source: "section 3".into(),
        trust: "paper".into(),
        verdict: Verdict::NotReproduced,
        shown_by: None,
        effect: None,
        p: Some(0.25),
        p_adjusted: Some(0.5),
        holding: 0,
        parts: Vec::new(),
        records: [dense("candle").key.to_string()].into(),
        missing: Vec::new(),
    };
    let scorecard = Scorecard {
        paper: "flexigpt".into(),
        claims: vec![claim],
        totals: Totals {
            not_reproduced: 1,
            ..Totals::default()
        },
    };
    let baseline = baseline();
    let mut page = Page::new(&baseline);
    page.add("s", &dense("candle")).unwrap();
    page.add_scorecard(scorecard);
    let html = page.to_html("x").unwrap();
    assert!(!html.contains("<b>fewer"));
    let claim = &data(&html)["scorecards"][0]["claims"][0];
    assert_eq!(
        (&claim["verdict"], &claim["p_adjusted"]),
        (&"not_reproduced".into(), &0.5.into())
    );
    assert_eq!(
        claim["records"][0],
        data(&html)["sections"][0]["rows"][0]["origins"][0]["key"]
    );
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
