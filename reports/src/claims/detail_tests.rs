//! Claims on what methods report of themselves.

use prunebench_results::{MethodReport, Record};
use serde_json::{Value, json};

use super::claims_tests::{claim, model, scored, seeded};
use super::detail::Detail;
use super::*;

/// A record whose only method, `prune`, reports this.
fn reporting(recipe: &str, seed: u64, stochastic: bool, details: Value) -> Record {
    let mut record = seeded(recipe, seed, 3.0, 0.0);
    let report = &mut record.metrics.as_mut().unwrap().compression.method_reports[0];
    (report.method, report.stochastic, report.details) = ("prune".to_owned(), stochastic, details);
    record
}

fn of(metric: &str, details: Value) -> Result<f64, String> {
    let record = reporting("a", 1, false, details);
    let detail = Detail::parse(metric).unwrap().unwrap();
    detail.of(&record.metrics.unwrap().compression.method_reports).unwrap()
}

const ABOVE: &str = "metric = \"detail prune/scores/1\"\nsum = { \"a\" = 1.0 }\nabove = 0.0";

fn test(above: &str) -> String {
    format!("[[claim.tests]]\n{above}")
}

#[test]
fn a_path_leads_to_a_number_and_a_word_before_it_makes_one_of_many() {
    let details = json!({ "scores": [4.0, 1.0, 2.5], "by": { "q": { "r/s": 7 } }, "of": { "x": 3, "y": 5 } });
    for (metric, wanted) in [
        ("detail prune/scores/1", 1.0),
        ("detail prune/by/q/r~1s", 7.0),
        ("lowest of detail prune/scores", 1.0),
        ("highest of detail prune/scores", 4.0),
        ("mean of detail prune/scores", 2.5),
        ("range of detail prune/scores", 3.0),
        ("mean of detail prune/of", 4.0),
    ] {
        assert_eq!(of(metric, details.clone()), Ok(wanted), "{metric}");
    }
}

#[test]
fn what_is_no_number_is_told_with_what_is_there() {
    let details = json!({ "scores": [4.0, 1.0], "name": "x", "none": [], "of": { "x": 3 } });
    for (metric, words) in [
        (
            "detail prune/scroes/1",
            "prune reports nothing at /scroes/1: prune is a map of 4: name, none, of, scores",
        ),
        (
            "detail prune/scores/2",
            "prune reports nothing at /scores/2: prune/scores is a list of 2",
        ),
        (
            "detail prune/scores",
            "prune/scores is a list of 2: a path to one number",
        ),
        ("detail prune/name", "prune/name is \"x\": a path to one number"),
        ("mean of detail prune/of/x", "prune/of/x is a number, and a list"),
        (
            "mean of detail prune/none",
            "prune/none is a list of 0, and a list of numbers",
        ),
    ] {
        let error = of(metric, details.clone()).unwrap_err();
        assert!(error.starts_with(words), "{error}\nfor\n{words}");
    }
    let many: serde_json::Map<String, Value> = (0..300).map(|n| (format!("{n:03}"), n.into())).collect();
    let error = of("detail prune/x", many.into()).unwrap_err();
    assert!(
        error.ends_with("a map of 300: 000, 001, 002, 003, 004, 005, 006, 007, …"),
        "{error}"
    );
}

#[test]
fn a_detail_that_is_written_wrongly_is_refused() {
    for (metric, words) in [
        ("detail prune", "write a method and a path"),
        ("detail /scores/1", "write a method and a path"),
        ("detail prune/", "write a method and a path"),
        ("details prune/scores/1", "write a method and a path"),
        ("detail prune/scores/*", "without `*`"),
        (
            "median of detail prune/scores",
            "`median of` is none of `lowest of`, `highest of`",
        ),
    ] {
        let text = claim(&test(ABOVE)).replace("detail prune/scores/1", metric);
        let error = Claims::parse("invented", &text).unwrap_err().to_string();
        assert!(error.contains("claim `1`: ") && error.contains(words), "{error}");
    }
    let text = claim(&format!("scale = \"perplexity\"\n{}", test(ABOVE)));
    let error = Claims::parse("invented", &text).unwrap_err().to_string();
    assert!(error.contains("is nothing for `detail prune/scores/1`"), "{error}");
}

