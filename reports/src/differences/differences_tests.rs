use super::*;
use crate::gate::test_snapshots::{all_but, answers, cell, failed};

fn dense() -> Vec<String> {
    vec!["dense".to_owned()]
}

fn losses(shift: f64) -> Series {
    Series::Losses {
        scope: "p@1: 40 of 40 windows, 4000 tokens scored".into(),
        nll: (0..40)
            .map(|w| 300.0 + f64::from(w % 7) + shift * f64::from(1 + w % 2))
            .collect(),
        units: vec![100.0; 40],
    }
}

fn store(cells: Vec<Observed>) -> Snapshot {
    Snapshot { cells }
}

#[test]
fn recipes_of_one_store_are_paired_item_by_item() {
    let both = store(vec![
        cell(
            "a",
            0,
            [
                ("perplexity p@1", losses(0.0)),
                ("acc t@1", answers(all_but(10, 100), "x")),
            ],
        ),
        cell(
            "b",
            0,
            [
                ("perplexity p@1", losses(1.0)),
                ("acc t@1", answers(all_but(30, 100), "y")),
            ],
        ),
    ]);
    let sides = ["a", "b"].map(|recipe| part(&both, Field::Recipe, recipe).unwrap());
    let between = vec![Differing {
        field: Field::Recipe,
        values: ["a".into(), "b".into()],
    }];
    let all = Differences::of([&sides[0], &sides[1]], between).unwrap();
    assert_eq!((all.numbers.len(), all.comparisons), (2, 2));
    let accuracy = &all.numbers[0];
    assert_eq!(accuracy.number, "acc t@1");
    assert_eq!(accuracy.flips, Some(McNemar { gained: 0, lost: 20 }));
    assert!((accuracy.difference + 0.2).abs() < 1e-12 && accuracy.smallest.unwrap() > 0.0);
    let perplexity = &all.numbers[1];
    // The mean loss rises by 0.015 nats a token.
    assert!((perplexity.difference - 0.015f64.exp_m1()).abs() < 1e-12);
    let interval = perplexity.interval.unwrap();
    assert!(interval.low > 0.0 && interval.low < perplexity.difference && perplexity.difference < interval.high);
    for number in &all.numbers {
        assert!(
            number.p_adjusted >= number.p && number.p_adjusted < Some(1e-4),
            "{number:?}"
        );
    }
    assert!(all.table().to_markdown().contains("+0 −20"));
    assert!(
        all.headline().contains("2 were tested and 2 differ"),
        "{}",
        all.headline()
    );
}

#[test]
fn stores_that_differ_in_one_thing_throughout_are_matched_by_the_rest() {
    let on = |engine: &str| {
        let cells = ["dense", "a", "b"].map(|recipe| {
            let mut cell = cell(recipe, 0, [("perplexity p@1", losses(0.0))]);
            cell.cell.engine = engine.into();
            cell
        });
        store(cells.into())
    };
    let (first, second) = (on("candle"), on("torch"));
    let between = Differing::found([&first, &second], &dense());
    assert_eq!(
        between,
        [Differing {
            field: Field::Engine,
            values: ["candle".into(), "torch".into()]
        }]
    );
    let all = Differences::of([&first, &second], between).unwrap();
    assert_eq!(all.numbers.len(), 3);
    assert!(all.numbers.iter().all(|number| number.unchanged));
    assert!(Differing::found([&first, &first], &dense()).is_empty());
}

#[test]
fn cells_without_a_partner_and_failures_are_listed() {
    let first = store(vec![
        cell("a", 0, [("perplexity p@1", losses(0.0))]),
        cell("a", 1, [("perplexity p@1", losses(0.0))]),
        failed("b", 0, Status::Timeout),
    ]);
    let second = store(vec![
        cell("a", 0, [("perplexity p@1", losses(0.1))]),
        cell("b", 0, [("perplexity p@1", losses(0.1))]),
        cell("c", 0, []),
    ]);
    let all = Differences::of([&first, &second], Vec::new()).unwrap();
    assert_eq!(all.numbers.len(), 1);
    assert_eq!(all.unmatched[0].len(), 1);
    assert!(all.unmatched[0][0].contains("tiny a on candle cpu f32, seed 1"));
    assert!(all.unmatched[1][0].contains("tiny c"));
    assert!(all.not_compared[0].reason.contains("timeout"), "{:?}", all.not_compared);
}

#[test]
fn what_would_mean_nothing_is_not_compared() {
    let (first, mut second) = (
        store(vec![cell("a", 0, [("perplexity p@1", losses(0.0))])]),
        store(vec![cell("a", 0, [("perplexity p@1", losses(0.1))])]),
    );
    second.cells[0].cell.model = "other".into();
    let between = Differing::found([&first, &second], &dense());
    let all = Differences::of([&first, &second], between).unwrap();
    assert!(all.numbers.is_empty() && all.not_compared[0].reason.contains("tokenizer"));
    let nothing = Differences::of([&first, &second], Vec::new()).unwrap_err();
    assert!(nothing.to_string().contains("no cell is on both sides"), "{nothing}");
    let none = part(&first, Field::Recipe, "x").unwrap_err().to_string();
    assert!(none.contains("`x`") && none.ends_with("one of: a"), "{none}");
}
