//! `prunebench doctor`.

mod screen;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use prunebench_datasets::{Catalogue, Error as DataError, Places, text};
use prunebench_model::source::{ModelSource, smollm2_is_cached, smollm2_path};
use prunebench_sweep::{Gpu, engine_version};
use prunebench_tensor::{Device, DeviceKind, Engine};
use serde::Serialize;

use crate::Outcome;
use crate::cmd::probe::{Answer, compute, probe};
use crate::output::{print, print_json};
use crate::terminal::width;

/// Say what is present, what is missing, and the command that mends it.
#[derive(Debug, Args)]
#[command(
    after_help = "The exit code is 1 if something is broken. What is merely absent has another use, and is no error.

Examples:
  prunebench doctor
  prunebench doctor --online --json"
)]
pub struct Doctor {
    /// Folder with texts (text/NAME/...); else PRUNEBENCH_DATA, else the Hub
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder of results, as for `run`
    #[arg(long, value_name = "DIR", default_value = "results/runs")]
    results: PathBuf,
    /// Reach for the Hub as well
    #[arg(long)]
    online: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// There, and works.
    Ok,
    /// Not there; something that some uses need.
    Absent,
    /// There, or needed by all uses, and does not work.
    Broken,
}

#[derive(Debug, Serialize)]
struct Check {
    name: String,
    state: State,
    found: String,
    cure: Option<String>,
}

impl Check {
    fn new(name: impl Into<String>, result: Result<String, (State, String, String)>) -> Self {
        let name = name.into();
        match result {
            Ok(found) => Self {
                name,
                state: State::Ok,
                found,
                cure: None,
            },
            Err((state, found, cure)) => Self {
                name,
                state,
                found,
                cure: Some(cure),
            },
        }
    }
}

impl Doctor {
    pub fn run(self) -> Outcome {
        let mut checks = Vec::new();
        for engine in [Engine::Candle, Engine::Torch] {
            checks.push(Check::new(format!("{engine} on the CPU"), cpu(engine)));
            if Engine::compiled().contains(&engine) {
                checks.push(Check::new(format!("{engine} on CUDA"), cuda(engine)));
            }
        }
        checks.push(Check::new("GPU", gpu()));
        checks.push(Check::new("Python with pip", python()));
        checks.push(Check::new("model tiny", tiny()));
        checks.push(Check::new("model smollm2-135m", smollm2()));
        checks.extend(self.texts()?);
        checks.push(Check::new("results folder", results(&self.results)));
        if self.json {
            print_json(&checks)?;
        } else {
            print(&screen::drawn(&checks, width()))?;
        }
        Ok(checks.iter().all(|check| check.state != State::Broken))
    }

    fn texts(&self) -> anyhow::Result<Vec<Check>> {
        let catalogue = Catalogue::embedded()?;
        let mut places = Places::from_env(self.data.clone());
        places.hub.offline |= !self.online;
        let mut checks = Vec::new();
        for set in catalogue.data_sets() {
            for split in set.splits.keys() {
                let absent = |problem: &dyn std::fmt::Display| {
                    let found = match self.online {
                        true => format!("not in a data folder, and not to be fetched: {problem}"),
                        false => "neither in a data folder nor in the cache".into(),
                    };
                    let cure = "or name a data folder with --data or PRUNEBENCH_DATA";
                    Err((State::Absent, found, format!("prunebench fetch {}, {cure}", set.name)))
                };
                let found = match text(&catalogue, &set.name, split, &places) {
                    Ok(text) => Ok(format!("{}, sha256 as pinned", text.origin)),
                    Err(DataError::Hub { problem, .. }) => absent(&problem),
                    Err(DataError::Download { problem, .. }) => absent(&problem),
                    Err(error) => Err((
                        State::Broken,
                        error.to_string(),
                        format!("remove the wrong file, then prunebench fetch {}", set.name),
                    )),
                };
                checks.push(Check::new(format!("text {}/{split}", set.name), found));
            }
        }
        Ok(checks)
    }
}

type Finding = Result<String, (State, String, String)>;

