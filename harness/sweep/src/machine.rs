//! Where a record comes from: program, machine, and time.

use prunebench_eval::Gpu;
use prunebench_results::{Cell, Provenance, host_name};
use prunebench_tensor::{DeviceKind, Engine};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

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
    pub(crate) host: String,
    cpu: String,
    memory_bytes: u64,
    os: String,
}

/// The model of the CPU, as far as the operating system knows it.
fn cpu(system: &System) -> String {
    let cpu = system.cpus().first().map_or("", |cpu| cpu.brand()).trim();
    if cpu.is_empty() {
        System::cpu_arch()
    } else {
        cpu.to_owned()
    }
}

/// What computes on a device of this machine: the model of the CPU, and that of the GPU.
pub(crate) fn hardware(kind: DeviceKind) -> String {
    let wanted = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    let cpu = cpu(&System::new_with_specifics(wanted));
    let gpu = gpu(kind).map(|(name, driver)| format!(", {name}, driver {driver}"));
    cpu + &gpu.unwrap_or_default()
}

/// The model of a GPU, and the version of its driver.
fn gpu(kind: DeviceKind) -> Option<(String, String)> {
    Gpu::of(kind)?.name_and_driver()
}

impl Machine {
    pub(crate) fn look() -> Self {
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(wanted);
        let unknown = || "unknown".to_owned();
        let os = System::long_os_version();
        let kernel = System::kernel_version();
        Self {
            host: host_name(),
            cpu: cpu(&system),
            memory_bytes: system.total_memory(),
            os: format!("{} ({})", os.unwrap_or_else(unknown), kernel.unwrap_or_else(unknown)),
        }
    }

    /// The provenance of a cell that began at `started_at` and ends now.
    pub(crate) fn provenance(&self, cell: &Cell, threads: usize, started_at: String) -> Provenance {
        let revision = env!("PRUNEBENCH_GIT_REVISION");
        let (gpu, driver) = cell.device.parse().ok().and_then(gpu).unzip();
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
            gpu,
            driver,
            os: self.os.clone(),
            started_at,
            finished_at: now(),
        }
    }
}
