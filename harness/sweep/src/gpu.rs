//! A GPU as its driver's own tool tells.

use std::process::Command;

use prunebench_model::source::ResolvedModel;
use prunebench_model::{Decoder, ModelError};
use prunebench_tensor::{DType, Device, DeviceKind, Tensor};

/// Decides which GPUs a process sees, and in which order.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// Environment in which CUDA counts GPUs as the driver's tool does.
pub(crate) const COUNTED_ALIKE: (&str, &str) = ("CUDA_DEVICE_ORDER", "PCI_BUS_ID");

/// A GPU of this machine, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Its model.
    pub name: String,
    /// Version of the driver.
    pub driver: String,
    /// All its memory.
    pub total_bytes: u64,
    /// What nobody holds of it.
    pub free_bytes: u64,
}

impl Gpu {
    /// The GPU `index` of those that this process sees; `None` if there is none, or no driver.
    pub fn look(index: usize) -> Option<Self> {
        let visible = std::env::var(VISIBLE).ok();
        let output = Command::new("nvidia-smi")
            .args([
                "--query-gpu=name,driver_version,memory.total,memory.free",
                "--format=csv,noheader,nounits",
            ])
            .arg(format!("--id={}", identity(index, visible.as_deref())?))
            .output()
            .ok()?;
        Self::parse(&String::from_utf8(output.stdout).ok()?)
    }

    /// Reads `name, driver, MiB in all, MiB free`.
    fn parse(line: &str) -> Option<Self> {
        let [name, driver, total, free] = line.trim().split(", ").collect::<Vec<_>>().try_into().ok()?;
        let bytes = |mebibytes: &str| Some(mebibytes.parse::<u64>().ok()? << 20);
        Some(Self {
            name: name.to_owned(),
            driver: driver.to_owned(),
            total_bytes: bytes(total)?,
            free_bytes: bytes(free)?,
        })
    }
}

/// What the driver calls the GPU that is `index` in a process that sees these: an index of its own, or a UUID. CUDA sees no
/// entry of the list from the first that is neither.
fn identity(index: usize, visible: Option<&str>) -> Option<String> {
    let Some(visible) = visible else {
        return Some(index.to_string());
    };
    let is_one =
        |entry: &&str| entry.parse::<usize>().is_ok() || entry.starts_with("GPU-") || entry.starts_with("MIG-");
    let mut seen = visible.split(',').map(str::trim).take_while(is_one);
    seen.nth(index).map(str::to_owned)
}

/// Why a GPU can't hold a model's weights, if it can't now.
pub(crate) fn refusal(model: &ResolvedModel, device: &Device, dtype: DType) -> Result<Option<String>, ModelError> {
    let DeviceKind::Cuda(index) = device.kind else {
        return Ok(None);
    };
    let Some(gpu) = Gpu::look(index) else {
        return Ok(None);
    };
    Ok(shortage(&model.name, weight_bytes(model, dtype)?, device.kind, &gpu))
}

/// Bytes of a model's weights in a dtype.
fn weight_bytes(model: &ResolvedModel, dtype: DType) -> Result<u64, ModelError> {
    let mut elements = 0;
    let engine = prunebench_tensor::Engine::compiled().first();
    // Only the sizes are asked for.
    let nothing = engine.map(|&engine| Tensor::zeros(&[0], dtype, &Device::cpu(engine)));
    if let Some(nothing) = nothing.transpose()? {
        Decoder::from_parameters(model.graph()?, |_, shape| {
            elements += shape.iter().product::<usize>() as u64;
            Ok(nothing.clone())
        })?;
    }
    Ok(elements * dtype.size_in_bytes() as u64)
}

fn shortage(model: &str, wanted: u64, kind: DeviceKind, gpu: &Gpu) -> Option<String> {
    if wanted <= gpu.free_bytes {
        return None;
    }
    let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    let cure = if wanted > gpu.total_bytes {
        "take a smaller model, a narrower dtype or a larger GPU"
    } else {
        "wait for or end what else runs there, or take another GPU"
    };
    Some(format!(
        "out of memory before anything was loaded: the weights of {model} take {}, and {kind} ({}) has {} free of {}; {cure}",
        gigabytes(wanted),
        gpu.name,
        gigabytes(gpu.free_bytes),
        gigabytes(gpu.total_bytes),
    ))
}

#[cfg(test)]
mod tests {
    use prunebench_model::source::ModelSource;

    use super::*;

    fn gpu(total: u64, free: u64) -> Gpu {
        Gpu {
            name: "Some GPU".into(),
            driver: "580.1".into(),
            total_bytes: total,
            free_bytes: free,
        }
    }

    #[test]
    fn an_index_goes_through_the_list_of_visible_gpus() {
        let of = |index, visible| identity(index, visible);
        assert_eq!(of(1, None).as_deref(), Some("1"));
        assert_eq!(of(0, Some("3,1")).as_deref(), Some("3"));
        assert_eq!(of(1, Some("3, GPU-8a-1")).as_deref(), Some("GPU-8a-1"));
        assert_eq!(of(0, Some("MIG-4")).as_deref(), Some("MIG-4"));
        for (index, visible) in [(2, "3,1"), (0, ""), (0, "-1"), (1, "0,-1,1"), (0, "all")] {
            assert_eq!(of(index, Some(visible)), None, "{index} of `{visible}`");
        }
    }

    #[test]
    fn the_driver_s_line_is_read_and_what_is_no_such_line_is_none() {
        let read = Gpu::parse("NVIDIA H100 80GB HBM3, 580.65.06, 81559, 81076\n").unwrap();
        assert_eq!(
            (read.name.as_str(), read.driver.as_str()),
            ("NVIDIA H100 80GB HBM3", "580.65.06")
        );
        assert_eq!((read.total_bytes, read.free_bytes), (81559 << 20, 81076 << 20));
        assert_eq!(Gpu::parse("No devices were found"), None);
        assert_eq!(Gpu::parse("A, 1, [N/A], [N/A]"), None);
    }

    #[test]
    fn a_gpu_too_small_and_a_busy_one_have_different_cures() {
        let cuda = DeviceKind::Cuda(0);
        assert_eq!(shortage("m", 10, cuda, &gpu(20, 10)), None);
        let busy = shortage("m", 13_500_000_000, cuda, &gpu(80_000_000_000, 3_000_000_000)).unwrap();
        for part in [
            "weights of m take 13.5 GB",
            "cuda:0 (Some GPU)",
            "3.0 GB free of 80.0 GB",
            "another GPU",
        ] {
            assert!(busy.contains(part), "{busy}");
        }
        let small = shortage("m", 90_000_000_000, cuda, &gpu(80_000_000_000, 80_000_000_000)).unwrap();
        assert!(small.contains("a smaller model"), "{small}");
    }

    #[test]
    fn the_weights_of_llama_2_7b_take_13_gb_in_bf16() {
        let model = "shape:llama-2-7b".parse::<ModelSource>().unwrap().resolve().unwrap();
        assert_eq!(weight_bytes(&model, DType::BF16).unwrap(), 2 * 6_738_415_616);
    }
}
