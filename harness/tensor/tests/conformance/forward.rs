//! Runs cases on every device, dtype and memory layout, and compares with the reference.

use prunebench_tensor::{DType, Device, Error, Tensor};

use crate::array::Array;
use crate::case::{Case, FLOATS, tensor};
use crate::layout::Layout;
use crate::skips::{Pass, Skips};
use crate::tolerance::Tolerance;

/// Compares element by element; the message names the first that is off.
pub fn compare(context: &str, got: &Tensor, wanted: &Array, dtype: DType, tolerance: Tolerance) -> Result<(), String> {
    if got.dtype() != dtype {
        return Err(format!("{context}: dtype {}, wanted {dtype}", got.dtype()));
    }
    if got.shape() != wanted.shape {
        return Err(format!("{context}: shape {:?}, wanted {:?}", got.shape(), wanted.shape));
    }
    let values = got.to_f64_vec().map_err(|e| format!("{context}: {e}"))?;
    let scale = wanted.largest();
    let off = |&at: &usize| !tolerance.accepts(values[at], wanted.data[at], scale);
    let Some(at) = (0..values.len()).find(off) else {
        return Ok(());
    };
    Err(format!(
        "{context}: element {at} is {:e}, wanted {:e} (off {:e}, scale {scale:e}; {} of {} elements off)",
        values[at],
        wanted.data[at],
        (values[at] - wanted.data[at]).abs(),
        (0..values.len()).filter(off).count(),
        values.len(),
    ))
}

fn run(
    case: &Case,
    arrays: &[Array],
    dtype: DType,
    device: &Device,
    layout: Layout,
) -> prunebench_tensor::Result<Tensor> {
    let inputs = arrays
        .iter()
        .enumerate()
        .map(|(i, array)| {
            let base = tensor(&layout.base(array), case.input_dtype(i, dtype), device)?;
            layout.view(&base, &array.shape)
        })
        .collect::<prunebench_tensor::Result<Vec<_>>>()?;
    (case.on_tensors)(&inputs)
}

/// Every case, on every device, in every dtype and memory layout.
pub fn check(cases: &[Case]) {
    let mut skips = Skips::default();
    let mut failures = Vec::new();
    for case in cases {
        let integers = case.integers.then_some(DType::I64);
        for dtype in FLOATS.into_iter().chain(integers) {
            let arrays = case.arrays(dtype);
            let wanted = (case.on_arrays)(&arrays);
            let output = case.output_dtype(dtype);
            let tolerance = Tolerance::forward(case.tolerance_dtype(dtype));
            for device in Device::available() {
                for layout in Layout::ALL {
                    let context = format!("{} on {device} in {dtype}, {layout:?}", case.label());
                    match run(case, &arrays, dtype, &device, layout) {
                        Ok(got) => failures.extend(compare(&context, &got, &wanted, output, tolerance).err()),
                        Err(Error::Unsupported { detail, .. }) => {
                            skips.add(device, dtype, case.op, Pass::Forward, &detail);
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
    skips.verify(&cases.iter().map(|case| case.op).collect(), Pass::Forward);
}
