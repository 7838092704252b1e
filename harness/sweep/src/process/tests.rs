use prunebench_eval::{Gpus, ListedGpu};
use prunebench_results::{Cell, Evaluation};

use super::*;

/// A cell whose process is a shell script.
fn run_until(script: &str, limits: Limits, interrupted: &AtomicBool) -> (Option<Record>, Vec<String>) {
    let launcher = Launcher {
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
    };
    run_program(&launcher, limits, interrupted)
}

fn run_program(launcher: &Launcher, limits: Limits, interrupted: &AtomicBool) -> (Option<Record>, Vec<String>) {
    struct Heard(Vec<String>);
    impl Watch for Heard {
        fn started(&mut self, process: u32) {
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
    let planned = Planned::alone(cell, 3);
    let mut heard = Heard(Vec::new());
    let terms = Terms {
        experiment: "e",
        limits,
        machine: &Machine::look(),
        gpu: Some("7"),
        interrupted,
    };
    let record = launcher.record(&planned, &terms, &mut heard).unwrap();
    if let Some(record) = &record {
        record.check().unwrap();
    }
    (record, heard.0)
}

fn run(script: &str, limits: Limits) -> (Record, Vec<String>) {
    let (record, heard) = run_until(script, limits, &AtomicBool::new(false));
    (record.unwrap(), heard)
}

const NO_LIMITS: Limits = Limits {
    timeout_s: None,
    memory_gb: None,
    retries: 0,
    checkpoint_s: None,
};

#[test]
fn progress_is_heard_and_an_error_is_a_failed_cell() {
    let script = r#"read request; echo '{"progress":{"phase":"p","done":1,"total":2}}'; echo noise
        echo careful >&2
        echo '{"failed":{"status":"failed","error":"no such thing","memory":null}}'"#;
    let (record, heard) = run(script, NO_LIMITS);
    assert_eq!(record.log, ["careful", "last progress: p 1 of 2"]);
    assert_eq!(
        (record.status, record.error.as_deref()),
        (Status::Failed, Some("no such thing"))
    );
    assert_eq!(heard, ["p 1/2"]);
}

#[test]
fn a_process_is_told_its_request_and_its_threads() {
    let script = r#"read request; echo "$RAYON_NUM_THREADS$OMP_NUM_THREADS$MKL_NUM_THREADS$CUDA_VISIBLE_DEVICES $request" >&2; exit 3"#;
    let (record, _) = run(script, NO_LIMITS);
    let error = record.error.unwrap();
    assert!(
        error.contains("exit status: 3") && error.contains("3337 {\"cell\":"),
        "{error}"
    );
}

#[test]
fn a_record_names_the_gpu_that_its_process_was_given() {
    let gpu = |name: &str, uuid: &str| ListedGpu {
        name: name.into(),
        uuid: uuid.into(),
        instances: Vec::new(),
    };
    let machine = Machine::with_gpus(Gpus {
        gpus: vec![gpu("a small GPU", "GPU-a"), gpu("a large GPU", "GPU-b")],
        driver: "580".into(),
    });
    let named = |visible, device| {
        let terms = Terms {
            experiment: "e",
            limits: NO_LIMITS,
            machine: &machine,
            gpu: visible,
            interrupted: &AtomicBool::new(false),
        };
        let launcher = Launcher {
            program: "true".into(),
            arguments: Vec::new(),
        };
        let record = launcher.record(&crate::run::tests::planned("r", device, None), &terms, &mut Unheard);
        let provenance = record.unwrap().unwrap().provenance;
        (provenance.gpu, provenance.gpu_uuid, provenance.driver)
    };
    let large = |driver: &str| (Some("a large GPU".into()), Some("GPU-b".into()), Some(driver.into()));
    assert_eq!(named(Some("1"), "cuda"), large("580"));
    assert_eq!(named(Some("GPU-b"), "cuda:0"), large("580"));
    assert_eq!(named(Some("1,0"), "cuda:1").1, Some("GPU-a".into()));
    assert_eq!(named(Some("1"), "cpu"), (None, None, None));
}

struct Unheard;

impl Watch for Unheard {
    fn started(&mut self, _: u32) {}
    fn progress(&mut self, _: &str, _: usize, _: usize) {}
}

#[test]
fn a_killed_process_is_a_failed_cell_with_its_signal_and_last_words() {
    let (record, _) = run("echo first >&2; echo last >&2; kill -9 $$", NO_LIMITS);
    assert_eq!(record.status, Status::Failed);
    let error = record.error.unwrap();
    assert!(error.contains("signal: 9") && error.ends_with("; last"), "{error}");
    assert_eq!(record.log, ["first", "last"]);
}

#[test]
fn a_panic_is_a_failed_cell_with_its_message() {
    let script =
        r#"printf "noise\nthread 'main' (7) panicked at a.rs:1:2:\nall is lost\nnote: run with\n" >&2; exit 101"#;
    let (record, _) = run(script, NO_LIMITS);
    assert_eq!((record.status, record.log.len()), (Status::Failed, 4));
    let error = record.error.unwrap();
    let words = "exit status: 101; thread 'main' (7) panicked at a.rs:1:2: all is lost";
    assert!(error.ends_with(words), "{error}");
}

#[test]
fn a_program_that_really_panics_is_a_failed_cell_with_its_message() {
    // The test starts itself as that program, with a filter that nobody else gives.
    const ROLE: &str = "nothing-but-the-program-that-panics";
    assert!(!std::env::args().any(|argument| argument == ROLE), "all is lost");
    let launcher = Launcher {
        program: std::env::current_exe().unwrap(),
        arguments: vec![
            "a_program_that_really_panics_is_a_failed_cell_with_its_message".into(),
            "--nocapture".into(),
            "--skip".into(),
            ROLE.into(),
        ],
    };
    let (record, _) = run_program(&launcher, NO_LIMITS, &AtomicBool::new(false));
    let record = record.unwrap();
    assert_eq!(record.status, Status::Failed);
    let error = record.error.unwrap();
    assert!(
        error.contains("process/tests.rs") && error.contains(": all is lost"),
        "{error}"
    );
}

#[test]
fn the_machine_s_memory_is_at_an_end_for_a_cell_s_process_first() {
    let (record, _) = run("read request; cat /proc/$$/oom_score_adj >&2; exit 1", NO_LIMITS);
    if cfg!(target_os = "linux") {
        assert_eq!(record.log, ["1000"]);
    }
}

#[test]
fn a_number_that_is_none_is_a_status_of_its_own() {
    let script = r#"echo '{"failed":{"status":"nan","error":"the loss is NaN","memory":null}}'"#;
    assert_eq!(run(script, NO_LIMITS).0.status, Status::Nan);
}

#[test]
fn a_process_without_a_last_word_failed_even_if_it_ends_well() {
    let (record, _) = run("exit 0", NO_LIMITS);
    assert_eq!(record.status, Status::Failed);
}

#[test]
fn each_engine_s_word_for_a_full_gpu_is_out_of_memory() {
    for words in [
        r#"full: DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")"#,
        "matmul: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.18 GiB",
        "linear: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "linear: CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
    ] {
        let script = format!(
            r#"cat <<'END'
{{"failed":{{"status":"failed","error":"{words}","memory":null}}}}
END"#
        );
        assert_eq!(run(&script, NO_LIMITS).0.status, Status::Oom, "{words}");
    }
}

#[test]
fn a_process_rounds_products_only_if_its_cell_is_in_tf32() {
    let script = "echo $TORCH_ALLOW_TF32_CUBLAS_OVERRIDE >&2; exit 1";
    assert_eq!(run(script, NO_LIMITS).0.log, ["0"]);
}

#[test]
fn a_failed_allocation_is_out_of_memory() {
    let (record, _) = run("echo 'memory allocation of 99 bytes failed' >&2; kill -6 $$", NO_LIMITS);
    assert_eq!(record.status, Status::Oom);
}

#[test]
fn an_interrupted_process_is_ended_and_leaves_no_record() {
    let (record, heard) = run_until("exec sleep 600", NO_LIMITS, &AtomicBool::new(true));
    assert!(record.is_none() && heard.is_empty());
}

#[test]
fn a_process_beyond_its_time_is_ended() {
    let limits = Limits {
        timeout_s: Some(0.2),
        ..NO_LIMITS
    };
    let (record, _) = run("exec sleep 600", limits);
    assert_eq!(record.status, Status::Timeout);
    assert!(record.error.unwrap().contains("timeout_s = 0.2"));
}

#[test]
fn what_is_no_text_neither_ends_the_limits_nor_what_is_heard() {
    let limits = Limits {
        timeout_s: Some(2.0),
        ..NO_LIMITS
    };
    let progress = r#"echo '{"progress":{"phase":"p","done":1,"total":2}}'"#;
    let (record, heard) = run(&format!(r"printf '\377\376\n'; {progress}; exec sleep 600"), limits);
    assert_eq!((record.status, heard), (Status::Timeout, vec!["p 1/2".to_owned()]));
    let limits = Limits {
        memory_gb: Some(1e-6),
        ..NO_LIMITS
    };
    let (record, _) = run(r"printf '\377\376\n'; exec sleep 600", limits);
    assert_eq!(record.status, Status::Oom);
}

#[test]
fn a_process_that_closes_its_output_is_held_to_its_limits_and_can_be_interrupted() {
    let limits = Limits {
        timeout_s: Some(2.0),
        ..NO_LIMITS
    };
    let (record, _) = run("exec >&-; exec sleep 600", limits);
    assert_eq!(record.status, Status::Timeout);
    let interrupted = AtomicBool::new(false);
    let record = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(std::time::Duration::from_millis(300));
            interrupted.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        run_until("exec >&-; exec sleep 600", NO_LIMITS, &interrupted).0
    });
    assert!(record.is_none());
}

#[test]
fn a_process_beyond_its_memory_is_ended() {
    let limits = Limits {
        memory_gb: Some(1e-6),
        ..NO_LIMITS
    };
    let (record, _) = run("exec sleep 600", limits);
    assert_eq!(record.status, Status::Oom);
    assert!(record.memory.unwrap().peak_resident_bytes > 1000);
}
