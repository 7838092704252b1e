//! Engine gradients against central differences of the f64 reference.
//!
//! The loss is the sum of the output times fixed random weights. A gradient is probed along single elements and along dense
//! directions of unit length, which see every element at once.

use prunebench_tensor::{DType, Device, Error, Tensor};
use rand::RngExt;

use crate::array::Array;
use crate::case::{Case, FLOATS, tensor};
use crate::layout::Layout;
use crate::skips::{Pass, Skips};
use crate::tolerance::Tolerance;

/// A gradient this small is probed element by element.
const SMALL: usize = 24;
const STEP: f64 = 1e-5;

struct Probe {
    name: String,
    direction: Array,
    wanted: f64,
}

fn directions(case: &Case, shape: &[usize]) -> Vec<(String, Array)> {
    let count: usize = shape.iter().product();
    let mut rng = case.rng(2);
    let elements: Vec<usize> = if count <= SMALL {
        (0..count).collect()
    } else {
        (0..6).map(|_| rng.random_range(0..count)).collect()
    };
    let mut directions: Vec<(String, Array)> = elements
        .into_iter()
        .map(|element| {
            let unit = (0..count).map(|at| f64::from(u8::from(at == element))).collect();
            (format!("element {element}"), Array::new(shape, unit))
        })
        .collect();
    for number in 0..2 {
        let length = (count as f64).sqrt();
        let signs = (0..count).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 } / length);
        directions.push((format!("dense direction {number}"), Array::new(shape, signs.collect())));
    }
    directions
}

/// The derivative of the loss along each direction in input `which`.
fn probes(case: &Case, arrays: &[Array], weights: &Array, which: usize) -> Vec<Probe> {
    let output_at = |direction: &Array, step: f64| {
        let mut moved = arrays.to_vec();
        moved[which] = moved[which].zip(direction, |x, d| x + step * d);
        (case.on_arrays)(&moved)
    };
    directions(case, &arrays[which].shape)
        .into_iter()
        .map(|(name, direction)| {
            let change = output_at(&direction, STEP).zip(&output_at(&direction, -STEP), |up, down| up - down);
            Probe {
                name,
                wanted: change.dot(weights) / (2.0 * STEP),
                direction,
            }
        })
        .collect()
}

/// The engine's gradients, seen through the same layout as the inputs.
fn gradients(
    case: &Case,
    arrays: &[Array],
    weights: &Array,
    dtype: DType,
    device: &Device,
    layout: Layout,
) -> prunebench_tensor::Result<Vec<Tensor>> {
    let mut leaves = Vec::new();
    let mut inputs = Vec::new();
    for (i, array) in arrays.iter().enumerate() {
        let mut base = tensor(&layout.base(array), case.input_dtype(i, dtype), device)?;
        if case.differentiable.contains(&i) {
            base = base.param()?;
            leaves.push((base.clone(), &array.shape));
        }
        inputs.push(layout.view(&base, &array.shape)?);
    }
    let weights = tensor(weights, case.output_dtype(dtype), device)?;
    let loss = (case.on_tensors)(&inputs)?.mul(&weights)?.sum_all()?;
    let params: Vec<&Tensor> = leaves.iter().map(|(leaf, _)| leaf).collect();
    Tensor::backward(&loss, &params)?
        .iter()
        .zip(&leaves)
        .map(|(gradient, (_, shape))| layout.view(gradient, shape))
        .collect()
}

fn compare(context: &str, gradient: &Tensor, probes: &[Probe], shape: &[usize], dtype: DType) -> Result<(), String> {
    if gradient.dtype() != dtype || gradient.shape() != shape {
        return Err(format!(
            "{context}: gradient {:?} {}, wanted {shape:?} {dtype}",
            gradient.shape(),
            gradient.dtype()
        ));
    }
    let values = gradient.to_f64_vec().map_err(|e| format!("{context}: {e}"))?;
    let gradient = Array::new(shape, values);
    let scale = probes.iter().map(|probe| probe.wanted.abs()).fold(0.0, f64::max);
    for probe in probes {
        let got = gradient.dot(&probe.direction);
        if !Tolerance::gradient(dtype).accepts(got, probe.wanted, scale) {
            return Err(format!(
                "{context}: {} is {got:e}, wanted {:e} (scale {scale:e})",
                probe.name, probe.wanted
            ));
        }
    }
    Ok(())
}

/// Every differentiable case, on every device and in every float dtype, contiguous and through a transposed view.
pub fn check(cases: &[Case]) {
    let mut skips = Skips::default();
    let mut failures = Vec::new();
    let differentiable = || cases.iter().filter(|case| !case.differentiable.is_empty());
    for case in differentiable() {
        for dtype in FLOATS {
            let arrays = case.arrays(dtype);
            let weights = case.output_weights(&(case.on_arrays)(&arrays).shape, dtype);
            let wanted: Vec<Vec<Probe>> = case
                .differentiable
                .iter()
                .map(|&which| probes(case, &arrays, &weights, which))
                .collect();
            for device in Device::available() {
                for layout in [Layout::Contiguous, Layout::Transposed] {
                    let context = format!("gradient of {} on {device} in {dtype}, {layout:?}", case.label());
                    match gradients(case, &arrays, &weights, dtype, &device, layout) {
                        Ok(gradients) => {
                            for ((gradient, probes), &which) in gradients.iter().zip(&wanted).zip(&case.differentiable)
                            {
                                let context = format!("{context}, input {which}");
                                failures.extend(compare(&context, gradient, probes, &arrays[which].shape, dtype).err());
                            }
                        }
                        Err(Error::Unsupported { detail, .. }) => {
                            skips.add(device, dtype, case.op, Pass::Gradient, &detail);
                        }
                        Err(error) => failures.push(format!("{context}: {error}")),
                    }
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
    skips.verify(&differentiable().map(|case| case.op).collect(), Pass::Gradient);
}
