use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use prunebench_results::{Cell, Evaluation, ThroughputRequest, read_records};

use super::*;
use crate::experiment::Limits;
use crate::host::Host;
use crate::plan::Planned;
use crate::process::Launcher;

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
    Planned::alone(cell, 1)
}

/// A machine with its locks in a folder.
pub(crate) fn host(folder: &Path, name: &str) -> Host {
    Host {
        name: name.to_owned(),
        locks: folder.join("locks"),
    }
}

struct Silent;

impl Observer for Silent {
    fn started(&mut self, _: usize, _: u32) {}
    fn waits(&mut self, _: usize, _: &str) {}
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
        host: host(folder.path(), "a"),
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

/// Runs the cells of an experiment as one of several runs, each cell for so many tenths of a second, and gives what became of it.
/// All runs with the same `folder` write starts and ends to one log.
struct Runs {
    folder: tempfile::TempDir,
}

impl Runs {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn run(&self, name_of_host: &str, store: &str, jobs: usize, tenths: usize, cells: Vec<Planned>) -> Outcome {
        self.run_heard(name_of_host, store, jobs, tenths, cells, &mut Silent)
    }

    fn run_heard(
        &self,
        name_of_host: &str,
        store: &str,
        jobs: usize,
        tenths: usize,
        cells: Vec<Planned>,
        observer: &mut dyn Observer,
    ) -> Outcome {
        let metrics = r#"{"perplexity":[],"throughput":null,"compression":{"nominal_ratio":null,"achieved_ratio":0.0,
            "achieved_parameter_ratio":0.0,"mask_sparsity":0.0,"method_reports":[]},"accounting":{"stored_parameters":1,
            "executed_parameters":1,"nonzero_parameters":1,"stored_bytes":4,"flops_per_token":1,"kv_bytes_per_token":1,
            "effective_depth":1},"budget":{"calibration_tokens":0,"forward_passes":0,"cpu_seconds":0.0,"wall_seconds":0.0,
            "update_seconds":0.0}}"#;
        let script = format!(
            r#"read request; name=$(echo "$request" | grep -o 'cell-[0-9]*' | head -1); log='{}'
            echo "start $name {name_of_host}" >> "$log"; sleep {}; echo "end $name {name_of_host}" >> "$log"
            echo '{{"measured":{{"metrics":{},"memory":{{"peak_resident_bytes":1,"how":"guessed"}}}}}}'"#,
            self.log().display(),
            tenths as f64 / 10.0,
            metrics.replace('\n', ""),
        );
        let local = Local {
            launcher: Launcher {
                program: "sh".into(),
                arguments: vec!["-c".into(), script],
            },
            host: host(self.folder.path(), name_of_host),
            jobs,
            gpus: Vec::new(),
            interrupted: &AtomicBool::new(false),
        };
        let plan = Plan {
            experiment: "e".into(),
            in_rounds: cells.iter().all(Planned::measures_speed),
            cells,
            expect: Vec::new(),
            limits: Limits::default(),
        };
        let store = Store::open(self.folder.path().join(store)).unwrap();
        local.execute(&plan, &store, observer).unwrap()
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }

    fn lines(&self) -> Vec<String> {
        lines(&self.log())
    }

    fn records(&self, store: &str) -> Vec<Record> {
        read_records(&self.folder.path().join(store)).unwrap()
    }
}

/// Two cells of each seed, which measure speed alone.
fn rounds(seeds: std::ops::Range<u64>) -> Vec<Planned> {
    let cell = |seed: u64, number: u64| {
        let mut planned = planned(&format!("cell-{}", 2 * seed + number), "cpu", Some(SPEED));
        planned.cell.seed = seed;
        planned.key = planned.cell.key(&planned.inputs);
        planned.request.cell = planned.cell.clone();
        planned
    };
    seeds.flat_map(|seed| [cell(seed, 0), cell(seed, 1)]).collect()
}

