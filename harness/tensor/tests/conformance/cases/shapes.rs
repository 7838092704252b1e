//! Views and rearrangements, which integers must survive too.

use crate::array::Array;
use crate::case::{Case, case, normal};
use crate::reference::cat;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let reshapes: [(&[usize], &[usize]); 6] = [
        (&[6], &[2, 3]),
        (&[2, 3, 4], &[6, 4]),
        (&[2, 3, 4], &[2, 12]),
        (&[2, 3, 4], &[4, 3, 2]),
        (&[1, 1], &[]),
        (&[5, 1], &[1, 5, 1]),
    ];
    for (from, to) in reshapes {
        cases.push(
            case(
                "reshape",
                vec![normal(from)],
                move |x| x[0].reshape(to),
                move |x| x[0].reshape(to),
            )
            .note(format!("to {to:?}")),
        );
    }
    for (shape, a, b) in [
        (&[3, 5][..], 0, 1),
        (&[2, 3, 4], 0, 2),
        (&[2, 3, 4, 5], 1, 2),
        (&[1, 7], 0, 1),
        (&[2, 3], 1, 1),
    ] {
        cases.push(
            case(
                "transpose",
                vec![normal(shape)],
                move |x| x[0].transpose(a, b),
                move |x| x[0].transpose(a, b),
            )
            .note(format!("{a} with {b}")),
        );
    }
    for dim in 0..3 {
        let shape = |dim: usize| {
            let mut shape = vec![3, 4];
            shape.insert(dim, 1);
            shape
        };
        cases.push(
            case(
                "unsqueeze",
                vec![normal(&[3, 4])],
                move |x| x[0].unsqueeze(dim),
                move |x| x[0].reshape(&shape(dim)),
            )
            .note(format!("at {dim}")),
        );
        cases.push(
            case(
                "squeeze",
                vec![normal(&shape(dim))],
                move |x| x[0].squeeze(dim),
                |x| x[0].reshape(&[3, 4]),
            )
            .note(format!("at {dim}")),
        );
    }
    let expansions: [(&[usize], &[usize]); 4] = [
        (&[1, 5], &[4, 5]),
        (&[5], &[2, 3, 5]),
        (&[3, 1, 2], &[3, 4, 2]),
        (&[], &[2, 2]),
    ];
    for (from, to) in expansions {
        cases.push(
            case(
                "expand",
                vec![normal(from)],
                move |x| x[0].expand(to),
                move |x| Array::from_fn(to, |i| x[0].at(i)),
            )
            .note(format!("to {to:?}")),
        );
    }
    for (shape, dim, start, len) in [
        (&[7][..], 0, 2, 3),
        (&[3, 5], 0, 1, 1),
        (&[3, 5], 1, 0, 5),
        (&[2, 5, 3], 1, 4, 1),
        (&[2, 3, 33], 2, 16, 17),
    ] {
        cases.push(
            case(
                "narrow",
                vec![normal(shape)],
                move |x| x[0].narrow(dim, start, len),
                move |x| x[0].narrow(dim, start, len),
            )
            .note(format!("dim {dim} from {start}, {len} long")),
        );
    }
    for (shapes, dim) in [
        (&[&[3][..], &[4], &[1]][..], 0),
        (&[&[2, 3], &[1, 3]], 0),
        (&[&[2, 3], &[2, 1], &[2, 33]], 1),
        (&[&[2, 1, 4, 3], &[2, 1, 5, 3]], 2),
        (&[&[2, 2]], 1),
    ] {
        cases.push(
            case(
                "cat",
                shapes.iter().map(|shape| normal(shape)).collect(),
                move |x| prunebench_tensor::Tensor::cat(&x.iter().collect::<Vec<_>>(), dim),
                move |x| cat(&x.iter().collect::<Vec<_>>(), dim),
            )
            .note(format!("along {dim}")),
        );
    }
    for shape in [&[7][..], &[3, 5], &[2, 3, 33]] {
        cases.push(case(
            "contiguous",
            vec![normal(shape)],
            |x| x[0].contiguous(),
            |x| x[0].clone(),
        ));
    }
    cases.into_iter().map(Case::integers_too).collect()
}
