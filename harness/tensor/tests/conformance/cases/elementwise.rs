//! Arithmetic, comparisons and functions.

use prunebench_tensor::{Result, Tensor};

use crate::array::Array;
use crate::case::{Case, Values, case, input, normal};
use crate::reference::{sigmoid, silu};

type OnPair = (fn(&Tensor, &Tensor) -> Result<Tensor>, fn(f64, f64) -> f64);
type OnOne = (fn(&Tensor) -> Result<Tensor>, fn(f64) -> f64);

/// Equal shapes, sizes around a vector register, and every kind of broadcast.
const PAIRS: &[(&[usize], &[usize])] = &[
    (&[7], &[7]),
    (&[3, 33], &[3, 33]),
    (&[2, 1, 5], &[1, 4, 5]),
    (&[2, 3, 5], &[5]),
    (&[5], &[2, 3, 5]),
    (&[4, 1], &[1, 6]),
    (&[2, 3, 4], &[]),
    (&[1], &[1, 1, 9]),
];

const SHAPES: &[&[usize]] = &[&[1], &[7], &[2, 3, 5], &[1, 4, 1], &[3, 33], &[]];

fn truth(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

fn binary(cases: &mut Vec<Case>, op: &'static str, (on_tensors, on_numbers): OnPair, values: [Values; 2]) {
    for (left, right) in PAIRS {
        let inputs = vec![input(left, values[0].clone()), input(right, values[1].clone())];
        cases.push(case(
            op,
            inputs,
            move |x| on_tensors(&x[0], &x[1]),
            move |x| x[0].zip(&x[1], on_numbers),
        ));
    }
}

fn unary(cases: &mut Vec<Case>, op: &'static str, (on_tensor, on_number): OnOne, values: Values) {
    for shape in SHAPES {
        cases.push(case(
            op,
            vec![input(shape, values.clone())],
            move |x| on_tensor(&x[0]),
            move |x| x[0].map(on_number),
        ));
    }
}

fn choose(mask: &Array, a: &Array, b: &Array) -> Array {
    let of_true = mask.zip(a, |m, a| if m == 0.0 { 0.0 } else { a });
    let of_false = mask.zip(b, |m, b| if m == 0.0 { b } else { 0.0 });
    of_true.zip(&of_false, |a, b| a + b)
}

pub fn cases() -> Vec<Case> {
    use Values::{Grid, Mask, Normal, Spaced, Uniform};
    let mut cases = Vec::new();

    let arithmetic: [(&str, OnPair); 3] = [
        ("add", (Tensor::add, |a, b| a + b)),
        ("sub", (Tensor::sub, |a, b| a - b)),
        ("mul", (Tensor::mul, |a, b| a * b)),
    ];
    for (op, on) in arithmetic {
        binary(&mut cases, op, on, [Normal, Normal]);
    }
    // Half a step apart, so that no pair ties: the gradient of a tie is the engine's choice.
    let extremes = || [Spaced(0.0), Spaced(1.0 / 32.0)];
    binary(&mut cases, "maximum", (Tensor::maximum, f64::max), extremes());
    binary(&mut cases, "minimum", (Tensor::minimum, f64::min), extremes());
    let comparisons: [(&str, OnPair); 5] = [
        ("eq", (Tensor::eq, |a, b| truth(a == b))),
        ("lt", (Tensor::lt, |a, b| truth(a < b))),
        ("le", (Tensor::le, |a, b| truth(a <= b))),
        ("gt", (Tensor::gt, |a, b| truth(a > b))),
        ("ge", (Tensor::ge, |a, b| truth(a >= b))),
    ];
    let from = cases.len();
    for (op, on) in comparisons {
        binary(&mut cases, op, on, [Grid(2), Grid(2)]);
    }
    let mut cases: Vec<Case> = cases
        .into_iter()
        .enumerate()
        .map(|(at, case)| if at >= from { case.forward_only() } else { case }.integers_too())
        .collect();
    binary(
        &mut cases,
        "div",
        (Tensor::div, |a, b| a / b),
        [Normal, Uniform(0.5, 3.0)],
    );

    let functions: [(&str, OnOne, Values); 10] = [
        ("neg", (Tensor::neg, |x| -x), Normal),
        ("exp", (Tensor::exp, f64::exp), Normal),
        ("log", (Tensor::log, f64::ln), Uniform(0.2, 5.0)),
        ("sqrt", (Tensor::sqrt, f64::sqrt), Uniform(0.2, 5.0)),
        ("square", (Tensor::square, |x| x * x), Normal),
        // Off the kink at 0.
        ("abs", (Tensor::abs, f64::abs), Spaced(1.0 / 32.0)),
        ("relu", (Tensor::relu, |x| x.max(0.0)), Spaced(1.0 / 32.0)),
        ("silu", (Tensor::silu, silu), Uniform(-8.0, 8.0)),
        // Nearer to 1 than half precision resolves, the slope y (1 - y) is all rounding.
        ("sigmoid", (Tensor::sigmoid, sigmoid), Uniform(-2.0, 2.0)),
        ("tanh", (Tensor::tanh, f64::tanh), Uniform(-1.5, 1.5)),
    ];
    for (op, on, values) in functions {
        unary(&mut cases, op, on, values);
    }
    unary(
        &mut cases,
        "add_scalar",
        (|x| x.add_scalar(-1.25), |x| x - 1.25),
        Normal,
    );
    unary(&mut cases, "mul_scalar", (|x| x.mul_scalar(0.75), |x| x * 0.75), Normal);
    unary(
        &mut cases,
        "powf",
        (|x| x.powf(-0.5), |x| x.powf(-0.5)),
        Uniform(0.2, 4.0),
    );
    unary(
        &mut cases,
        "clamp",
        (|x| x.clamp(-1.0, 0.5), |x| x.clamp(-1.0, 0.5)),
        Spaced(1.0 / 32.0),
    );
    // Where e^x overflows half precision, and f32 too.
    let steep: [(&str, OnOne); 3] = [
        ("sigmoid", (Tensor::sigmoid, sigmoid)),
        ("silu", (Tensor::silu, silu)),
        ("tanh", (Tensor::tanh, f64::tanh)),
    ];
    for (op, (on_tensor, on_number)) in steep {
        let inputs = vec![input(&[40], Values::Uniform(-120.0, 120.0))];
        cases.push(
            case(op, inputs, move |x| on_tensor(&x[0]), move |x| x[0].map(on_number))
                .note("steep")
                .forward_only(),
        );
    }

    for exponent in [1.7, 2.0, 3.0] {
        cases.push(
            case(
                "powf",
                vec![input(&[3, 7], Uniform(0.2, 3.0))],
                move |x| x[0].powf(exponent),
                move |x| x[0].map(|x| x.powf(exponent)),
            )
            .note(format!("to the {exponent}")),
        );
    }
    cases.push(
        case(
            "mul",
            vec![normal(&[3, 5])],
            |x| x[0].mul(&x[0]),
            |x| x[0].map(|x| x * x),
        )
        .note("by itself"),
    );
    for (mask, a, b) in [
        (&[3, 33][..], &[3, 33][..], &[3, 33][..]),
        (&[4, 1], &[1, 6], &[6]),
        (&[2, 3, 5], &[], &[5]),
        (&[5], &[2, 3, 5], &[2, 1, 1]),
    ] {
        cases.push(
            case(
                "where_cond",
                vec![input(mask, Mask), normal(a), normal(b)],
                |x| x[0].where_cond(&x[1], &x[2]),
                |x| choose(&x[0], &x[1], &x[2]),
            )
            .differentiable(&[1, 2])
            .integers_too(),
        );
    }
    cases
}
