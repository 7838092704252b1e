//! Scaled dot-product attention: grouped heads, cached keys, causal and windowed masks.

use prunebench_tensor::{AttentionMask, Segment, Tensor};

use crate::case::{Case, case, normal};
use crate::reference::{attention, segment_attention};

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
        .chain(
            PACKED
                .iter()
                .flat_map(|packed| [None, Some(4)].map(|window| segmented(packed, window))),
        )
        .collect()
}

/// Key ranges of each segment, whose queries are the last keys of its last range.
type Packed = (&'static str, &'static [(usize, &'static [(usize, usize)])]);

const PACKED: &[Packed] = &[
    ("one", &[(5, &[(0, 5)])]),
    ("apart", &[(3, &[(0, 3)]), (1, &[(3, 4)]), (4, &[(4, 8)])]),
    (
        "a tree",
        &[
            (6, &[(0, 6)]),
            (2, &[(0, 4), (6, 8)]),
            (1, &[(0, 4), (6, 7), (8, 9)]),
            (1, &[(9, 10)]),
        ],
    ),
    (
        "after cached keys",
        &[(4, &[(0, 9)]), (3, &[(0, 5), (9, 12)]), (1, &[(0, 7), (12, 13)])],
    ),
    // Longer than a block of a tiled kernel.
    ("long", &[(130, &[(0, 150)]), (70, &[(0, 90), (150, 220)])]),
];

fn segmented(&(note, list): &Packed, window: Option<usize>) -> Case {
    const WIDTH: usize = 16;
    let mut queries = 0;
    let segments: Vec<Segment> = list
        .iter()
        .map(|&(count, keys)| {
            queries += count;
            Segment {
                queries: queries - count..queries,
                keys: keys.iter().map(|&(start, end)| start..end).collect(),
            }
        })
        .collect();
    let keys = segments
        .iter()
        .flat_map(|segment| &segment.keys)
        .map(|keys| keys.end)
        .max();
    let kv = [1, 1, keys.expect("segments with keys"), WIDTH];
    let scale = 1.0 / (WIDTH as f64).sqrt();
    let again = segments.clone();
    case(
        "segment_attention",
        vec![normal(&[1, 3, queries, WIDTH]), normal(&kv), normal(&kv)],
        move |x| Tensor::segment_attention(&x[0], &x[1], &x[2], &segments, window, scale),
        move |x| segment_attention(&x[0], &x[1], &x[2], &again, window, scale),
    )
    .note(format!("{note}, window {window:?}"))
    .differentiable(if queries < 64 { &[0, 1, 2] } else { &[] })
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
