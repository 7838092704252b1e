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

/// How the driver is asked for a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuId {
    /// Its place among those of the machine.
    Index(u32),
    /// The beginning of its UUID, or all of it.
    Uuid(String),
}

/// What the driver calls the GPU that this process calls `cuda:index`, where `visible` is `CUDA_VISIBLE_DEVICES`; `None` if
/// the process does not see as many. Indices are the driver's only with `CUDA_DEVICE_ORDER=PCI_BUS_ID`, or where all GPUs are
/// of one kind.
pub fn gpu_id(index: usize, visible: Option<&str>) -> Option<GpuId> {
    let Some(visible) = visible else {
        return index.try_into().ok().map(GpuId::Index);
    };
    // As CUDA has it: what follows an entry that is none is not seen.
    let seen = visible.split(',').map(str::trim).map(|entry| match entry.parse() {
        Ok(index) => Some(GpuId::Index(index)),
        Err(_) => ["GPU-", "MIG-"]
            .iter()
            .any(|kind| entry.starts_with(kind))
            .then(|| GpuId::Uuid(entry.to_owned())),
    });
    seen.map_while(|id| id).nth(index)
}

/// A GPU as its driver sees it.
#[derive(Debug)]
pub struct Gpu {
    nvml: Nvml,
    index: u32,
}

impl Gpu {
    /// The GPU behind a device; `None` for the host, and where the driver's library or the GPU isn't there.
    pub fn of(device: DeviceKind) -> Option<Self> {
        let DeviceKind::Cuda(index) = device else {
            return None;
        };
        let id = gpu_id(index, std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref())?;
        let nvml = Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init().ok()?;
        let index = match id {
            GpuId::Index(index) => index,
            GpuId::Uuid(start) => (0..nvml.device_count().ok()?).find(|&index| {
                let uuid = nvml.device_by_index(index).and_then(|gpu| gpu.uuid());
                uuid.is_ok_and(|uuid| uuid.starts_with(&start))
            })?,
        };
        nvml.device_by_index(index).ok()?;
        Some(Self { nvml, index })
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
        self.nvml.device_by_index(self.index).ok()
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

    #[test]
    fn a_gpu_is_found_through_the_visible_devices() {
        let uuid = |text: &str| Some(GpuId::Uuid(text.to_owned()));
        assert_eq!(gpu_id(1, None), Some(GpuId::Index(1)));
        assert_eq!(gpu_id(0, Some("3")), Some(GpuId::Index(3)));
        assert_eq!(gpu_id(1, Some("3, 2")), Some(GpuId::Index(2)));
        assert_eq!(gpu_id(1, Some("3,GPU-8932f937")), uuid("GPU-8932f937"));
        assert_eq!(gpu_id(0, Some("MIG-1")), uuid("MIG-1"));
        for (index, visible) in [
            (2, "3,2"),
            (0, ""),
            (0, "-1"),
            (1, "0,-1,2"),
            (2, "0,-1,2"),
            (0, "NoDevFiles"),
        ] {
            assert_eq!(gpu_id(index, Some(visible)), None, "{index} of {visible}");
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
