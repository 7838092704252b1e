//! The experiments that come with the program, by name.

use std::path::Path;

use prunebench_methods::config::suggestion;

use crate::document::Files;
use crate::experiment::Experiment;
use crate::grid;
use crate::problem::{Collector, Problem, Problems};

/// Path and content of every file below `harness/experiments`, in the order of their paths.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/experiments.rs"));

const INSIDE: Files = Files::Inside(FILES);

/// Where they lie in the source.
const FOLDER: &str = "harness/experiments";

/// An experiment that comes with the program.
#[derive(Debug, Clone, PartialEq)]
pub struct Shipped {
    /// What users call it: the name of the experiment, or of its file, `gpu/small/layers`, where several experiments share one.
    pub name: String,
    /// Its file in the source.
    pub path: &'static str,
    /// What it asks for.
    pub experiment: Experiment,
    /// Recipes that its text stands for.
    pub recipes: usize,
}

/// All of them, those of the topmost folder first.
///
/// # Errors
/// If a file of them is wrong.
pub fn shipped() -> Result<Vec<Shipped>, Problems> {
    let named = named();
    let shipped = named.iter().map(|entry| {
        let experiment = Experiment::read_from(Path::new(entry.path), INSIDE)?;
        let mut problems = Collector::new(&experiment.source);
        let recipes = grid::recipes(&experiment, &mut problems).len();
        problems.finish(entry.path)?;
        Ok(Shipped {
            name: entry.unique(&named).to_owned(),
            path: entry.path,
            experiment,
            recipes,
        })
    });
    shipped.collect()
}

/// What is known of a file before it is read as an experiment.
struct Named {
    path: &'static str,
    /// The experiment's own.
    name: String,
    /// Of the file: its path without folder and ending.
    file: &'static str,
}

impl Named {
    /// A name that no other has.
    fn unique(&self, all: &[Self]) -> &str {
        match all.iter().filter(|other| other.name == self.name).count() {
            1 => &self.name,
            _ => self.file,
        }
    }
}

/// The files that are experiments, and no trainings.
fn named() -> Vec<Named> {
    let named = FILES.iter().filter_map(|(path, text)| {
        let table: toml::Table = text.parse().ok()?;
        let name = table.get("name")?.as_str()?.to_owned();
        let file = path.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".toml")?;
        table.contains_key("models").then_some(Named { path, name, file })
    });
    let mut named: Vec<Named> = named.collect();
    named.sort_by_key(|entry| entry.file.matches('/').count());
    named
}

impl Experiment {
    /// Reads the file that is there under this path, or else the experiment of this name that comes with the program. What it
    /// says of models is meant from the working folder, whichever it is.
    ///
    /// # Errors
    /// As of [`Experiment::read`]; a name that is neither, with the near miss and the list.
    pub fn open(named_by_user: &Path) -> Result<Self, Problems> {
        if named_by_user.exists() && !named_by_user.is_dir() {
            return Self::read(named_by_user);
        }
        let word = named_by_user.to_string_lossy();
        let all = named();
        let of = |wanted: &str| -> Vec<&Named> {
            let by_file: Vec<&Named> = all.iter().filter(|entry| entry.file == wanted).collect();
            let by_name = || all.iter().filter(|entry| entry.name == wanted).collect();
            if by_file.is_empty() { by_name() } else { by_file }
        };
        let text = match of(&word).as_slice() {
            [entry] => return Self::read_from(Path::new(entry.path), INSIDE),
            [] => unknown(named_by_user, &all),
            several => {
                let files: Vec<&str> = several.iter().map(|entry| entry.file).collect();
                format!(
                    "several experiments have this name; name one by its file: {}",
                    files.join(", ")
                )
            }
        };
        let problem = Problem {
            usage: true,
            place: None,
            text,
        };
        Err(Problems::new(word, vec![problem]))
    }
}

