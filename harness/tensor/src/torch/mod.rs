//! The libtorch engine: conversions and device set-up.

pub(crate) mod kernels;

use std::sync::OnceLock;

use crate::{DType, DeviceKind, Element, Error, Result, Tensor};

pub(crate) fn error(op: &'static str, e: tch::TchError) -> Error {
    Error::Engine {
        op,
        // libtorch appends its C++ stack.
        detail: e.to_string().lines().next().unwrap_or_default().to_string(),
    }
}

/// Loads libtorch's CUDA half. The binary links only the CPU half, so that it starts on a machine without CUDA.
fn load_cuda() -> std::result::Result<(), String> {
    static LOADED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
            // SAFETY: the library's initialisers only register kernels with the libtorch already loaded.
            let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| {
                format!("its CUDA half can't be loaded ({e}); take a libtorch with CUDA and all that it needs")
            })?;
            std::mem::forget(library);
            if tch::Cuda::is_available() {
                Ok(())
            } else {
                Err("it finds no GPU; see what nvidia-smi and CUDA_VISIBLE_DEVICES say".to_string())
            }
        })
        .clone()
}

pub(crate) fn device(kind: DeviceKind) -> Result<tch::Device> {
    let DeviceKind::Cuda(index) = kind else {
        return Ok(tch::Device::Cpu);
    };
    let refuse = |detail: String| Error::Unsupported { op: "device", detail };
    load_cuda().map_err(|e| refuse(format!("libtorch can't use cuda:{index}: {e}")))?;
    let count = tch::Cuda::device_count() as usize;
    if index >= count {
        return Err(refuse(format!(
            "libtorch can't use cuda:{index}: it finds {count} GPUs, counted from 0"
        )));
    }
    Ok(tch::Device::Cuda(index))
}

pub(crate) fn device_kind(tensor: &tch::Tensor) -> DeviceKind {
    match tensor.device() {
        tch::Device::Cuda(index) => DeviceKind::Cuda(index),
        _ => DeviceKind::Cpu,
    }
}

pub(crate) fn kind(dtype: DType) -> tch::Kind {
    match dtype {
        DType::F64 => tch::Kind::Double,
        DType::F32 => tch::Kind::Float,
        DType::BF16 => tch::Kind::BFloat16,
        DType::F16 => tch::Kind::Half,
        DType::I64 => tch::Kind::Int64,
    }
}

pub(crate) fn dtype(tensor: &tch::Tensor) -> DType {
    match tensor.kind() {
        tch::Kind::Double => DType::F64,
        tch::Kind::Float => DType::F32,
        tch::Kind::BFloat16 => DType::BF16,
        tch::Kind::Half => DType::F16,
        tch::Kind::Int64 => DType::I64,
        other => unreachable!("no operation of this crate makes a {other:?} tensor"),
    }
}

/// A shape as libtorch spells it.
pub(crate) fn size(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&dim| dim as i64).collect()
}

pub(crate) fn from_le_bytes(bytes: &[u8], dtype: DType, shape: &[usize], kind_: DeviceKind) -> Result<Tensor> {
    tch::Tensor::f_from_data_size(bytes, &size(shape), kind(dtype))
        .and_then(|t| match device(kind_) {
            Ok(tch::Device::Cpu) => Ok(t),
            Ok(device) => t.f_to_device(device),
            Err(e) => Err(tch::TchError::Torch(e.to_string())),
        })
        .map(Tensor::from)
        .map_err(|e| error("from_le_bytes", e))
}

/// Writes positions of the first dimension, `shape` of them, from where the bytes lie. libtorch's aligned allocations leave holes
/// that it can't use again: a tensor for each part of a model would cost a quarter of the model.
pub(crate) fn write_le_bytes(
    target: &tch::Tensor,
    start: usize,
    bytes: &[u8],
    dtype: DType,
    shape: &[usize],
) -> Result<()> {
    const OP: &str = "write_le_bytes";
    let aligned: Vec<u128>;
    let bytes = if bytes.as_ptr().align_offset(dtype.size_in_bytes()) == 0 {
        bytes
    } else {
        aligned = bytes
            .chunks(size_of::<u128>())
            .map(|chunk| {
                let mut padded = [0; size_of::<u128>()];
                padded[..chunk.len()].copy_from_slice(chunk);
                u128::from_ne_bytes(padded)
            })
            .collect();
        &bytemuck::cast_slice(&aligned)[..bytes.len()]
    };
    let shape = size(shape);
    let strides: Vec<i64> = (0..shape.len()).map(|dim| shape[dim + 1..].iter().product()).collect();
    tch::no_grad(|| {
        // SAFETY: the bytes are aligned, as many as shape and dtype want, and outlive the tensor, which is only read.
        let source =
            unsafe { tch::Tensor::f_from_blob(bytes.as_ptr(), &shape, &strides, kind(dtype), tch::Device::Cpu) };
        source
            .and_then(|source| target.f_narrow(0, start as i64, shape[0])?.f_copy_(&source))
            .map_err(|e| error(OP, e))
    })
}

pub(crate) fn full(shape: &[usize], value: f64, dtype: DType, kind_: DeviceKind) -> Result<Tensor> {
    tch::Tensor::f_full(size(shape), value, (kind(dtype), device(kind_)?))
        .map(Tensor::from)
        .map_err(|e| error("full", e))
}

pub(crate) fn to_vec<T: Element>(tensor: &tch::Tensor) -> Result<Vec<T>> {
    let count = tensor.numel();
    let mut values = vec![T::zeroed(); count];
    tensor
        .f_contiguous()
        .and_then(|t| t.f_to_device(tch::Device::Cpu))
        .and_then(|t| t.f_copy_data_u8(bytemuck::cast_slice_mut(&mut values), count))
        .map_err(|e| error("to_vec", e))?;
    Ok(values)
}

/// The native tensors of operands that were checked to live on this engine.
pub(crate) fn all<'a>(tensors: &[&'a Tensor]) -> Vec<&'a tch::Tensor> {
    tensors
        .iter()
        .filter_map(|tensor| match &tensor.repr {
            crate::tensor::Repr::Torch(t) => Some(t),
            #[allow(unreachable_patterns)]
            _ => None,
        })
        .collect()
}

/// Gradients of a one-element loss; zeros for a parameter that the loss does not depend on.
pub(crate) fn backward(loss: &tch::Tensor, params: &[&Tensor]) -> Result<Vec<Tensor>> {
    let native = all(params);
    let gradients = if loss.requires_grad() {
        tch::Tensor::f_run_backward(&[loss], &native, false, false).map_err(|e| error("backward", e))?
    } else {
        native.iter().map(|_| tch::Tensor::new()).collect()
    };
    gradients
        .into_iter()
        .zip(native)
        .map(|(gradient, param)| {
            if gradient.defined() {
                Ok(gradient)
            } else {
                param.f_zeros_like()
            }
        })
        .map(|gradient| gradient.map(Tensor::from).map_err(|e| error("backward", e)))
        .collect()
}
