use std::collections::BTreeMap;

use prunebench_results::{Cell, Evaluation};

use super::*;
use crate::message::Request;

/// A cell whose process is a shell script.
fn run(script: &str, limits: Limits) -> (Record, Vec<String>) {
    struct Heard(Vec<String>);
    impl Watch for Heard {
        fn started(&mut self, _: &Planned, process: u32) {
            assert!(process > 0);
        }
        fn progress(&mut self, phase: &str, done: usize, total: usize) {
            self.0.push(format!("{phase} {done}/{total}"));
        }
    }
    let cell = Cell {
        model: "m".into(),
        recipe: vec!["r".into()],
        engine: "candle".into(),
        device: "cpu".into(),
        dtype: "f32".into(),
        seed: 0,
        evaluation: Evaluation::default(),
    };
    let inputs = BTreeMap::new();
    let planned = Planned {
        skip: None,
        key: cell.key(&inputs),
        request: Request {
            inputs: BTreeMap::new(),
            cell: cell.clone(),
            model: None,
            calibration: None,
            recovery: None,
            data: None,
            threads: 3,
        },
        cell,
        inputs,
    };
    let launcher = Launcher {
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
    };
    let mut heard = Heard(Vec::new());
    let record = launcher
        .record(&planned, "e", limits, &Machine::look(), &mut heard)
        .unwrap();
    record.check().unwrap();
    (record, heard.0)
}

const NO_LIMITS: Limits = Limits {
    timeout_s: None,
    memory_gb: None,
};

#[test]
fn progress_is_heard_and_an_error_is_a_failed_cell() {
    let script = r#"read request; echo '{"progress":{"phase":"p","done":1,"total":2}}'; echo noise
        echo '{"failed":{"error":"no such thing","memory":null}}'"#;
    let (record, heard) = run(script, NO_LIMITS);
    assert_eq!(
        (record.status, record.error.as_deref()),
        (Status::Failed, Some("no such thing"))
    );
    assert_eq!(heard, ["p 1/2"]);
}

#[test]
fn a_process_is_told_its_request_and_its_threads() {
    let script = r#"read request; echo "$RAYON_NUM_THREADS$OMP_NUM_THREADS$MKL_NUM_THREADS $request" >&2; exit 3"#;
    let (record, _) = run(script, NO_LIMITS);
    let error = record.error.unwrap();
    assert!(
        error.contains("exit status: 3") && error.contains("333 {\"cell\":"),
        "{error}"
    );
}

#[test]
fn a_killed_process_is_a_crash_with_its_last_words() {
    let (record, _) = run("echo first >&2; echo last >&2; kill -9 $$", NO_LIMITS);
    assert_eq!(record.status, Status::Crashed);
    let error = record.error.unwrap();
    assert!(error.contains("signal: 9") && error.contains("first\nlast"), "{error}");
}

#[test]
fn a_process_without_a_last_word_is_a_crash_even_if_it_ends_well() {
    let (record, _) = run("exit 0", NO_LIMITS);
    assert_eq!(record.status, Status::Crashed);
}

#[test]
fn a_failed_allocation_is_out_of_memory() {
    let (record, _) = run("echo 'memory allocation of 99 bytes failed' >&2; kill -6 $$", NO_LIMITS);
    assert_eq!(record.status, Status::OutOfMemory);
}

#[test]
fn a_process_beyond_its_time_is_ended() {
    let limits = Limits {
        timeout_s: Some(0.2),
        ..NO_LIMITS
    };
    let (record, _) = run("exec sleep 600", limits);
    assert_eq!(record.status, Status::TimedOut);
    assert!(record.error.unwrap().contains("timeout_s = 0.2"));
}

#[test]
fn a_process_beyond_its_memory_is_ended() {
    let limits = Limits {
        memory_gb: Some(1e-6),
        ..NO_LIMITS
    };
    let (record, _) = run("exec sleep 600", limits);
    assert_eq!(record.status, Status::OutOfMemory);
    assert!(record.memory.unwrap().peak_resident_bytes > 1000);
}
