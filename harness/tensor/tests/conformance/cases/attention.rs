//! Scaled dot-product attention: grouped heads, cached keys, causal and windowed masks.

use prunebench_tensor::{AttentionMask, Tensor};

use crate::case::{Case, case, normal};
use crate::reference::attention;

struct Sizes {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
}

const fn sizes(batch: usize, [heads, kv_heads]: [usize; 2], [queries, keys]: [usize; 2], width: usize) -> Sizes {
    Sizes {
        batch,
        heads,
        kv_heads,
        queries,
        keys,
        width,
    }
}

const DIFFERENTIABLE: &[Sizes] = &[
    sizes(1, [1, 1], [1, 1], 2),
    sizes(2, [3, 1], [5, 5], 4),
    sizes(1, [4, 2], [3, 9], 8),
    sizes(1, [9, 3], [1, 37], 16),
    sizes(2, [2, 2], [7, 7], 64),
    sizes(1, [3, 3], [37, 37], 16),
];

/// Longer than a block of a tiled kernel.
const FORWARD_ONLY: &[Sizes] = &[
    sizes(1, [9, 3], [1, 37], 64),
    sizes(1, [9, 3], [37, 37], 64),
    sizes(1, [2, 1], [300, 300], 64),
    sizes(1, [2, 1], [300, 300], 16),
    sizes(2, [2, 1], [5, 300], 16),
    sizes(1, [2, 1], [65, 129], 16),
];

const MASKS: &[(bool, Option<usize>)] = &[(true, None), (false, None), (true, Some(4)), (true, Some(64))];

pub fn cases() -> Vec<Case> {
    let both = [(DIFFERENTIABLE, true), (FORWARD_ONLY, false)];
    both.into_iter()
        .flat_map(|(list, differentiable)| list.iter().map(move |sizes| (sizes, differentiable)))
        .flat_map(|(sizes, differentiable)| MASKS.iter().map(move |&mask| one(sizes, mask, differentiable)))
        .collect()
}

fn one(sizes: &Sizes, (causal, window): (bool, Option<usize>), differentiable: bool) -> Case {
    let kv = [sizes.batch, sizes.kv_heads, sizes.keys, sizes.width];
    let scale = 1.0 / (sizes.width as f64).sqrt();
    let mask = move || AttentionMask { causal, window };
    let case = case(
        "attention",
        vec![
            normal(&[sizes.batch, sizes.heads, sizes.queries, sizes.width]),
            normal(&kv),
            normal(&kv),
        ],
        move |x| Tensor::attention(&x[0], &x[1], &x[2], &mask(), scale),
        move |x| attention(&x[0], &x[1], &x[2], &mask(), scale),
    )
    .note(format!("causal {causal}, window {window:?}"));
    if differentiable { case } else { case.forward_only() }
}
