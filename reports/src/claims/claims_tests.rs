//! Verdicts on made-up claims from made-up records.

use prunebench_results::{PerplexityResult, Record, Samples};

use super::*;
use crate::comparison::tests::{baseline, record};

/// Differences of windows from their mean, which add up to nothing.
const NOISE: [f64; 8] = [0.3, -0.1, 0.2, -0.4, 0.1, -0.2, 0.4, -0.3];

/// A record whose windows lose `nll` on average; `noise` of them is its own, the rest is shared.
fn of(recipe: &str, nll: f64, noise: f64) -> Record {
    seeded(recipe, 1, nll, noise)
}

pub(super) fn seeded(recipe: &str, seed: u64, nll: f64, noise: f64) -> Record {
    let mut record = record(recipe, "candle", seed, nll);
    let windows = NOISE.iter().enumerate();
    let windows = windows.map(|(window, own)| 10.0 * (nll + window as f64 / 10.0 - 0.35 + noise * own));
    let result = PerplexityResult::from_windows("wiki/stream-3@1".into(), windows.collect(), 10, 100, 0);
    record.metrics.as_mut().unwrap().perplexity = vec![result.unwrap()];
    record
}

fn protocol(mut record: Record, name: &str) -> Record {
    record.metrics.as_mut().unwrap().perplexity[0].protocol = name.into();
    record
}

pub(super) fn model(mut record: Record, name: &str) -> Record {
    record.cell.model = name.into();
    record.inputs.insert("model".into(), name.into());
    record.key = record.cell.key(&record.inputs);
    record
}

pub(super) fn claim(test: &str) -> String {
    format!(
        "[[claim]]\nid = \"1\"\nstatement = \"s\"\nsource = \"x\"\ntrust = \"paper\"\nmetric = \"perplexity *\"\n{test}"
    )
}

pub(super) fn scorecard(text: &str, records: &[Record]) -> Scorecard {
    let claims = Claims::parse("invented", text).unwrap();
    let mut observations = Observations::default();
    observations.add(records, &baseline(), std::slice::from_ref(&claims));
    Scorecard::new(&claims, &observations, &Evidence::embedded().unwrap())
}

pub(super) fn scored(test: &str, records: &[Record]) -> Scored {
    scorecard(&claim(test), records).claims.remove(0)
}

fn verdict(test: &str, records: &[Record]) -> Verdict {
    scored(test, records).verdict
}

const RISING: &str = "tests = [{ rising = [\"dense\", \"a\"] }]";

#[test]
fn the_interval_decides_and_not_the_estimate() {
    let records = |nll, noise| [of("dense", 3.0, 0.0), of("a", nll, noise)];
    assert_eq!(verdict(RISING, &records(3.3, 1.0)), Verdict::Reproduced);
    assert_eq!(verdict(RISING, &records(2.7, 1.0)), Verdict::NotReproduced);
    // A mean on the claim's side, and one on the other, with nothing sure of either.
    assert_eq!(verdict(RISING, &records(3.1, 1.0)), Verdict::Inconclusive);
    assert_eq!(verdict(RISING, &records(2.9, 1.0)), Verdict::Inconclusive);
}

#[test]
fn the_effect_is_the_paired_difference_with_students_interval_and_p() {
    let scored = scored(RISING, &[of("dense", 3.0, 0.0), of("a", 3.3, 1.0)]);
    let effect = scored.effect.unwrap();
    // Standard deviation of the noise over sqrt(8), times t(0.975; 7) = 2.364624.
    let half_width = 2.364_624 * (0.6f64 / 7.0).sqrt() / 8f64.sqrt();
    let interval = effect.interval.unwrap();
    assert!((effect.value - 0.3).abs() < 1e-9);
    assert!((interval.low - (0.3 - half_width)).abs() < 1e-6, "{interval:?}");
    assert_eq!((effect.of.as_str(), effect.wanted.as_str()), ("a − dense", "above 0"));
    let p = scored.p.unwrap();
    assert!(p > 0.005 && p < 0.025, "{p}");
    assert_eq!((scored.holding, scored.records.len()), (1, 2));
}

