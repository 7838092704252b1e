//! Parquet files: one text column, or whole rows.

use std::fs::File;
use std::panic::{self, UnwindSafe};
use std::path::Path;

use parquet::column::reader::ColumnReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

use crate::error::{Error, Result};

/// The rows of `column` in `path`, in order.
///
/// # Errors
/// [`Error::Parquet`] if the file is cut off or damaged, has no such column, or the column is not flat text without nulls.
pub(crate) fn texts(path: &Path, column: &str) -> Result<Vec<String>> {
    read(path, |file| read_column(file, column))
}

/// The rows of `path`, in order, each an object of its fields.
///
/// # Errors
/// [`Error::Parquet`] if the file is cut off or damaged.
pub(super) fn rows(path: &Path) -> Result<Vec<Value>> {
    read(path, |file| {
        let reader = SerializedFileReader::new(file)?;
        reader.get_row_iter(None)?.map(|row| Ok(row?.to_json_value())).collect()
    })
}

fn read<T>(path: &Path, read: impl FnOnce(File) -> ParquetResult<T> + UnwindSafe) -> Result<T> {
    let file = File::open(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    // The reader asserts some numbers of the file's own footer instead of checking them.
    let content = panic::catch_unwind(|| read(file))
        .unwrap_or_else(|_| Err(ParquetError::General("its footer is damaged".into())));
    content.map_err(|error| Error::Parquet {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

fn read_column(file: File, column: &str) -> ParquetResult<Vec<String>> {
    let fault = |reason| Err(ParquetError::General(reason));
    let reader = SerializedFileReader::new(file)?;
    let columns = reader.metadata().file_metadata().schema_descr().columns();
    let names = || columns.iter().map(|found| found.path().string());
    let Some(index) = names().position(|name| name == column) else {
        let names: Vec<_> = names().collect();
        return fault(format!("no column {column:?}, only {}", names.join(", ")));
    };

    let mut rows = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let wanted = usize::try_from(group.metadata().num_rows())
            .map_err(|error| ParquetError::General(format!("the length of a row group: {error}")))?;
        let ColumnReader::ByteArrayColumnReader(mut values) = group.get_column_reader(index)? else {
            return fault(format!("the column {column:?} is not text"));
        };
        let (mut texts, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        let (read, present, _) = values.read_records(wanted, Some(&mut defined), Some(&mut repeated), &mut texts)?;
        if read != wanted || present != wanted {
            return fault(format!("a row group has {present} texts, wanted {wanted}"));
        }
        for text in &texts {
            rows.push(text.as_utf8()?.to_owned());
        }
    }
    Ok(rows)
}
