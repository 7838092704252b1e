//! The published tables themselves, and what their reader refuses.

use super::*;

/// Id, rows and columns of every table.
fn sizes(paper: &Paper) -> Vec<(&str, usize, usize)> {
    let size = |table: &'_ PublishedTable| (table.rows.len(), table.columns.len());
    let tables = paper.tables.iter();
    tables
        .map(|table| (table.id.as_str(), size(table).0, size(table).1))
        .collect()
}

#[test]
fn every_table_of_the_five_papers_is_there() {
    let papers = Paper::all().unwrap();
    let found: Vec<_> = papers.iter().map(|paper| (paper.id.as_str(), sizes(paper))).collect();
    let expected = [
        (
            "drpruning",
            vec![
                ("main", 3, 4),
                ("claims", 5, 1),
                ("sheared", 10, 1),
                ("shapes", 5, 6),
                ("settings", 16, 3),
                ("domains", 7, 5),
                ("languages", 8, 4),
                ("reference", 7, 6),
                ("tasks", 15, 2),
            ],
        ),
        (
            "flexigpt",
            vec![
                ("1", 12, 7),
                ("2", 5, 7),
                ("3", 7, 2),
                ("4", 4, 2),
                ("5", 3, 7),
                ("6", 3, 2),
                ("7", 2, 2),
                ("text", 2, 1),
                ("slicegpt-1", 20, 1),
                ("sleb", 2, 2),
                ("shortgpt-4", 7, 1),
                ("shortgpt-2", 5, 14),
                ("shortgpt-8", 3, 6),
            ],
        ),
        (
            "layer_parallelism",
            vec![("LP-1", 4, 3), ("LP-2", 8, 1), ("replication", 4, 1)],
        ),
        (
            "paser",
            vec![
                ("main", 6, 9),
                ("schemes", 6, 2),
                ("ablation", 2, 1),
                ("LP-T1", 12, 10),
                ("LP-more", 9, 6),
                ("LP-size", 2, 4),
                ("LP-34", 1, 3),
            ],
        ),
        (
            "weight_evolution",
            vec![
                ("WE-1", 11, 2),
                ("WE-2", 12, 3),
                ("WE-3", 4, 1),
                ("WE-4", 9, 3),
                ("WE-4b", 2, 2),
            ],
        ),
    ];
    assert_eq!(found, expected);
}

#[test]
fn averages_follow_from_their_rows_but_for_two_that_the_flexigpt_paper_has_wrong() {
    let mut wrong = Vec::new();
    let mut rules = 0;
    for paper in Paper::all().unwrap() {
        for table in &paper.tables {
            rules += table.rules.len();
            for found in table.discrepancies() {
                let row = table.row_labels(found.row.unwrap()).join(" ");
                let recomputed = (100.0 * found.recomputed).round() / 100.0;
                wrong.push((paper.id.clone(), table.id.clone(), row, found.published, recomputed));
            }
        }
    }
    let expected = [("ShortGPT+LoRA* 30", 61.40, 61.60), ("FlexiGPT* 30", 62.68, 62.28)];
    let of_flexigpt = |(row, published, recomputed): (&str, f64, f64)| {
        (
            "flexigpt".to_owned(),
            "1".to_owned(),
            row.to_owned(),
            published,
            recomputed,
        )
    };
    assert_eq!(wrong, expected.map(of_flexigpt));
    // Every column that is called an average, two of speed, one of parameters and three of shares.
    assert_eq!(rules, 13);
}

#[test]
fn the_headline_of_drpruning_is_recomputed_from_its_main_table() {
    let paper = Paper::find("drpruning").unwrap();
    let (main, claims) = (paper.table("main").unwrap(), paper.table("claims").unwrap());
    let row = |name: &str| main.row(&[name.to_owned()]).unwrap();
    let change = |to: &str, columns: [usize; 2]| {
        let percent = columns.map(|column| {
            let [new, old] = [row("DRPruning"), row(to)].map(|row| main.number(row, column).unwrap());
            100.0 * (new / old - 1.0)
        });
        percent.iter().sum::<f64>() / 2.0
    };
    let told = |claim: usize| {
        claims
            .remarks_on(claim, 0)
            .find_map(|remark| remark.recomputed)
            .unwrap()
    };
    assert!((change("ReSheared", [0, 2]) - told(0)).abs() < 0.005);
    assert!((change("ReSheared", [1, 3]) - told(1)).abs() < 0.005);
    assert!((change("Sheared LLaMA (released)", [1, 3]) - 1.56).abs() < 0.005);
    // Of all values with a remark that corrects them, these two follow from another table and the others from their row.
    assert_eq!((claims.number(0, 0), claims.number(1, 0)), (Some(-5.59), Some(1.52)));
}

