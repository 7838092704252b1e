//! What an operation may and may not change: storage, the autograd graph, NaN.

use prunebench_tensor::{AttentionMask, DType, Device, Result, Tensor, no_grad};

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_f64_vec().expect("readable elements")
}

fn vector(data: &[f64], device: &Device) -> Tensor {
    Tensor::from_slice(data, &[data.len()], device).expect("a tensor")
}

#[test]
fn write_le_bytes_converts_its_positions_wherever_the_bytes_lie() {
    let values: Vec<f32> = (1..7).map(|i| 1.0 / i as f32).collect();
    // One byte before them makes them lie askew.
    let bytes: Vec<u8> = [0]
        .into_iter()
        .chain(values.iter().flat_map(|v| v.to_le_bytes()))
        .collect();
    let askew = bytes[1..].to_vec();
    for device in Device::available() {
        for dtype in [DType::F64, DType::F32, DType::BF16, DType::F16] {
            for bytes in [&bytes[1..], &askew] {
                let target = Tensor::full(&[4, 3], 7.0, dtype, &device).expect("a tensor");
                let clone = target.clone();
                target.write_le_bytes(1, bytes, DType::F32).expect("a write");
                let written = Tensor::from_slice(&values, &[6], &device).and_then(|t| t.to_dtype(dtype));
                let written = written.and_then(|t| t.to_f64_vec()).expect("values");
                let wanted = [vec![7.0; 3], written, vec![7.0; 3]].concat();
                assert_eq!(clone.to_f64_vec().expect("values"), wanted, "{dtype} on {device:?}");
            }
        }
    }
}

#[test]
fn write_slice_changes_its_range_for_every_clone_and_nothing_else() {
    for device in Device::available() {
        for dtype in [DType::F64, DType::F32, DType::BF16, DType::F16, DType::I64] {
            let cache = Tensor::zeros(&[2, 4, 3], dtype, &device).expect("a cache");
            let clone = cache.clone();
            let new: Vec<f64> = (1..=12).map(f64::from).collect();
            let new = Tensor::from_slice(&new, &[2, 3, 2], &device)
                .and_then(|t| t.transpose(1, 2))
                .and_then(|t| t.to_dtype(dtype))
                .expect("a view");
            cache.write_slice(1, 1, &new).expect("a write");
            #[rustfmt::skip]
            let wanted = [
                0., 0., 0.,  1., 3., 5.,   2., 4., 6.,    0., 0., 0.,
                0., 0., 0.,  7., 9., 11.,  8., 10., 12.,  0., 0., 0.,
            ];
            assert_eq!(values(&clone), wanted, "{device} {dtype}");
            assert_eq!(values(&cache), wanted, "{device} {dtype}");
        }
    }
}

#[test]
fn operations_leave_their_inputs_alone() {
    for device in Device::available() {
        let x = vector(&[1.0, -2.0, 3.0], &device);
        let y = x.add_scalar(1.0).and_then(|y| y.mul(&x)).expect("an expression");
        assert_eq!(values(&x), [1.0, -2.0, 3.0], "{device}");
        let copy = x.param().expect("a leaf");
        copy.detach()
            .and_then(|copy| copy.write_slice(0, 0, &y))
            .expect("a write");
        assert_eq!(
            values(&x),
            [1.0, -2.0, 3.0],
            "{device}: a parameter shares the storage it was made from"
        );
    }
}

#[test]
fn detach_stops_the_gradient_and_sharing_adds_it_up() {
    for device in Device::available() {
        let x = vector(&[1.0, -2.0, 3.0], &device).param().expect("a leaf");
        let gradient = |loss: Tensor| values(&Tensor::backward(&loss, &[&x]).expect("a gradient")[0]);
        let product = |y: Tensor| x.mul(&y).and_then(|z| z.sum_all()).expect("a loss");
        assert_eq!(gradient(product(x.clone())), [2.0, -4.0, 6.0], "{device}");
        let constant = x.detach().expect("a constant");
        assert_eq!(gradient(product(constant)), [1.0, -2.0, 3.0], "{device}");
    }
}

#[test]
fn backward_gives_each_parameter_its_own_gradient_in_order() {
    for device in Device::available() {
        let [a, b, unused] =
            [[2.0, 3.0], [5.0, 7.0], [0.0, 0.0]].map(|data| vector(&data, &device).param().expect("a leaf"));
        let loss = a
            .square()
            .and_then(|a| a.mul(&b))
            .and_then(|x| x.sum_all())
            .expect("a loss");
        let gradients = Tensor::backward(&loss, &[&b, &unused, &a]).expect("gradients");
        let gradients: Vec<Vec<f64>> = gradients.iter().map(values).collect();
        assert_eq!(gradients, [[4.0, 9.0], [0.0, 0.0], [20.0, 42.0]], "{device}");
    }
}

