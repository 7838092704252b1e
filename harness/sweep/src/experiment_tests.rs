use prunebench_methods::Recipe;

use super::*;

const GOOD: &str = r#"
    name = "a"
    models = ["m"]
    recipes = ["x(ratio={0.1,0.2}, scope={row,global})", ["y", "z(n={1,2})"], "x(ratio=0.1, scope=row)"]
    engines = ["candle"]
    [evaluation]
    perplexity = [{ protocol = "wikitext2/stream-512@1", windows = 4 }]
    [limits]
    timeout_s = 5
"#;

fn read(text: &str) -> Result<Experiment, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    fs::write(&path, text).unwrap();
    Experiment::read(&path)
}

fn fault(from: &str, to: &str) -> String {
    let changed = GOOD.replacen(from, to, 1);
    assert_ne!(changed, GOOD);
    let problems = read(&changed).unwrap_err();
    assert!(problems.is_usage());
    problems.to_string()
}

#[test]
fn braces_span_a_grid_and_repetitions_count_once() {
    let recipes: Result<Vec<Vec<String>>, String> = read(GOOD).unwrap().expanded_recipes().into_iter().collect();
    let expected: [&[&str]; 6] = [
        &["x(ratio=0.1, scope=row)"],
        &["x(ratio=0.1, scope=global)"],
        &["x(ratio=0.2, scope=row)"],
        &["x(ratio=0.2, scope=global)"],
        &["y", "z(n=1)"],
        &["y", "z(n=2)"],
    ];
    assert_eq!(recipes.unwrap(), expected);
}

#[test]
fn braces_that_do_not_pair_are_refused() {
    for bad in ["x(a={1,2)", "x(a=1})", "x(a={1,{2}})", "}{"] {
        assert!(expand(bad).unwrap_err().contains(bad), "{bad}");
    }
}

#[test]
fn a_misspelt_key_names_the_near_miss_at_every_depth() {
    let text = fault("engines", "engnies");
    assert!(
        text.contains("engnies") && text.contains("did you mean `engines`"),
        "{text}"
    );
    let text = fault("windows = 4", "window = 4");
    assert!(text.contains("did you mean `windows`"), "{text}");
    let text = fault("timeout_s", "timeout");
    assert!(text.contains("did you mean `timeout_s`"), "{text}");
}

#[test]
fn a_wrong_type_a_missing_key_and_broken_toml_are_named() {
    assert!(fault("windows = 4", "windows = \"4\"").contains("windows"));
    assert!(fault("windows = 4", "windows = -4").contains("windows"));
    assert!(fault("engines = [\"candle\"]", "").contains("engines"));
    assert!(fault("\"x(ratio=0.1, scope=row)\"]", "7]").contains("a recipe is a string"));
    assert!(fault("name = \"a\"", "name = ").contains("line 2"));
    let missing = Experiment::read(Path::new("/proc/none/such.toml")).unwrap_err();
    assert!(missing.to_string().contains("/proc/none/such.toml"), "{missing}");
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
            read += 1;
            if fs::read_to_string(&path).unwrap().contains("[[domain]]") {
                crate::Pretraining::read(&path).unwrap();
                continue;
            }
            for recipe in Experiment::read(&path).unwrap().expanded_recipes() {
                Recipe::parse(&recipe.unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
        }
    }
    assert!(read > 5, "{read}");
}
