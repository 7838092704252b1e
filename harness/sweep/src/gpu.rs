//! Whether a GPU can hold a model.

use prunebench_eval::Gpu;
use prunebench_model::source::ResolvedModel;
use prunebench_model::{Decoder, ModelError};
use prunebench_tensor::{DType, Device, DeviceKind, Engine, Tensor};

/// Environment in which CUDA counts GPUs as their driver does.
pub(crate) const COUNTED_ALIKE: (&str, &str) = ("CUDA_DEVICE_ORDER", "PCI_BUS_ID");

/// Why a GPU can't hold a model's weights, if it can't now.
pub(crate) fn refusal(model: &ResolvedModel, device: &Device, dtype: DType) -> Result<Option<String>, ModelError> {
    let Some((free, total)) = Gpu::of(device.kind).and_then(|gpu| gpu.memory()) else {
        return Ok(None);
    };
    Ok(shortage(
        &model.name,
        weight_bytes(model, dtype)?,
        device.kind,
        free,
        total,
    ))
}

/// Bytes of a model's weights in a dtype.
fn weight_bytes(model: &ResolvedModel, dtype: DType) -> Result<u64, ModelError> {
    let mut elements = 0;
    let engine = Engine::compiled().first();
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

fn shortage(model: &str, wanted: u64, kind: DeviceKind, free: u64, total: u64) -> Option<String> {
    if wanted <= free {
        return None;
    }
    let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    let cure = if wanted > total {
        "take a smaller model, a narrower dtype or a larger GPU"
    } else {
        "wait for or end what else runs there, or take another GPU"
    };
    Some(format!(
        "out of memory before anything was loaded: the weights of {model} take {}, and {kind} has {} free of {}; {cure}",
        gigabytes(wanted),
        gigabytes(free),
        gigabytes(total),
    ))
}

#[cfg(test)]
mod tests {
    use prunebench_model::source::ModelSource;

    use super::*;

    #[test]
    fn a_gpu_too_small_and_a_busy_one_have_different_cures() {
        let cuda = DeviceKind::Cuda(0);
        assert_eq!(shortage("m", 10, cuda, 10, 20), None);
        let busy = shortage("m", 13_500_000_000, cuda, 3_000_000_000, 80_000_000_000).unwrap();
        for part in [
            "weights of m take 13.5 GB",
            "cuda:0 has 3.0 GB free of 80.0 GB",
            "another GPU",
        ] {
            assert!(busy.contains(part), "{busy}");
        }
        let small = shortage("m", 90_000_000_000, cuda, 80_000_000_000, 80_000_000_000).unwrap();
        assert!(small.contains("a smaller model"), "{small}");
    }

    #[test]
    fn the_weights_of_llama_2_7b_take_13_gb_in_bf16() {
        let model = "shape:llama-2-7b".parse::<ModelSource>().unwrap().resolve().unwrap();
        assert_eq!(weight_bytes(&model, DType::BF16).unwrap(), 2 * 6_738_415_616);
    }
}