#[test]
fn without_records_a_claim_is_not_run_and_says_what_it_lacks() {
    let nothing = scored(RISING, &[]);
    assert_eq!(nothing.verdict, Verdict::NotRun);
    assert_eq!(nothing.missing, ["no record of any model with perplexity *"]);
    let of_some = scored(&format!("models = [\"full-*\"]\n{RISING}"), &[]);
    assert_eq!(of_some.missing, ["no record of full-* with perplexity *"]);
    let half = scored(RISING, &[of("dense", 3.0, 0.0)]);
    assert_eq!(half.verdict, Verdict::NotRun);
    assert_eq!(half.missing, ["no record of a"]);
    let known = scored("not_run = \"it takes a cluster\"", &[]);
    assert_eq!(
        (known.verdict, known.missing),
        (Verdict::NotRun, vec!["it takes a cluster".to_owned()])
    );
}

#[test]
fn two_protocols_are_never_compared() {
    let other = protocol(of("a", 3.3, 0.1), "wiki/stream-9@1");
    let scored = scored(RISING, &[of("dense", 3.0, 0.0), other]);
    assert_eq!((scored.verdict, scored.parts.len()), (Verdict::NotRun, 0));
}

#[test]
fn records_with_another_input_of_the_same_name_are_refused() {
    let mut records = [of("dense", 3.0, 0.0), of("a", 3.3, 0.1)];
    for (record, hash) in records.iter_mut().zip(["aa", "bb"]) {
        record.inputs.insert("calibration".into(), hash.into());
    }
    let scored = scored(RISING, &records);
    assert_eq!(scored.verdict, Verdict::NotRun);
    assert_eq!(scored.missing, ["no record of a, calibration = aa"]);
}

fn input(mut record: Record, name: &str, value: &str) -> Record {
    record.inputs.insert(name.into(), value.into());
    record.key = record.cell.key(&record.inputs);
    record
}

#[test]
fn seeds_of_other_inputs_are_never_pooled() {
    let a = |seed, nll, calibration| input(seeded("a", seed, nll, 0.1), "calibration", calibration);
    let records = [of("dense", 3.0, 0.0), a(1, 3.3, "x"), a(2, 3.3, "y"), a(3, 3.3, "y")];
    // Of the dense model, which has no calibration, in both.
    let both = scored(RISING, &records);
    let settings: Vec<(&str, usize)> = both
        .parts
        .iter()
        .map(|part| (part.setting.as_str(), part.records.len()))
        .collect();
    let name = "tiny, candle cpu f32, perplexity wiki/stream-3@1";
    assert_eq!(
        settings,
        [
            (format!("{name}, calibration = x").as_str(), 2),
            (&format!("{name}, calibration = y"), 3)
        ]
    );
    let enough = scored(&format!("seeds = 2\n{RISING}"), &records);
    assert_eq!(enough.parts.len(), 1);
    let few = scored(&format!("seeds = 3\n{RISING}"), &records);
    assert_eq!(few.verdict, Verdict::NotRun);
    // Nor does the later of two hide the other.
    let mut later = a(1, 2.7, "y");
    later.provenance.finished_at = "2026-01-01T00:00:00Z".into();
    let hidden = scored(RISING, &[records[0].clone(), a(1, 3.3, "x"), later]);
    assert_eq!((hidden.parts.len(), hidden.verdict), (2, Verdict::NotReproduced));
}

#[test]
fn what_a_test_does_not_name_never_splits_it() {
    let other = |seed, value| input(seeded("b", seed, 3.3, 0.1), "calibration", value);
    let records = [of("dense", 3.0, 0.0), of("a", 3.3, 0.1), other(1, "x"), other(2, "y")];
    let scored = scored(RISING, &records);
    assert_eq!((scored.parts.len(), scored.verdict), (1, Verdict::Reproduced));
}

#[test]
fn one_failing_contrast_refutes_and_a_missing_one_leaves_open() {
    let test = "tests = [{ rising = [\"dense\", \"a\", \"b\"] }]";
    let [dense, a] = [of("dense", 3.0, 0.0), of("a", 3.3, 0.1)];
    let with_b = |nll| [dense.clone(), a.clone(), of("b", nll, 0.2)];
    assert_eq!(verdict(test, &with_b(3.6)), Verdict::Reproduced);
    let refuted = scored(test, &with_b(3.1));
    assert_eq!((refuted.verdict, refuted.holding), (Verdict::NotReproduced, 1));
    assert_eq!(refuted.effect.unwrap().of, "b − a");
    let open = scored(test, &[dense, a]);
    assert_eq!((open.verdict, open.p), (Verdict::Inconclusive, None));
}

