//! Matrix products.

use crate::case::{Case, Input, case, normal};
use crate::reference::{linear, matmul};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let operands: [(&[usize], &[usize]); 9] = [
        (&[1, 1], &[1, 1]),
        (&[3, 5], &[5, 4]),
        (&[1, 33], &[33, 7]),
        (&[7, 33], &[33, 1]),
        (&[2, 3, 5], &[2, 5, 4]),
        (&[2, 3, 4, 5], &[2, 3, 5, 2]),
        (&[2, 3, 5], &[5, 4]),
        (&[1, 2, 3, 5], &[5, 6]),
        (&[17, 40], &[40, 19]),
    ];
    for (left, right) in operands {
        cases.push(case(
            "matmul",
            vec![normal(left), normal(right)],
            |x| x[0].matmul(&x[1]),
            |x| matmul(&x[0], &x[1]),
        ));
    }
    let long: [(&[usize], &[usize]); 4] = [
        (&[65, 300], &[300, 70]),
        (&[1, 576], &[576, 24]),
        (&[24, 576], &[576, 1]),
        (&[3, 1, 576], &[576, 9]),
    ];
    for (left, right) in long {
        cases.push(
            case(
                "matmul",
                vec![normal(left), normal(right)],
                |x| x[0].matmul(&x[1]),
                |x| matmul(&x[0], &x[1]),
            )
            .forward_only(),
        );
    }

    // Decoding multiplies one row, or a few, with kernels of their own.
    for rows in [1, 2, 7, 64] {
        for (features, outputs) in [(33, 5), (576, 24), (40, 17)] {
            linear_case(&mut cases, &[rows, features], outputs, rows * outputs < 200);
        }
    }
    linear_case(&mut cases, &[1, 1, 576], 192, false);
    linear_case(&mut cases, &[2, 3, 33], 9, true);
    linear_case(&mut cases, &[1, 5, 16], 1, true);
    linear_case(&mut cases, &[6], 4, true);
    linear_case(&mut cases, &[3, 1], 4, true);
    cases
}

fn linear_case(cases: &mut Vec<Case>, shape: &[usize], outputs: usize, differentiable: bool) {
    let features = shape[shape.len() - 1];
    let inputs: Vec<Input> = vec![normal(shape), normal(&[outputs, features]), normal(&[outputs])];
    let plain = case(
        "linear",
        inputs[..2].to_vec(),
        |x| x[0].linear(&x[1], None),
        |x| linear(&x[0], &x[1], None),
    );
    let biased = case(
        "linear",
        inputs,
        |x| x[0].linear(&x[1], Some(&x[2])),
        |x| linear(&x[0], &x[1], Some(&x[2])),
    )
    .note("with bias");
    for case in [plain, biased] {
        cases.push(if differentiable { case } else { case.forward_only() });
    }
}
