use std::fs;

use prunebench_methods::Recipe;
use tempfile::TempDir;

use super::*;
use crate::grid;
use crate::problem::Collector;

const GOOD: &str = r#"
name = "a"
models = ["m"]
recipes = ["x"]
engines = ["candle"]
[evaluation]
perplexity = [{ protocol = "wikitext2/stream-512@1", windows = 4 }]
[limits]
timeout_s = 5
"#;

/// Writes files, and reads the first.
fn read(files: &[(&str, &str)]) -> (TempDir, Result<Experiment, Problems>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let read = Experiment::read(&folder.path().join(files[0].0));
    (folder, read)
}

/// What is told of files, without the folder.
fn told(files: &[(&str, &str)]) -> String {
    let (folder, read) = read(files);
    let problems = match read {
        Ok(experiment) => Problems::new("told by the plan", experiment.source.problems),
        Err(problems) => problems,
    };
    assert!(problems.is_usage());
    problems
        .to_string()
        .replace(&format!("{}/", folder.path().display()), "")
}

fn fault(from: &str, to: &str) -> String {
    let changed = GOOD.replacen(from, to, 1);
    assert_ne!(changed, GOOD);
    told(&[("a.toml", &changed)])
}

#[test]
fn every_mistake_of_a_file_is_told_at_once_with_its_line() {
    let text = told(&[(
        "a.toml",
        r#"nmae = "a"
models = ["m", 3]
recipes = [
    "x",
    7,
]
engines = "candle"
[evaluation]
perplexity = [{ windows = "4" }]
[limits]
timeout = 5"#,
    )]);
    for line in [
        "a.toml: 8 problems",
        "the key `name` is missing",
        "a.toml:1: unknown key `nmae`; did you mean `name`?",
        "a.toml:2: models[1]: found a whole number (3), wanted a string",
        "a.toml:5: recipes[1]: found a whole number (7), wanted a string or a list, each entry a string",
        "a.toml:7: engines: found a string (\"candle\"), wanted a list, each entry a string",
        "a.toml:9: evaluation.perplexity[0].windows: found a string (\"4\"), wanted a whole number, not negative",
        "a.toml:9: evaluation.perplexity[0]: the key `protocol` is missing",
        "a.toml:11: unknown key `limits.timeout`; did you mean `timeout_s`?",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
}

#[test]
fn one_mistake_is_a_line_with_its_place() {
    assert!(fault("engines", "engnies").contains("a.toml:5: unknown key `engnies`; did you mean `engines`?"));
    assert!(fault("timeout_s", "timeout").starts_with("a.toml:9: unknown key `limits.timeout`"));
    assert!(
        fault("name = \"a\"", "name = ").starts_with("a.toml:2: "),
        "{}",
        fault("name = \"a\"", "name = ")
    );
    assert_eq!(
        fault("engines = [\"candle\"]", ""),
        "a.toml: the key `engines` is missing"
    );
    let missing = Experiment::read(Path::new("/proc/none/such.toml")).unwrap_err();
    assert!(
        missing.to_string().starts_with("/proc/none/such.toml: No such file"),
        "{missing}"
    );
}

#[test]
fn included_files_give_what_a_file_leaves_out() {
    let (folder, experiment) = read(&[
        (
            "a.toml",
            "include = ['b.toml', 'c.toml']\nname = 'a'\n\n[limits]\ntimeout_s = 1",
        ),
        (
            "b.toml",
            "models = ['b']\nengines = ['b']\nlimits = { memory_gb = 2 }\nevaluation = {}\nseeds = [1]",
        ),
        ("c.toml", "include = ['d.toml']\nmodels = [\n  'c',\n  'd',\n]"),
        ("d.toml", "name = 'd'\nrecipes = ['x']\nseeds = [2]"),
    ]);
    let experiment = experiment.unwrap();
    assert_eq!(experiment.source.problems, []);
    assert_eq!(experiment.name, "a");
    assert_eq!(experiment.models, ["c", "d"]);
    assert_eq!(experiment.engines, ["b"]);
    assert_eq!(experiment.seeds, [2]);
    // A key is of one file whole.
    assert_eq!(
        (experiment.limits.timeout_s, experiment.limits.memory_gb),
        (Some(1.0), None)
    );
    let mut problems = Collector::new(&experiment.source);
    problems.usage("models[1]", "of c");
    problems.usage("engines[7]", "of b");
    problems.usage("limits.memory_gb", "of a");
    let told = problems.finish("a").unwrap_err().to_string();
    for (file, line, text) in [("c", 4, "of c"), ("b", 2, "of b"), ("a", 4, "of a")] {
        let place = format!(
            "{}:{line}: {text}",
            folder.path().join(format!("{file}.toml")).display()
        );
        assert!(told.contains(&place), "{place}:\n{told}");
    }
}

#[test]
fn an_include_that_is_not_there_or_goes_round_names_the_chain() {
    let text = told(&[
        ("a.toml", "name = 'a'\ninclude = ['b.toml']"),
        ("b.toml", "\ninclude = ['none.toml']"),
    ]);
    assert!(
        text.starts_with("b.toml:2: none.toml can't be read (No such file"),
        "{text}"
    );
    assert!(text.contains("a.toml includes b.toml includes none.toml"), "{text}");
    let text = told(&[("a.toml", "include = ['b.toml']"), ("b.toml", "include = ['./a.toml']")]);
    assert!(
        text.starts_with("b.toml:1: a.toml includes b.toml includes ./a.toml go round"),
        "{text}"
    );
    // The same file by two ways is no circle.
    let (_folder, twice) = read(&[
        ("a.toml", &format!("include = ['b.toml', 'c.toml']{GOOD}")),
        ("b.toml", "include = ['c.toml']"),
        ("c.toml", ""),
    ]);
    assert_eq!(twice.unwrap().source.problems, []);
}

#[test]
fn mistakes_of_included_files_are_told_with_their_own_lines() {
    let text = told(&[
        ("a.toml", &format!("include = ['b.toml']{GOOD}nmae = 1")),
        ("b.toml", "\n\nsedes = [1]"),
    ]);
    assert!(
        text.contains("b.toml:3: unknown key `sedes`; did you mean `seeds`?"),
        "{text}"
    );
    assert!(text.contains("a.toml:10: unknown key `limits.nmae`"), "{text}");
}

#[test]
fn every_file_that_comes_along_can_be_read_and_names_methods_that_exist() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments")];
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
            read += 1;
            if fs::read_to_string(&path).unwrap().contains("[[domain]]") {
                crate::Pretraining::read(&path).unwrap();
                continue;
            }
            let experiment = Experiment::read(&path).unwrap();
            let mut problems = Collector::new(&experiment.source);
            for grid::Written { methods: recipe, .. } in grid::recipes(&experiment, &mut problems) {
                Recipe::parse(&recipe).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
            problems.finish("a").unwrap();
        }
    }
    assert!(read > 5, "{read}");
}
