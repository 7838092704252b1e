//! Creation, random numbers, and moves between hosts, devices and dtypes.

use half::{bf16, f16};
use prunebench_tensor::{DType, Device, DeviceKind, Element, Engine, Tensor};

use crate::case::FLOATS;

const EVERY: [DType; 5] = [DType::F64, DType::F32, DType::BF16, DType::F16, DType::I64];

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_f64_vec().expect("readable elements")
}

fn elements_come_back<T: Element + PartialEq + std::fmt::Debug>(elements: [T; 6]) {
    for device in Device::available() {
        let tensor = Tensor::from_slice(&elements, &[2, 3], &device).expect("a tensor");
        assert_eq!(tensor.dtype(), <T as Element>::DTYPE);
        assert_eq!(tensor.device(), device);
        assert_eq!((tensor.shape(), tensor.rank(), tensor.elem_count()), (vec![2, 3], 2, 6));
        assert_eq!((tensor.dim(0).expect("rows"), tensor.dim(1).expect("columns")), (2, 3));
        assert_eq!(tensor.to_vec::<T>().expect("elements"), elements, "{device}");

        let bytes: Vec<u8> = [&[0xAB], bytemuck::cast_slice::<T, u8>(&elements)].concat();
        let unaligned = Tensor::from_le_bytes(&bytes[1..], <T as Element>::DTYPE, &[2, 3], &device).expect("a tensor");
        assert_eq!(unaligned.to_vec::<T>().expect("elements"), elements, "{device}");

        let column = tensor.narrow(1, 2, 1).expect("a column");
        assert_eq!(
            column.to_vec::<T>().expect("elements"),
            [elements[2], elements[5]],
            "{device}"
        );
    }
}

#[test]
fn elements_of_every_type_come_back_from_slices_and_bytes() {
    elements_come_back([1.5f64, -0.0, f64::MAX, f64::MIN_POSITIVE, 1e-300, std::f64::consts::PI]);
    elements_come_back([1.5f32, -0.0, f32::MAX, f32::MIN_POSITIVE, 1e-30, std::f32::consts::PI]);
    elements_come_back([1.5, -2.0, 0.1, 1e30, 1e-30, 0.0].map(bf16::from_f64));
    elements_come_back([1.5, -2.0, 0.1, 6e4, 1e-7, 0.0].map(f16::from_f64));
    elements_come_back([1i64, -2, i64::MAX, i64::MIN, (1 << 53) + 1, 0]);
}

#[test]
fn constants_and_ranges_hold_what_they_say() {
    for device in Device::available() {
        for dtype in EVERY {
            for shape in [&[][..], &[0], &[3], &[2, 1, 3]] {
                let count: usize = shape.iter().product();
                for (tensor, value) in [
                    (Tensor::zeros(shape, dtype, &device), 0.0),
                    (Tensor::ones(shape, dtype, &device), 1.0),
                    (Tensor::full(shape, -3.0, dtype, &device), -3.0),
                ] {
                    let tensor = tensor.expect("a tensor");
                    assert_eq!((tensor.dtype(), tensor.device()), (dtype, device));
                    assert_eq!(tensor.shape(), shape);
                    assert_eq!(values(&tensor), vec![value; count], "{device} {dtype} {shape:?}");
                }
            }
        }
        for n in [0, 1, 7] {
            let range = Tensor::arange(n, &device).expect("a range");
            let wanted: Vec<i64> = (0..n as i64).collect();
            assert_eq!(range.to_vec::<i64>().expect("integers"), wanted);
        }
        let one = Tensor::full(&[1, 1], 2.5, DType::BF16, &device).expect("a tensor");
        assert_eq!(one.to_f64().expect("one element"), 2.5);
    }
}

#[test]
fn random_numbers_depend_on_the_seed_and_on_nothing_else() {
    type Draw = fn(&[usize], u64, DType, &Device) -> prunebench_tensor::Result<Tensor>;
    for (name, draw) in [("randn", Tensor::randn as Draw), ("rand", Tensor::rand)] {
        for dtype in FLOATS {
            let draws: Vec<Vec<f64>> = Device::available()
                .iter()
                .map(|device| values(&draw(&[5, 7], 42, dtype, device).expect("numbers")))
                .collect();
            for numbers in &draws {
                assert_eq!(numbers, &draws[0], "{name} in {dtype} differs between devices");
            }
            let device = Device::available()[0];
            let again = values(&draw(&[35], 42, dtype, &device).expect("numbers"));
            assert_eq!(again, draws[0], "{name} in {dtype} does not repeat");
            let other = values(&draw(&[35], 43, dtype, &device).expect("numbers"));
            assert_ne!(other, draws[0], "{name} in {dtype} ignores its seed");
        }
    }
}

