//! Where a record comes from: program, machine, and time.

use std::sync::OnceLock;

use prunebench_eval::{Gpus, ListedGpu, visible_gpus};
use prunebench_results::{Cell, Cpu, Provenance, host_name};
use prunebench_tensor::{DeviceKind, Engine};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cpu::cpu;

/// The version of an engine in this build, e.g. `candle 0.11.1`.
pub fn engine_version(engine: Engine) -> String {
    match engine {
        Engine::Candle => format!("candle {}", env!("PRUNEBENCH_CANDLE")),
        Engine::Torch => format!("libtorch {}", env!("PRUNEBENCH_LIBTORCH")),
    }
}

/// Environment in which the engines' waiting threads don't spin. With a spinning pool a training step takes ten times as long as
/// soon as another process wants a core.
pub const QUIET_WAITS: [(&str, &str); 2] = [("OMP_WAIT_POLICY", "passive"), ("CANDLE_NUM_THREADS", "1")];

/// Logical cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Compute threads of this process: what its environment says, else all cores.
pub(crate) fn threads() -> usize {
    let said = std::env::var("RAYON_NUM_THREADS")
        .ok()
        .and_then(|threads| threads.parse().ok());
    said.filter(|&threads| threads > 0).unwrap_or_else(cores)
}

/// How many processes Linux has ended for want of memory, in a container's bounds too; `None` where that isn't counted.
pub(crate) fn memory_kills() -> Option<u64> {
    let counts = std::fs::read_to_string("/proc/vmstat").ok()?;
    let count = counts.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    count.trim().parse().ok()
}

/// Now, RFC 3339 in UTC, to the second.
pub(crate) fn now() -> String {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0);
    // Years beyond 9999 have no RFC 3339 form.
    now.ok().and_then(|now| now.format(&Rfc3339).ok()).unwrap_or_default()
}

/// What stays the same for all cells of a run.
pub(crate) struct Machine {
    /// Its name.
    host: String,
    cpu: Cpu,
    memory_bytes: u64,
    os: String,
    /// Asked for when a cell on one comes.
    gpus: OnceLock<Gpus>,
}

/// What computes on a device of this process: the CPU, and the model of the GPU with its driver.
pub(crate) fn hardware(kind: DeviceKind) -> String {
    let machine = Machine::look();
    let gpu = machine.gpu(kind, None);
    let gpu = gpu.map(|(gpu, driver)| format!(", {}, driver {driver}", gpu.name));
    format!("{:#}{}", machine.cpu, gpu.unwrap_or_default())
}

impl Machine {
    pub(crate) fn look() -> Self {
        let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(wanted);
        let unknown = || "unknown".to_owned();
        let os = System::long_os_version();
        let kernel = System::kernel_version();
        Self {
            host: host_name(),
            cpu: cpu(),
            memory_bytes: system.total_memory(),
            os: format!("{} ({})", os.unwrap_or_else(unknown), kernel.unwrap_or_else(unknown)),
            gpus: OnceLock::new(),
        }
    }

    /// This machine under that name.
    pub(crate) fn named(self, host: &str) -> Self {
        let host = host.to_owned();
        Self { host, ..self }
    }

    /// This machine as if it had these GPUs.
    #[cfg(test)]
    pub(crate) fn with_gpus(gpus: Gpus) -> Self {
        Self {
            gpus: gpus.into(),
            ..Self::look()
        }
    }

    /// The GPU behind a device of a process whose `CUDA_VISIBLE_DEVICES` is `visible`, or else this one's, with its driver.
    fn gpu(&self, kind: DeviceKind, visible: Option<&str>) -> Option<(&ListedGpu, &str)> {
        let DeviceKind::Cuda(index) = kind else {
            return None;
        };
        let gpus = self.gpus.get_or_init(Gpus::installed);
        let gpu = match visible {
            Some(visible) => gpus.seen_as(index, Some(visible)),
            None => gpus.seen_as(index, visible_gpus().as_deref()),
        };
        Some((gpu?, &gpus.driver))
    }

    /// The provenance of a cell that began at `started_at` and ends now, in a process that was given the GPUs `visible`, if it
    /// was given any.
    pub(crate) fn provenance(
        &self,
        cell: &Cell,
        threads: usize,
        visible: Option<&str>,
        started_at: String,
    ) -> Provenance {
        let revision = env!("PRUNEBENCH_GIT_REVISION");
        let kind = cell.device.parse().ok();
        let (gpu, driver) = kind.and_then(|kind| self.gpu(kind, visible)).unzip();
        Provenance {
            git_revision: (!revision.is_empty()).then(|| revision.to_owned()),
            git_dirty: env!("PRUNEBENCH_GIT_DIRTY") == "true",
            prunebench_version: env!("CARGO_PKG_VERSION").to_owned(),
            rustc: env!("PRUNEBENCH_RUSTC").to_owned(),
            engine_version: cell.engine.parse().map_or_else(|_| cell.engine.clone(), engine_version),
            host: (!self.host.is_empty()).then(|| self.host.clone()),
            cpu: self.cpu.clone(),
            cores: cores(),
            threads,
            memory_bytes: self.memory_bytes,
            gpu: gpu.map(|gpu| gpu.name.clone()),
            gpu_uuid: gpu.map(|gpu| gpu.uuid.clone()),
            driver: driver.map(str::to_owned),
            os: self.os.clone(),
            started_at,
            finished_at: now(),
        }
    }
}
