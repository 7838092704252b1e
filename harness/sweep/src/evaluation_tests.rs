use super::*;
use crate::problem::Source;
use prunebench_results::MetricName;

fn expand(text: &str) -> (Evaluation, Vec<String>) {
    let catalogue = Catalogue::embedded().unwrap();
    let source = Source::default();
    let mut problems = Collector::new(&source);
    let text: EvaluationText = toml::from_str(text).unwrap();
    let evaluation = text.expand(&catalogue, &mut problems);
    let problems = problems
        .finish("a")
        .err()
        .map_or_else(Vec::new, |problems| problems.problems);
    assert!(problems.iter().all(|problem| problem.usage));
    (evaluation, problems.into_iter().map(|problem| problem.text).collect())
}

fn good(text: &str) -> Evaluation {
    let (evaluation, problems) = expand(text);
    assert!(problems.is_empty(), "{problems:?}");
    evaluation
}

fn names(evaluation: &Evaluation) -> Vec<(&str, usize)> {
    let requests = evaluation.tasks.iter();
    requests.map(|request| (request.task.as_str(), request.shots)).collect()
}

#[test]
fn a_suite_is_its_tasks_with_its_shots_and_its_metrics() {
    let evaluation = good("tasks = ['llm-pruner-7']\nlimit = 10");
    let tasks = [
        "boolq@1",
        "piqa@1",
        "hellaswag@1",
        "winogrande@1",
        "arc_easy@1",
        "arc_challenge@1",
        "openbookqa@1",
    ];
    assert_eq!(names(&evaluation), tasks.map(|task| (task, 0)));
    assert!(
        evaluation
            .tasks
            .iter()
            .all(|request| request.limit == Some(10) && request.shots_seed == SHOTS_SEED)
    );
    let [suite] = evaluation.suites.as_slice() else {
        panic!("{:?}", evaluation.suites);
    };
    assert_eq!((suite.suite.as_str(), suite.members.len()), ("llm-pruner-7", 7));
    assert!(
        suite
            .members
            .iter()
            .all(|member| evaluation.tasks.iter().any(|request| member.is_of(request)))
    );
    assert_eq!(suite.members[2].metric, MetricName::AccNorm);
}

#[test]
fn a_task_of_two_suites_is_asked_once_per_number_of_shots() {
    let evaluation = good("tasks = ['llm-pruner-7', 'flexigpt-5', 'arc_easy', 'lambada_openai@1']");
    assert_eq!(evaluation.suites.len(), 2);
    assert_eq!(evaluation.tasks.len(), 8);
    let both = good("tasks = ['llm-pruner-7', 'lp-icl']");
    let arc = names(&both).into_iter().filter(|(task, _)| *task == "arc_easy@1");
    assert_eq!(arc.collect::<Vec<_>>(), [("arc_easy@1", 0), ("arc_easy@1", 5)]);
    // Given shots hold for suites too.
    let one = good("tasks = ['llm-pruner-7', 'lp-icl']\nshots = 1\nshots_from = 'validation'\nshots_seed = 7");
    assert!(names(&one).iter().all(|(_, shots)| *shots == 1));
    assert_eq!(one.tasks[0].shots_split.as_deref(), Some("validation"));
    assert_eq!(one.tasks[0].shots_seed, 7);
}

#[test]
fn an_unknown_name_is_told_with_its_near_miss_among_tasks_and_suites() {
    let (_, problems) = expand("tasks = ['arc_esy', 'llm-prunr-7', 'arc_easy@9', 'zzz']");
    assert!(problems[0].contains("did you mean \"arc_easy\"?"), "{problems:?}");
    assert!(problems[1].contains("did you mean \"llm-pruner-7\"?"), "{problems:?}");
    assert!(problems[2].contains("only arc_easy@1"), "{problems:?}");
    assert!(problems[3].contains("\"zzz\""), "{problems:?}");
}

#[test]
fn settings_of_throughput_are_one_or_a_list() {
    let setting =
        |batch| format!("{{ prompt_tokens = 8, generated_tokens = 2, batch = {batch}, repeats = 1, warmup = 1 }}");
    let one = format!("throughput = {}", setting(1));
    let several = format!("throughput = [{}, {}]", setting(1), setting(8));
    let batches = |text: &str| -> Vec<usize> {
        let text: EvaluationText = toml::from_str(text).unwrap();
        let settings = text.settings(&Evaluation::default()).into_iter();
        settings
            .map(|evaluation| evaluation.throughput.unwrap().batch)
            .collect()
    };
    assert_eq!((batches(&one), batches(&several)), (vec![1], vec![1, 8]));
    let (_, problems) = expand(&format!("{several}\ntasks = ['piqa']"));
    assert!(problems[0].contains("an experiment of their own"), "{problems:?}");
}

#[test]
fn settings_without_what_they_are_for_are_refused() {
    let (_, problems) = expand("limit = 3\ndivergence = true");
    assert!(
        problems.len() == 2 && problems[0].contains("`limit` is for tasks"),
        "{problems:?}"
    );
    let (_, problems) = expand("tasks = ['arc_easy']\nlimit = 0\nshots_from = 'train'");
    assert!(
        problems[0].contains("limit = 0") && problems[1].contains("without shots"),
        "{problems:?}"
    );
}

#[test]
fn a_task_may_have_a_limit_of_its_own() {
    let evaluation = good("tasks = ['lp-icl']\nlimit = 200\ntask_limits = { mmlu = 4, 'piqa@1' = 50 }");
    for request in &evaluation.tasks {
        let limit = match request.task.as_str() {
            "mmlu@1" => 4,
            "piqa@1" => 50,
            _ => 200,
        };
        assert_eq!(request.limit, Some(limit), "{}", request.task);
    }
    let (_, problems) = expand("tasks = ['piqa']\ntask_limits = { mmlu = 4, piqa = 0 }");
    assert!(
        problems.len() == 2 && problems[0].contains("a limit of 0") && problems[1].contains("\"mmlu\""),
        "{problems:?}"
    );
}
