//! What the driver of an NVIDIA GPU tells of it: memory, energy, clocks. Its library is looked for at run time.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nvml_wrapper::enum_wrappers::device::Clock;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::{Device, Nvml};
use prunebench_results::{GpuMemoryOf, GpuReadings, GpuState};
use prunebench_tensor::DeviceKind;

/// How often memory is looked at.
const EVERY: Duration = Duration::from_millis(20);
/// The driver's energy counter is filled in about ten times a second, so a shorter run is mostly its error.
const SHORTEST_ENERGY_S: f64 = 2.0;

/// A GPU as its driver lists it, or an instance of one that is divided (MIG).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGpu {
    /// Model, e.g. `NVIDIA H200`.
    pub name: String,
    /// What tells it from others of its model, e.g. `GPU-8932f937-…`.
    pub uuid: String,
    /// What it is divided into.
    pub instances: Vec<ListedGpu>,
}

/// The GPUs of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpus {
    /// In the driver's order, those that this process may use.
    pub gpus: Vec<ListedGpu>,
    /// Version of the driver.
    pub driver: String,
}

impl Gpus {
    /// Those of this machine; none where the driver's library isn't there.
    pub fn installed() -> Self {
        nvml().and_then(|nvml| Self::listed(&nvml)).unwrap_or_default()
    }

    fn listed(nvml: &Nvml) -> Option<Self> {
        // One that may not be asked is none of CUDA's either.
        let gpus = (0..nvml.device_count().ok()?).filter_map(|index| {
            let gpu = nvml.device_by_index(index).ok()?;
            // The count is of those that there could be.
            let instances = (0..gpu.mig_device_count().unwrap_or(0))
                .filter_map(|index| listed(&gpu.mig_device_by_index(index).ok()?, Vec::new()));
            listed(&gpu, instances.collect())
        });
        Some(Self {
            gpus: gpus.collect(),
            driver: nvml.sys_driver_version().ok()?,
        })
    }

    /// What a process calls `cuda:index`, where `visible` is its `CUDA_VISIBLE_DEVICES`; `None` if it does not see as many.
    /// Indices are the driver's only with `CUDA_DEVICE_ORDER=PCI_BUS_ID`, or where all GPUs are of one kind.
    pub fn seen_as(&self, index: usize, visible: Option<&str>) -> Option<&ListedGpu> {
        let Some(visible) = visible else {
            return self.at(index);
        };
        let mut seen: Vec<&ListedGpu> = Vec::new();
        // As CUDA has it: what follows an entry that is none is not seen, and nothing is if one is named twice.
        for gpu in visible.split(',').map_while(|entry| self.named(entry.trim())) {
            if seen.contains(&gpu) {
                return None;
            }
            seen.push(gpu);
        }
        seen.get(index).copied()
    }

    /// The GPU that an entry of `CUDA_VISIBLE_DEVICES` means: by its place, or by so much of its UUID that no other fits.
    fn named(&self, entry: &str) -> Option<&ListedGpu> {
        if let Ok(index) = entry.parse() {
            return self.at(index);
        }
        if !["GPU-", "MIG-"].iter().any(|kind| entry.starts_with(kind)) {
            return None;
        }
        let all = self.gpus.iter().flat_map(|gpu| [gpu].into_iter().chain(&gpu.instances));
        let mut fitting = all.filter(|gpu| gpu.uuid.starts_with(entry));
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// Of a GPU that is divided CUDA takes the first instance.
    fn at(&self, index: usize) -> Option<&ListedGpu> {
        let gpu = self.gpus.get(index)?;
        Some(gpu.instances.first().unwrap_or(gpu))
    }
}

fn listed(gpu: &Device, instances: Vec<ListedGpu>) -> Option<ListedGpu> {
    Some(ListedGpu {
        name: gpu.name().ok()?,
        uuid: gpu.uuid().ok()?,
        instances,
    })
}

fn nvml() -> Option<Nvml> {
    Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init().ok()
}

/// `CUDA_VISIBLE_DEVICES` of this process.
pub fn visible_gpus() -> Option<String> {
    std::env::var("CUDA_VISIBLE_DEVICES").ok()
}

/// A GPU as its driver sees it.
#[derive(Debug)]
pub struct Gpu {
    nvml: Nvml,
    uuid: String,
}

impl Gpu {
    /// The GPU behind a device of this process; `None` for the host, and where the driver's library or the GPU isn't there.
    pub fn of(device: DeviceKind) -> Option<Self> {
        let DeviceKind::Cuda(index) = device else {
            return None;
        };
        let nvml = nvml()?;
        let gpus = Gpus::listed(&nvml)?;
        let uuid = gpus.seen_as(index, visible_gpus().as_deref())?.uuid.clone();
        nvml.device_by_uuid(uuid.as_str()).ok()?;
        Some(Self { nvml, uuid })
    }

