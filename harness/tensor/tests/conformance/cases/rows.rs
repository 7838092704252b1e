//! Operations on the last dimension: softmax, norms, gates, rotary positions, and the loss.

use prunebench_tensor::{Result, Tensor};

use crate::array::Array;
use crate::case::{Case, Output, Values, case, input, normal};
use crate::reference::{
    cross_entropy, kl_divergence, largest_places, layer_norm, log_softmax, rms_norm, rope, silu, softmax,
    token_log_likelihoods,
};

const SHAPES: &[&[usize]] = &[&[5], &[1, 1], &[3, 33], &[2, 3, 7], &[2, 1, 64], &[2, 576]];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    type Softmax = (&'static str, fn(&Tensor) -> Result<Tensor>, fn(&Array) -> Array);
    let softmaxes: [Softmax; 2] = [
        ("softmax", Tensor::softmax, softmax),
        ("log_softmax", Tensor::log_softmax, log_softmax),
    ];
    for (op, on_tensor, on_array) in softmaxes {
        for shape in SHAPES {
            cases.push(case(
                op,
                vec![normal(shape)],
                move |x| on_tensor(&x[0]),
                move |x| on_array(&x[0]),
            ));
        }
        // The exponentials of such values overflow every dtype but f64.
        let steep = vec![input(&[3, 40], Values::Uniform(-800.0, 800.0))];
        cases.push(
            case(op, steep, move |x| on_tensor(&x[0]), move |x| on_array(&x[0]))
                .note("steep")
                .forward_only(),
        );
        let vocabulary = vec![normal(&[2, 5000])];
        cases.push(case(op, vocabulary, move |x| on_tensor(&x[0]), move |x| on_array(&x[0])).forward_only());
    }
    for shape in SHAPES {
        let width = shape[shape.len() - 1];
        let rms_norm = case(
            "rms_norm",
            vec![normal(shape), input(&[width], Values::Uniform(0.5, 1.5))],
            |x| x[0].rms_norm(&x[1], 1e-5),
            |x| rms_norm(&x[0], &x[1], 1e-5),
        );
        // The norm of one element is its sign, and its distance from its mean is 0: slopes there are all rounding.
        cases.push(if width > 1 {
            rms_norm
        } else {
            rms_norm.differentiable(&[1])
        });
        if width > 1 {
            cases.push(case(
                "layer_norm",
                vec![normal(shape)],
                |x| x[0].layer_norm(1e-5),
                |x| layer_norm(&x[0], 1e-5),
            ));
        }
        cases.push(case(
            "swiglu",
            vec![normal(shape), normal(shape)],
            |x| x[0].swiglu(&x[1]),
            |x| x[0].zip(&x[1], |gate, up| silu(gate) * up),
        ));
    }
    cases.push(
        case(
            "swiglu",
            vec![input(&[3, 40], Values::Uniform(-120.0, 120.0)), normal(&[3, 40])],
            |x| x[0].swiglu(&x[1]),
            |x| x[0].zip(&x[1], |gate, up| silu(gate) * up),
        )
        .note("steep")
        .forward_only(),
    );
    // A mean square taken in half precision overflows here.
    cases.push(
        case(
            "rms_norm",
            vec![input(&[2, 64], Values::Uniform(-900.0, 900.0)), normal(&[64])],
            |x| x[0].rms_norm(&x[1], 1e-6),
            |x| rms_norm(&x[0], &x[1], 1e-6),
        )
        .note("large values")
        .forward_only(),
    );

    for (batch, heads, positions, width) in [(1, 1, 1, 2), (1, 3, 5, 8), (2, 2, 1, 64), (2, 3, 7, 16), (1, 2, 37, 64)] {
        let angles = || input(&[positions, width / 2], Values::Uniform(-1.0, 1.0));
        cases.push(
            case(
                "rope",
                vec![normal(&[batch, heads, positions, width]), angles(), angles()],
                |x| x[0].rope(&x[1], &x[2]),
                |x| rope(&x[0], &x[1], &x[2]),
            )
            .differentiable(&[0]),
        );
    }
    for (rows, vocabulary) in [(1, 2), (4, 7), (3, 33), (2, 5000), (65, 10)] {
        cases.push(
            case(
                "cross_entropy",
                vec![normal(&[rows, vocabulary]), input(&[rows], Values::Index(vocabulary))],
                |x| x[0].cross_entropy(&x[1]),
                |x| cross_entropy(&x[0], &x[1]),
            )
            .output(Output::AtLeastF32),
        );
    }
    cases.push(
        case(
            "cross_entropy",
            vec![
                input(&[3, 9], Values::Uniform(-200.0, 200.0)),
                input(&[3], Values::Index(9)),
            ],
            |x| x[0].cross_entropy(&x[1]),
            |x| cross_entropy(&x[0], &x[1]),
        )
        .note("steep")
        .output(Output::AtLeastF32)
        .forward_only(),
    );
    for (rows, vocabulary, pairs) in [(1, 2, 1), (4, 7, 9), (2, 5000, 3), (65, 10, 40)] {
        let inputs = || {
            vec![
                normal(&[rows, vocabulary]),
                input(&[pairs], Values::Index(rows)),
                input(&[pairs], Values::Index(vocabulary)),
            ]
        };
        cases.push(
            case(
                "token_log_likelihoods",
                inputs(),
                |x| Ok(x[0].token_log_likelihoods(&pairs_of(x)?)?.0),
                |x| token_log_likelihoods(&x[0], &x[1], &x[2]),
            )
            .output(Output::SummedInF64)
            .forward_only(),
        );
        cases.push(
            case(
                "token_log_likelihoods",
                inputs(),
                |x| Ok(x[0].token_log_likelihoods(&pairs_of(x)?)?.1),
                |x| largest_places(&x[0]),
            )
            .note("most likely")
            .output(Output::Index)
            .forward_only(),
        );
    }
    for (rows, vocabulary) in [(1, 2), (4, 7), (3, 33), (2, 5000)] {
        cases.push(
            case(
                "kl_divergence",
                vec![normal(&[rows, vocabulary]), normal(&[rows, vocabulary])],
                |x| x[0].kl_divergence(&x[1]),
                |x| kl_divergence(&x[0], &x[1]),
            )
            .output(Output::SummedInF64)
            .forward_only(),
        );
    }
    cases
}

/// Rows and tokens of the last two inputs.
fn pairs_of(x: &[Tensor]) -> Result<Vec<(usize, usize)>> {
    let (rows, tokens) = (x[1].to_vec::<i64>()?, x[2].to_vec::<i64>()?);
    Ok(rows
        .iter()
        .zip(&tokens)
        .map(|(&row, &token)| (row as usize, token as usize))
        .collect())
}