#[test]
fn most_is_more_than_half() {
    let test =
        "[[claim.tests]]\nmost = true\nfor.r = [1, 2, 3]\nsum = { \"x(r={r})\" = 1.0, \"dense\" = -1.0 }\nabove = 0.0";
    let records = |losses: [f64; 3]| {
        let others = (1..).zip(losses).map(|(r, nll)| of(&format!("x(r={r})"), nll, 0.1));
        [of("dense", 3.0, 0.0)].into_iter().chain(others).collect::<Vec<_>>()
    };
    assert_eq!(verdict(test, &records([3.3, 3.3, 2.7])), Verdict::Reproduced);
    assert_eq!(verdict(test, &records([3.3, 2.7, 2.7])), Verdict::NotReproduced);
    assert_eq!(verdict(test, &records([3.3, 3.0, 2.7])), Verdict::Inconclusive);
}

#[test]
fn a_range_takes_the_whole_interval() {
    let test = "tests = [{ sum = { \"a\" = 1.0, \"dense\" = -1.0 }, above = -0.2, below = 0.2 }]";
    let records = |nll, noise| [of("dense", 3.0, 0.0), of("a", nll, noise)];
    assert_eq!(verdict(test, &records(3.05, 0.1)), Verdict::Reproduced);
    assert_eq!(verdict(test, &records(3.05, 1.0)), Verdict::Inconclusive);
    assert_eq!(verdict(test, &records(3.9, 1.0)), Verdict::NotReproduced);
}

#[test]
fn a_shape_may_be_convex_in_perplexity_and_straight_in_loss() {
    let records = [of("dense", 3.0, 0.0), of("a", 3.5, 0.02), of("b", 4.0, -0.01)];
    let test = "tests = [{ convex = [\"dense\", \"a\", \"b\"] }]";
    assert_eq!(verdict(test, &records), Verdict::Inconclusive);
    let scored = scored(&format!("scale = \"perplexity\"\n{test}"), &records);
    assert_eq!(scored.verdict, Verdict::Reproduced);
    let wanted = 4f64.exp() - 2.0 * 3.5f64.exp() + 3f64.exp();
    assert!((scored.effect.unwrap().value - wanted).abs() < 1e-9);
}

#[test]
fn the_lowest_and_the_median_are_found_among_several() {
    let records = [
        of("dense", 3.0, 0.0),
        of("a", 3.4, 0.1),
        of("b", 3.3, 0.1),
        of("c", 3.6, 0.1),
    ];
    let of_term = |term: &str| {
        let test = format!("tests = [{{ sum = {{ \"{term} a | b | c\" = 1.0, \"dense\" = -1.0 }}, above = 0.0 }}]");
        scored(&test, &records).effect.unwrap().of
    };
    assert_eq!(of_term("lowest of"), "b − dense");
    assert_eq!(of_term("median of"), "a − dense");
}

#[test]
fn seeds_that_scatter_make_the_interval_wider() {
    let seeds = |spread: f64| {
        let seeds = (1..)
            .zip([-1.0, 0.0, 1.0])
            .map(|(seed, at)| seeded("a", seed, 3.3 + spread * at, 0.2));
        [of("dense", 3.0, 0.0)].into_iter().chain(seeds).collect::<Vec<_>>()
    };
    assert_eq!(verdict(RISING, &seeds(0.01)), Verdict::Reproduced);
    assert_eq!(verdict(RISING, &seeds(0.4)), Verdict::Inconclusive);
    let few = scored(&format!("seeds = 4\n{RISING}"), &seeds(0.01));
    assert_eq!(few.verdict, Verdict::NotRun);
    assert!(
        few.missing[0].starts_with("3 of 4 seeds of a − dense"),
        "{:?}",
        few.missing
    );
}