#[test]
fn the_remarks_that_correct_a_value_are_four() {
    let papers = Paper::all().unwrap();
    let remarks = papers
        .iter()
        .flat_map(|paper| &paper.tables)
        .flat_map(|table| &table.remarks);
    assert_eq!(remarks.filter(|remark| remark.recomputed.is_some()).count(), 4);
}

#[test]
fn nothing_unverified_is_printed() {
    // Values remembered of the papers and found nowhere: they must not slip in.
    let papers = Paper::all().unwrap();
    let remembered = [40.63, 80.07, 76.85, 71.13, 83.6, 94.4, 23.31, 36.41];
    for table in papers.iter().flat_map(|paper| &paper.tables) {
        for entry in table.rows.iter().flatten() {
            assert!(
                !remembered.iter().any(|&value| *entry == Published::Number(value)),
                "{}",
                table.id
            );
        }
    }
}

#[test]
fn trust_and_text_are_those_of_the_single_value() {
    let paper = Paper::find("weight_evolution").unwrap();
    let statements = paper.table("WE-3").unwrap();
    assert_eq!(
        (statements.trust_of(0, 0), statements.trust_of(1, 0)),
        (Trust::Paper, Trust::SecondHand)
    );
    let table = Paper::find("flexigpt").unwrap().table("1").unwrap().clone();
    assert_eq!(
        (table.text(0, 5), table.text(1, 0)),
        ("76.00".to_owned(), String::new())
    );
    assert_eq!(table.model_of(0), Some("Llama-2-7B"));
    let sizes = Paper::find("paser").unwrap().table("LP-more").unwrap().clone();
    assert_eq!(
        (sizes.text(0, 0), sizes.model_of(6)),
        ("8030261248".to_owned(), Some("TinyLlama-1.1B"))
    );
}

#[test]
fn an_unknown_name_lists_those_that_there_are() {
    let error = Paper::find("flexgpt").unwrap_err().to_string();
    assert!(
        error.contains("no paper `flexgpt`") && error.contains("flexigpt, layer_parallelism"),
        "{error}"
    );
    let error = Paper::find("paser").unwrap().table("9").unwrap_err().to_string();
    assert!(
        error.contains("no table of paser `9`") && error.contains("main, schemes"),
        "{error}"
    );
}

#[test]
fn a_wrong_file_is_refused_with_its_place() {
    const GOOD: &str = r#"
        title = "T"
        reference = "R"
        [[table]]
        id = "1"
        title = "t"
        source = "s"
        trust = "paper"
        labels = ["method"]
        columns = ["a", "b", "mean"]
        protocol = "p"
        rules = { mean = { average_of = ["a", "b"] } }
        rows = [["x", 1.1, 2.3, 1.7], ["y", 2.5, "", ""]]
        remarks = [{ row = ["y"], column = "a", text = "odd" }]
    "#;
    Paper::parse("p", GOOD).unwrap();
    let cases = [
        (
            "trust = \"paper\"",
            "trust = \"hearsay\"",
            "line 8: unknown variant `hearsay`",
        ),
        ("protocol", "protocal", "line 11: unknown field `protocal`"),
        ("protocol = \"p\"", "", "missing field `protocol`"),
        ("2.3, 1.7", "2.3", "table `1`: row 1 has 3 entries, and the header 4"),
        ("[\"y\", 2.5", "[7, 2.5", "a label of row 2 is no text"),
        ("[\"y\", 2.5", "[\"x\", 2.5", "two rows are labelled [\"x\"]"),
        (
            "\"b\", \"mean\"",
            "\"a\", \"mean\"",
            "two of its columns are called `a`",
        ),
        ("2.5", "nan", "a number that is none"),
        (
            "[\"a\", \"b\"] }",
            "[\"a\", \"c\"] }",
            "there is no column `c`; columns: a, b, mean",
        ),
        ("row = [\"y\"]", "row = [\"z\"]", "no row is labelled so"),
        ("column = \"a\", ", "recomputed = 1.0, ", "names no column"),
        ("2.3, 1.7", "2.3, 2.0", "`mean` of [\"x\"] is 2, and 1.7000 by the rest"),
        (
            "row = [\"y\"], column = \"a\"",
            "row = [\"x\"], column = \"mean\", recomputed = 1.4",
            "which follows from its row",
        ),
    ];
    for (old, new, words) in cases {
        let text = GOOD.replacen(old, new, 1);
        assert_ne!(text, GOOD, "{old}");
        let error = Paper::parse("p", &text).unwrap_err().to_string();
        assert!(
            error.starts_with("published/p.toml, ") && error.contains(words),
            "{words} in {error}"
        );
    }
}
