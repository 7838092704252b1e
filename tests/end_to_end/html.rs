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
        .expect(0, &["measured 3 of 3 cells now"]);
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
fn recipes_of_a_store_are_compared_item_by_item() {
    let sandbox = measured();
    let recipes = ["--recipe", "magnitude(ratio=0.3)", "magnitude(ratio=0.6)"];
    let compare = |rest: &[&str]| sandbox.run(&[&["compare", STORE], rest].concat());
    let shown = compare(&recipes);
    shown.expect(0, &["numbers compared", "were tested"]);
    for words in [
        "magnitude(ratio=0.3) → magnitude(ratio=0.6)",
        "p (BH)",
        "would have been seen",
    ] {
        assert!(shown.out.contains(words), "{words}: {}", shown.out);
    }
    let json: Value = serde_json::from_str(&compare(&[&recipes[..], &["--json"]].concat()).out).unwrap();
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

    compare(&[]).expect(2, &["STORE"]);
    compare(&["--recipe", "dense", "nothing"]).expect_error(1, &["`nothing`", "magnitude(ratio=0.3)"]);
}
