//! The HTML page of a store and the comparison of two, from records that the program measured.

use std::fs;

use serde_json::Value;

use crate::support::Sandbox;

fn measured() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "page.toml",
        r#"
        name = "page"
        models = ["tiny"]
        engines = ["candle"]
        threads = 1
        recipes = ["magnitude(ratio=0.3)", "magnitude(ratio=0.6)"]
        [evaluation]
        perplexity = [{ protocol = "world/stream-128@1", windows = 16 }]
        tasks = ["world_facts"]
        limit = 40
        "#,
    );
    sandbox
        .run(&["run", "page.toml"])
        .expect(0, &["3 of 3 cells measured; 3 of them now"]);
    sandbox
}

const STORE: &str = "results/runs/page";

#[test]
fn a_report_is_one_html_file_that_fetches_nothing_and_shows_hostile_names_as_text() {
    let sandbox = measured();
    let title = "<script>alert(1)</script> \"quoted\" & 'single'";
    let made = sandbox.run(&["report", STORE, "--html", "page.html", "--title", title]);
    made.expect(0, &["page: page.html"]);
    assert_eq!(made.out, "");
    let html = fs::read_to_string(sandbox.path("page.html")).unwrap();
    assert!(
        html.contains("&lt;script&gt;alert(1)") && !html.contains("<script>alert"),
        "{}",
        &html[..600]
    );
    assert_eq!(html.matches("<script").count(), 2);
    for reference in ["http://", "https://", "src=", "href=\"", "@import", "url("] {
        assert!(!html.contains(reference), "{reference}");
    }
    let (_, rest) = html.split_once("id=\"data\">").unwrap();
    let data: Value = serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
    let rows = data["sections"][0]["rows"].as_array().unwrap();
    assert_eq!((data["records"].as_u64(), rows.len()), (Some(3), 3));
    let keys: Vec<Value> = sandbox
        .records("page")
        .iter()
        .map(|record| record["key"].clone())
        .collect();
    for row in rows {
        assert!(keys.contains(&row["origins"][0]["key"]), "{row}");
        let perplexity = &row["numbers"]["perplexity world/stream-128@1"];
        assert_eq!(perplexity["change"].is_null(), row["dense"] == true, "{row}");
        assert!(perplexity["interval"][0].as_f64() < perplexity["value"].as_f64());
    }
    sandbox
        .run(&["report", "nowhere", "--html", "page.html"])
        .expect_error(1, &["nowhere"]);
    sandbox
        .run(&["report", STORE, "--html", "no/folder/page.html"])
        .expect_error(1, &["no/folder/page.html", "can't be written"]);
}

#[test]
fn plots_are_files_and_claims_are_on_the_page_by_command() {
    let sandbox = measured();
    let made = sandbox.run(&["report", STORE, "--plots", "new/plots"]);
    made.expect(0, &[]);
    let named: Vec<&str> = made.out.lines().collect();
    let mut there: Vec<String> = fs::read_dir(sandbox.path("new/plots"))
        .unwrap()
        .map(|entry| format!("new/plots/{}", entry.unwrap().file_name().display()))
        .collect();
    there.sort();
    let mut told = named.clone();
    told.sort_unstable();
    assert_eq!(told, there);
    let name = "new/plots/page-tiny-perplexity-world-stream-128-1-by-nonzero-parameters";
    let svg = fs::read_to_string(sandbox.path(&format!("{name}.svg"))).unwrap();
    for words in [
        "perplexity world/stream-128@1",
        "magnitude(ratio=0.3)",
        "16 windows of world/stream-128@1",
    ] {
        assert!(svg.contains(words), "{words}: {svg}");
    }
    let png = fs::read(sandbox.path(&format!("{name}.png"))).unwrap();
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((side(16), side(20)), (2000, 1200));
    assert!(
        named.contains(&"new/plots/page-tiny-magnitude-sparsity.svg"),
        "{named:?}"
    );

    let claims = |paper: &str| sandbox.run(&["report", STORE, "--html", "page.html", "--claims", paper]);
    claims("layer_parallelism").expect(0, &["page: page.html"]);
    let html = fs::read_to_string(sandbox.path("page.html")).unwrap();
    let (_, rest) = html.split_once("id=\"data\">").unwrap();
    let data: Value = serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
    let scorecard = &data["scorecards"][0];
    assert_eq!(scorecard["paper"], "layer_parallelism");
    let claims_shown = scorecard["claims"].as_array().unwrap();
    assert_eq!(scorecard["totals"]["not_run"], claims_shown.len());
    assert!(claims_shown[0]["statement"].is_string() && claims_shown[0]["verdict"] == "not_run");
    claims("no_paper").expect_error(2, &["no_paper", "layer_parallelism"]);
    sandbox
        .run(&["report", STORE, "--claims", "layer_parallelism"])
        .expect(2, &["--html"]);
    sandbox
        .run(&["report", STORE, "--plots", "page.html"])
        .expect_error(1, &["page.html", "can't be made"]);
}

#[test]
fn recipes_of_a_store_are_compared_item_by_item() {
    let sandbox = measured();
    let recipes = ["--recipe", "magnitude(ratio=0.3)", "magnitude(ratio=0.6)"];
    let compare = |rest: &[&str]| sandbox.run(&[&["compare", STORE], rest].concat());
    let shown = compare(&recipes);
    shown.expect_shown(0, &["magnitude(ratio=0.3) → magnitude(ratio=0.6): "]);
    let wide = compare(&[&recipes[..], &["--wide", "--notes"]].concat());
    wide.expect_shown(0, &["p (BH)", "Would have been seen: the smallest difference"]);
    let json = compare(&[&recipes[..], &["--json"]].concat());
    json.expect(0, &["numbers compared", "were tested"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    let numbers = json["numbers"].as_array().unwrap();
    let named = |name: &str| numbers.iter().find(|number| number["number"] == name).unwrap();
    assert!(named("perplexity world/stream-128@1")["difference"].as_f64().unwrap() > 0.0);
    assert!(named("acc world_facts@1")["flips"]["lost"].is_u64());
    // A store does not differ from itself.
    let same = sandbox.run(&["compare", STORE, STORE, "--json"]);
    same.expect(0, &["and 0 differ"]);
    let same: Value = serde_json::from_str(&same.out).unwrap();
    assert!(
        same["numbers"]
            .as_array()
            .unwrap()
            .iter()
            .all(|number| number["unchanged"] == true)
    );

    compare(&[]).expect(2, &["<RESULTS>"]);
    compare(&["--recipe", "dense", "nothing"]).expect_error(1, &["`nothing`", "magnitude(ratio=0.3)"]);
}
