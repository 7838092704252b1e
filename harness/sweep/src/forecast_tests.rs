use std::fs;

use prunebench_results::{Inputs, PerplexityRequest};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::experiment::Limits;
use crate::plan::Planned;

fn cell(model: &str, recipe: &str, windows: usize) -> Cell {
    Cell {
        model: model.to_owned(),
        recipe: vec![recipe.to_owned()],
        engine: "candle".to_owned(),
        device: "cpu".to_owned(),
        dtype: "f32".to_owned(),
        seed: 0,
        evaluation: Evaluation {
            perplexity: vec![PerplexityRequest {
                protocol: "p@1".to_owned(),
                windows: Some(windows),
            }],
            ..Evaluation::default()
        },
    }
}

fn plan(cells: Vec<Cell>) -> Plan {
    Plan {
        experiment: "own".to_owned(),
        cells: cells.into_iter().map(|cell| Planned::alone(cell, 1)).collect(),
        expect: Vec::new(),
        limits: Limits::default(),
        in_rounds: false,
    }
}

/// Writes a record of the first format.
fn record(results: &TempDir, experiment: &str, cell: &Cell, seconds: u32, megabytes: u64, ok: bool) {
    let key = cell.key(&Inputs::new());
    let metrics = json!({
        "perplexity": [], "throughput": null,
        "compression": {
            "nominal_ratio": null, "achieved_ratio": 0.0, "achieved_parameter_ratio": 0.0, "mask_sparsity": 0.0,
            "method_reports": [],
        },
        "accounting": {
            "stored_parameters": 1, "executed_parameters": 1, "nonzero_parameters": 1, "stored_bytes": 4,
            "flops_per_token": 1, "kv_bytes_per_token": 1, "effective_depth": 1,
        },
        "budget": {
            "calibration_tokens": 0, "forward_passes": 0, "cpu_seconds": 0.0, "wall_seconds": 0.0, "update_seconds": 0.0,
        },
    });
    let record = json!({
        "schema": 1, "key": key, "cell": cell, "inputs": {}, "experiment": experiment,
        "status": if ok { "ok" } else { "failed" },
        "error": if ok { Value::Null } else { json!("no") },
        "metrics": if ok { metrics } else { Value::Null },
        "memory": { "peak_resident_bytes": megabytes << 20, "how": "guessed" },
        "provenance": {
            "git_revision": null, "git_dirty": false, "prunebench_version": "0", "rustc": "", "engine_version": "",
            "cpu": "", "cores": 1, "threads": 1, "memory_bytes": 1, "gpu": null, "driver": null, "os": "",
            "started_at": "2026-01-01T00:00:00Z", "finished_at": format!("2026-01-01T00:00:{seconds:02}Z"),
        },
    });
    let folder = results.path().join(experiment).join("records");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(cell.file_name(&key)), record.to_string()).unwrap();
}

#[test]
fn the_closest_records_make_the_estimate() {
    let results = tempfile::tempdir().unwrap();
    record(&results, "own", &cell("m", "x", 4), 10, 100, true);
    record(&results, "other", &cell("m", "y", 4), 20, 300, true);
    record(&results, "other", &cell("m", "x", 8), 40, 200, true);
    let forecast = plan(vec![
        cell("m", "x", 4),
        cell("m", "x", 5),
        cell("m", "z", 4),
        cell("m", "z", 9),
        cell("n", "x", 4),
    ])
    .forecast(results.path())
    .unwrap();
    let estimates = forecast.cells.iter().map(|outlook| {
        let estimate = outlook.estimate?;
        Some((
            estimate.seconds,
            estimate.peak_resident_bytes? >> 20,
            estimate.records,
            estimate.same,
        ))
    });
    let expected = [
        Some((10.0, 100, 1, Likeness::Cell)),
        Some((25.0, 200, 2, Likeness::Recipe)),
        Some((15.0, 300, 2, Likeness::Evaluation)),
        Some((20.0, 300, 3, Likeness::Model)),
        None,
    ];
    assert_eq!(estimates.collect::<Vec<_>>(), expected);
    assert_eq!(forecast.cells[0].status, Some(Status::Ok));
    let remaining = Remaining {
        cells: 4,
        unknown: 1,
        seconds: 60.0,
        peak_resident_bytes: Some(300 << 20),
        records: 3,
    };
    assert_eq!(forecast.remaining, remaining);
}

#[test]
fn a_cell_that_failed_is_left_and_estimates_nothing() {
    let results = tempfile::tempdir().unwrap();
    record(&results, "own", &cell("m", "x", 4), 10, 100, false);
    let forecast = plan(vec![cell("m", "x", 4)]).forecast(results.path()).unwrap();
    assert_eq!(forecast.cells[0].status, Some(Status::Failed));
    assert_eq!((forecast.remaining.cells, forecast.remaining.unknown), (1, 1));
}

#[test]
fn a_cell_that_cannot_be_is_not_left() {
    let mut plan = plan(vec![cell("m", "x", 4)]);
    plan.cells[0].skip = Some("no".to_owned());
    let none = tempfile::tempdir().unwrap();
    assert_eq!(plan.forecast(none.path()).unwrap().remaining, Remaining::default());
}

#[test]
fn damage_elsewhere_is_told_and_damage_at_home_is_an_error() {
    let results = tempfile::tempdir().unwrap();
    record(&results, "other", &cell("m", "x", 4), 10, 100, true);
    fs::write(results.path().join("other/records/z.json"), "{").unwrap();
    let here = plan(vec![cell("m", "x", 4)]);
    let forecast = here.forecast(results.path()).unwrap();
    assert!(forecast.unread[0].contains("z.json"), "{:?}", forecast.unread);
    assert!(forecast.cells[0].estimate.is_some());
    fs::create_dir_all(results.path().join("own/records")).unwrap();
    fs::write(results.path().join("own/records/z.json"), "{").unwrap();
    assert!(here.forecast(results.path()).is_err());
}
