//! Tables of one's own, from records that the program measured.

use serde_json::Value;

use crate::support::Sandbox;

const DEFINITION: &str = r#"
stores = ["results/runs/two"]
label = "recipe"
rows = [{ recipe = "magnitude(*)", name = "magnitude, 60 %" }, { recipe = "dense" }]

[[columns]]
show = "perplexity world/stream-128@1"
header = "perplexity"
decimals = 3

[[columns]]
show = "ratio of perplexity world/stream-128@1"
header = "ratio"
"#;

#[test]
fn a_table_of_ones_own_is_markdown_latex_csv_and_json_with_the_records_behind_each_entry() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "two.toml",
        r#"
        name = "two"
        models = ["tiny"]
        engines = ["candle"]
        threads = 1
        recipes = ["magnitude(ratio=0.6)"]
        [evaluation]
        perplexity = [{ protocol = "world/stream-128@1", windows = 8 }]
        "#,
    );
    sandbox
        .run(&["run", "two.toml"])
        .expect(0, &["2 of 2 cells measured; 2 of them now"]);
    sandbox.write("mine.toml", DEFINITION);

    let markdown = sandbox.run(&["report", "--table", "mine.toml", "--format", "md"]);
    markdown.expect(0, &[]);
    let lines: Vec<&str> = markdown.out.lines().collect();
    assert_eq!(lines[2], "| recipe | perplexity (± stderr) | ratio (95 % interval) |");
    assert!(
        lines[4].starts_with("| magnitude, 60 % | ") && lines[5].starts_with("| dense | "),
        "{}",
        markdown.out
    );

    let drawn = sandbox.run(&["report", "--table", "mine.toml"]);
    assert!(
        drawn.out.lines().any(|line| line.starts_with("magnitude, 60 %  ")),
        "{}",
        drawn.out
    );

    sandbox.write(
        "unknown.toml",
        &DEFINITION.replace("show = ", "show = \"no such number\" # "),
    );
    sandbox
        .run(&["report", "--table", "unknown.toml"])
        .expect(2, &["no record has `no such number`"]);
    sandbox.write("misspelt.toml", "[[column]]\n");
    sandbox
        .run(&["report", "--table", "misspelt.toml"])
        .expect(2, &["misspelt.toml", "column"]);

    let latex = sandbox.run(&["report", "--table", "mine.toml", "--format", "latex"]);
    latex.expect(0, &[]);
    assert!(latex.out.contains("\\midrule\nmagnitude, 60 \\% & "), "{}", latex.out);

    let json = sandbox.run(&["report", "--table", "mine.toml", "--json"]);
    let table: Value = serde_json::from_str(&json.out).unwrap();
    let records = sandbox.records("two");
    let key = |recipe: &str| {
        let of = |record: &&Value| record["cell"]["recipe"][0].as_str().unwrap().starts_with(recipe);
        records.iter().find(of).unwrap()["key"].clone()
    };
    let ratio = &table[0]["sources"][1];
    assert_eq!(
        (&ratio["records"][0], &ratio["baseline"][0], &ratio["column"]),
        (&key("magnitude"), &key("dense"), &Value::from(2))
    );

    // Unrounded, as pandas reads it.
    let csv = sandbox.run(&["report", "--table", "mine.toml", "--format", "csv"]);
    let mut reader = csv::Reader::from_reader(csv.out.as_bytes());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(
        header,
        [
            "recipe",
            "perplexity",
            "perplexity ±",
            "ratio",
            "ratio low",
            "ratio high",
            "records"
        ]
    );
    let row = reader.records().next().unwrap().unwrap();
    assert_eq!(
        row[1].parse::<f64>().unwrap(),
        table[0]["rows"][0][1]["number"]["value"].as_f64().unwrap()
    );

    // The tables of all numbers take the same forms.
    let all = sandbox.run(&["report", "results/runs/two", "--format", "html"]);
    all.expect(0, &[]);
    assert!(all.out.contains("<table>") && all.out.contains(key("dense").as_str().unwrap()[..16].trim()));

    sandbox.write("wrong.toml", &DEFINITION.replace("stream-128@1", "stream-128@2"));
    let wrong = sandbox.run(&["report", "--table", "wrong.toml"]);
    wrong.expect(2, &["wrong.toml: column 1: no record has `perplexity world/stream-128@2`; did you mean `perplexity world/stream-128@1`?"]);
    let names = sandbox.run(&["report", "results/runs/two", "--columns"]);
    assert!(
        names
            .out
            .lines()
            .any(|name| name == "ratio of perplexity world/stream-128@1"),
        "{}",
        names.out
    );
}
