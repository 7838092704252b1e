use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const GOOD: &str = r#"
    name = "a"
    models = ["m"]
    recipes = ["x", ["y", "z"]]
    engines = ["candle"]
    [axes]
    ratio = [0.1, 1, "row", true]
    [evaluation]
    perplexity = [{ protocol = "p", windows = 4 }]
    throughput = { prompt_tokens = 4, generated_tokens = 2, batch = 1, repeats = 1, warmup = 1 }
    task_limits = { mmlu = 4 }
    [recovery]
    texts = ["t"]
    shares = [1, 0.5]
    [limits]
    timeout_s = 5
"#;

fn experiments() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments")
}

/// The verdict of another implementation on the schema that editors get.
fn fits(text: &str) -> bool {
    let text: Value = toml::from_str(text).unwrap();
    jsonschema::draft7::new(&experiment_schema()).unwrap().is_valid(&text)
}

fn faults(text: &str) -> Vec<String> {
    let mut table = DeTable::parse(text).unwrap().into_inner();
    let schema = of::<Experiment>();
    let mut faults: Vec<String> = check(&schema, &mut table).into_iter().map(|fault| fault.text).collect();
    faults.extend(
        required(&schema)
            .filter(|key| !table.contains_key(*key))
            .map(str::to_owned),
    );
    faults
}

#[test]
fn the_committed_schema_is_that_of_the_types() {
    let committed = fs::read_to_string(experiments().join("schema.json")).unwrap();
    let of_types = format!("{:#}\n", experiment_schema());
    assert!(
        committed == of_types,
        "it differs; make it anew: prunebench schema > harness/experiments/schema.json"
    );
}

#[test]
fn every_committed_experiment_names_the_schema_and_fits_it() {
    let mut folders = vec![experiments()];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            if text.contains("[[domain]]") {
                continue;
            }
            read += 1;
            let named = text.lines().next().and_then(|line| line.strip_prefix("#:schema "));
            let named = named.unwrap_or_else(|| panic!("{} has no `#:schema` in its first line", path.display()));
            let named = fs::canonicalize(path.with_file_name(named)).unwrap();
            assert_eq!(named, fs::canonicalize(experiments().join("schema.json")).unwrap());
            assert!(fits(&text), "{}", path.display());
        }
    }
    assert!(read > 5, "{read}");
}

#[test]
fn the_schema_and_the_check_refuse_the_same() {
    assert!(fits(GOOD));
    assert_eq!(faults(GOOD), [""; 0]);
    for (from, to, said) in [
        (
            "recipes =",
            "recipies =",
            "unknown key `recipies`; did you mean `recipes`?",
        ),
        (
            "windows = 4",
            "window = 4",
            "unknown key `evaluation.perplexity[0].window`; did you mean `windows`?",
        ),
        (
            "windows = 4",
            "windows = -4",
            "found a whole number (-4), wanted a whole number, not negative",
        ),
        (
            "windows = 4",
            "windows = 0.5",
            "evaluation.perplexity[0].windows: found a number",
        ),
        (
            "protocol = \"p\", ",
            "",
            "evaluation.perplexity[0]: the key `protocol` is missing",
        ),
        (
            "batch = 1",
            "bach = 1",
            "unknown key `evaluation.throughput.bach`; did you mean `batch`?",
        ),
        (
            "\"x\", [",
            "7, [",
            "recipes[0]: found a whole number (7), wanted a string or a list, each entry a string",
        ),
        (
            "\"z\"]",
            "3]",
            "recipes[1][1]: found a whole number (3), wanted a string",
        ),
        (
            "[0.1, 1",
            "[[0.1], 1",
            "axes.ratio[0]: found a list, wanted true or false or a whole number",
        ),
        (
            "mmlu = 4",
            "mmlu = \"4\"",
            "evaluation.task_limits.mmlu: found a string (\"4\")",
        ),
        (
            "[1, 0.5]",
            "[1, \"a\"]",
            "recovery.shares[1]: found a string (\"a\"), wanted a number",
        ),
        (
            "timeout_s = 5",
            "timeout_s = true",
            "limits.timeout_s: found true or false",
        ),
        (
            "engines = [\"candle\"]",
            "engines = \"candle\"",
            "engines: found a string (\"candle\"), wanted a list",
        ),
        ("engines = [\"candle\"]", "", "engines"),
    ] {
        let bad = GOOD.replacen(from, to, 1);
        assert_ne!(bad, GOOD, "{from}");
        assert!(!fits(&bad), "{to}");
        let faults = faults(&bad);
        assert!(faults.iter().any(|fault| fault.contains(said)), "{said}: {faults:?}");
    }
}

#[test]
fn a_file_that_includes_another_may_leave_keys_out() {
    assert!(!fits("name = 'a'"));
    assert!(fits("name = 'a'\ninclude = ['b.toml']"));
    assert!(!fits("nmae = 'a'\ninclude = ['b.toml']"));
}