/// What ran while the cell of this number did.
fn beside(lines: &[String], cell: usize) -> Vec<&String> {
    let place = |what: &str| {
        let line = format!("{what} cell-{cell} ");
        lines.iter().position(|other| other.starts_with(&line)).unwrap()
    };
    let open = |line: &&String| {
        let name = line.split(' ').nth(1).unwrap();
        let end = lines
            .iter()
            .position(|other| other.starts_with(&format!("end {name} ")));
        line.starts_with("start ") && end.is_none_or(|end| end > place("start"))
    };
    let before = lines[..place("start")].iter().filter(open);
    before.chain(&lines[place("start") + 1..place("end")]).collect()
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

#[test]
fn a_timed_cell_has_its_machine_to_itself_whatever_else_runs_there() {
    // Runs of two results folders, and two of one.
    for stores in [["one", "other"], ["one", "one"]] {
        let runs = Runs::new();
        let others = || (10..16).map(|i| planned(&format!("cell-{i}"), "cpu", None)).collect();
        thread::scope(|scope| {
            scope.spawn(|| runs.run("a", stores[0], 2, 4, others()));
            scope.spawn(|| runs.run("a", stores[0], 1, 4, rounds(0..2)));
            scope.spawn(|| runs.run("a", stores[1], 1, 4, rounds(2..4)));
        });
        let lines = runs.lines();
        for cell in 0..8 {
            let others = beside(&lines, cell);
            assert!(others.is_empty(), "cell {cell} beside others: {lines:?}");
        }
        assert_eq!(lines.len(), 28, "{lines:?}");
    }
}

#[test]
fn a_cell_that_waits_for_the_machine_says_so_and_is_not_passed_by_those_that_come_later() {
    struct Heard(Vec<String>);
    impl Observer for Heard {
        fn started(&mut self, _: usize, _: u32) {}
        fn waits(&mut self, cell: usize, reason: &str) {
            self.0.push(format!("{cell}: {reason}"));
        }
        fn progress(&mut self, _: usize, _: &str, _: usize, _: usize) {}
        fn finished(&mut self, _: usize, _: &Record, _: bool) {}
    }
    let runs = Runs::new();
    let mut heard = Heard(Vec::new());
    thread::scope(|scope| {
        let others = (10..20).map(|i| planned(&format!("cell-{i}"), "cpu", None)).collect();
        scope.spawn(|| runs.run("a", "one", 2, 20, others));
        while !runs.log().exists() {
            thread::sleep(Duration::from_millis(10));
        }
        runs.run_heard("a", "other", 1, 1, rounds(0..1), &mut heard);
    });
    let lines = runs.lines();
    let place = |line: &str| lines.iter().position(|other| other.starts_with(line)).unwrap();
    assert!(place("start cell-1 ") < place("start cell-19"), "{lines:?}");
    assert!(
        heard
            .0
            .first()
            .is_some_and(|text| text.starts_with("0: waits for what runs on this machine") && text.contains("cell-1")),
        "{:?}",
        heard.0
    );
}

#[test]
fn a_round_is_not_split_over_machines_that_run_at_once() {
    let runs = Runs::new();
    thread::scope(|scope| {
        // Machines share the folder and no lock.
        for host in ["a", "b", "c"] {
            let runs = &runs;
            scope.spawn(move || runs.run(host, "records", 1, 2, rounds(0..4)));
        }
    });
    let records = runs.records("records");
    assert_eq!(records.len(), 8);
    for seed in 0..4 {
        let of_round = records.iter().filter(|record| record.cell.seed == seed);
        let hosts: Vec<_> = of_round.map(|record| record.provenance.host.clone().unwrap()).collect();
        assert!(hosts.len() == 2 && hosts[0] == hosts[1], "seed {seed}: {hosts:?}");
    }
}

#[test]
fn a_round_that_nobody_goes_on_with_is_left_alone_with_two_ways_to_go_on() {
    let runs = Runs::new();
    runs.run("a", "records", 1, 0, rounds(0..2)[..1].to_vec());
    let outcome = runs.run("b", "records", 1, 0, rounds(0..2));
    let of = |seed: u64| {
        let records = runs.records("records").into_iter();
        let of_seed = records.filter(move |record| record.cell.seed == seed);
        of_seed
            .map(|record| record.provenance.host.unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!((of(0), of(1)), (vec!["a".to_owned()], vec!["b".to_owned(); 2]));
    let reason = outcome.stopped.unwrap();
    for part in [
        "the rounds of seeds 0 were begun on a (",
        "start the same command there",
        "another --results folder",
        "move",
    ] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    // There it goes on.
    assert!(runs.run("a", "records", 1, 0, rounds(0..2)).stopped.is_none());
    assert_eq!(of(0), ["a", "a"]);
}
