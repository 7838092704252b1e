use std::fs;
use std::path::Path;

use prunebench_results::{Cell, Evaluation, Inputs, ThroughputRequest, read_records};

use super::*;
use crate::experiment::Limits;
use crate::message::Request;

pub(crate) const SPEED: ThroughputRequest = ThroughputRequest {
    prompt_tokens: 1,
    generated_tokens: 2,
    batch: 1,
    repeats: 1,
    warmup: 1,
    tensor_parallel: None,
    ceilings: false,
};

pub(crate) fn planned(recipe: &str, device: &str, throughput: Option<ThroughputRequest>) -> Planned {
    let cell = Cell {
        model: "m".into(),
        recipe: vec![recipe.into()],
        engine: "candle".into(),
        device: device.into(),
        dtype: "f32".into(),
        seed: 0,
        evaluation: Evaluation {
            throughput,
            ..Evaluation::default()
        },
    };
    let inputs = Inputs::new();
    Planned {
        skip: None,
        key: cell.key(&inputs),
        request: Request {
            inputs: inputs.clone(),
            cell: cell.clone(),
            model: None,
            calibration: None,
            recovery: None,
            data: None,
            threads: 1,
            shares: Default::default(),
        },
        cell,
        inputs,
    }
}

struct Silent;

impl Observer for Silent {
    fn started(&mut self, _: usize, _: u32) {}
    fn progress(&mut self, _: usize, _: &str, _: usize, _: usize) {}
    fn finished(&mut self, _: usize, _: &Record, _: bool) {}
}

/// Runs cells whose processes write their start and end, with their GPU, and fail; the lines, what became of the run, and its
/// records.
fn run(cells: Vec<Planned>, gpus: &[&str], retries: u32) -> (Vec<String>, Outcome, Vec<Record>) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script = format!(
        r#"read request; name=$(echo "$request" | grep -o 'cell-[0-9]*' | head -1); log='{}'
        echo "start $name $CUDA_VISIBLE_DEVICES" >> "$log"; sleep 1; echo "end $name $CUDA_VISIBLE_DEVICES" >> "$log"
        echo '{{"failed":{{"status":"failed","error":"no such thing","memory":null}}}}'"#,
        log.display()
    );
    let plan = Plan {
        experiment: "e".into(),
        cells,
        expect: Vec::new(),
        limits: Limits {
            retries,
            ..Limits::default()
        },
        in_rounds: false,
    };
    let local = Local {
        launcher: Launcher {
            program: "sh".into(),
            arguments: vec!["-c".into(), script],
        },
        jobs: 3,
        gpus: gpus.iter().map(ToString::to_string).collect(),
        interrupted: &AtomicBool::new(false),
    };
    let store = Store::open(folder.path().join("records")).unwrap();
    let outcome = local.execute(&plan, &store, &mut Silent).unwrap();
    (lines(&log), outcome, read_records(store.folder()).unwrap())
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// The most cells that ran at the same time.
fn at_once(lines: &[String]) -> usize {
    let mut running = 0;
    let counts = lines.iter().map(|line| {
        match line.starts_with("start ") {
            true => running += 1,
            false => running -= 1,
        }
        running
    });
    counts.max().unwrap_or(0)
}

#[test]
fn cells_run_at_once_but_for_those_that_measure_speed() {
    let cells = |speed| -> Vec<Planned> { (0..3).map(|i| planned(&format!("cell-{i}"), "cpu", speed)).collect() };
    let (lines, outcome, _) = run(cells(None), &[], 0);
    assert_eq!((lines.len(), at_once(&lines)), (6, 3), "{lines:?}");
    assert!(!outcome.is_complete());
    assert_eq!((outcome.measured, outcome.statuses), (3, vec![Some(Status::Failed); 3]));
    let mixed = [
        cells(Some(SPEED)),
        vec![planned("cell-8", "cpu", None), planned("cell-9", "cpu", None)],
    ]
    .concat();
    let (lines, _, _) = run(mixed, &[], 0);
    assert_eq!(at_once(&lines[..6]), 1, "{lines:?}");
    assert_eq!((lines.len(), at_once(&lines)), (10, 2), "{lines:?}");
}

#[test]
fn each_gpu_has_one_cell_at_a_time_and_cells_on_the_host_pass_those_that_wait() {
    let on_gpu = (0..3).map(|i| planned(&format!("cell-{i}"), "cuda:0", None));
    let cells = on_gpu.chain([planned("cell-9", "cpu", None)]).collect();
    let (lines, _, _) = run(cells, &["4", "7"], 0);
    for gpu in ["4", "7"] {
        let of_gpu: Vec<String> = lines.iter().filter(|line| line.ends_with(gpu)).cloned().collect();
        assert!(!of_gpu.is_empty() && at_once(&of_gpu) == 1, "{lines:?}");
    }
    assert_eq!(at_once(&lines), 3, "{lines:?}");
    let place = |line: &str| lines.iter().position(|other| other.starts_with(line)).unwrap();
    assert!(place("start cell-9") < place("start cell-2"), "{lines:?}");
}

#[test]
fn a_cell_that_fails_is_tried_again_as_often_as_the_limits_say_and_keeps_its_tries() {
    let (lines, _, records) = run(vec![planned("cell-1", "cpu", None)], &[], 2);
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert_eq!(records[0].attempts.len(), 2);
}
