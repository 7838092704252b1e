use std::collections::BTreeSet;

use super::*;

impl Planned {
    /// A cell that is measured with nothing else.
    pub(crate) fn alone(cell: Cell, threads: usize) -> Self {
        Self {
            skip: None,
            key: cell.key(&Inputs::new()),
            inputs: Inputs::new(),
            request: Request {
                cell: cell.clone(),
                inputs: Inputs::new(),
                model: None,
                stamps: None,
                calibration: None,
                recovery: None,
                data: None,
                threads,
                shares: Default::default(),
                checkpoints: None,
            },
            cell,
        }
    }
}

const TEXT: &str = r#"
name = "a"
models = ["tiny"]
recipes = ["shortgpt(ratio=0.25)"]
engines = ["candle"]
dtypes = ["f32"]
seeds = [1]
threads = 1
[calibration]
text = "world"
split = "train-sample"
windows = 4
window = 64
[evaluation]
tasks = ["world_facts"]
limit = 10
divergence = true
"#;

fn plan(text: &str) -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    std::fs::write(&path, text).unwrap();
    Plan::new(&Experiment::read(&path).unwrap(), None).unwrap()
}

/// The shared work of the cell with this recipe, by name.
fn shared_work(plan: &Plan, recipe: &[&str]) -> Vec<(String, String)> {
    let planned = plan.cells.iter().find(|planned| planned.cell.recipe == recipe).unwrap();
    let shared_work = planned.request.shares.all();
    shared_work.map(|work| (work.name.clone(), work.key.clone())).collect()
}

#[test]
fn cells_share_what_nothing_that_tells_them_apart_decides() {
    let lora = "lora(batch=2, length=16, steps=1)";
    let recipes = format!(
        r#"recipes = ["shortgpt(ratio={{0.125,0.25}})", "sleb(ratio=0.25)", ["shortgpt(ratio=0.25)", "{lora}"],
                      ["magnitude(ratio=0.5)", "shortgpt(ratio={{0.125,0.25}})"], "gromov(blocks=2, variant=deepest)"]
           recovery.texts = ["world/train-sample"]"#
    );
    let plan = plan(&TEXT.replace(r#"recipes = ["shortgpt(ratio=0.25)"]"#, &recipes));
    let of = |recipe: &[&str]| shared_work(&plan, recipe);
    let names: Vec<_> = of(&["shortgpt(ratio=0.25)"])
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [
            "shortgpt: block influence",
            "task:world_facts@1: hidden states of the dense model @1"
        ]
    );
    // Another ratio, or what comes after.
    assert_eq!(of(&["shortgpt(ratio=0.25)"]), of(&["shortgpt(ratio=0.125)"]));
    assert_eq!(of(&["shortgpt(ratio=0.25)"]), of(&["shortgpt(ratio=0.25)", lora]));
    // The same method after another one has other scores, which its ratio decides as little.
    let after = |ratio: &str| of(&["magnitude(ratio=0.5)", &format!("shortgpt(ratio={ratio})")]);
    assert_eq!(after("0.125"), after("0.25"));
    assert_ne!(after("0.25")[0], of(&["shortgpt(ratio=0.25)"])[0]);
    assert_ne!(of(&["sleb(ratio=0.25)"])[0], of(&["shortgpt(ratio=0.25)"])[0]);
    // The dense model says the same to all.
    let of_dense: BTreeSet<_> = plan
        .cells
        .iter()
        .map(|planned| planned.shares().last().unwrap())
        .collect();
    assert_eq!(of_dense.len(), 1);
    assert_eq!(of(&["dense"]).len(), 1);
    assert_eq!(of(&["gromov(blocks=2, variant=deepest)"]).len(), 1);
}

#[test]
fn whatever_decides_shared_work_changes_its_key() {
    let keys = |text: &str| {
        let plan = plan(text);
        let shared_work = shared_work(&plan, &["shortgpt(ratio=0.25)"]);
        [shared_work[0].1.clone(), shared_work[1].1.clone()]
    };
    let [scores, states] = keys(TEXT);
    let of_both = [
        ("threads = 1", "threads = 2"),
        (r#"["f32"]"#, r#"["f64"]"#),
        (r#"["candle"]"#, r#"["torch"]"#),
    ];
    for (from, to) in of_both {
        if to.contains("torch") && !Engine::compiled().contains(&Engine::Torch) {
            continue;
        }
        let [other_scores, other_states] = keys(&TEXT.replace(from, to));
        assert!(other_scores != scores && other_states != states, "{to}");
    }
    for (from, to) in [
        ("seeds = [1]", "seeds = [2]"),
        ("windows = 4", "windows = 5"),
        ("window = 64", "window = 32"),
        ("train-sample", "facts-validation"),
    ] {
        let [other_scores, other_states] = keys(&TEXT.replace(from, to));
        assert!(other_scores != scores && other_states == states, "{to}");
    }
    for (from, to) in [("limit = 10", "limit = 11"), ("world_facts", "world_lists")] {
        let [other_scores, other_states] = keys(&TEXT.replace(from, to));
        assert!(other_scores == scores && other_states != states, "{to}");
    }
}

#[test]
fn a_plan_without_a_cache_or_with_one_of_no_size_has_none() {
    let folder = |plan: &Plan| {
        let caches = plan.cells.iter().map(|planned| planned.request.shares.cache.is_some());
        caches.collect::<Vec<_>>()
    };
    let without = plan(&TEXT.replace("divergence = true", ""));
    assert_eq!(folder(&without), [false, false]);
    assert_eq!(folder(&without.clone().sharing(Path::new("p"), 0)), [false, false]);
    // The dense model's cell has nothing to share.
    assert_eq!(folder(&without.sharing(Path::new("p"), 1)), [false, true]);
}

#[test]
fn keeping_the_best_of_no_validation_is_refused_in_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    let planned = |validation: &str| {
        let recipes = r#"recipes = ["lora(batch=2, length=16, steps=1, keep_best=true)"]"#;
        let text = TEXT.replace(r#"recipes = ["shortgpt(ratio=0.25)"]"#, recipes);
        std::fs::write(
            &path,
            format!("{text}\n[recovery]\ntexts = [\"world/train-sample\"]\n{validation}"),
        )
        .unwrap();
        Plan::new(&Experiment::read(&path).unwrap(), None)
    };
    let refusal = planned("").unwrap_err().to_string();
    for part in ["a.toml:4: ", "keep_best", "validation = 100"] {
        assert!(refusal.contains(part), "{part}: {refusal}");
    }
    assert!(planned("validation = 2").is_ok());
}
