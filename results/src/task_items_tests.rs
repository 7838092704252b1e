use super::*;
use crate::task::{SuiteMember, SuiteRequest};

fn request() -> TaskRequest {
    TaskRequest {
        task: "t@1".into(),
        shots: 0,
        shots_split: None,
        shots_seed: 1234,
        limit: None,
        divergence: false,
    }
}

fn counts() -> ScoringCounts {
    ScoringCounts {
        requests: 4,
        tokens_scored: 9,
        tokens_read: 20,
        bos_added: false,
        prefix_token: None,
        truncated_requests: 0,
        seconds: 1.0,
    }
}

/// An item whose choices are `a`s, of the given lengths in characters and twice as many bytes.
fn choices(log_likelihoods: &[f64], chars: &[usize], gold: usize) -> ScoredItem {
    ScoredItem {
        document: 0,
        group: None,
        log_likelihoods: log_likelihoods.to_vec(),
        greedy: vec![false; log_likelihoods.len()],
        gold: Some(gold),
        lengths: chars
            .iter()
            .map(|&chars| ChoiceLength {
                chars,
                bytes: 2 * chars,
            })
            .collect(),
        divergence: None,
    }
}

fn single(log_likelihood: f64, greedy: bool) -> ScoredItem {
    ScoredItem {
        greedy: vec![greedy],
        gold: None,
        lengths: vec![],
        ..choices(&[log_likelihood], &[1], 0)
    }
}

fn in_group(group: &str, right: bool) -> ScoredItem {
    ScoredItem {
        group: Some(group.into()),
        ..choices(&[-1.0, -2.0], &[1, 1], usize::from(!right))
    }
}

fn result(own: &[MetricName], items: Vec<ScoredItem>) -> Result<TaskResult, MeasurementError> {
    TaskResult::from_items(request(), own, items, 100, counts())
}

fn value(result: &TaskResult, name: MetricName) -> f64 {
    result.metric(name).unwrap().value
}

#[test]
fn choices_are_by_log_likelihood_by_characters_and_by_bytes() {
    let mut item = choices(&[-4.0, -6.0, -9.0], &[2, 4, 5], 1);
    // Per character -2, -1.5, -1.8; per byte -1, -1.5, -0.6.
    item.lengths[0].bytes = 4;
    item.lengths[1].bytes = 4;
    item.lengths[2].bytes = 15;
    let result = result(&[MetricName::AccNorm], vec![item]).unwrap();
    assert_eq!(result.items[0].chosen, [1, 0, 2]);
    let names: Vec<String> = result.metrics.iter().map(|metric| metric.name.to_string()).collect();
    assert_eq!(names, ["acc_norm", "acc", "acc_bytes"]);
    assert_eq!(
        result.metrics.iter().map(|metric| metric.value).collect::<Vec<_>>(),
        [1.0, 0.0, 0.0]
    );
    assert_eq!((result.own().len(), result.metrics[0].stderr), (1, None));
    assert_eq!(result.sample(MetricName::Acc, &result.items[0]), Some(0.0));
    assert_eq!(result.sample(MetricName::Perplexity, &result.items[0]), None);
}

#[test]
fn the_first_of_equals_and_the_first_nan_are_chosen_and_counted() {
    let items = vec![
        choices(&[-2.0, -1.0, -1.0], &[1, 1, 1], 1),
        choices(&[-1.0, f64::NAN, f64::NAN], &[1, 1, 1], 1),
        choices(&[f64::NEG_INFINITY, -5.0, -6.0], &[1, 1, 1], 0),
        choices(&[-3.0, -2.0, -1.0], &[1, 1, 1], 2),
    ];
    let result = result(&[MetricName::Acc], items).unwrap();
    let chosen: Vec<usize> = result.items.iter().map(|item| item.chosen[0]).collect();
    assert_eq!(chosen, [1, 1, 1, 2]);
    assert_eq!((result.tied_items, result.nan_items), (1, 2));
    assert_eq!(value(&result, MetricName::Acc), 0.75);
    assert_eq!(result.items[1].log_likelihoods, [Some(-1.0), None, None]);
}