fn unknown(path: &Path, all: &[Named]) -> String {
    let what = if path.is_dir() {
        "it is a folder"
    } else {
        "there is no such file"
    };
    let names: Vec<&str> = all.iter().map(|entry| entry.unique(all)).collect();
    // A file of the source that isn't here is meant by its name, too.
    let mut word = path.to_string_lossy();
    if path.extension().is_some_and(|ending| ending == "toml") {
        word = path.file_stem().unwrap_or_default().to_string_lossy();
    }
    format!(
        "{what}, and no experiment of this name comes with the program; {}; to begin a file: prunebench new experiment NAME",
        suggestion(&word, "experiments", &names)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

    #[test]
    fn every_experiment_of_the_source_comes_along_under_a_name_of_its_own() {
        let all = shipped().unwrap();
        let names: BTreeSet<&str> = all.iter().map(|shipped| shipped.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        for name in [
            "quick",
            "smol",
            "nightly-speed",
            "layer-parallelism-depth",
            "gpu/layers",
            "gpu/small/layers",
        ] {
            assert!(names.contains(name), "{name}: {names:?}");
        }
        for shipped in &all {
            // As its file on the disk, includes and all, but for the places of its values.
            let mut of_file = Experiment::read(&Path::new(SOURCE).join(shipped.path)).unwrap();
            of_file.source = shipped.experiment.source.clone();
            assert_eq!(of_file, shipped.experiment);
            let opened = Experiment::open(Path::new(&shipped.name)).unwrap();
            assert_eq!(opened, shipped.experiment);
            assert!(shipped.recipes > 0);
        }
    }

    #[test]
    fn an_experiment_is_found_by_its_file_too_and_the_lines_of_its_mistakes_are_those_of_the_file() {
        let speed = Experiment::open(Path::new("nightly_speed")).unwrap();
        assert_eq!(speed.name, "nightly-speed");
        let mut problems = Collector::new(&speed.source);
        problems.machine("models[0]", "isn't here");
        let told = problems.finish("a").unwrap_err().to_string();
        assert_eq!(told, "harness/experiments/nightly_speed.toml:5: isn't here");
    }

    #[test]
    fn a_name_that_is_no_experiment_gets_the_near_miss_and_the_list() {
        let told = |name: &str| {
            let error = Experiment::open(Path::new(name)).unwrap_err();
            assert!(error.is_usage());
            error.to_string()
        };
        for word in ["qiuck", "quick.toml", "elsewhere/quick.toml"] {
            let text = told(word);
            assert!(
                text.starts_with(&format!("{word}: there is no such file, and")),
                "{text}"
            );
            assert!(text.contains("did you mean `quick`? experiments: nightly, "), "{text}");
        }
        assert!(told("gpu-layers").contains("by its file: gpu/layers, gpu/small/layers"));
        assert!(told("/").starts_with("/: it is a folder"));
        // What trains a model is no experiment.
        assert!(told("papers/weight_evolution/small").contains("experiments: "));
    }

    #[test]
    fn includes_inside_the_program_are_relative_to_the_file_and_their_lines_are_told() {
        const TREE: Files = Files::Inside(&[
            (
                "a/b/one.toml",
                "include = ['../two.toml']\nname = 'one'\nmodels = ['m']",
            ),
            (
                "a/two.toml",
                "include = ['./b/../three.toml']\nrecipes = ['x']\nengines = ['candle']\nevaluation = {}\nsedes = [1]",
            ),
            ("a/three.toml", "description = 'three'"),
            ("a/round.toml", "name = 'round'\ninclude = ['b/../round.toml']"),
            ("a/astray.toml", "include = ['b/two.toml']"),
        ]);
        let one = Experiment::read_from(Path::new("a/b/one.toml"), TREE).unwrap();
        assert_eq!((one.name.as_str(), one.description.as_str()), ("one", "three"));
        let told = Collector::new(&one.source).finish("one").unwrap_err().to_string();
        assert!(
            told.starts_with("a/b/../two.toml:5: unknown key `sedes`; did you mean `seeds`?"),
            "{told}"
        );
        let fault = |path| Experiment::read_from(Path::new(path), TREE).unwrap_err().to_string();
        let round = fault("a/round.toml");
        assert!(
            round.starts_with("a/round.toml:2: a/round.toml includes a/b/../round.toml go round"),
            "{round}"
        );
        let astray = fault("a/astray.toml");
        assert!(
            astray.starts_with("a/astray.toml:1: a/b/two.toml can't be read (it doesn't come with the program)"),
            "{astray}"
        );
    }
}