#[test]
fn trainings_can_be_the_samples() {
    let test = format!("models = [\"m-*\"]\nsamples = \"models\"\n{RISING}");
    let trainings = |gains: &[f64]| {
        let pairs = gains.iter().enumerate().flat_map(|(index, gain)| {
            let name = format!("m-{index}");
            [of("dense", 3.0, 0.0), of("a", 3.0 + gain, 0.1)].map(|record| model(record, &name))
        });
        pairs.collect::<Vec<_>>()
    };
    assert_eq!(verdict(&test, &trainings(&[0.3, 0.31, 0.29])), Verdict::Reproduced);
    assert_eq!(verdict(&test, &trainings(&[0.3, 0.9, -0.2])), Verdict::Inconclusive);
    // One training has no error, however many windows it has.
    assert_eq!(verdict(&test, &trainings(&[0.3])), Verdict::Inconclusive);
}

#[test]
fn what_is_counted_needs_no_error_and_has_no_p() {
    let test = "tests = [{ sum = { \"a\" = 1.0 }, above = 3.5, below = 4.5 }]";
    let text = claim(test).replace("perplexity *", "effective depth");
    let card = scorecard(&text, &[of("a", 3.0, 0.0)]);
    assert_eq!((card.claims[0].verdict, card.claims[0].p), (Verdict::Reproduced, None));
    let card = scorecard(&text.replace("3.5", "4.25"), &[of("a", 3.0, 0.0)]);
    assert_eq!(card.claims[0].verdict, Verdict::NotReproduced);
}

#[test]
fn a_speed_is_judged_by_its_rounds() {
    let round = |recipe: &str, seed: u64, rate: f64| {
        let mut record = of(recipe, 3.0, 0.0);
        record.cell.seed = seed;
        record.cell.evaluation.perplexity.clear();
        let metrics = record.metrics.as_mut().unwrap();
        metrics.perplexity.clear();
        metrics.throughput.as_mut().unwrap().decode = Samples::new(100, vec![100.0 / rate]).unwrap();
        record
    };
    let test = "seeds = 3\ntests = [{ sum = { \"a\" = 1.0 }, above = 0.1 }]";
    let text = claim(test).replace("perplexity *", "decode speed, *");
    // The machine is slower in each round, and the ratio is 1.2, about.
    let rounds = |ratios: [f64; 3]| {
        let rounds = (0..).zip(ratios);
        let rounds = rounds.flat_map(|(seed, ratio)| {
            let rate = 50.0 / (seed + 1) as f64;
            [round("dense", seed, rate), round("a", seed, ratio * rate)]
        });
        rounds.collect::<Vec<_>>()
    };
    let judged = |ratios| scorecard(&text, &rounds(ratios)).claims.remove(0);
    assert_eq!(judged([1.2, 1.21, 1.19]).verdict, Verdict::Reproduced);
    assert_eq!(judged([1.0, 1.01, 0.99]).verdict, Verdict::NotReproduced);
    assert_eq!(judged([1.2, 1.6, 0.9]).verdict, Verdict::Inconclusive);
    assert!((judged([1.2, 1.2, 1.2]).effect.unwrap().value - 1.2f64.ln()).abs() < 1e-9);
}

#[test]
fn a_pattern_that_several_recipes_fit_is_refused() {
    let test = "tests = [{ rising = [\"dense\", \"x(*)\"] }]";
    let records = [of("dense", 3.0, 0.0), of("x(1)", 3.3, 0.1), of("x(2)", 3.3, 0.1)];
    let scored = scored(test, &records);
    assert_eq!(scored.verdict, Verdict::NotRun);
    assert!(scored.missing[0].starts_with("several recipes are x(*): x(1) and x(2)"));
}

#[test]
fn p_values_are_corrected_over_the_claims_of_a_paper() {
    let text = claim(RISING) + "\n" + &claim("tests = [{ rising = [\"dense\", \"b\"] }]").replace("\"1\"", "\"2\"");
    let card = scorecard(&text, &[of("dense", 3.0, 0.0), of("a", 3.3, 1.0), of("b", 3.1, 1.0)]);
    let [first, second] = [&card.claims[0], &card.claims[1]];
    assert!((first.p_adjusted.unwrap() - (2.0 * first.p.unwrap()).min(second.p.unwrap())).abs() < 1e-12);
    assert_eq!(second.p_adjusted, second.p);
    assert_eq!((card.totals.reproduced, card.totals.inconclusive), (1, 1));
}