#[test]
fn accuracy_has_the_standard_error_of_lm_eval() {
    let items = [1, 1, 0, 1].map(|right| choices(&[-1.0, -2.0], &[1, 1], 1 - right));
    let metric = result(&[MetricName::Acc], items.to_vec()).unwrap().metrics[0].clone();
    // lm_eval.api.metrics.mean_stderr([1, 1, 0, 1]).
    assert_eq!((metric.value, metric.stderr), (0.75, Some(0.25)));
}

#[test]
fn a_single_request_is_right_if_it_is_greedy() {
    let items = vec![single(-1.0, true), single(-2.0, false), single(-6.0, false)];
    let result = result(&[MetricName::Perplexity, MetricName::Acc], items).unwrap();
    assert_eq!(value(&result, MetricName::Perplexity), 3f64.exp());
    assert_eq!(value(&result, MetricName::Acc), 1.0 / 3.0);
    // The sd of -1, -2, -6 is sqrt(7).
    let stderr = result.metrics[0].stderr.unwrap();
    assert!((stderr - 3f64.exp() * (7f64 / 3.0).sqrt()).abs() < 1e-12);
    assert_eq!(result.metric(MetricName::AccNorm), None);
    assert!(result.items[0].chosen.is_empty());
    assert_eq!(result.sample(MetricName::Perplexity, &result.items[2]), Some(-6.0));
}

#[test]
fn groups_have_their_own_numbers_and_the_whole_weighs_every_item_alike() {
    let items = [
        ("b", 1),
        ("a", 0),
        ("b", 0),
        ("b", 1),
        ("a", 0),
        ("b", 1),
        ("a", 1),
        ("c", 1),
    ];
    let items = items.map(|(group, right)| in_group(group, right == 1)).to_vec();
    let with = result(&[MetricName::Acc], items.clone()).unwrap();
    let names: Vec<(&str, usize)> = with
        .groups
        .iter()
        .map(|group| (group.group.as_str(), group.items))
        .collect();
    assert_eq!(names, [("b", 4), ("a", 3), ("c", 1)]);
    assert_eq!(with.groups[0].metrics[0].value, 0.75);
    assert_eq!(
        (with.groups[2].metrics[0].value, with.groups[2].metrics[0].stderr),
        (1.0, None)
    );
    assert_eq!(with.items[1].group, Some(1));
    assert_eq!(value(&with, MetricName::Acc), 5.0 / 8.0);
    // lm_eval.api.metrics.pooled_sample_stderr of both errors and sizes, for the groups that have one.
    let two = result(&[MetricName::Acc], items[..7].to_vec()).unwrap();
    assert!((two.metrics[0].stderr.unwrap() - 0.20118695404073914).abs() < 1e-15);
    // A group of one adds to the sizes alone: sqrt((4 - 1) · 4 · 0.25² + (3 - 1) · 3 / 9 over 5 and over 8).
    let expected = ((0.75 + 2.0 / 3.0) / 5.0 / 8.0f64).sqrt();
    assert!((with.metrics[0].stderr.unwrap() - expected).abs() < 1e-15);
}

#[test]
fn divergence_is_per_position() {
    let with = |divergence| ScoredItem {
        divergence: Some(divergence),
        ..single(-1.0, true)
    };
    let own = [MetricName::Acc];
    let divergence = result(&own, vec![with((1.0, 1)), with((5.0, 2))])
        .unwrap()
        .divergence
        .unwrap();
    assert_eq!(
        (divergence.mean, divergence.stderr, divergence.positions),
        (2.0, Some(2.0 / 3.0), 3)
    );
    assert_eq!(result(&own, vec![single(-1.0, true)]).unwrap().divergence, None);
    let infinite = result(&own, vec![with((f64::INFINITY, 1))]);
    assert!(
        matches!(infinite, Err(MeasurementError::NotFinite { .. })),
        "{infinite:?}"
    );
}