    /// Its model, and the version of its driver.
    pub fn name_and_driver(&self) -> Option<(String, String)> {
        Some((self.device()?.name().ok()?, self.nvml.sys_driver_version().ok()?))
    }

    /// Bytes free, and in all.
    pub fn memory(&self) -> Option<(u64, u64)> {
        let memory = self.device()?.memory_info().ok()?;
        Some((memory.free, memory.total))
    }

    fn device(&self) -> Option<Device<'_>> {
        self.nvml.device_by_uuid(self.uuid.as_str()).ok()
    }

    /// Bytes in use, by this process if the driver tells them apart; in a container it mostly does not know its number.
    fn used(&self) -> Option<(u64, GpuMemoryOf)> {
        let device = self.device()?;
        let processes = device.running_compute_processes().unwrap_or_default();
        let ours = processes.iter().find(|process| process.pid == std::process::id());
        match ours.map(|process| &process.used_gpu_memory) {
            Some(UsedGpuMemory::Used(bytes)) => Some((*bytes, GpuMemoryOf::Process)),
            _ => Some((device.memory_info().ok()?.used, GpuMemoryOf::Device)),
        }
    }

    fn state(&self) -> GpuState {
        let device = self.device();
        let clock = |clock| device.as_ref()?.clock_info(clock).ok();
        let reasons = device
            .as_ref()
            .and_then(|device| device.current_throttle_reasons().ok());
        GpuState {
            sm_mhz: clock(Clock::SM),
            memory_mhz: clock(Clock::Memory),
            throttle: reasons.map(|reasons| {
                reasons
                    .iter_names()
                    .map(|(name, _)| name.to_ascii_lowercase())
                    .collect()
            }),
        }
    }

    fn joules(&self) -> Option<f64> {
        Some(self.device()?.total_energy_consumption().ok()? as f64 / 1e3)
    }
}

/// Watches a GPU while something is timed.
pub(crate) struct GpuWatch {
    gpu: Gpu,
    start: GpuState,
    energy: Option<(Instant, f64)>,
    /// Closing it ends the sampling.
    stop: Sender<()>,
    sampling: JoinHandle<Option<(u64, GpuMemoryOf)>>,
}

impl GpuWatch {
    /// Begins to sample the memory of `device`; `None` where there is nothing to ask.
    pub(crate) fn start(device: DeviceKind) -> Option<Self> {
        let (gpu, sampled) = (Gpu::of(device)?, Gpu::of(device)?);
        let (stop, stopped) = mpsc::channel();
        let sampling = thread::spawn(move || {
            let mut peak = None;
            loop {
                peak = most(peak, sampled.used());
                if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    return peak;
                }
            }
        });
        Some(Self {
            start: gpu.state(),
            gpu,
            energy: None,
            stop,
            sampling,
        })
    }

    /// The warm-up is over: energy counts from here.
    pub(crate) fn begin_energy(&mut self) {
        self.energy = self.gpu.joules().map(|joules| (Instant::now(), joules));
    }

    pub(crate) fn finish(self) -> GpuReadings {
        let spent = self.energy.zip(self.gpu.joules());
        let spent = spent.map(|((since, before), now)| (since.elapsed().as_secs_f64(), now - before));
        let end = self.gpu.state();
        drop(self.stop);
        let (peak_memory_bytes, memory_of) = self.sampling.join().ok().flatten().unzip();
        GpuReadings {
            peak_memory_bytes,
            memory_of,
            sampled_every_ms: EVERY.as_millis() as u64,
            energy_joules: spent.and_then(|(seconds, joules)| energy(seconds, joules)),
            energy_seconds: spent.map(|(seconds, _)| seconds),
            start: self.start,
            end,
        }
    }
}

