//! What a device can do at most, measured beside what a model does on it.

use std::time::Instant;

use prunebench_model::repeated;
use prunebench_results::{Ceiling, Ceilings};
use prunebench_tensor::{DType, Device, DeviceKind, Tensor};

use crate::Result;

/// Timed repeats of each, after one for warm-up.
const REPEATS: usize = 7;

/// Different numbers in the multiplied matrices: a prime, so that rows differ.
const DIFFERENT: usize = 1_048_573;

/// Bytes of the copied tensor, beyond every cache, and the sides of the multiplied matrices.
fn sizes(device: DeviceKind) -> (usize, usize) {
    match device {
        DeviceKind::Cpu => (64 << 20, 1024),
        DeviceKind::Cuda(_) => (512 << 20, 8192),
    }
}

/// The rates of a large copy and of a large matrix product in `dtype`.
///
/// # Errors
/// What the engine refuses, want of memory for one.
pub(crate) fn ceilings(dtype: DType, device: &Device) -> Result<Ceilings> {
    let (bytes, side) = sizes(device.kind);
    Ok(Ceilings {
        copy: copy(bytes / dtype.size_in_bytes(), dtype, device)?,
        matmul: matmul(side, dtype, device)?,
    })
}

/// Every element is read once and written once.
fn copy(elements: usize, dtype: DType, device: &Device) -> Result<Ceiling> {
    let source = Tensor::ones(&[elements], dtype, device)?;
    let target = Tensor::zeros(&[elements], dtype, device)?;
    let seconds = seconds_of(device, || Ok(target.write_slice(0, 0, &source)?))?;
    Ok(Ceiling::new((2 * elements * dtype.size_in_bytes()) as u64, seconds)?)
}

/// Random numbers, for a GPU is faster on equal ones, which take less power.
fn matmul(side: usize, dtype: DType, device: &Device) -> Result<Ceiling> {
    let numbers = Tensor::randn(&[DIFFERENT], 0, dtype, device)?;
    let random = |start| repeated(&numbers, start, &[side, side]);
    let (a, b) = (random(0)?, random(DIFFERENT / 2)?);
    let seconds = seconds_of(device, || Ok(a.matmul(&b).map(drop)?))?;
    Ok(Ceiling::new(2 * (side as u64).pow(3), seconds)?)
}

fn seconds_of(device: &Device, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let mut seconds = Vec::with_capacity(REPEATS);
    for repeat in 0..=REPEATS {
        device.sync()?;
        let start = Instant::now();
        work()?;
        device.sync()?;
        if repeat > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::Engine;

    use super::*;

    #[test]
    fn a_copy_counts_bytes_both_ways_and_a_product_two_operations_a_multiply_add() {
        for &engine in Engine::compiled() {
            let device = Device::cpu(engine);
            let copy = copy(1000, DType::F32, &device).unwrap();
            assert_eq!((copy.work, copy.seconds.len()), (8000, REPEATS));
            let matmul = matmul(10, DType::F32, &device).unwrap();
            assert_eq!((matmul.work, matmul.seconds.len()), (2000, REPEATS));
            assert!(copy.per_second > 0.0 && matmul.per_second > 0.0);
        }
    }
}
