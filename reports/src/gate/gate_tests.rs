use prunebench_results::{Cpu, Status};

use super::test_snapshots::*;
use super::*;

#[test]
fn unchanged_numbers_are_ok_however_few() {
    let right = || answers(vec![1, 0, 1], "same");
    let report = judged(right(), right(), &accuracy(0.001)).unwrap();
    assert_eq!((report.verdict, report.findings[0].verdict), (Verdict::Ok, Verdict::Ok));
    assert_eq!(report.findings[0].reason, "the same to the last digit");
    // Three answers that agree by other likelihoods prove nothing.
    let report = judged(right(), answers(vec![1, 0, 1], "other"), &accuracy(0.02)).unwrap();
    assert_eq!(report.verdict, Verdict::Inconclusive);
}

#[test]
fn a_planted_loss_of_accuracy_goes_red() {
    let before = answers(all_but(0, 1000), "before");
    let report = judged(before.clone(), answers(all_but(30, 1000), "after"), &accuracy(0.02)).unwrap();
    assert_eq!(report.verdict, Verdict::Regression);
    let change = report.findings[0].change.as_ref().unwrap();
    assert_eq!(
        (change.before, change.after, change.test),
        (1.0, 0.97, Some("exact McNemar"))
    );
    // Thirty lost and none gained: 2 · 0.5^30.
    assert!((change.p.unwrap() / (2.0 * 0.5f64.powi(30)) - 1.0).abs() < 1e-9);
    assert!(
        report.findings[0].reason.contains("worse by 3.00 points"),
        "{}",
        report.findings[0].reason
    );
    // The same loss is within a wider margin, and the gain is none.
    let wide = judged(before.clone(), answers(all_but(30, 1000), "after"), &accuracy(0.05)).unwrap();
    assert_eq!(wide.verdict, Verdict::Ok);
    let gain = judged(answers(all_but(30, 1000), "after"), before, &accuracy(0.02)).unwrap();
    assert_eq!(gain.verdict, Verdict::Ok);
    // For a number that is not to change at all, a gain is as bad.
    let fixed = rules(&[("acc", 0.02, "unchanged")]);
    let gain = judged(answers(all_but(30, 1000), "a"), answers(all_but(0, 1000), "b"), &fixed).unwrap();
    assert_eq!(gain.verdict, Verdict::Regression);
}

#[test]
fn a_loss_beyond_the_margin_that_may_be_chance_is_inconclusive_with_what_could_have_been_seen() {
    let report = judged(
        answers(all_but(0, 50), "before"),
        answers(all_but(3, 50), "after"),
        &accuracy(0.02),
    )
    .unwrap();
    assert_eq!(report.verdict, Verdict::Inconclusive);
    let finding = &report.findings[0];
    let smallest = finding.change.as_ref().unwrap().smallest.unwrap();
    // (1.96 + 0.84)² / 50.
    assert!((smallest - 0.157).abs() < 0.001, "{smallest}");
    assert!(finding.reason.contains("15.70 points"), "{}", finding.reason);
}

#[test]
fn a_family_of_many_asks_for_more_evidence_than_one() {
    let lost = |number: usize| answers(all_but(number, 1000), "after");
    let before = || answers(all_but(0, 1000), "before");
    // Eight lost and none gained is p = 0.008.
    assert_eq!(
        judged(before(), lost(8), &accuracy(0.005)).unwrap().verdict,
        Verdict::Regression
    );
    let names: Vec<String> = (0..20).map(|number| format!("r{number}")).collect();
    let of = |after: &dyn Fn(usize) -> Series| {
        let cells = names.iter().enumerate();
        snapshot(cells.map(|(number, name)| cell(name, 0, [("acc", after(number))])))
    };
    let report = judge(
        &of(&|number| if number == 0 { lost(8) } else { before() }),
        &of(&|_| before()),
        &accuracy(0.005),
    )
    .unwrap();
    assert!(report.findings[0].change.as_ref().unwrap().p_adjusted.unwrap() > 0.05);
    assert_eq!(report.verdict, Verdict::Inconclusive);
}

