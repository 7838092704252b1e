//! Reading by index, and sorting.

use crate::case::{Case, Output, Values, case, input, normal};
use crate::reference::{gather, index_select, order};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (shape, dim, count) in [
        (&[7][..], 0, 3),
        (&[9, 576], 0, 4),
        (&[3, 5], 1, 8),
        (&[2, 4, 3], 1, 1),
        (&[1, 6], 0, 2),
        (&[2, 3, 5], 2, 5),
    ] {
        cases.push(
            case(
                "index_select",
                vec![normal(shape), input(&[count], Values::Index(shape[dim]))],
                move |x| x[0].index_select(dim, &x[1]),
                move |x| index_select(&x[0], dim, &x[1]),
            )
            .note(format!("along {dim}"))
            .integers_too(),
        );
    }
    // A gradient adds up where an index comes twice.
    cases.push(
        case(
            "index_select",
            vec![normal(&[4, 3]), input(&[6], Values::Indices(&[3, 0, 3, 3, 1, 0]))],
            |x| x[0].index_select(0, &x[1]),
            |x| index_select(&x[0], 0, &x[1]),
        )
        .note("repeated")
        .integers_too(),
    );
    for (shape, dim, ids) in [
        (&[7][..], 0, &[4][..]),
        (&[3, 5], 1, &[3, 2]),
        (&[3, 5], 0, &[6, 5]),
        (&[2, 4, 3], 1, &[2, 9, 3]),
        (&[4, 33], 1, &[4, 1]),
    ] {
        cases.push(
            case(
                "gather",
                vec![normal(shape), input(ids, Values::Index(shape[dim]))],
                move |x| x[0].gather(dim, &x[1]),
                move |x| gather(&x[0], dim, &x[1]),
            )
            .note(format!("along {dim}"))
            .integers_too(),
        );
    }
    for shape in [&[1][..], &[9], &[3, 7], &[2, 3, 33], &[2, 128]] {
        for descending in [false, true] {
            let note = if descending { "descending" } else { "ascending" };
            let sorted = move |lane: &[f64]| order(lane, descending).iter().map(|&at| lane[at]).collect();
            cases.push(
                case(
                    "sort",
                    vec![input(shape, Values::Spaced(0.0))],
                    move |x| Ok(x[0].sort(descending)?.0),
                    move |x| x[0].lanes(x[0].rank() - 1, sorted),
                )
                .note(note)
                .integers_too(),
            );
            // Equal elements keep their order, so that a pruning mask does not depend on the engine.
            for values in [Values::Spaced(0.0), Values::Grid(2)] {
                let positions = move |lane: &[f64]| order(lane, descending).iter().map(|&at| at as f64).collect();
                cases.push(
                    case(
                        "sort",
                        vec![input(shape, values.clone())],
                        move |x| Ok(x[0].sort(descending)?.1),
                        move |x| x[0].lanes(x[0].rank() - 1, positions),
                    )
                    .note(format!("positions, {note}, {values:?}"))
                    .output(Output::Index)
                    .forward_only()
                    .integers_too(),
                );
            }
        }
    }
    cases
}
