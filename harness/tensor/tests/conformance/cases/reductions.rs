//! Sums, means and extremes over one dimension or all.

use prunebench_tensor::{Result, Tensor};

use crate::array::Array;
use crate::case::{Case, Output, Values, case, input};
use crate::reference::{largest, mean, order, smallest};

/// The last is longer than any kernel's unrolled block.
const SHAPES: &[&[usize]] = &[&[7], &[1, 5], &[2, 3, 5], &[3, 1, 4], &[3, 33], &[2, 576]];

type OverOne = (
    &'static str,
    fn(&Tensor, usize, bool) -> Result<Tensor>,
    fn(&[f64]) -> f64,
);
type OverAll = (&'static str, fn(&Tensor) -> Result<Tensor>, fn(&[f64]) -> f64);

/// Values without ties where the shape is small enough to have none; longer ones are checked forward only.
fn drawn(shape: &[usize]) -> (Vec<crate::case::Input>, bool) {
    let tie_free = shape.iter().product::<usize>() <= 256;
    let values = if tie_free { Values::Spaced(0.0) } else { Values::Normal };
    (vec![input(shape, values)], tie_free)
}

fn sum(lane: &[f64]) -> f64 {
    lane.iter().sum()
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let over_one: [OverOne; 4] = [
        ("sum", Tensor::sum, sum),
        ("mean", Tensor::mean, mean),
        ("max", Tensor::max, largest),
        ("min", Tensor::min, smallest),
    ];
    let over_all: [OverAll; 3] = [
        ("sum_all", Tensor::sum_all, sum),
        ("mean_all", Tensor::mean_all, mean),
        ("max_all", Tensor::max_all, largest),
    ];
    for shape in SHAPES {
        for (op, on_tensor, on_lane) in over_one {
            for dim in 0..shape.len() {
                for keepdim in [false, true] {
                    let (inputs, tie_free) = drawn(shape);
                    let case = case(
                        op,
                        inputs,
                        move |x| on_tensor(&x[0], dim, keepdim),
                        move |x| x[0].reduce(dim, keepdim, on_lane),
                    )
                    .note(format!("over {dim}, keepdim {keepdim}"));
                    cases.push(if tie_free { case } else { case.forward_only() });
                }
            }
        }
        for (op, on_tensor, on_all) in over_all {
            let (inputs, tie_free) = drawn(shape);
            let case = case(
                op,
                inputs,
                move |x| on_tensor(&x[0]),
                move |x| Array::scalar(on_all(&x[0].data)),
            );
            cases.push(if tie_free { case } else { case.forward_only() });
        }
        for dim in 0..shape.len() {
            // Ties on purpose: the first of equal elements wins.
            for values in [Values::Normal, Values::Grid(2)] {
                cases.push(
                    case(
                        "argmax",
                        vec![input(shape, values.clone())],
                        move |x| x[0].argmax(dim),
                        move |x| x[0].reduce(dim, false, |lane| order(lane, true)[0] as f64),
                    )
                    .note(format!("over {dim}, {values:?}"))
                    .output(Output::Index)
                    .forward_only()
                    .integers_too(),
                );
            }
        }
    }
    cases
}
