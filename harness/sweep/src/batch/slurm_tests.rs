use std::process::Command;

use super::*;
use crate::batch::Shape;

const SHAPE: Shape = Shape {
    cores: 4,
    memory_mib: Some(2048),
    minutes: Some(16),
    gpu: false,
    exclusive: false,
};

fn array<'a>(shape: Shape, command: &'a [OsString], logs: &'a Path, after_success: &'a [String]) -> JobArray<'a> {
    JobArray {
        name: "prunebench-a",
        tasks: 7,
        shape,
        after_success,
        after: after_success,
        command,
        logs,
        options: &[],
    }
}

fn told(array: &JobArray) -> Vec<String> {
    let arguments = arguments(array).unwrap();
    arguments.into_iter().map(|word| word.into_string().unwrap()).collect()
}

fn task() -> TaskId {
    TaskId {
        job: "12".to_owned(),
        index: 3,
    }
}

#[test]
fn an_array_asks_for_its_shape_and_waits_for_what_comes_before() {
    let told_plainly = told(&array(SHAPE, &[], Path::new("/logs"), &[]));
    for word in [
        "--array=0-6",
        "--cpus-per-task=4",
        "--mem=2048M",
        "--time=16",
        "--output=/logs/%A_%a.log",
    ] {
        assert!(
            told_plainly.iter().any(|told| told == word),
            "{word} in {told_plainly:?}"
        );
    }
    let absent = ["--gres", "--exclusive", "--dependency"];
    assert!(
        !told_plainly
            .iter()
            .any(|told| absent.iter().any(|word| told.starts_with(word)))
    );

    let shape = Shape {
        memory_mib: None,
        minutes: None,
        gpu: true,
        exclusive: true,
        ..SHAPE
    };
    let before = ["8".to_owned(), "9".to_owned()];
    let told = told(&array(shape, &[], Path::new("/logs"), &before));
    for word in [
        "--gres=gpu:1",
        "--exclusive",
        "--dependency=afterok:8:9,afterany:8:9",
        "--kill-on-invalid-dep=yes",
    ] {
        assert!(told.iter().any(|told| told == word), "{word} in {told:?}");
    }
    assert!(
        !told
            .iter()
            .any(|told| told.starts_with("--mem") || told.starts_with("--time"))
    );
}

#[test]
fn a_log_folder_may_have_a_percent_sign_and_no_backslash() {
    let told = told(&array(SHAPE, &[], Path::new("/100%/a"), &[]));
    assert_eq!(told.last().unwrap(), "--output=/100%%/a/%A_%a.log");
    let refused = arguments(&array(SHAPE, &[], Path::new("/a\\b"), &[])).unwrap_err();
    assert!(refused.to_string().contains("backslash"), "{refused}");
}

#[test]
fn a_shell_takes_every_word_of_the_command_as_it_is() {
    let words = ["it's", "a \"b\" $HOME `id`", "", "c;d\n&e", "--f", "\\"].map(OsString::from);
    let command = [vec![OsString::from("printf"), "<%s>".into()], words.to_vec()].concat();
    let script = script(&array(SHAPE, &command, Path::new("/logs"), &[])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script");
    std::fs::write(&path, script).unwrap();
    let run = Command::new("sh")
        .arg(path)
        .env("SLURM_ARRAY_TASK_ID", "5")
        .output()
        .unwrap();
    let expected: String = words.iter().map(|word| format!("<{}>", word.display())).collect();
    assert_eq!(String::from_utf8(run.stdout).unwrap(), expected + "<5>");
}

#[test]
fn the_queue_tells_which_tasks_wait_and_for_what() {
    let waiting = active("12|3|PENDING|Dependency").unwrap();
    assert_eq!((waiting.task, waiting.state.as_str()), (task(), "pending: Dependency"));
    assert_eq!(active("12|3|RUNNING|None").unwrap().state, "running");
    // Not a task of an array.
    assert!(active("12|N/A|RUNNING|None").is_none());
}

#[test]
fn state_and_output_together_tell_how_a_task_ended() {
    let limit = "x\nslurmstepd-n: error: StepId=3.batch exceeded memory limit (9 > 8), being killed\n\
                 slurmstepd-n: error: *** JOB 3 ON n CANCELLED AT 2026-01-01T00:00:00 ***";
    let time = "slurmstepd: error: *** JOB 3 ON n CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***";
    let cancelled = "slurmstepd: error: *** JOB 3 ON n CANCELLED AT 2026-01-01T00:00:00 ***";
    let own_words = "error: our own words about a memory limit, oom and what was cancelled at last";
    let status = |state, log| match judge(&task(), state, log) {
        Ending::Cancelled => None,
        Ending::Cut(status, _) => Some(status),
    };
    for (state, log, expected) in [
        (Some("OUT_OF_MEMORY"), Some(""), Some(Status::Oom)),
        (Some("FAILED"), Some(limit), Some(Status::Oom)),
        (None, Some(limit), Some(Status::Oom)),
        (Some("TIMEOUT"), None, Some(Status::Timeout)),
        (None, Some(time), Some(Status::Timeout)),
        (Some("CANCELLED by 0"), Some(""), None),
        (Some("CANCELLED+"), None, None),
        (None, Some(cancelled), None),
        (Some("NODE_FAIL"), Some(""), Some(Status::Failed)),
        (Some("FAILED"), Some(own_words), Some(Status::Failed)),
        (Some("COMPLETED"), Some(""), Some(Status::Failed)),
        (None, Some(own_words), Some(Status::Failed)),
        // Gone before it began.
        (None, None, None),
    ] {
        assert_eq!(status(state, log), expected, "{state:?} {log:?}");
    }
}