#[test]
fn the_table_has_a_line_for_each_claim_and_the_totals() {
    let text = claim(RISING) + "\n" + &claim("not_run = \"no cluster\"").replace("\"1\"", "\"2\"");
    let markdown = scorecard(&text, &[of("dense", 3.0, 0.0), of("a", 3.3, 0.0)]).to_markdown();
    for line in [
        "| 1 | s (x; paper) | reproduced | 0.300 [0.300, 0.300], claimed above 0: a − dense | 1 of 1 | under 0.0001 | 2 |  |",
        "| 2 | s (x; paper) | not run |  |  |  |  | no cluster |",
        "- 1 reproduced, 0 not reproduced, 0 inconclusive, 1 not run",
    ] {
        assert!(markdown.contains(line), "{line}\nin\n{markdown}");
    }
}

#[test]
fn a_source_that_is_a_page_of_the_repository_is_linked_from_the_papers_folder_in_markdown_alone() {
    let source = "docs/papers/a_b.md#S-1, and section 2; docs/papers/a_b.md";
    let text = claim(RISING).replace("source = \"x\"", &format!("source = \"{source}\""));
    let card = scorecard(&text, &[]);
    let link = |path: &str| format!("[{}](../../../{path})", path.replace('_', "\\_"));
    let (first, last) = (link("docs/papers/a_b.md#S-1"), link("docs/papers/a_b.md"));
    let markdown = card.to_markdown();
    let wanted = format!("| s ({first}, and section 2; {last}; paper) |");
    assert!(markdown.contains(&wanted), "{wanted}\nin\n{markdown}");
    assert!(card.to_table().to_csv().unwrap().contains(source));
}

#[test]
fn every_embedded_claim_can_be_read() {
    let papers: Vec<String> = prunebench_results::Paper::all()
        .unwrap()
        .into_iter()
        .map(|paper| paper.id)
        .collect();
    let claims = Claims::all().unwrap();
    assert_eq!(
        claims.iter().map(|claims| claims.paper.clone()).collect::<Vec<_>>(),
        papers
    );
    let card = Scorecard::new(&claims[0], &Observations::default(), &Evidence::embedded().unwrap());
    assert_eq!(card.totals.not_run, card.claims.len());
}

#[test]
fn a_test_that_says_nothing_is_refused() {
    let cases = [
        ("", "claim `1`: it needs one of `tests`, `shown_by` and `not_run`"),
        (
            "not_run = \"no cluster\"\nshown_by = \"a::b\"",
            "one of `tests`, `shown_by` and `not_run`",
        ),
        (
            "shown_by = \"streamed\"",
            "write crate and test as in `prunebench_train::",
        ),
        ("tests = [{ most = true }]", "one of `rising`, `convex` and `sum`"),
        (
            "tests = [{ sum = { \"a\" = 1.0 } }]",
            "a `sum` needs `above`, `below` or both",
        ),
        ("tests = [{ rising = [\"a\"] }]", "it names 1 recipes; more are wanted"),
        (
            "tests = [{ rising = [\"a\", \"b({r})\"] }]",
            "`for` has no values of `r`",
        ),
        (
            "[[claim.tests]]\nfor = { r = [1], s = [1, 2] }\nrising = [\"a\", \"b\"]",
            "equally many values",
        ),
        (
            "[[claim.tests]]\nfor.r = [\"x\"]\nrising = [\"a\", \"b({r+1})\"]",
            "`{r+1}` can't be made of",
        ),
        (
            "tests = [{ rising = [\"a\", \"b | c\"] }]",
            "write `lowest of` or `median of`",
        ),
        ("test = []", "line 7: unknown field `test`"),
    ];
    for (test, words) in cases {
        let error = Claims::parse("invented", &claim(test)).unwrap_err().to_string();
        assert!(
            error.starts_with("papers/invented/claims.toml: ") && error.contains(words),
            "{error}"
        );
    }
    let twice = claim(RISING) + "\n" + &claim(RISING);
    assert!(
        Claims::parse("invented", &twice)
            .unwrap_err()
            .to_string()
            .contains("another one has this id")
    );
}