fn cpu(engine: Engine) -> Finding {
    if !Engine::compiled().contains(&engine) {
        let cure = format!("make setup, then cargo build (the cargo feature `{engine}` is on by default)");
        return Err((State::Absent, "not in this build".into(), cure));
    }
    compute(&Device::cpu(engine))
        .map(|()| format!("{}, computes", engine_version(engine)))
        .map_err(|error| (State::Broken, error, "make setup, then cargo build".into()))
}

fn gpu() -> Finding {
    let cure = "where there is one, install NVIDIA's driver 580 or newer; without one everything runs on the CPU";
    let absent = || (State::Absent, "the driver shows none".into(), cure.into());
    let gpu = Gpu::of(DeviceKind::Cuda(0)).ok_or_else(absent)?;
    let (name, driver) = gpu.name_and_driver().ok_or_else(absent)?;
    let memory = gpu
        .memory()
        .map(|(free, total)| [free, total].map(|bytes| bytes as f64 / 1e9));
    let memory = memory.map(|[free, total]| format!(", {free:.1} of {total:.1} GB free"));
    Ok(format!("{name}, driver {driver}{}", memory.unwrap_or_default()))
}

fn cuda(engine: Engine) -> Finding {
    if engine == Engine::Candle && !cfg!(feature = "cuda") {
        let cure = "make gpu-bundle, and the program in it".to_owned();
        return Err((State::Absent, "not in this build".into(), cure));
    }
    let cure =
        "on a machine with a GPU: the `start` of `make gpu-bundle`, with a Python that has torch 2.11 for CUDA 13";
    match probe(Device::cuda(engine, 0), None) {
        Answer::Computes(found) => Ok(format!("{found}, computes")),
        Answer::Absent(reason) => Err((State::Absent, reason, cure.into())),
        Answer::Broken(reason) => Err((State::Broken, reason, cure.into())),
    }
}

fn python() -> Finding {
    let cure = "install Python 3.9 or newer with pip (Debian: apt-get install python3-pip)";
    let absent = |found: String| (State::Absent, found, cure.to_owned());
    let check = "import sys, pip; assert sys.version_info >= (3, 9); print(sys.version.split()[0], 'with pip', pip.__version__)";
    let output = Command::new("python3").args(["-c", check]).output().map_err(|error| {
        absent(format!(
            "python3 can't be run ({error}); it fetches libtorch and smollm2-135m"
        ))
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    let last = error.lines().last().unwrap_or("no message");
    Err(absent(format!(
        "python3 says: {last}; it fetches libtorch and smollm2-135m"
    )))
}

fn tiny() -> Finding {
    let hash = || ModelSource::Tiny.resolve()?.content_hash();
    match hash() {
        Ok(hash) => Ok(format!("unpacked from this program, sha256 {hash}")),
        Err(error) => {
            let cure = "name a folder that can be written in XDG_CACHE_HOME".to_owned();
            Err((State::Broken, error.to_string(), cure))
        }
    }
}

fn smollm2() -> Finding {
    let fetch = "prunebench fetch smollm2-135m".to_owned();
    let path = smollm2_path().map_err(|error| (State::Absent, error.to_string(), fetch.clone()))?;
    if !smollm2_is_cached() {
        return Err((State::Absent, format!("not in the cache ({})", path.display()), fetch));
    }
    let hash = || ModelSource::SmolLm2.resolve()?.content_hash();
    match hash() {
        Ok(hash) => Ok(format!("{}, sha256 {hash}", path.display())),
        Err(error) => Err((
            State::Broken,
            error.to_string(),
            format!("remove {}, then {fetch}", path.display()),
        )),
    }
}

fn results(folder: &Path) -> Finding {
    let probe = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        tempfile::tempfile_in(folder).map(|_| ())
    };
    match probe() {
        Ok(()) => Ok(format!("{} can be written", folder.display())),
        Err(error) => Err((
            State::Broken,
            format!("{} can't be written ({error})", folder.display()),
            "give yourself write access, or name another folder with --results".into(),
        )),
    }
}