#[test]
fn missing_and_failed_cells_are_red_and_new_ones_are_named() {
    let of = |names: &[&str]| {
        snapshot(
            names
                .iter()
                .map(|name| cell(name, 0, [("acc", answers(vec![1; 9], ""))])),
        )
    };
    let baseline = of(&["a", "b", "c"]);
    let mut store = of(&["a", "new"]);
    store.cells.push(failed("b", 0, Status::Timeout));
    store.cells.push(failed("new and failed", 0, Status::Oom));
    store.cells.push(failed("impossible", 0, Status::Skipped));
    let report = judge(&store, &baseline, &accuracy(0.02)).unwrap();
    assert_eq!(report.verdict, Verdict::Regression);
    let failures: Vec<String> = report
        .failures
        .iter()
        .map(|failure| format!("{}: {}", failure.cell, failure.problem))
        .collect();
    assert_eq!(failures.len(), 3, "{failures:?}");
    for (failure, words) in failures.iter().zip(["timeout: took longer", "missing", "oom"]) {
        assert!(failure.contains(words), "{failure}");
    }
    assert_eq!(report.new_cells, ["tiny new on candle cpu f32, seed 0"]);
    // What the baseline skipped may be skipped.
    let skipped = || {
        let mut snapshot = of(&["a"]);
        snapshot.cells.push(failed("impossible", 0, Status::Skipped));
        snapshot
    };
    assert_eq!(
        judge(&skipped(), &skipped(), &accuracy(0.02)).unwrap().verdict,
        Verdict::Ok
    );
}

#[test]
fn other_items_other_data_and_numbers_that_are_gone_are_red() {
    let before = || cell("a", 0, [("acc", answers(vec![1; 100], ""))]);
    let fails = |after: Observed, words: &str| {
        let report = judge(&snapshot([after]), &snapshot([before()]), &accuracy(0.02)).unwrap();
        assert_eq!(report.verdict, Verdict::Regression);
        assert!(report.failures[0].problem.contains(words), "{:?}", report.failures);
    };
    fails(
        cell("a", 0, [("acc", answers(vec![1; 90], ""))]),
        "it was over 100 items, and is over 90 items",
    );
    fails(cell("a", 0, []), "no longer measured");
    fails(cell("a", 0, [("acc", losses(vec![1.0; 100]))]), "another kind");
    let mut other = before();
    other.inputs.insert("model".into(), "other".into());
    fails(other, "`model` was abab");
    // A new version of the engine is what a gate is there to judge.
    let mut engine = before();
    engine.inputs.insert("engine:candle".into(), "candle 0.12.0".into());
    let report = judge(&snapshot([engine]), &snapshot([before()]), &accuracy(0.02)).unwrap();
    assert_eq!(report.verdict, Verdict::Ok);
}

#[test]
fn a_perplexity_is_compared_window_by_window_and_by_their_lengths() {
    let rules = rules(&[("perplexity *", 0.02, "lower-is-better")]);
    let windows: Vec<f64> = (0..200).map(|w| 3.0 + f64::from(w * 7919 % 101) / 100.0).collect();
    let shifted = |shift: f64| {
        let shifted = windows.iter().enumerate();
        shifted
            .map(|(w, nll)| nll + shift + (w as f64).sin() / 100.0)
            .collect::<Vec<f64>>()
    };
    let judge = |after: Vec<f64>| {
        let of = |nll| snapshot([cell("a", 0, [("perplexity p@1", losses(nll))])]);
        judge(&of(after), &of(windows.clone()), &rules).unwrap()
    };
    let red = judge(shifted(0.05));
    assert_eq!(red.verdict, Verdict::Regression);
    // exp(0.05) - 1, although windows differ by much more among themselves.
    assert!((red.findings[0].change.as_ref().unwrap().difference - 0.0513).abs() < 0.001);
    assert_eq!(judge(shifted(0.01)).verdict, Verdict::Ok);
    assert_eq!(judge(shifted(-0.3)).verdict, Verdict::Ok);

    // Documents of 1 and 3 words that get worse by 0.1 a word.
    let documents = |worse: f64| Series::Losses {
        scope: String::new(),
        nll: (0..100)
            .map(|d| if d % 2 == 0 { 4.0 + worse } else { 11.0 + 3.0 * worse })
            .collect(),
        units: (0..100).map(|d| if d % 2 == 0 { 1.0 } else { 3.0 }).collect(),
    };
    let pair = [documents(0.0), documents(0.1)].map(|series| cell("a", 0, [("perplexity w@1", series)]));
    let change = PairedDifference::of("perplexity w@1", &[(&pair[0], &pair[1])]).unwrap();
    assert!((change.difference - 0.1f64.exp_m1()).abs() < 1e-12);
    assert!((change.after / change.before - 0.1f64.exp()).abs() < 1e-12);
    assert!(change.smallest(0.05, 0.8).unwrap().rise < 1e-9);
}

