//! Numbers that move only with a version: those of every method and of every kind of protocol, on both engines.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use prunebench_datasets::Catalogue;
use prunebench_results::{Inputs, Record, TaskItem};
use prunebench_tensor::Engine;
use serde::{Deserialize, Serialize};

use crate::support::{Ran, Sandbox};

/// Writes the file anew where it is `write`.
const PIN: &str = "PRUNEBENCH_PIN";
/// Relative, of a perplexity. Between AMD Zen and Intel Sapphire Rapids (family 6 model 207) 38 cells of `quick.toml` differed by at
/// most 2.4e-8, and by 9.2e-7 after 40 steps of training; a change of a formula is seen in more.
const BETWEEN_PROCESSORS: f64 = 1e-5;
/// Nats between the two likeliest choices of an item below which its answer says nothing.
const NEAR_TIE: f64 = 1e-3;

/// A cell's numbers, and what decides them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    recipe: String,
    engine: String,
    /// Versions, hashes of model and data, and settings.
    inputs: Inputs,
    /// Whether the recipe trains, so that numbers are the same to the last digit on one processor alone.
    trained: bool,
    /// Those of each processor that they were measured on; of what is not trained, those of the first.
    by_processor: BTreeMap<String, Numbers>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    /// By protocol.
    perplexity: BTreeMap<String, f64>,
    /// By task: the place of each item's likeliest choice, `?` where another is nearly as likely.
    answers: BTreeMap<String, String>,
}

impl Pin {
    fn of(record: &Record) -> Self {
        let metrics = record.metrics.as_ref().expect("the cell is ok");
        let perplexity = metrics.perplexity.iter();
        let tasks = metrics.tasks.iter();
        let numbers = Numbers {
            perplexity: perplexity
                .map(|result| (result.protocol.clone(), result.value))
                .collect(),
            answers: tasks
                .map(|result| (result.request.task.clone(), result.items.iter().map(answer).collect()))
                .collect(),
        };
        Self {
            recipe: record.cell.recipe.join(" + "),
            engine: record.cell.engine.clone(),
            inputs: record.inputs.clone(),
            trained: metrics.budget.training_tokens > 0,
            by_processor: [(format!("{:#}", record.provenance.cpu), numbers)].into(),
        }
    }

    fn is_of(&self, other: &Self) -> bool {
        (&self.recipe, &self.engine) == (&other.recipe, &other.engine)
    }

    /// What in `found`, measured now on one processor, is not as pinned though everything that decides it is the same.
    fn moved(&self, found: &Self) -> Vec<String> {
        let mut moved = Vec::new();
        for (processor, now) in &found.by_processor {
            let here = self.by_processor.get(processor).filter(|_| self.trained);
            let known: Vec<&Numbers> = match here {
                Some(here) => vec![here],
                None => self.by_processor.values().collect(),
            };
            let tolerance = if here.is_some() { 0.0 } else { BETWEEN_PROCESSORS };
            for then in known {
                moved.extend(then.moved(now, tolerance));
            }
        }
        moved
    }
}

impl Numbers {
    fn moved(&self, now: &Self, tolerance: f64) -> Vec<String> {
        let mut moved = Vec::new();
        let names = |numbers: &Self| -> Vec<String> {
            numbers
                .perplexity
                .keys()
                .chain(numbers.answers.keys())
                .cloned()
                .collect()
        };
        if names(self) != names(now) {
            moved.push(format!(
                "{:?} were measured, and {:?} are pinned",
                names(now),
                names(self)
            ));
        }
        for (protocol, then) in &self.perplexity {
            let now = now.perplexity.get(protocol).copied().unwrap_or(f64::NAN);
            let off = (now / then - 1.0).abs();
            if off.is_nan() || off > tolerance {
                moved.push(format!(
                    "{protocol} is {now}, pinned {then}: {off:.1e} off, {tolerance:.0e} allowed"
                ));
            }
        }
        for (task, then) in &self.answers {
            let now = now.answers.get(task).map_or("", String::as_str);
            let same = |(a, b): (char, char)| a == b || (a == '?' || b == '?') && tolerance > 0.0;
            if now.len() != then.len() || !now.chars().zip(then.chars()).all(same) {
                moved.push(format!("answers to {task} are\n    {now}, pinned\n    {then}"));
            }
        }
        moved
    }
}

