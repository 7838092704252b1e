//! What the catalogue accepts and says.

use super::*;
use crate::world::Domain;

const GOOD: &str = r#"
    title = "A"
    licence = "public domain"
    hub = { repository = "a/b", revision = "0123456789012345678901234567890123456789" }
    [split.test]
    mirror = "text/a/test.txt"
    file = "test.parquet"
    column = "text"
    separator = ""
    sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    [[protocol]]
    name = "stream-8"
    version = 3
    split = "test"
    scoring.stream.window = 8
"#;

fn fault(from: &str, to: &str) -> String {
    let changed = GOOD.replacen(from, to, 1);
    assert_ne!(changed, GOOD, "{from} is not in the sample");
    match Catalogue::parse([("texts/a", changed.as_str())]) {
        Ok(_) => panic!("accepted with {to}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn embedded_catalogue_has_every_wikitext2_stream_protocol() {
    let catalogue = Catalogue::embedded().expect("the embedded catalogue is valid");
    for window in [128, 512, 1024, 2048, 4096] {
        let protocol = catalogue
            .protocol(&format!("wikitext2/stream-{window}@1"))
            .expect("present");
        assert_eq!(protocol.scoring, Scoring::Stream { window });
        assert_eq!(
            (protocol.data_set.as_str(), protocol.split.as_str()),
            ("wikitext2", "test")
        );
    }
}

#[test]
fn a_protocol_id_carries_its_version() {
    let catalogue = Catalogue::parse([("texts/a", GOOD)]).expect("valid");
    assert_eq!(catalogue.protocol("a/stream-8@3").expect("present").id, "a/stream-8@3");
    assert!(catalogue.protocol("a/stream-8").is_err());
}

#[test]
fn unknown_names_get_the_near_miss_and_the_list() {
    let catalogue = Catalogue::embedded().expect("valid");
    let text = catalogue
        .protocol("wikitext2/stream-521@1")
        .expect_err("unknown")
        .to_string();
    assert!(text.contains("did you mean \"wikitext2/stream-512@1\"?"), "{text}");
    assert!(text.contains("wikitext2/stream-4096@1"), "{text}");
    let text = catalogue.data_set("wikitxt2").expect_err("unknown").to_string();
    assert!(text.contains("did you mean \"wikitext2\"?"), "{text}");
    let set = catalogue.data_set("wikitext2").expect("present");
    let text = set.split("zzzz").expect_err("unknown").to_string();
    assert!(
        text.contains("test, validation") && !text.contains("did you mean"),
        "{text}"
    );
}

#[test]
fn scoring_says_what_it_does() {
    assert_eq!(
        Scoring::Stream { window: 512 }.to_string(),
        "whole text encoded once, no BOS, cut in windows of 512, the tail dropped, 511 predictions a window"
    );
}

#[test]
fn a_wrong_catalogue_file_is_refused_with_its_reason() {
    assert!(fault("licence", "license").contains("license"));
    assert!(fault("stream.window", "stream.windw").contains("windw"));
    assert!(fault("scoring.stream", "scoring.strem").contains("strem"));
    assert!(fault("scoring.stream.window = 8", "scoring.stream.window = 1").contains("at least 2"));
    assert!(fault("split = \"test\"", "split = \"tset\"").contains("unknown split \"tset\""));
    assert!(fault("0123456789", "main").contains("is no commit"));
    assert!(fault("e3b0", "E3B0").contains("64 lower-case"));
    assert!(fault("text/a/test.txt", "../test.txt").contains("below the data folder"));
    assert!(fault("text/a/test.txt", "/etc/passwd").contains("below the data folder"));
    let twice = format!("{GOOD}[[protocol]]\nname='stream-8'\nversion=3\nsplit='test'\nscoring.stream.window=9");
    let error = Catalogue::parse([("texts/a", twice.as_str())]).expect_err("twice");
    assert!(error.to_string().contains("a/stream-8@3 is defined twice"), "{error}");
}

const TASK: &str = r#"
    title = "Words"
    version = 3
    licence = "public domain"
    lm_eval = { version = "0.4.13", task = "words", task_version = "1.0" }
    metrics = ["acc"]
    hub = { repository = "a/b", revision = "0123456789012345678901234567890123456789" }
    split.test = { file = "test.jsonl", mirror = "tasks/words/test.jsonl" }
    few_shot = { split = "test", order = "first", separator = "" }
    [prompt]
    split = "test"
    kind = "choices"
    context = "{{ a }}"
    choices = "b"
    gold = "c"
"#;

const SUITE: &str = r#"
    title = "Some"
    source = "invented"
    shots = 2
    members = [{ task = "words", metric = "acc" }]
"#;

fn with(task: &str, suite: &str) -> Result<Catalogue> {
    Catalogue::parse([("tasks/words", task), ("suites/some", suite)])
}

fn task_fault(from: &str, to: &str) -> String {
    let changed = TASK.replacen(from, to, 1);
    assert_ne!(changed, TASK, "{from} is not in the sample");
    match with(&changed, SUITE) {
        Ok(_) => panic!("accepted with {to}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_embedded_task_and_suite_is_there() {
    let catalogue = Catalogue::embedded().expect("valid");
    let names: Vec<&str> = catalogue.tasks().iter().map(|task| task.name.as_str()).collect();
    let expected = [
        "arc_challenge",
        "arc_easy",
        "boolq",
        "copa",
        "hellaswag",
        "lambada_openai",
        "logiqa",
        "mmlu",
        "openbookqa",
        "piqa",
        "race",
        "sciq",
        "winogrande",
        "world_arithmetic",
        "world_facts",
        "world_lists",
        "world_programs",
        "world_stories",
    ];
    // One may be added by its file alone.
    for name in expected {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let unpinned: Vec<&str> = catalogue
        .tasks()
        .iter()
        .filter(|task| !task.pinned())
        .map(|task| task.name.as_str())
        .collect();
    assert_eq!(unpinned, ["logiqa"]);
    let members = |name| catalogue.suite(name).expect("present").members.len();
    assert_eq!(
        ["flexigpt-5", "llm-pruner-7", "lp-icl", "world"].map(members),
        [5, 7, 7, 5]
    );
    assert_eq!(catalogue.suite("lp-icl").expect("present").shots, 5);
}

#[test]
fn a_task_is_found_with_and_without_its_version() {
    let catalogue = with(TASK, SUITE).expect("valid");
    assert_eq!(catalogue.task("words").expect("present").id(), "words@3");
    assert_eq!(catalogue.task("words@3").expect("present").id(), "words@3");
    let text = catalogue.task("words@1").expect_err("another version").to_string();
    assert!(text.contains("there is no words@1, only words@3"), "{text}");
    let text = catalogue.task("wrods").expect_err("unknown").to_string();
    assert!(text.contains("no task \"wrods\"; did you mean \"words\"?"), "{text}");
    let text = catalogue.suite("sme").expect_err("unknown").to_string();
    assert!(text.contains("no suite \"sme\"; did you mean \"some\"?"), "{text}");
}

#[test]
fn metrics_have_lm_evals_names() {
    for (metric, name) in [
        (Metric::Acc, "acc"),
        (Metric::AccNorm, "acc_norm"),
        (Metric::AccBytes, "acc_bytes"),
        (Metric::Perplexity, "perplexity"),
    ] {
        assert_eq!(metric.to_string(), name);
        assert_eq!(serde_json::to_string(&metric).expect("serialises"), format!("{name:?}"));
    }
}

#[test]
fn a_wrong_task_is_refused_with_its_reason() {
    assert!(task_fault("licence", "license").contains("license"));
    assert!(
        task_fault("[prompt]\n    split = \"test\"", "[prompt]\n    split = \"tset\"")
            .contains("prompt.split \"tset\"")
    );
    assert!(
        task_fault("few_shot = { split = \"test\"", "few_shot = { split = \"dev\"").contains("few_shot.split \"dev\"")
    );
    assert!(task_fault("choices = \"b\"", "").contains("prompt.choices is missing"));
    assert!(
        task_fault("choices = \"b\"", "choices = \"b\"\ncontinuation = \"d\"").contains("prompt.continuation is given")
    );
    assert!(task_fault("\"acc\"", "\"perplexity\"").contains("no metric perplexity"));
    assert!(task_fault("[\"acc\"]", "[]").contains("metrics is empty"));
    assert!(task_fault("0123456789", "main").contains("is no commit"));
    assert!(task_fault("tasks/words/test.jsonl", "../test.jsonl").contains("below the data folder"));
    assert!(task_fault("mirror =", "hub_sha256 = \"E3\", mirror =").contains("split.test.hub_sha256 \"E3\""));
}

#[test]
fn a_template_that_can_not_be_read_is_refused_with_its_line() {
    let text = task_fault("{{ a }}", "{{ a");
    assert!(
        text.starts_with("catalogue/tasks/words.toml, line 13, prompt.context: "),
        "{text}"
    );
    let text = task_fault("gold = \"c\"", "gold = \"c c\"");
    assert!(
        text.starts_with("catalogue/tasks/words.toml, line 15, prompt.gold: "),
        "{text}"
    );
}

#[test]
fn a_wrong_suite_is_refused_with_its_reason() {
    let text = |suite: &str| with(TASK, suite).expect_err("refused").to_string();
    let unknown = text(&SUITE.replace("words", "wrods"));
    assert!(
        unknown.starts_with("catalogue/suites/some.toml: no task \"wrods\""),
        "{unknown}"
    );
    assert!(text(&SUITE.replace("\"acc\"", "\"acc_norm\"")).contains("words has no metric acc_norm"));
    assert!(text("title = 'a'\nsource = 'b'\nshots = 0\nmembers = []").contains("members is empty"));
    let nowhere = Catalogue::parse([("words", TASK)]).expect_err("no folder").to_string();
    assert!(nowhere.contains("none of the folders"), "{nowhere}");
}

#[test]
fn a_text_is_made_from_rows_a_range_or_the_world() {
    let catalogue = Catalogue::embedded().expect("valid");
    let split = |set: &str, split: &str| catalogue.data_set(set).and_then(|set| set.split(split).cloned());
    assert!(matches!(split("wikitext2", "test"), Ok(Split::Rows { .. })));
    assert!(matches!(split("tinyshakespeare", "train"), Ok(Split::Range { .. })));
    let Ok(Split::World(world)) = split("world", "validation") else {
        panic!("not of the world");
    };
    assert_eq!(world.domains, Domain::ALL);
    for domain in Domain::ALL {
        let protocol = format!("world/{}-128@1", domain.name());
        let protocol = catalogue.protocol(&protocol).expect("present");
        assert_eq!(protocol.split, format!("{}-validation", domain.name()));
        let task = catalogue.task(&format!("world_{}", domain.name())).expect("present");
        assert!(task.lm_eval.is_none() && task.hub().is_none() && task.pinned());
    }
    for window in [65, 257] {
        let protocol = format!("tinyshakespeare/char-{}@1", window - 1);
        let protocol = catalogue.protocol(&protocol).expect("present");
        assert_eq!(protocol.stream_window().expect("one text"), window);
    }
}

#[test]
fn a_text_that_can_not_be_made_is_refused_with_its_reason() {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let fault = |more: &str| {
        let entry = format!("{GOOD}\n{}", more.replace("HASH", &format!("sha256 = {hash:?}")));
        Catalogue::parse([("texts/a", entry.as_str())])
            .expect_err("refused")
            .to_string()
    };
    let world = "[generated.made]\npart = 'train'\nbytes = 1\nHASH\n";
    assert!(fault(&format!("{world}domains = []")).contains("generated.made has no domain"));
    assert!(fault(&format!("{world}domains = ['fact']")).contains("unknown variant `fact`"));
    assert!(fault("[range.some]\nfrom = 0\nto = 5\nHASH").contains("file is missing"));
    let file = "[file]\nurl = 'http://a/b'\nmirror = 'text/a/b'\nHASH\n";
    let range = |name: &str| format!("{file}[range.{name}]\nfrom = 5\nto = 5\nHASH");
    assert!(fault(&range("some")).contains("range.some holds nothing: from = 5 is not below to = 5"));
    assert!(fault(&range("test").replace("from = 5", "from = 4")).contains("two texts have the name test"));
    assert!(fault(&range("some").replace("text/a/b", "/etc/b")).contains("file.mirror \"/etc/b\""));
    let without = GOOD
        .lines()
        .filter(|line| !line.contains("hub ="))
        .collect::<Vec<_>>()
        .join("\n");
    let error = Catalogue::parse([("texts/a", without.as_str())]).expect_err("no hub");
    assert!(error.to_string().contains("hub is missing"), "{error}");
}

#[test]
fn rolling_protocols_score_documents_and_streams_score_texts() {
    let catalogue = Catalogue::embedded().expect("valid");
    let own = catalogue.protocol("wikitext2/lm-eval-word@1").expect("present");
    assert_eq!(own.scoring, Scoring::Rolling { window: None });
    assert!(own.scoring.to_string().contains("the model's context"));
    assert!(fault("scoring.stream.window = 8", "scoring.rolling = {}").contains("unknown split \"test\""));
}
