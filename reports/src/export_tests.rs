use parquet::file::{reader::FileReader, serialized_reader::SerializedFileReader};

use super::*;
use crate::{
    accuracy_tables::tests::{choices, with},
    comparison::tests::{dense, failed, record},
};

/// A perplexity, a task, a failure, and a seed that no signed number holds.
fn records() -> Vec<Record> {
    let mut large = dense("candle");
    large.cell.seed = u64::MAX;
    let task = with(
        record("random", "torch", 2, 0.5),
        vec![choices(0, [1, 1, 1, 0, 1, 0, 1, 1])],
    );
    vec![large, task, failed("wanda", "candle", 1)]
}

fn exported(format: ExportFormat) -> Vec<u8> {
    let mut out = Vec::new();
    export(&records(), format, &mut out).unwrap();
    out
}

fn json_lines() -> Vec<Map<String, Value>> {
    let text = String::from_utf8(exported(ExportFormat::Jsonl)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_perplexity_and_every_metric_of_a_task_is_a_line() {
    let lines = json_lines();
    let of = |name: &str| -> Vec<String> { lines.iter().map(|line| line[name].to_string()).collect() };
    assert_eq!(of("seed"), [&u64::MAX.to_string(), "2", "2", "2", "1"]);
    assert_eq!(of("status"), [r#""ok""#, r#""ok""#, r#""ok""#, r#""ok""#, r#""oom""#]);
    assert_eq!(
        of("metric"),
        ["null", r#""acc""#, r#""acc_norm""#, r#""acc_bytes""#, "null"]
    );
    assert_eq!(of("score")[..2], ["null", "0.75"]);
    let perplexity = records()[0].metrics.as_ref().unwrap().perplexity[0].value;
    assert_eq!(lines[0]["perplexity"], perplexity);
    assert_eq!(lines[4]["error"], "asked for 9 GiB\nand a long trace");
    assert_eq!(lines[4]["git_dirty"], true);
}

#[test]
fn samples_are_not_needed() {
    let mut listed = records();
    for metrics in listed.iter_mut().filter_map(|record| record.metrics.as_mut()) {
        metrics
            .perplexity
            .iter_mut()
            .for_each(|result| result.window_nll.clear());
        metrics.tasks.iter_mut().for_each(|result| result.items.clear());
    }
    let mut out = Vec::new();
    export(&listed, ExportFormat::Csv, &mut out).unwrap();
    assert_eq!(out, exported(ExportFormat::Csv));
}

#[test]
fn csv_and_parquet_have_the_same_cells() {
    let lines = json_lines();
    let csv = exported(ExportFormat::Csv);
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    let names = reader.headers().unwrap().clone();
    assert!(names.iter().eq(lines[0].keys()));
    for (row, line) in reader.records().zip(&lines) {
        for (cell, value) in row.unwrap().iter().zip(line.values()) {
            let wanted = match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(cell, wanted);
        }
    }

    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&exported(ExportFormat::Parquet)).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    let rows: Vec<Value> = rows.map(|row| row.unwrap().to_json_value()).collect();
    assert_eq!(rows, lines.into_iter().map(Value::Object).collect::<Vec<_>>());
}
