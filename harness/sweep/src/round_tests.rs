//! Rounds of speed that one run begins and another ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use prunebench_results::{Record, Status, Store, read_records};

use crate::experiment::Limits;
use crate::plan::{Plan, Planned};
use crate::process::Launcher;
use crate::run::tests::{SPEED, host, planned};
use crate::run::{Executor, Local, Observer, Outcome};

const METRICS: &str = r#"{"perplexity":[],"throughput":null,"compression":{"nominal_ratio":null,"achieved_ratio":0.0,
"achieved_parameter_ratio":0.0,"mask_sparsity":0.0,"method_reports":[]},"accounting":{"stored_parameters":1,
"executed_parameters":1,"nonzero_parameters":1,"stored_bytes":4,"flops_per_token":1,"kv_bytes_per_token":1,
"effective_depth":1},"budget":{"calibration_tokens":0,"forward_passes":0,"cpu_seconds":0.0,"wall_seconds":0.0,
"update_seconds":0.0}}"#;

/// Interrupts the run once the process of a cell has begun its work.
struct Interrupts<'a> {
    at: Option<usize>,
    folder: &'a Path,
    interrupted: &'a AtomicBool,
}

impl Observer for Interrupts<'_> {
    fn started(&mut self, cell: usize, _: u32) {
        if self.at == Some(cell) {
            while begun(self.folder).len() <= cell {
                sleep(Duration::from_millis(10));
            }
            self.interrupted.store(true, Ordering::Relaxed);
        }
    }
    fn waits(&mut self, _: usize, _: &str) {}
    fn progress(&mut self, _: usize, _: &str, _: usize, _: usize) {}
    fn finished(&mut self, _: usize, _: &Record, _: bool) {}
}

/// Three rounds of two cells, in the order of a plan.
fn rounds() -> Vec<Planned> {
    let cell = |place: u64| {
        let mut planned = planned(&format!("cell-{}", place % 2), "cpu", Some(SPEED));
        planned.cell.seed = place / 2;
        planned.key = planned.cell.key(&planned.inputs);
        planned.request.cell = planned.cell.clone();
        planned
    };
    (0..6).map(cell).collect()
}

/// Runs the rounds with one results folder, and logs `recipe seed` as each process begins. The process of a cell that is to be
/// interrupted never ends by itself.
fn run(folder: &Path, name_of_host: &str, interrupt_at: Option<usize>) -> Outcome {
    let interrupted = AtomicBool::new(false);
    let ends = match interrupt_at {
        None => String::new(),
        Some(cell) => format!(r#"[ "$cell" = "cell-{} {}" ] && exec sleep 600;"#, cell % 2, cell / 2),
    };
    let script = format!(
        r#"read request; name=$(echo "$request" | grep -o 'cell-[0-9]*' | head -1)
        seed=$(echo "$request" | grep -o '"seed":[0-9]*' | head -1 | grep -o '[0-9]*'); cell="$name $seed"
        echo "$cell" >> '{}'; {ends}
        echo '{{"measured":{{"metrics":{},"memory":{{"peak_resident_bytes":1,"how":"guessed"}}}}}}'"#,
        log(folder).display(),
        METRICS.replace('\n', ""),
    );
    let local = Local {
        launcher: Launcher {
            program: "sh".into(),
            arguments: vec!["-c".into(), script],
        },
        host: host(folder, name_of_host),
        jobs: 2,
        gpus: Vec::new(),
        interrupted: &interrupted,
    };
    let plan = Plan {
        experiment: "e".into(),
        cells: rounds(),
        expect: Vec::new(),
        limits: Limits::default(),
        in_rounds: true,
    };
    let store = Store::open(folder.join("records")).unwrap();
    let mut observer = Interrupts {
        at: interrupt_at,
        folder,
        interrupted: &interrupted,
    };
    local.execute(&plan, &store, &mut observer).unwrap()
}

fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn begun(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(log(folder)).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Every record's file, by name.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder.join("records")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_run_that_is_stopped_counts_what_was_measured_before_as_measured() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ok = Some(Status::Ok);
    assert_eq!(run(folder, "a", None).statuses, [ok; 6]);
    let of_first = |(path, content): &(PathBuf, Vec<u8>)| {
        let record = String::from_utf8_lossy(content);
        (record.contains("cell-1") && record.contains("\"seed\": 0")).then(|| path.clone())
    };
    let lost: Vec<PathBuf> = files(folder).iter().filter_map(of_first).collect();
    assert_eq!(lost.len(), 1);
    fs::remove_file(&lost[0]).unwrap();
    let stopped = run(folder, "a", Some(1));
    assert_eq!(stopped.statuses, [ok, None, ok, ok, ok, ok]);
    assert!(stopped.stopped.unwrap().contains("1 cells left"));
}

#[test]
fn a_round_that_one_run_begins_and_another_ends_has_each_of_its_cells_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // In the middle of the second round.
    let first = run(folder, "a", Some(3));
    assert!(first.stopped.unwrap().contains("3 cells left"));
    assert_eq!(begun(folder), ["cell-0 0", "cell-1 0", "cell-0 1", "cell-1 1"]);
    let ok = Some(Status::Ok);
    assert_eq!(first.statuses, [ok, ok, ok, None, None, None]);
    let kept = files(folder);
    assert!(!kept.is_empty());

    let second = run(folder, "a", None);
    assert!(second.is_complete() && second.stopped.is_none());
    assert_eq!(second.measured, 3);
    // The rest of the round comes before the next one, and what was measured isn't measured again.
    assert_eq!(begun(folder)[4..], ["cell-1 1", "cell-0 2", "cell-1 2"]);
    let all = files(folder);
    for file in &kept {
        assert!(all.contains(file), "{} was written again", file.0.display());
    }
    let records = read_records(&folder.join("records")).unwrap();
    let of_round = |seed: u64| {
        let mut recipes: Vec<String> = records
            .iter()
            .filter(|record| record.cell.seed == seed && record.status == Status::Ok)
            .map(|record| {
                assert_eq!(record.provenance.host.as_deref(), Some("a"));
                record.cell.recipe.concat()
            })
            .collect();
        recipes.sort();
        recipes
    };
    for seed in 0..3 {
        assert_eq!(of_round(seed), ["cell-0", "cell-1"], "seed {seed}");
    }
    assert_eq!(records.len(), 6);
}

#[test]
fn another_machine_takes_the_rounds_that_a_stopped_run_did_not_begin_and_no_cell_of_one_that_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, "a", Some(3));
    let there = run(folder, "b", None);
    assert_eq!(begun(folder)[4..], ["cell-0 2", "cell-1 2"]);
    assert!(
        there
            .stopped
            .unwrap()
            .contains("the rounds of seeds 1 were begun on a (")
    );
    // Where it was begun it ends, and the other machine's round stays that machine's.
    let here = run(folder, "a", None);
    assert!(here.is_complete());
    assert_eq!(
        (here.measured, begun(folder)[6..].to_vec()),
        (1, vec!["cell-1 1".to_owned()])
    );
    for record in read_records(&folder.join("records")).unwrap() {
        let host = if record.cell.seed == 2 { "b" } else { "a" };
        assert_eq!(
            record.provenance.host.as_deref(),
            Some(host),
            "seed {}",
            record.cell.seed
        );
    }
}
