//! `prunebench new`.

mod catalogue;
mod checkout;
mod method;
mod word;

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use prunebench_tensor::Engine;

use self::checkout::Checkout;
use self::word::{ExperimentName, MethodName, TableName};
use crate::Outcome;
use crate::output::{note, print};

const EXPERIMENT: &str = include_str!("templates/experiment.toml");

/// Write a commented file to start from: an experiment, a task, a text or a method.
#[derive(Debug, Args)]
#[command(
    after_help = "What it writes works as it is. Nothing is ever overwritten. Tasks, texts and methods are part of the program, so \
their files go into a checkout of its source, at or above the working folder.

Examples:
  prunebench new experiment mine
  prunebench new experiment mine --out sweeps/mine.toml
  prunebench new task trivia
  prunebench new text letters
  prunebench new method small-heads"
)]
pub struct New {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// An experiment on the model inside the program: NAME.toml in the working folder
    Experiment {
        /// Name of the experiment and of its results
        name: ExperimentName,
        /// File to write, or a folder for it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// A task: datasets/catalogue/tasks/NAME.toml of the source
    Task {
        /// Name of the task
        name: TableName,
    },
    /// A method: methods/src/NAME/ of the source, and its line in the registry
    Method {
        /// Name of the method, as recipes spell it
        name: MethodName,
    },
    /// A text: datasets/catalogue/texts/NAME.toml of the source
    Text {
        /// Name of the text
        name: TableName,
    },
}

impl New {
    pub fn run(self) -> Outcome {
        let here = || Checkout::above(&std::env::current_dir().context("the working folder")?);
        let written = match self.kind {
            Kind::Experiment { name, out } => experiment(&name, out)?,
            Kind::Task { name } => catalogue::task(&here()?, &name)?,
            Kind::Text { name } => catalogue::text(&here()?, &name)?,
            Kind::Method { name } => method::method(&here()?, &name)?,
        };
        for file in &written.files {
            print(&format!("{}\n", file.display()))?;
        }
        note(&format!("\nNext:\n{}", written.next.trim_end()));
        Ok(true)
    }
}

/// What was written or changed, and what to do with it.
#[derive(Debug)]
struct Written {
    files: Vec<PathBuf>,
    /// Indented lines.
    next: String,
}

fn experiment(name: &ExperimentName, out: Option<PathBuf>) -> anyhow::Result<Written> {
    let name = name.as_str();
    let file = format!("{name}.toml");
    let path = match out {
        Some(folder) if folder.is_dir() => folder.join(file),
        Some(path) => path,
        None => file.into(),
    };
    let text = experiment_text(name, &path.display().to_string());
    write_new(&path, &text)?;
    let shown = path.display();
    Ok(Written {
        next: format!(
            "  prunebench run {shown} --dry-run    the cells, before anything runs\n  prunebench run {shown}\n  prunebench report {name}"
        ),
        files: vec![path],
    })
}

fn experiment_text(name: &str, file: &str) -> String {
    let engines = Engine::compiled().iter().map(|engine| format!("\"{engine}\""));
    let engines = engines.collect::<Vec<_>>().join(", ");
    EXPERIMENT
        .replace("THIS_FILE", file)
        .replace("@NAME@", name)
        .replace("@ENGINES@", &engines)
}

/// Writes a file that isn't there yet.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    }
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    match made.and_then(|mut file| file.write_all(text.as_bytes())) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!(
                "{} is there already and stays as it is; take another name",
                path.display()
            )
        }
        written => {
            written.with_context(|| format!("{} can't be written; check the folder and the disk", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use prunebench_sweep::{Experiment, Plan};

    use super::*;

    #[test]
    fn a_new_experiment_is_read_and_planned_without_a_complaint_and_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let name: ExperimentName = "mine.2".parse().unwrap();
        let written = experiment(&name, Some(folder.path().to_owned())).unwrap();
        assert_eq!(written.files, [folder.path().join("mine.2.toml")]);
        let experiment_read = Experiment::read(&written.files[0]).unwrap();
        let plan = Plan::new(&experiment_read, None).unwrap();
        assert_eq!(plan.experiment, "mine.2");
        // Six recipes and the model as it is.
        assert_eq!(plan.cells.len(), 7 * Engine::compiled().len());
        assert!(plan.cells.iter().all(|planned| planned.skip.is_none()));
        let text = fs::read_to_string(&written.files[0]).unwrap();
        assert!(!text.contains("@NAME@") && !text.contains("THIS_FILE"), "{text}");

        let below = folder.path().join("a/b.toml");
        experiment(&name, Some(below.clone())).unwrap();
        fs::write(&below, "mine").unwrap();
        let error = experiment(&name, Some(below.clone())).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
        assert_eq!(fs::read_to_string(below).unwrap(), "mine");
    }
}
