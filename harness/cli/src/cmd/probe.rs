//! `prunebench probe`, and how the other commands ask it.

use std::process::Command;

use clap::Args;
use prunebench_sweep::{Planned, engine_version};
use prunebench_tensor::{Device, DeviceKind, Tensor};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::output::print_json;

/// Compute on a device, for `doctor` and `run`, which must not themselves: two engines never share a process on a GPU.
#[derive(Debug, Args)]
pub struct Probe {
    /// Engine and device, such as torch:cuda:0
    device: Device,
}

/// What a device is good for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It computes, by these versions and libraries.
    Computes(String),
    /// There is no such device, or the engine lacks what it needs for it.
    Absent(String),
    /// It is there and does not compute.
    Broken(String),
}

impl Probe {
    pub fn run(self) -> Outcome {
        let device = &self.device;
        print_json(&match device.is_available() {
            Err(error) => Answer::Absent(error.to_string()),
            Ok(()) => match compute(device) {
                Err(error) => Answer::Broken(error),
                Ok(()) => Answer::Computes(format!("{}{}", engine_version(device.engine), libraries())),
            },
        })?;
        Ok(true)
    }
}

/// Asks a process of its own, which sees only `gpu` if that is given.
pub fn probe(device: Device, gpu: Option<&str>) -> Answer {
    let asked = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command.args(["probe", &device.to_string()]);
        command.envs(gpu.map(|gpu| ("CUDA_VISIBLE_DEVICES", gpu))).output()
    });
    match asked {
        Err(error) => Answer::Broken(format!("this program can't be started again ({error})")),
        Ok(output) => serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or("it said nothing on standard error");
            Answer::Broken(format!(
                "the process that tried it ended with {}; {last}",
                output.status
            ))
        }),
    }
}

/// A product small enough to know by heart.
pub fn compute(device: &Device) -> Result<(), String> {
    let product = || {
        let a = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], &[2, 2], device)?;
        a.matmul(&a)?.to_f64_vec()
    };
    match product() {
        Ok(found) if found == [7.0, 10.0, 15.0, 22.0] => Ok(()),
        Ok(found) => Err(format!("a matrix product is {found:?}, wanted [7, 10, 15, 22]")),
        Err(error) => Err(error.to_string()),
    }
}

/// Where the CUDA libraries of this process came from, as far as the operating system tells.
fn libraries() -> String {
    const NAMES: [&str; 4] = ["/libcuda.so", "/libcudart.so", "/libcublas.so", "/libtorch_cuda.so"];
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut found: Vec<&str> = maps.lines().filter_map(|line| Some(&line[line.find('/')?..])).collect();
    found.retain(|path| NAMES.iter().any(|name| path.contains(name)));
    found.dedup();
    found.iter().map(|path| format!(", {path}")).collect()
}

/// Refuses what can't be used before any of the cells starts; each GPU that is named is tried.
pub fn check_devices<'a>(cells: impl Iterator<Item = &'a Planned>, gpus: &[String]) -> anyhow::Result<()> {
    let mut tried: Vec<Device> = Vec::new();
    let mut refusals = Vec::new();
    for planned in cells {
        let (Ok(engine), Ok(kind)) = (planned.cell.engine.parse(), planned.cell.device.parse()) else {
            continue;
        };
        let device = Device { engine, kind };
        if kind == DeviceKind::Cpu || tried.contains(&device) {
            continue;
        }
        tried.push(device);
        let each: Vec<Option<&str>> = match gpus {
            [] => vec![None],
            gpus => gpus.iter().map(|gpu| Some(gpu.as_str())).collect(),
        };
        for gpu in each {
            if let Answer::Absent(reason) | Answer::Broken(reason) = probe(device, gpu) {
                let among = gpu.map_or_else(String::new, |gpu| format!(" with --gpus {gpu}"));
                refusals.push(format!("{device} can't be used{among}: {reason}"));
            }
        }
    }
    match refusals.is_empty() {
        true => Ok(()),
        false => anyhow::bail!(
            "{}\nnothing was measured; `prunebench doctor` says what is there",
            refusals.join("\n")
        ),
    }
}