#[test]
fn seeds_that_were_drawn_anew_are_no_regression_and_a_loss_in_all_of_them_is() {
    let seeds = |wrong: [usize; 5], digest: &str| {
        let cells = wrong.iter().zip(0..);
        snapshot(cells.map(|(&wrong, seed)| cell("random", seed, [("acc", answers(all_but(wrong, 1000), digest))])))
    };
    let before = seeds([100, 140, 180, 120, 160], "before");
    // Single seeds are worse by up to ten points, and significantly so; the mean over seeds by two and a half.
    let redrawn = judge(&seeds([200, 110, 220, 100, 195], "after"), &before, &accuracy(0.02)).unwrap();
    assert_eq!(redrawn.verdict, Verdict::Inconclusive, "{:?}", redrawn.findings);
    let worse = judge(&seeds([152, 188, 231, 171, 209], "after"), &before, &accuracy(0.02)).unwrap();
    assert_eq!(worse.verdict, Verdict::Regression, "{:?}", worse.findings);
    let change = worse.findings[0].change.as_ref().unwrap();
    assert_eq!(
        (change.seeds, change.samples, change.test),
        (5, 1000, Some("paired t of answers"))
    );
    // A collapse that few seeds can't prove is not called ok.
    let few = |snapshot: Snapshot| Snapshot {
        cells: snapshot.cells.into_iter().take(2).collect(),
    };
    let collapse = seeds([500, 700, 600, 700, 800], "after");
    let report = judge(&few(collapse), &few(before), &accuracy(0.02)).unwrap();
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(
        report.findings[0].reason.contains("worse by 48.00 points"),
        "{:?}",
        report.findings
    );
}

#[test]
fn the_mean_of_a_suite_weighs_its_tasks_alike() {
    let suite = |first: usize, second: usize| Series::Answers {
        scope: String::new(),
        right: vec![all_but(first, 100), all_but(second, 900)],
        sha256: format!("{first} {second}"),
    };
    let pair = [suite(10, 90), suite(20, 90)].map(|series| cell("a", 0, [("mean s", series)]));
    let change = PairedDifference::of("mean s", &[(&pair[0], &pair[1])]).unwrap();
    assert!(
        (change.before - 0.9).abs() < 1e-12 && (change.difference + 0.05).abs() < 1e-12,
        "{change:?}"
    );
    assert_eq!(change.test.unwrap().0, "paired t of answers");
    // Tasks of one size are as one task.
    let alike = |wrong: usize| Series::Answers {
        scope: String::new(),
        right: vec![all_but(wrong, 100), all_but(0, 100)],
        sha256: wrong.to_string(),
    };
    let pair = [alike(0), alike(8)].map(|series| cell("a", 0, [("mean s", series)]));
    let change = PairedDifference::of("mean s", &[(&pair[0], &pair[1])]).unwrap();
    let (test, p) = change.test.unwrap();
    assert_eq!((test, change.difference), ("exact McNemar", -0.04));
    assert!((p - 2.0 * 0.5f64.powi(8)).abs() < 1e-12, "{p}");
}

#[test]
fn numbers_without_noise_are_judged_by_their_margin_alone() {
    let of = |value| snapshot([cell("a", 0, [("achieved ratio", Series::Count { value })])]);
    let exact = rules(&[("achieved ratio", 0.0, "unchanged")]);
    let verdict = |after: f64| judge(&of(after), &of(0.5), &exact).unwrap();
    assert_eq!(verdict(0.5).verdict, Verdict::Ok);
    let report = verdict(0.5000001);
    assert_eq!(report.verdict, Verdict::Regression);
    assert_eq!(report.families[0].comparisons, 0);
    let loose = rules(&[("achieved ratio", 0.1, "lower-is-better")]);
    assert_eq!(judge(&of(0.54), &of(0.5), &loose).unwrap().verdict, Verdict::Ok);
}

