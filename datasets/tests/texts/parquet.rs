//! Parquet files as the Hub has them.

use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// A parquet file of one optional text column, `group` rows to a row group; `None` is a null.
pub fn parquet(column: &str, rows: &[Option<&str>], group: usize) -> Vec<u8> {
    let schema =
        parse_message_type(&format!("message schema {{ optional byte_array {column} (UTF8); }}")).expect("schema");
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::default()).expect("writer");
    for rows in rows.chunks(group) {
        let mut row_group = writer.next_row_group().expect("row group");
        let mut column = row_group.next_column().expect("column").expect("one column");
        let texts: Vec<ByteArray> = rows.iter().flatten().map(|row| (*row).into()).collect();
        let defined: Vec<i16> = rows.iter().map(|row| i16::from(row.is_some())).collect();
        column
            .typed::<ByteArrayType>()
            .write_batch(&texts, Some(&defined), None)
            .expect("write");
        column.close().expect("close column");
        row_group.close().expect("close row group");
    }
    writer.close().expect("close file");
    bytes
}

/// A parquet file of one row of a question with its choices, nested as the Hub nests them.
pub fn parquet_of_choices(question: &str, texts: &[&str], labels: &[&str], answer: &str) -> Vec<u8> {
    let list = "(LIST) { repeated group list { optional binary element (UTF8); } }";
    let schema = format!(
        "message schema {{ optional binary question (UTF8); optional group choices {{ optional group text {list} \
         optional group label {list} }} optional binary answerKey (UTF8); }}"
    );
    let schema = parse_message_type(&schema).expect("schema");
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::default()).expect("writer");
    let mut row_group = writer.next_row_group().expect("row group");
    for (values, defined) in [(&[question][..], 1), (texts, 4), (labels, 4), (&[answer], 1)] {
        let mut column = row_group.next_column().expect("column").expect("one more");
        let values: Vec<ByteArray> = values.iter().map(|value| (*value).into()).collect();
        let repeated: Vec<i16> = (0..values.len()).map(|index| i16::from(index > 0)).collect();
        column
            .typed::<ByteArrayType>()
            .write_batch(
                &values,
                Some(&vec![defined; values.len()]),
                (defined > 1).then_some(&repeated[..]),
            )
            .expect("write");
        column.close().expect("close column");
    }
    row_group.close().expect("close row group");
    writer.close().expect("close file");
    bytes
}
