//! All records of a store as one flat table.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::Compression,
    data_type::{BoolType, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use prunebench_results::Record;
use serde_json::{Map, Value};

use crate::columns::{CELL, Column, Get, Line, PERPLEXITY, RUN, STORE, TASK, write_csv};

const COLUMNS: [&[Column]; 5] = [CELL, PERPLEXITY, TASK, RUN, STORE];

/// The file formats of an export, each of which pandas reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// Comma-separated with a header.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// A JSON object a line.
    Jsonl,
}

/// An export that can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The text formats.
    #[error("{0}")]
    Csv(#[from] csv::Error),
    /// The file.
    #[error("{0}")]
    Write(#[from] std::io::Error),
    /// Parquet.
    #[error("{0}")]
    Parquet(#[from] ParquetError),
}

/// Writes records as a table with a line for each perplexity and each task's metric of a record, or one if it has neither.
/// The cells of a line that don't concern it are empty. Samples are no part of it, and needn't be in the records.
///
/// # Errors
/// If `out` can't be written.
pub fn export(records: &[Record], format: ExportFormat, out: impl Write + Send) -> Result<(), ExportError> {
    let lines: Vec<Line> = records.iter().flat_map(lines).collect();
    match format {
        ExportFormat::Csv => Ok(write_csv(&COLUMNS, lines, out)?),
        ExportFormat::Jsonl => Ok(write_json_lines(&lines, out)?),
        ExportFormat::Parquet => Ok(write_parquet(&lines, out)?),
    }
}

fn lines(record: &Record) -> Vec<Line<'_>> {
    let protocols = 0..record.cell.evaluation.perplexity.len();
    let perplexities = protocols.map(|index| Line {
        protocol: Some(index),
        ..Line::of(record)
    });
    let tasks = record.metrics.iter().flat_map(|metrics| &metrics.tasks);
    let metrics = tasks.flat_map(|task| task.metrics.iter().map(move |metric| (task, metric)));
    let tasks = metrics.map(|task| Line {
        task: Some(task),
        ..Line::of(record)
    });
    let mut lines: Vec<Line> = perplexities.chain(tasks).collect();
    if lines.is_empty() {
        lines.push(Line::of(record));
    }
    lines
}

fn write_json_lines(lines: &[Line], mut out: impl Write) -> std::io::Result<()> {
    for line in lines {
        let cell = |(name, get): &Column| {
            let value = match get {
                Get::Text(get) => get(line).map(|text| Value::from(text.as_ref())),
                Get::Count(get) => get(line).map(Value::from),
                Get::Number(get) => get(line).map(Value::from),
                Get::Flag(get) => get(line).map(Value::from),
            };
            (name.to_string(), value.unwrap_or(Value::Null))
        };
        let object: Map<String, Value> = COLUMNS.into_iter().flatten().map(cell).collect();
        serde_json::to_writer(&mut out, &object)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn write_parquet(lines: &[Line], out: impl Write + Send) -> Result<(), ParquetError> {
    let fields = COLUMNS.into_iter().flatten().map(|(name, get)| match get {
        Get::Text(_) => format!("optional byte_array {name} (string);"),
        Get::Count(_) => format!("optional int64 {name} (integer(64, false));"),
        Get::Number(_) => format!("optional double {name};"),
        Get::Flag(_) => format!("optional boolean {name};"),
    });
    let schema = format!("message records {{ {} }}", fields.collect::<String>());
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = Arc::new(parse_message_type(&schema)?);
    let mut file = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for (name, get) in COLUMNS.into_iter().flatten() {
        let Some(mut column) = group.next_column()? else {
            return Err(ParquetError::General(format!("the schema has no column for {name}")));
        };
        match get {
            Get::Text(get) => {
                let (values, defined) = cells(lines, |line| Some(get(line)?.as_bytes().to_vec().into()));
                column
                    .typed::<ByteArrayType>()
                    .write_batch(&values, Some(&defined), None)?;
            }
            Get::Count(get) => {
                // An unsigned number is kept by its bits.
                let (values, defined) = cells(lines, |line| Some(get(line)?.cast_signed()));
                column.typed::<Int64Type>().write_batch(&values, Some(&defined), None)?;
            }
            Get::Number(get) => {
                let (values, defined) = cells(lines, get);
                column
                    .typed::<DoubleType>()
                    .write_batch(&values, Some(&defined), None)?;
            }
            Get::Flag(get) => {
                let (values, defined) = cells(lines, get);
                column.typed::<BoolType>().write_batch(&values, Some(&defined), None)?;
            }
        }
        column.close()?;
    }
    group.close()?;
    file.close()?;
    Ok(())
}

/// The values that are there, and for each line whether it has one.
fn cells<'a, T>(lines: &[Line<'a>], get: impl Fn(&Line<'a>) -> Option<T>) -> (Vec<T>, Vec<i16>) {
    let cells: Vec<Option<T>> = lines.iter().map(get).collect();
    let defined = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    (cells.into_iter().flatten().collect(), defined)
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