#[test]
fn a_night_in_which_nothing_is_judged_is_inconclusive_with_the_reason_first() {
    let single = |nll: f64| cell("a", 0, [("perplexity p@1", losses(vec![nll]))]);
    let rules = rules(&[("perplexity *", 0.02, "lower-is-better")]);
    let first = |store: Snapshot, baseline: Snapshot, words: &str| {
        let report = judge(&store, &baseline, &rules).unwrap();
        assert_eq!(report.verdict, Verdict::Inconclusive);
        let start = format!("gate: inconclusive, nothing was judged: {words}");
        assert!(report.headline().starts_with(&start), "{}", report.headline());
        let row = report.tables()[0].to_markdown();
        let row = row
            .lines()
            .find(|line| line.contains("inconclusive"))
            .unwrap()
            .to_owned();
        assert!(row.contains(&format!("nothing was judged: {words}")), "{row}");
        assert!(
            report
                .to_junit()
                .unwrap()
                .contains(&format!("inconclusive: nothing was judged: {words}"))
        );
    };
    first(
        snapshot([single(3.1)]),
        snapshot([single(3.0)]),
        "1 number: two samples at least",
    );

    // What a rule names is only in a cell that failed in the baseline, and so guards nothing.
    let mut broken = single(f64::NAN);
    broken.status = Status::Nan;
    let other = || cell("b", 0, [("acc", answers(vec![1; 9], ""))]);
    let baseline = snapshot([broken, other()]);
    first(
        snapshot([single(3.0), other()]),
        baseline.clone(),
        "no rule names a number of a cell that is ok in the baseline",
    );

    // A missing cell is red all the same, and one number that is judged is enough.
    let report = judge(&snapshot([single(3.0)]), &baseline, &rules).unwrap();
    assert_eq!((report.verdict, report.nothing_judged), (Verdict::Regression, None));
    let two = |nll| snapshot([single(nll), cell("c", 0, [("perplexity p@1", losses(vec![3.0; 9]))])]);
    let report = judge(&two(3.1), &two(3.0), &rules).unwrap();
    assert_eq!((report.verdict, report.nothing_judged), (Verdict::Ok, None));
}

#[test]
fn a_single_window_that_is_the_same_to_the_last_digit_is_ok() {
    let of = || snapshot([cell("a", 0, [("perplexity p@1", losses(vec![3.0]))])]);
    let report = judge(&of(), &of(), &rules(&[("perplexity *", 0.02, "lower-is-better")])).unwrap();
    assert_eq!((report.verdict, report.findings[0].verdict), (Verdict::Ok, Verdict::Ok));
}

/// Five rounds of a recipe at these ratios to dense.
fn rounds(ratios: [f64; 5]) -> Snapshot {
    let cells = ratios.into_iter().zip(0..).map(|(ratio, seed)| {
        let speed = Series::Speed {
            rate: 100.0 * ratio,
            ratio: Some(ratio),
        };
        let mut cell = cell("a", seed, [("decode speed", speed)]);
        cell.cell.evaluation.perplexity.clear();
        cell
    });
    snapshot(cells)
}

