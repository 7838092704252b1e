//! Updates in place, and the draw of dropout.

use prunebench_tensor::{AdamW, DType, Device, Tensor};

use crate::array::Array;
use crate::case::{FLOATS, normal_array, tensor};
use crate::forward::compare;
use crate::tolerance::Tolerance;

/// One element, a few, more than a thread's share and a vector's width, and none.
const SHAPES: [&[usize]; 5] = [&[1], &[3, 5], &[33_001], &[2, 3, 7], &[0]];

/// Some distinct operands of one shape, exact in `dtype`.
fn arrays<const N: usize>(shape: &[usize], dtype: DType) -> [Array; N] {
    std::array::from_fn(|seed| normal_array(shape, seed as u64).rounded(dtype))
}

/// What a test does with each device, dtype and shape.
fn each(mut check: impl FnMut(&Device, DType, &[usize])) {
    for device in Device::available() {
        for dtype in FLOATS {
            for shape in SHAPES {
                check(&device, dtype, shape);
            }
        }
    }
}

fn agrees(what: &str, got: &Tensor, wanted: &Array, dtype: DType, device: &Device) {
    let context = format!("{what} {:?} on {device} in {dtype}", wanted.shape);
    compare(&context, got, wanted, dtype, Tolerance::forward(dtype)).unwrap_or_else(|message| panic!("{message}"));
}

/// An update's name, itself, and its formula.
type Update = (
    &'static str,
    fn(&Tensor, &Tensor) -> prunebench_tensor::Result<()>,
    fn(f64, f64) -> f64,
);

#[test]
fn updates_in_place_agree_with_the_reference_and_show_in_every_clone() {
    const UPDATES: [Update; 3] = [
        ("add_in_place", |x, y| x.add_in_place(y, -0.75), |x, y| x - 0.75 * y),
        (
            "lerp_in_place",
            |x, y| x.lerp_in_place(y, 0.25),
            |x, y| x + 0.25 * (y - x),
        ),
        ("mul_in_place", |x, y| x.mul_in_place(y), |x, y| x * y),
    ];
    for (name, update, formula) in UPDATES {
        each(|device, dtype, shape| {
            let [x, y] = arrays(shape, dtype);
            let target = tensor(&x, dtype, device).unwrap();
            let (clone, copy) = (target.clone(), target.param().unwrap());
            let operand = tensor(&y, dtype, device).unwrap();
            update(&target, &operand).unwrap();
            let wanted = x.zip(&y, formula);
            agrees(name, &target, &wanted, dtype, device);
            agrees(name, &clone, &wanted, dtype, device);
            assert_eq!(copy.to_f64_vec().unwrap(), x.data, "{name}: a copy changed");
            assert_eq!(operand.to_f64_vec().unwrap(), y.data, "{name}: the operand changed");
        });
    }
}

#[test]
fn an_update_takes_views_of_its_operands_and_of_a_part_of_its_target() {
    for device in Device::available() {
        for dtype in FLOATS {
            let whole = Tensor::zeros(&[4, 2], dtype, &device).unwrap();
            let operand = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0], &[2, 2], &device).unwrap();
            let operand = operand.to_dtype(dtype).unwrap().transpose(0, 1).unwrap();
            whole.narrow(0, 1, 2).unwrap().add_in_place(&operand, 2.0).unwrap();
            let row = Tensor::from_slice(&[1.0, -1.0], &[1, 2], &device).unwrap();
            let row = row.to_dtype(dtype).unwrap().expand(&[2, 2]).unwrap();
            whole.narrow(0, 2, 2).unwrap().add_in_place(&row, 1.0).unwrap();
            let found = whole.to_f64_vec().unwrap();
            assert_eq!(found, [0.0, 0.0, 2.0, 6.0, 5.0, 7.0, 1.0, -1.0], "{device} {dtype}");
        }
    }
}

/// The published step, on f64 numbers: Loshchilov and Hutter 2019, algorithm 2, with the bias corrections written out.
fn reference(step: &AdamW, operands: &mut [Array; 3], gradient: &Array) {
    let (beta1, beta2) = step.betas;
    let [parameter, first, second] = operands;
    for (i, gradient) in gradient.data.iter().enumerate() {
        let gradient = gradient * step.gradient_scale;
        let (p, m, v) = (&mut parameter.data[i], &mut first.data[i], &mut second.data[i]);
        *m = beta1 * *m + (1.0 - beta1) * gradient;
        *v = beta2 * *v + (1.0 - beta2) * gradient.powi(2);
        let (m, v) = (
            *m / (1.0 - beta1.powf(step.step as f64)),
            *v / (1.0 - beta2.powf(step.step as f64)),
        );
        *p -= step.learning_rate.abs() * step.weight_decay * *p + step.learning_rate * m / (v.sqrt() + step.eps);
    }
}