/// The larger, of a process rather than of a device.
fn most(a: Option<(u64, GpuMemoryOf)>, b: Option<(u64, GpuMemoryOf)>) -> Option<(u64, GpuMemoryOf)> {
    let rank = |(bytes, of): &(u64, GpuMemoryOf)| (*of == GpuMemoryOf::Process, *bytes);
    a.into_iter().chain(b).max_by_key(rank)
}

/// The energy of a run, if it was long enough to be one.
fn energy(seconds: f64, joules: f64) -> Option<f64> {
    (seconds >= SHORTEST_ENERGY_S && joules > 0.0).then_some(joules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(uuid: &str, instances: &[&str]) -> ListedGpu {
        ListedGpu {
            name: "a GPU".into(),
            uuid: uuid.into(),
            instances: instances.iter().map(|uuid| gpu(uuid, &[])).collect(),
        }
    }

    #[test]
    fn a_gpu_is_found_through_the_visible_devices() {
        let gpus = Gpus {
            gpus: vec![
                gpu("GPU-aa01", &[]),
                gpu("GPU-aa02", &[]),
                gpu("GPU-bb03", &["MIG-c1", "MIG-c2", "MIG-GPU-bb03/2/0"]),
                gpu("GPU-dd04", &[]),
            ],
            driver: "580".into(),
        };
        let seen = |index, visible| gpus.seen_as(index, visible).map(|gpu| gpu.uuid.as_str());
        for (index, visible, uuid) in [
            (1, None, "GPU-aa02"),
            (2, None, "MIG-c1"),
            (0, Some("3"), "GPU-dd04"),
            (1, Some("3, 1"), "GPU-aa02"),
            (0, Some("GPU-aa02"), "GPU-aa02"),
            (1, Some("GPU-d,GPU-aa01"), "GPU-aa01"),
            (1, Some("3,GPU-aa02"), "GPU-aa02"),
            (0, Some("2"), "MIG-c1"),
            (0, Some("MIG-c2"), "MIG-c2"),
            (0, Some("MIG-GPU-bb03/2/0"), "MIG-GPU-bb03/2/0"),
            (0, Some("0,4,1"), "GPU-aa01"),
        ] {
            assert_eq!(seen(index, visible), Some(uuid), "{index} of {visible:?}");
        }
        for (index, visible) in [
            (4, None),
            (2, Some("3,1")),
            (0, Some("")),
            (0, Some("-1")),
            (1, Some("0,-1,2")),
            (1, Some("0,4,1")),
            (0, Some("4")),
            (0, Some("GPU-ee")),
            (0, Some("NoDevFiles")),
            // More than one fits.
            (0, Some("GPU-aa")),
            (0, Some("1,1")),
            (0, Some("0,GPU-aa01")),
        ] {
            assert_eq!(seen(index, visible), None, "{index} of {visible:?}");
        }
    }

    #[test]
    fn the_host_has_no_gpu_readings() {
        assert!(Gpu::of(DeviceKind::Cpu).is_none());
        assert!(GpuWatch::start(DeviceKind::Cpu).is_none());
    }

    #[test]
    fn energy_of_a_short_run_is_not_given() {
        assert_eq!(energy(1.9, 400.0), None);
        assert_eq!(energy(2.0, 400.0), Some(400.0));
        assert_eq!(energy(3.0, 0.0), None);
    }

    #[test]
    fn the_peak_is_of_the_process_once_it_is_known() {
        let (device, process) = (Some((9, GpuMemoryOf::Device)), Some((5, GpuMemoryOf::Process)));
        assert_eq!(most(device, process), process);
        assert_eq!(
            most(process, Some((7, GpuMemoryOf::Process))),
            Some((7, GpuMemoryOf::Process))
        );
        assert_eq!(most(None, device), device);
        assert_eq!(most(None, None), None);
    }
}