#[test]
fn speed_is_judged_by_its_ratio_in_interleaved_rounds_on_the_same_machine_only() {
    let rules = rules(&[("decode speed*", 0.05, "higher-is-better")]);
    let before = rounds([1.50, 1.52, 1.49, 1.51, 1.48]);
    let slower = rounds([1.30, 1.31, 1.29, 1.32, 1.30]);
    let report = judge(&slower, &before, &rules).unwrap();
    assert_eq!(report.verdict, Verdict::Regression);
    assert!((report.findings[0].change.as_ref().unwrap().difference + 0.131).abs() < 0.01);
    assert_eq!(judge(&before, &slower, &rules).unwrap().verdict, Verdict::Ok);
    let noisy = rounds([1.9, 1.1, 1.6, 1.3, 1.2]);
    assert_eq!(judge(&noisy, &before, &rules).unwrap().verdict, Verdict::Inconclusive);

    let not_judged = |change: &dyn Fn(&mut Observed), words: &str| {
        let mut store = slower.clone();
        store.cells.iter_mut().for_each(change);
        let mut before = before.clone();
        before
            .cells
            .iter_mut()
            .zip(&store.cells)
            .for_each(|(before, store)| before.cell = store.cell.clone());
        let report = judge(&store, &before, &rules).unwrap();
        assert_eq!(
            (report.verdict, report.findings[0].verdict),
            (Verdict::Inconclusive, Verdict::NotJudged)
        );
        assert!(
            report.findings[0].reason.contains(words),
            "{}",
            report.findings[0].reason
        );
    };
    let named = |name: &str| Cpu::Named(name.into());
    not_judged(&|cell| cell.provenance.cpu = named("another CPU"), "another CPU");
    not_judged(&|cell| cell.provenance.cpu = cpu_model(25), "family 25");
    not_judged(&|cell| cell.provenance.threads = 1, "1 threads");
    not_judged(
        &|cell| {
            let perplexity = super::test_snapshots::cell("a", 0, []).cell.evaluation.perplexity;
            cell.cell.evaluation.perplexity = perplexity;
        },
        "interleaved rounds only",
    );
    let single = |snapshot: &Snapshot| self::snapshot(snapshot.cells[..1].iter().cloned());
    let report = judge(&single(&slower), &single(&before), &rules).unwrap();
    assert!(
        report.findings[0].reason.contains("single round"),
        "{}",
        report.findings[0].reason
    );
}

#[test]
fn the_first_rule_that_names_a_number_counts() {
    let text = r#"
        [family.quality]
        alpha = 0.05
        [[rule]]
        metric = "acc"
        cells = "* random(*) on *"
        margin = 0.2
        direction = "higher-is-better"
        family = "quality"
        [[rule]]
        metric = "acc*"
        margin = 0.02
        direction = "higher-is-better"
        family = "quality"
    "#;
    let of = |wrong| {
        let names = ["random(ratio=0.5)", "wanda(ratio=0.5)"];
        snapshot(names.map(|name| cell(name, 0, [("acc", answers(all_but(wrong, 1000), &wrong.to_string()))])))
    };
    let report = judge(&of(100), &of(0), &Rules::parse(text).unwrap()).unwrap();
    let verdicts: Vec<Verdict> = report.findings.iter().map(|finding| finding.verdict).collect();
    assert_eq!(verdicts, [Verdict::Ok, Verdict::Regression]);
}

#[test]
fn rules_that_make_no_sense_are_refused_with_what_to_do_and_those_of_the_nightly_run_make_sense() {
    let refused = |text: &str, words: &[&str]| {
        let error = Rules::parse(text).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "`{word}` is not in {error}");
        }
    };
    let rule = "[[rule]]\nmetric = \"acc\"\nmargin = 0.1\ndirection = \"higher-is-better\"\nfamily = \"f\"\n";
    refused("rule = []\n[family.f]\nalpha = 0.05", &["no [[rule]]"]);
    refused(rule, &["family"]);
    refused(
        &format!("[family.g]\nalpha = 0.05\n{rule}"),
        &["family of `acc` is `f`", "add [family.f]"],
    );
    refused(
        &format!("[family.f]\nalpha = 5\n{rule}"),
        &["alpha is 5", "between 0 and 1"],
    );
    refused(
        &format!("[family.f]\nalpha = 0.05\n[family.g]\nalpha = 0.01\n{rule}"),
        &["no rule", "`g`"],
    );
    refused(
        &format!("[family.f]\nalpha = 0.05\n{}", rule.replace("0.1", "-0.1")),
        &["margin", "-0.1"],
    );
    refused(
        &format!("[family.f]\nalpha = 0.05\n{}", rule.replace("margin", "margn")),
        &["line 5", "margn"],
    );
    let nightly = Rules::parse(include_str!("../../../harness/gates/nightly.toml")).unwrap();
    assert!(nightly.family.values().map(|family| family.alpha).sum::<f64>() <= 0.05 + 1e-12);
    // A rule that names nothing guards nothing.
    let of = || snapshot([cell("a", 0, [("acc", answers(vec![1; 9], ""))])]);
    let error = judge(&of(), &of(), &rules(&[("acc world", 0.1, "higher-is-better")])).unwrap_err();
    assert!(
        error.to_string().contains("`acc world`") && error.to_string().contains("tiny a on candle"),
        "{error}"
    );
}