fn answer(item: &TaskItem) -> char {
    let likelihoods = item
        .log_likelihoods
        .iter()
        .map(|likelihood| likelihood.unwrap_or(f64::NEG_INFINITY));
    let mut order: Vec<(f64, usize)> = likelihoods.zip(0..).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    match order.as_slice() {
        [(first, _), (second, _), ..] if first - second < NEAR_TIE => '?',
        [(_, place), ..] => char::from_digit(*place as u32, 36).unwrap_or('?'),
        [] => '?',
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What the cells of an experiment give on this machine.
fn measure(experiment: &str, data: Option<&Path>) -> Vec<Pin> {
    let sandbox = Sandbox::new();
    let file = repository().join(format!("harness/experiments/{experiment}.toml"));
    let mut command = sandbox.command(&["run", &file.display().to_string(), "--jobs", "2"]);
    let ran: Ran = command
        .envs(data.map(|data| ("PRUNEBENCH_DATA", data)))
        .output()
        .unwrap()
        .into();
    ran.expect(0, &[]);
    let records = sandbox.records(experiment).into_iter();
    records
        .map(|record| Pin::of(&serde_json::from_value(record).unwrap()))
        .collect()
}

/// Compares with the pins of an experiment, or writes them where that is asked for.
fn check(experiment: &str, measured: Vec<Pin>) {
    let path = repository().join(format!("results/pinned/{experiment}.json"));
    let mut pins: Vec<Pin> = fs::read(&path).map_or_else(|_| Vec::new(), |text| serde_json::from_slice(&text).unwrap());
    let write = std::env::var(PIN).is_ok_and(|value| value == "write");
    let mut problems = Vec::new();
    for found in &measured {
        let name = format!("{} on {}", found.recipe, found.engine);
        let here = found.by_processor.keys().next().unwrap();
        match pins.iter_mut().find(|pin| pin.is_of(found)) {
            Some(pin) if pin.inputs == found.inputs => {
                let moved = pin.moved(found);
                let known = !pin.trained || pin.by_processor.contains_key(here);
                if write && moved.is_empty() && !known {
                    pin.by_processor.extend(found.by_processor.clone());
                }
                problems.extend(moved.into_iter().map(|what| format!("{name}: {what}")));
            }
            Some(pin) if write => *pin = found.clone(),
            None if write => pins.push(found.clone()),
            Some(pin) => problems.push(format!(
                "{name}: pinned with other inputs {:?}",
                differing(&pin.inputs, &found.inputs)
            )),
            None => problems.push(format!("{name}: not pinned")),
        }
    }
    pins.retain(|pin| {
        let stays = measured.iter().any(|found| found.is_of(pin));
        if !stays && !write {
            problems.push(format!("{} on {} is pinned and not measured", pin.recipe, pin.engine));
        }
        stays
    });
    if write {
        pins.sort_by(|a, b| (&a.recipe, &a.engine).cmp(&(&b.recipe, &b.engine)));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, serde_json::to_string_pretty(&pins).unwrap() + "\n").unwrap();
    }
    assert!(
        problems.is_empty(),
        "{}\nA number moves only with a version: raise that of the method (its card), of the protocol or task (its file in \
         datasets/catalogue), or of the engine (Engine::numerics), then `make pin`.",
        problems.join("\n")
    );
}

/// Inputs that the two don't have alike, with both values.
fn differing(then: &Inputs, now: &Inputs) -> BTreeMap<String, [Option<String>; 2]> {
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let both = names
        .into_iter()
        .map(|name| (name.clone(), [then.get(name).cloned(), now.get(name).cloned()]));
    both.filter(|(_, [then, now])| then != now).collect()
}

#[test]
fn every_method_gives_its_pinned_numbers_on_both_engines() {
    let measured = measure("pinned", None);
    for method in prunebench_methods::registry() {
        let name = method.card.id;
        let is_of = |part: &str| part == name || part.starts_with(&format!("{name}("));
        let pinned = measured.iter().filter(|pin| pin.recipe.split(" + ").any(is_of));
        assert_eq!(
            pinned.map(|pin| pin.engine.as_str()).collect::<BTreeSet<_>>().len(),
            Engine::compiled().len(),
            "harness/experiments/pinned.toml has no recipe of {name}"
        );
    }
    check("pinned", measured);
}

#[test]
fn every_kind_of_protocol_gives_its_pinned_numbers_on_both_engines() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let measured = measure("pinned_protocols", Some(&shared.join("data")));
    let catalogue = Catalogue::embedded().unwrap();
    let kind = |id: &String| std::mem::discriminant(&catalogue.protocol(id).unwrap().scoring);
    let numbers = measured.iter().flat_map(|pin| pin.by_processor.values());
    let kinds: HashSet<_> = numbers
        .flat_map(|numbers| numbers.perplexity.keys().map(kind))
        .collect();
    let all: HashSet<_> = catalogue.protocols().map(|protocol| kind(&protocol.id)).collect();
    assert!(
        kinds == all,
        "harness/experiments/pinned_protocols.toml lacks a kind of protocol"
    );
    check("pinned_protocols", measured);
}

fn pin(trained: bool, processor: &str, perplexity: f64, answers: &str) -> Pin {
    let numbers = Numbers {
        perplexity: [("p@1".to_owned(), perplexity)].into(),
        answers: [("t@1".to_owned(), answers.to_owned())].into(),
    };
    Pin {
        recipe: "r".to_owned(),
        engine: "candle".to_owned(),
        inputs: Inputs::new(),
        trained,
        by_processor: [(processor.to_owned(), numbers)].into(),
    }
}

#[test]
fn a_number_that_moves_more_than_processors_make_it_is_seen() {
    let untrained = pin(false, "a", 2.0, "01?3");
    for (value, answers, moved) in [
        (2.0 + 1e-5, "01?3", 0),
        (2.0 + 3e-5, "01?3", 1),
        (f64::NAN, "01?3", 1),
        (2.0, "0123", 0),
        (2.0, "0?23", 0),
        (2.0, "0113", 0),
        (2.0, "1123", 1),
        (2.0, "012", 1),
    ] {
        assert_eq!(
            untrained.moved(&pin(false, "b", value, answers)).len(),
            moved,
            "{value} {answers}"
        );
    }
    let trained = pin(true, "a", 2.0, "01?3");
    for (processor, value, moved) in [
        ("a", 2.0, 0),
        ("a", 2.0f64.next_up(), 1),
        ("b", 2.0 + 1e-5, 0),
        ("b", 2.0 + 3e-5, 1),
    ] {
        assert_eq!(
            trained.moved(&pin(true, processor, value, "01?3")).len(),
            moved,
            "{processor} {value}"
        );
    }
}
