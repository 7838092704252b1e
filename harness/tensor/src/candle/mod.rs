//! The candle engine: conversions, and kernels where candle's own are slow or missing.

pub(crate) mod kernels;
pub(crate) mod on_gpu;

use std::collections::HashMap;
use std::sync::Mutex;

use candle_core as candle;

use crate::{DType, DeviceKind, Element, Error, Result, Tensor};

pub(crate) fn error(op: &'static str, e: candle::Error) -> Error {
    Error::Engine {
        op,
        detail: first_line(&e),
    }
}

/// The message without its backtrace, which belongs to a debugger.
fn first_line(e: &candle::Error) -> String {
    e.to_string().lines().next().unwrap_or_default().to_string()
}

/// The candle device. A GPU's is made once: candle treats two handles of one GPU as two devices.
pub(crate) fn device(kind: DeviceKind) -> Result<candle::Device> {
    static CUDA: Mutex<Option<HashMap<usize, candle::Device>>> = Mutex::new(None);
    let DeviceKind::Cuda(index) = kind else {
        return Ok(candle::Device::Cpu);
    };
    let mut devices = CUDA.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let devices = devices.get_or_insert_with(HashMap::new);
    if let Some(device) = devices.get(&index) {
        return Ok(device.clone());
    }
    let device = candle::Device::new_cuda(index).map_err(|e| Error::Unsupported {
        op: "device",
        detail: format!("candle can't use cuda:{index}: {}", first_line(&e)),
    })?;
    candle::cuda::set_gemm_reduced_precision_f32(crate::tf32());
    devices.insert(index, device.clone());
    Ok(device)
}

pub(crate) fn device_kind(tensor: &candle::Tensor) -> DeviceKind {
    match tensor.device().location() {
        candle::DeviceLocation::Cuda { gpu_id } => DeviceKind::Cuda(gpu_id),
        _ => DeviceKind::Cpu,
    }
}

pub(crate) fn native(dtype: DType) -> candle::DType {
    match dtype {
        DType::F64 => candle::DType::F64,
        DType::F32 => candle::DType::F32,
        DType::BF16 => candle::DType::BF16,
        DType::F16 => candle::DType::F16,
        DType::I64 => candle::DType::I64,
    }
}

pub(crate) fn dtype(tensor: &candle::Tensor) -> DType {
    match tensor.dtype() {
        candle::DType::F64 => DType::F64,
        candle::DType::F32 => DType::F32,
        candle::DType::BF16 => DType::BF16,
        candle::DType::F16 => DType::F16,
        candle::DType::I64 => DType::I64,
        other => unreachable!("no operation of this crate makes a {other:?} tensor"),
    }
}

pub(crate) fn from_le_bytes(bytes: &[u8], dtype: DType, shape: &[usize], kind: DeviceKind) -> Result<Tensor> {
    candle::Tensor::from_raw_buffer(bytes, native(dtype), shape, &device(kind)?)
        .map(Tensor::from)
        .map_err(|e| error("from_le_bytes", e))
}

pub(crate) fn full(shape: &[usize], value: f64, dtype: DType, kind: DeviceKind) -> Result<Tensor> {
    let device = device(kind)?;
    // In its own dtype from the start: a tensor of f64 on the way would take more memory than what is asked for.
    match dtype {
        DType::F64 => candle::Tensor::full(value, shape, &device),
        DType::F32 => candle::Tensor::full(value as f32, shape, &device),
        DType::BF16 => candle::Tensor::full(half::bf16::from_f64(value), shape, &device),
        DType::F16 => candle::Tensor::full(half::f16::from_f64(value), shape, &device),
        DType::I64 => candle::Tensor::full(value as i64, shape, &device),
    }
    .map(Tensor::from)
    .map_err(|e| error("full", e))
}

pub(crate) fn to_dtype(tensor: &candle::Tensor, dtype: DType) -> candle::Result<candle::Tensor> {
    on_gpu::to_dtype(tensor, native(dtype))
}

pub(crate) fn to_vec<T: Element>(tensor: &candle::Tensor) -> Result<Vec<T>> {
    tensor
        .flatten_all()
        .and_then(|t| t.to_vec1())
        .map_err(|e| error("to_vec", e))
}

/// The native tensors of operands that were checked to live on this engine.
pub(crate) fn all(tensors: &[&Tensor]) -> Vec<candle::Tensor> {
    tensors
        .iter()
        .filter_map(|tensor| match &tensor.repr {
            crate::tensor::Repr::Candle(t) => Some(t.clone()),
            #[allow(unreachable_patterns)]
            _ => None,
        })
        .collect()
}