#[test]
fn without_the_number_a_claim_is_not_run_and_says_what_its_records_have() {
    let absent = "no record of any model with detail prune/scores/1";
    let nothing = scored(&test(ABOVE), &[]);
    assert_eq!(
        (nothing.verdict, nothing.missing),
        (Verdict::NotRun, vec![absent.to_owned()])
    );
    let short = scored(&test(ABOVE), &[reporting("a", 1, false, json!({ "scores": [1.0] }))]);
    assert_eq!(short.verdict, Verdict::NotRun);
    let reason = "prune reports nothing at /scores/1: prune/scores is a list of 1".to_owned();
    assert_eq!(short.missing, [absent.to_owned(), reason]);
    // Of another model nothing is said.
    let elsewhere = format!("models = [\"m\"]\n{}", test(ABOVE));
    let elsewhere = scored(&elsewhere, &[reporting("a", 1, false, json!({}))]);
    assert_eq!(elsewhere.missing, ["no record of m with detail prune/scores/1"]);
    let mut twice = reporting("a", 1, false, json!({ "scores": [1.0, 2.0] }));
    let reports: &mut Vec<MethodReport> = &mut twice.metrics.as_mut().unwrap().compression.method_reports;
    reports.push(reports[0].clone());
    let twice = scored(&test(ABOVE), &[twice]);
    assert!(
        twice.missing[1].starts_with("a recipe has prune twice"),
        "{:?}",
        twice.missing
    );
}

#[test]
fn what_no_seed_changes_is_exact_and_what_one_may_change_takes_several() {
    let reported = |seed, stochastic, score: f64| reporting("a", seed, stochastic, json!({ "scores": [0, score] }));
    let verdict = |records: &[Record]| scored(&test(ABOVE), records).verdict;
    let exact = scored(&test(ABOVE), &[reported(1, false, 0.3)]);
    assert_eq!((exact.verdict, exact.p), (Verdict::Reproduced, None));
    let interval = exact.effect.unwrap().interval.unwrap();
    assert_eq!((interval.low, interval.high), (0.3, 0.3));
    assert_eq!(verdict(&[reported(1, false, -0.3)]), Verdict::NotReproduced);

    let one = scored(&test(ABOVE), &[reported(1, true, 0.3)]);
    assert_eq!((one.verdict, one.p), (Verdict::Inconclusive, None));
    assert!(one.effect.as_ref().unwrap().interval.is_none());
    assert!(one.evidence().starts_with("0.300 [too few samples], claimed above 0"));
    let seeds = |scores: [f64; 3]| [1, 2, 3].map(|seed| reported(seed, true, scores[seed as usize - 1]));
    assert_eq!(verdict(&seeds([0.3, 0.31, 0.29])), Verdict::Reproduced);
    assert_eq!(verdict(&seeds([-0.3, -0.31, -0.29])), Verdict::NotReproduced);
    assert_eq!(verdict(&seeds([0.3, 0.9, -0.2])), Verdict::Inconclusive);
    let several = scored(&test(ABOVE), &seeds([0.3, 0.31, 0.29]));
    // Student's t(0.975; 2) = 4.302653 times 0.01 over sqrt(3).
    let high = several.effect.unwrap().interval.unwrap().high;
    assert!((high - (0.3 + 4.302_653 * 0.01 / 3f64.sqrt())).abs() < 1e-7, "{high}");
    assert!(several.p.is_some_and(|p| p > 0.0 && p < 0.01));
}

#[test]
fn beside_a_certain_number_an_uncertain_one_stays_uncertain() {
    let records = [
        reporting("a", 1, false, json!({ "scores": [0, 0.5] })),
        reporting("b", 1, true, json!({ "scores": [0, 0.7] })),
    ];
    let rising = "metric = \"detail prune/scores/1\"\nrising = [\"a\", \"b\"]";
    assert_eq!(scored(&test(rising), &records).verdict, Verdict::Inconclusive);
}

#[test]
fn each_model_is_a_sample_where_the_claim_says_so() {
    let of_models = |scores: &[f64]| {
        let reported = scores.iter().enumerate().map(|(index, score)| {
            let record = reporting("a", 1, false, json!({ "scores": [0, score] }));
            model(record, &format!("m-{index}"))
        });
        let text = format!("models = [\"m-*\"]\nsamples = \"models\"\n{}", test(ABOVE));
        scored(&text, &reported.collect::<Vec<_>>()).verdict
    };
    assert_eq!(of_models(&[0.3, 0.31, 0.29]), Verdict::Reproduced);
    assert_eq!(of_models(&[0.3, 0.9, -0.2]), Verdict::Inconclusive);
    assert_eq!(of_models(&[0.3]), Verdict::Inconclusive);
}

#[test]
fn tests_of_one_claim_may_be_about_different_numbers() {
    let records = |scores: Value| [reporting("a", 1, false, json!({ "scores": scores }))];
    let both = test(ABOVE) + "\n" + &test(&ABOVE.replace("detail prune/scores/1", "range of detail prune/scores"));
    assert_eq!(scored(&both, &records(json!([0.1, 0.4]))).verdict, Verdict::Reproduced);
    assert_eq!(
        scored(&both, &records(json!([0.4, 0.4]))).verdict,
        Verdict::NotReproduced
    );
    let papers = [Claims::parse("invented", &claim(&both)).unwrap()];
    assert_eq!(papers[0].methods(), ["prune", "prune"]);
}