#[test]
fn random_numbers_have_the_moments_of_their_distribution() {
    let device = Device::available()[0];
    let moments = |numbers: &[f64]| {
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / numbers.len() as f64;
        (mean, variance)
    };
    // 40,000 draws: the standard error of either mean is at most 0.005.
    let normal = values(&Tensor::randn(&[40_001], 1, DType::F64, &device).expect("numbers"));
    let (mean, variance) = moments(&normal);
    assert!(
        mean.abs() < 0.025 && (variance - 1.0).abs() < 0.04,
        "mean {mean}, variance {variance}"
    );
    assert!(normal.iter().all(|x| x.is_finite()));
    let uniform = values(&Tensor::rand(&[40_000], 1, DType::F64, &device).expect("numbers"));
    let (mean, variance) = moments(&uniform);
    assert!(
        (mean - 0.5).abs() < 0.008 && (variance - 1.0 / 12.0).abs() < 0.004,
        "mean {mean}, variance {variance}"
    );
    assert!(uniform.iter().all(|x| (0.0..1.0).contains(x)));
}

#[test]
fn dtype_conversions_round_to_nearest() {
    // Exact halves between neighbours, subnormals and overflow among them.
    let source: [f64; 9] = [
        0.0,
        -1.0,
        1.0 + 1.0 / 256.0,
        1.0 + 3.0 / 256.0,
        1.0 / 3.0,
        -2.0e-7,
        65504.0,
        1e6,
        -3.7,
    ];
    let rounded = |dtype: DType| -> Vec<f64> {
        let round = |x: f64| match dtype {
            DType::F64 => x,
            DType::F32 => f64::from(x as f32),
            DType::BF16 => bf16::from_f64(x).to_f64(),
            DType::F16 => f16::from_f64(x).to_f64(),
            DType::I64 => x.trunc(),
        };
        source.iter().map(|&x| round(x)).collect()
    };
    for device in Device::available() {
        let wide = Tensor::from_slice(&source, &[9], &device).expect("a tensor");
        for dtype in EVERY {
            let converted = wide.to_dtype(dtype).expect("a conversion");
            assert_eq!(converted.dtype(), dtype);
            assert_eq!(values(&converted), rounded(dtype), "{device}: f64 to {dtype}");
            // What a narrower type holds, a wider one holds exactly.
            if dtype.is_float() {
                let back = converted.to_dtype(DType::F32).and_then(|t| t.to_dtype(dtype));
                let exact = if dtype == DType::F64 {
                    rounded(DType::F32)
                } else {
                    rounded(dtype)
                };
                assert_eq!(
                    values(&back.expect("a round trip")),
                    exact,
                    "{device}: {dtype} through f32"
                );
            }
        }
        let view = wide.reshape(&[3, 3]).and_then(|t| t.transpose(0, 1)).expect("a view");
        let converted = values(&view.to_dtype(DType::F32).expect("a conversion"));
        assert_eq!(
            converted[1],
            f64::from(source[3] as f32),
            "{device}: a transposed view loses its order"
        );
    }
}

#[test]
fn elements_survive_a_move_to_every_device_of_the_engine() {
    for from in Device::available() {
        for to in Device::available().into_iter().filter(|to| to.engine == from.engine) {
            let here = Tensor::randn(&[3, 5], 7, DType::F32, &from).expect("numbers");
            let view = here.transpose(0, 1).expect("a view");
            let there = view.to_device(&to).expect("a move");
            assert_eq!(there.device(), to);
            to.sync().expect("a device that can be waited for");
            assert_eq!(values(&there), values(&view), "{from} to {to}");
        }
    }
}

#[test]
fn every_compiled_engine_has_its_host_device() {
    for &engine in Engine::compiled() {
        assert!(Device::available().contains(&Device::cpu(engine)));
        Device::cpu(engine).is_available().expect("the host is always there");
    }
}

#[test]
fn names_of_devices_and_dtypes_parse_back() {
    for engine in [Engine::Candle, Engine::Torch] {
        assert_eq!(engine.to_string().parse(), Ok(engine));
        for device in [Device::cpu(engine), Device::cuda(engine, 0), Device::cuda(engine, 3)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
    }
    for dtype in EVERY {
        assert_eq!(dtype.to_string().parse(), Ok(dtype));
        assert_eq!(dtype.is_float(), dtype != DType::I64);
    }
    assert_eq!(
        "torch:cuda".parse::<Device>().map(|device| device.kind),
        Ok(DeviceKind::Cuda(0))
    );
    for nonsense in ["", "cpu", "torch", "torch:", "torch:gpu", "torch:cuda:x", "candel:cpu"] {
        let message = nonsense.parse::<Device>().expect_err("not a device");
        assert!(message.contains('`'), "the message names no culprit: {message}");
    }
}