/// A pruned row gives exactly 0 before the ReLU, so the engines must agree on the slope there.
#[test]
fn relu_has_no_slope_at_zero() {
    for device in Device::available() {
        let x = vector(&[-0.0, 0.0, 2.0, f64::NEG_INFINITY], &device)
            .param()
            .expect("a leaf");
        let y = x.relu().expect("a value");
        assert_eq!(values(&y), [0.0, 0.0, 2.0, 0.0], "{device}");
        let loss = y.sum_all().expect("a loss");
        let gradient = Tensor::backward(&loss, &[&x]).expect("a gradient");
        assert_eq!(values(&gradient[0]), [0.0, 0.0, 1.0, 0.0], "{device}");
    }
}

#[test]
fn no_grad_returns_the_value_and_autograd_works_after_it() {
    for device in Device::available() {
        let x = vector(&[3.0], &device).param().expect("a leaf");
        let square = |x: &Tensor| -> Result<Tensor> { x.square()?.sum_all() };
        let quiet = no_grad(|| no_grad(|| square(&x))).expect("a value");
        assert_eq!(values(&quiet), [9.0], "{device}");
        let loss = square(&x).expect("a loss");
        let gradient = Tensor::backward(&loss, &[&x]).expect("a gradient");
        assert_eq!(values(&gradient[0]), [6.0], "{device}");
    }
}

/// A broken weight must be seen in the answer, not smoothed away by a maximum or a clamp.
#[test]
fn nan_in_an_input_reaches_the_output() {
    type Spread = fn(&Tensor) -> Result<Tensor>;
    // Each takes a [4, 32] matrix.
    let spreads: [(&str, Spread); 18] = [
        ("add", |x| x.add(x)),
        ("maximum", |x| {
            x.maximum(&Tensor::ones(&[4, 32], x.dtype(), &x.device())?)
        }),
        ("exp", |x| x.exp()),
        ("relu", |x| x.relu()),
        ("silu", |x| x.silu()),
        ("clamp", |x| x.clamp(-1.0, 1.0)),
        ("sum", |x| x.sum(1, false)),
        ("mean", |x| x.mean(0, false)),
        ("softmax", |x| x.softmax()),
        ("log_softmax", |x| x.log_softmax()),
        ("rms_norm", |x| {
            x.rms_norm(&Tensor::ones(&[32], x.dtype(), &x.device())?, 1e-5)
        }),
        ("layer_norm", |x| x.layer_norm(1e-5)),
        ("swiglu", |x| x.swiglu(&Tensor::ones(&[4, 32], x.dtype(), &x.device())?)),
        ("linear", |x| {
            Tensor::ones(&[1, 32], x.dtype(), &x.device())?.linear(x, None)
        }),
        ("matmul", |x| x.matmul(&x.transpose(0, 1)?)),
        ("cross_entropy", |x| x.cross_entropy(&Tensor::arange(4, &x.device())?)),
        ("token_log_likelihoods", |x| {
            Ok(x.token_log_likelihoods(&[(0, 3), (1, 3), (2, 3), (3, 3)])?.0)
        }),
        ("attention", |x| {
            let x = x.reshape(&[1, 1, 4, 32])?;
            let mask = AttentionMask {
                causal: true,
                window: None,
            };
            Tensor::attention(&x, &x, &x, &mask, 0.1)
        }),
    ];
    let mut failures = Vec::new();
    for device in Device::available() {
        for dtype in crate::case::FLOATS {
            // Among the first elements of a row, and in the tail that a vectorised loop leaves.
            for place in [1, 31, 32 + 17] {
                let mut data = vec![0.5; 128];
                data[place] = f64::NAN;
                let x = Tensor::from_slice(&data, &[4, 32], &device)
                    .and_then(|x| x.to_dtype(dtype))
                    .expect("a tensor");
                for (op, spread) in spreads {
                    let out = spread(&x).unwrap_or_else(|e| panic!("{op} on {device} in {dtype}: {e}"));
                    if !values(&out).iter().any(|x| x.is_nan()) {
                        failures.push(format!("{op} on {device} in {dtype} hides the NaN at {place}"));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