#[test]
fn a_model_that_answers_no_number_has_no_score() {
    let nan = result(&[MetricName::Acc], vec![choices(&[f64::NAN, -1.0], &[1, 1], 0); 3]);
    assert!(
        matches!(nan, Err(MeasurementError::NoAnswer { items: 3, .. })),
        "{nan:?}"
    );
    assert!(nan.unwrap_err().to_string().contains("there is no score"));
    let part = result(&[MetricName::Acc], vec![single(f64::NAN, false), single(-1.0, true)]);
    assert!(matches!(part, Err(MeasurementError::NotFinite { .. })), "{part:?}");
    let large = result(&[MetricName::Perplexity], vec![single(-800.0, false)]);
    assert!(matches!(large, Err(MeasurementError::NotFinite { .. })), "{large:?}");
}

#[test]
fn a_suite_is_the_mean_of_its_members_with_their_shots() {
    let of = |task: &str, shots, right: [usize; 4]| {
        let request = TaskRequest {
            task: task.into(),
            shots,
            ..request()
        };
        let items = right.map(|right| choices(&[-1.0, -2.0], &[1, 1], 1 - right)).to_vec();
        TaskResult::from_items(request, &[MetricName::Acc], items, 4, counts()).unwrap()
    };
    let results = [of("a@1", 0, [1; 4]), of("a@1", 5, [0; 4]), of("b@1", 5, [1, 1, 0, 1])];
    let member = |task: &str| SuiteMember {
        task: task.into(),
        shots: 5,
        metric: MetricName::Acc,
    };
    let mut suite = SuiteRequest {
        suite: "s".into(),
        members: vec![member("a@1"), member("b@1")],
    };
    assert_eq!(suite.mean(&results), Some((0.375, Some(0.125))));
    suite.members.push(member("c@1"));
    assert_eq!(suite.mean(&results), None);
}

#[test]
fn items_that_contradict_themselves_or_each_other_are_refused() {
    let good = choices(&[-1.0, -2.0], &[1, 1], 0);
    assert!(matches!(result(&[], vec![]), Err(MeasurementError::Nothing { .. })));
    let changes: [fn(&mut ScoredItem); 7] = [
        |item| item.greedy.truncate(1),
        |item| item.lengths.truncate(1),
        |item| item.gold = Some(2),
        |item| item.gold = None,
        |item| item.group = Some("g".into()),
        |item| item.divergence = Some((1.0, 1)),
        |item| *item = single(-1.0, true),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut bad = ScoredItem {
            document: 7,
            ..good.clone()
        };
        change(&mut bad);
        bad.document = 7;
        let found = result(&[MetricName::Acc], vec![good.clone(), bad]);
        assert!(
            matches!(found, Err(MeasurementError::Item { document: 7, .. })),
            "{index}: {found:?}"
        );
    }
    for own in [&[MetricName::Perplexity][..], &[MetricName::Acc, MetricName::Acc]] {
        let found = result(own, vec![good.clone()]);
        assert!(matches!(found, Err(MeasurementError::Metric { .. })), "{found:?}");
    }
}

#[test]
fn a_result_comes_back_from_json_as_it_was_and_names_metrics_as_lm_eval() {
    let items = vec![in_group("a", true), in_group("b", false)];
    let result = result(&[MetricName::Acc, MetricName::AccNorm], items).unwrap();
    let text = serde_json::to_string(&result).unwrap();
    assert_eq!(serde_json::from_str::<TaskResult>(&text).unwrap(), result);
    for name in [
        MetricName::Acc,
        MetricName::AccNorm,
        MetricName::AccBytes,
        MetricName::Perplexity,
    ] {
        assert_eq!(serde_json::to_value(name).unwrap(), name.to_string());
    }
}
