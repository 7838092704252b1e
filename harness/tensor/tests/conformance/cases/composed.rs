//! Operations one after another, as a decoder has them: what a single case can't show is a gradient that flows on, adds up
//! over two paths, or stops.

use prunebench_tensor::{AttentionMask, Result, Tensor};

use crate::array::Array;
use crate::case::{Case, Values, case, input, normal};
use crate::reference;

const EPS: f64 = 1e-5;
const HEADS: usize = 2;
const WIDTH: usize = 4;
const TOKENS: usize = 5;

/// A block's attention with its residual connection, on `[tokens, features]`.
fn attention_block(x: &Tensor, norm: &Tensor, qkv: &Tensor, out: &Tensor) -> Result<Tensor> {
    let features = HEADS * WIDTH;
    let all = x.rms_norm(norm, EPS)?.linear(qkv, None)?;
    let heads = |part: usize| {
        all.narrow(1, part * features, features)?
            .reshape(&[1, TOKENS, HEADS, WIDTH])?
            .transpose(1, 2)
    };
    let mask = AttentionMask {
        causal: true,
        window: None,
    };
    let mixed = Tensor::attention(&heads(0)?, &heads(1)?, &heads(2)?, &mask, 0.5)?;
    let joined = mixed.transpose(1, 2)?.reshape(&[TOKENS, features])?;
    x.add(&joined.linear(out, None)?)
}

fn attention_block_reference(x: &Array, norm: &Array, qkv: &Array, out: &Array) -> Array {
    let features = HEADS * WIDTH;
    let all = reference::linear(&reference::rms_norm(x, norm, EPS), qkv, None);
    let heads = |part: usize| {
        all.narrow(1, part * features, features)
            .reshape(&[1, TOKENS, HEADS, WIDTH])
            .transpose(1, 2)
    };
    let mask = AttentionMask {
        causal: true,
        window: None,
    };
    let mixed = reference::attention(&heads(0), &heads(1), &heads(2), &mask, 0.5);
    let joined = mixed.transpose(1, 2).reshape(&[TOKENS, features]);
    x.zip(&reference::linear(&joined, out, None), |x, y| x + y)
}

pub fn cases() -> Vec<Case> {
    let features = HEADS * WIDTH;
    let small = |shape: &[usize]| input(shape, Values::Uniform(-0.5, 0.5));
    vec![
        case(
            "backward",
            vec![
                normal(&[TOKENS, features]),
                input(&[features], Values::Uniform(0.5, 1.5)),
                small(&[3 * features, features]),
                small(&[features, features]),
            ],
            |x| attention_block(&x[0], &x[1], &x[2], &x[3]),
            |x| attention_block_reference(&x[0], &x[1], &x[2], &x[3]),
        )
        .note("attention with a residual connection"),
        // The embedding is read twice: by index, and as the head.
        case(
            "backward",
            vec![
                normal(&[11, features]),
                input(&[3], Values::Indices(&[4, 9, 4])),
                input(&[3], Values::Indices(&[0, 4, 10])),
                small(&[6, features]),
                small(&[features, 6]),
            ],
            |x| {
                let hidden = x[0].index_select(0, &x[1])?;
                let up = hidden.linear(&x[3], None)?;
                let hidden = hidden.add(&up.swiglu(&up)?.linear(&x[4], None)?)?;
                hidden.linear(&x[0], None)?.cross_entropy(&x[2])?.to_dtype(x[0].dtype())
            },
            |x| {
                let hidden = reference::index_select(&x[0], 0, &x[1]);
                let gated = reference::linear(&hidden, &x[3], None).map(|u| reference::silu(u) * u);
                let hidden = hidden.zip(&reference::linear(&gated, &x[4], None), |h, d| h + d);
                reference::cross_entropy(&reference::linear(&hidden, &x[0], None), &x[2])
            },
        )
        .note("tied embedding to loss"),
        // What is detached counts as a constant; the reference has its value from a second input.
        case(
            "detach",
            vec![normal(&[4, 3])],
            |x| x[0].add(&x[0].detach()?),
            |x| x[0].map(|x| x + x),
        )
        .forward_only(),
    ]
}