#[test]
fn adamw_steps_agree_with_the_reference() {
    // With a negative rate the second half of the steps ascends.
    for learning_rate in [0.1, -0.1] {
        each(|device, dtype, shape| {
            let [parameter, gradient] = arrays(shape, dtype);
            // f16 has no number for the square of a small one.
            let gradient = gradient.map(|g| g + 0.5f64.copysign(g)).rounded(dtype);
            let mut wanted = [parameter, gradient.map(|_| 0.0), gradient.map(|_| 0.0)];
            let [parameter, first, second] = wanted.each_ref().map(|array| tensor(array, dtype, device).unwrap());
            let gradients = tensor(&gradient, dtype, device).unwrap();
            for step in 1..=3 {
                let step = AdamW {
                    learning_rate: if step == 1 { 0.1 } else { learning_rate },
                    betas: (0.9, 0.95),
                    eps: 1e-3,
                    weight_decay: 0.1,
                    step,
                    gradient_scale: 0.5,
                };
                parameter.adamw_in_place(&gradients, &first, &second, &step).unwrap();
                reference(&step, &mut wanted, &gradient);
                let found = [
                    ("parameter", &parameter),
                    ("first moment", &first),
                    ("second moment", &second),
                ];
                for ((name, found), wanted) in found.into_iter().zip(&mut wanted) {
                    agrees(
                        &format!("{name} after step {}", step.step),
                        found,
                        wanted,
                        dtype,
                        device,
                    );
                    // Half precision rounds what it keeps: the next step starts from there.
                    wanted.data = found.to_f64_vec().unwrap();
                }
            }
        });
    }
}

#[test]
fn square_sums_agree_with_the_reference() {
    each(|device, dtype, shape| {
        let [x] = arrays(shape, dtype);
        let wanted: f64 = x.data.iter().map(|x| x * x).sum();
        let got = tensor(&x, dtype, device).unwrap().square_sum().unwrap();
        assert!(
            (got - wanted).abs() <= 1e-6 * wanted,
            "{device} {dtype} {shape:?}: {got}, wanted {wanted}"
        );
    });
}

#[test]
fn dropout_zeroes_its_share_and_scales_the_rest() {
    let count = 40_000;
    for device in Device::available() {
        for dtype in FLOATS {
            let ones = Tensor::ones(&[200, 200], dtype, &device).unwrap();
            for rate in [0.0, 0.05, 0.5] {
                let kept = 1.0 / (1.0 - rate);
                let dropped = ones.dropout(rate, 7).unwrap();
                assert_eq!((dropped.dtype(), dropped.shape()), (dtype, vec![200, 200]));
                let values = dropped.to_f64_vec().unwrap();
                let zeros = values.iter().filter(|&&x| x == 0.0).count();
                let others = values.iter().find(|&&x| x != 0.0 && (x - kept).abs() > 4e-3 * kept);
                assert_eq!(others, None, "{device} {dtype}: neither 0 nor {kept}");
                // Five standard errors of the share at most.
                assert!(
                    (zeros as f64 / count as f64 - rate).abs() < 0.0125,
                    "{device} {dtype}: {zeros} zeros at {rate}"
                );
            }
        }
    }
}

#[test]
fn dropout_draws_the_same_elements_on_every_device_and_others_from_another_seed() {
    let zeros = |device: &Device, dtype, shape: &[usize], seed| -> Vec<bool> {
        let dropped = Tensor::ones(shape, dtype, device).unwrap().dropout(0.3, seed).unwrap();
        dropped.to_f64_vec().unwrap().iter().map(|&x| x == 0.0).collect()
    };
    let first = Device::available()[0];
    let drawn = zeros(&first, DType::F32, &[70, 500], 3);
    for device in Device::available() {
        for dtype in FLOATS {
            assert_eq!(zeros(&device, dtype, &[70, 500], 3), drawn, "{device} {dtype}");
        }
    }
    // The draw goes by the row-major index, whatever the layout.
    let view = Tensor::ones(&[500, 70], DType::F32, &first)
        .unwrap()
        .transpose(0, 1)
        .unwrap();
    let of_view = view.dropout(0.3, 3).unwrap().to_f64_vec().unwrap();
    assert!(of_view.iter().zip(&drawn).all(|(&x, &zero)| (x == 0.0) == zero));
    let other = zeros(&first, DType::F32, &[70, 500], 4);
    let both = drawn.iter().zip(&other).filter(|(a, b)| **a && **b).count() as f64;
    assert!(
        (both / 35_000.0 - 0.09).abs() < 0.01,
        "draws of two seeds are independent"
    );
}

#[test]
fn gradients_pass_where_dropout_let_the_values_pass() {
    for device in Device::available() {
        for dtype in FLOATS {
            let x = Tensor::randn(&[6, 50], 1, dtype, &device).unwrap().param().unwrap();
            let y = x.dropout(0.25, 9).unwrap();
            let gradient = &Tensor::backward(&y.sum_all().unwrap(), &[&x]).unwrap()[0];
            let mask = Tensor::ones(&[6, 50], dtype, &device)
                .unwrap()
                .dropout(0.25, 9)
                .unwrap();
            assert_eq!(
                gradient.to_f64_vec().unwrap(),
                mask.to_f64_vec().unwrap(),
                "{device} {dtype}"
            );
        }
    }
}
