//! Results folders as users name them: by path, or by the name of their experiment.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::bail;
use prunebench_methods::config::near_miss;
use prunebench_sweep::Experiment;

/// Where runs put their results unless told otherwise.
pub const RESULTS: &str = "results/runs";

/// The folder that a user means: a path that is there, else the experiment of that name under [`RESULTS`], or of that file. A
/// folder there comes before one of the same name here that holds no results, such as a model's.
///
/// # Errors
/// If neither is there; the error says what is, and how to make the results of a known experiment.
pub fn found(named: &Path) -> anyhow::Result<PathBuf> {
    match resolved(named) {
        Some(folder) => Ok(folder),
        None => bail!("{}", missing(named)),
    }
}

/// As [`found`], of each.
///
/// # Errors
/// As of [`found`].
pub fn all_found(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    named.iter().map(|named| found(named)).collect()
}

/// As [`found`], and the path itself where nothing is there.
pub fn found_or_named(named: &Path) -> PathBuf {
    resolved(named).unwrap_or_else(|| named.to_owned())
}

/// How a user may name a folder in short.
pub fn short_name(folder: &Path) -> String {
    let name = folder.strip_prefix(RESULTS).unwrap_or(folder);
    let short = if resolved(name).as_deref() == Some(folder) {
        name
    } else {
        folder
    };
    short.display().to_string()
}

/// Names of the experiments that have results under [`RESULTS`], the latest run first.
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(RESULTS).into_iter().flatten().flatten();
    let mut stores: Vec<(SystemTime, String)> = entries
        .filter_map(|entry| {
            let listed = fs::metadata(entry.path().join("cells.json")).ok()?;
            let time = listed.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            Some((time, entry.file_name().into_string().ok()?))
        })
        .collect();
    stores.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    stores.into_iter().map(|(_, name)| name).collect()
}

fn resolved(named: &Path) -> Option<PathBuf> {
    let there = |folder: &PathBuf| folder.is_dir();
    let is_name = named.components().count() == 1;
    let under = Some(Path::new(RESULTS).join(named)).filter(|folder| is_name && there(folder));
    let of_experiment = || {
        let experiment = Experiment::open(named).ok()?;
        Some(Path::new(RESULTS).join(experiment.name)).filter(there)
    };
    if is_store(named) {
        Some(named.to_owned())
    } else if under.is_some() {
        under
    } else if named.exists() && named.extension().is_none_or(|ending| ending != "toml") {
        Some(named.to_owned())
    } else {
        of_experiment()
    }
}

/// Whether a folder looks like one that a run made, or its folder of records.
fn is_store(folder: &Path) -> bool {
    folder.join("cells.json").is_file() || folder.join("records").is_dir() || folder.ends_with("records")
}

fn missing(named: &Path) -> String {
    let shown = named.display();
    let mut text = if named.components().count() == 1 && !named.exists() {
        format!("there are no results of {shown}: neither {shown} nor {RESULTS}/{shown} is a folder here")
    } else {
        format!("there are no results of {shown}")
    };
    let name = Path::new(named.file_name().unwrap_or_default());
    let word = name.to_string_lossy();
    let there = names();
    let near = near_miss(
        word.strip_suffix(".toml").unwrap_or(&word),
        there.iter().map(String::as_str),
    );
    text += &near.map_or_else(|| ".".to_owned(), |near| format!("; did you mean `{near}`?"));
    text += &match there.as_slice() {
        [] => format!(" Nothing has been run here yet ({RESULTS} has no results)."),
        there => format!(" Results that are here, in {RESULTS}: {}.", there.join(", ")),
    };
    let experiment = [named, name].into_iter().find(|path| Experiment::open(path).is_ok());
    text + &match experiment {
        Some(experiment) => format!(" To make them: prunebench run {}", experiment.display()),
        None => " Name a folder of results, or an experiment that was run.".to_owned(),
    }
}
