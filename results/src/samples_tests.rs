use super::*;
use crate::test_records::record;

/// What inflates to `count` times `line`.
fn inflating(line: &[u8], count: usize) -> Vec<u8> {
    let mut content = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..count {
        content.write_all(line).unwrap();
    }
    content.finish().unwrap()
}

/// What a record without its samples says of these.
fn problem(windows: usize, content: &[u8]) -> String {
    let mut record = record(1);
    split(&mut record).unwrap();
    record.metrics.as_mut().unwrap().perplexity[0].windows = windows;
    join(&mut record, content).unwrap_err()
}

const WINDOW: &str = r#"{"kind":"window","result":0,"nll":1.0}"#;

#[test]
fn a_line_that_inflates_without_end_is_refused_before_it_is_held() {
    let content = inflating(&[b'0'; 1 << 20], 2048);
    assert!(content.len() < 20 << 20, "{}", content.len());
    assert!(problem(1, &content).starts_with("line 1: it goes on after 1048576 bytes"));
}

#[test]
fn no_more_samples_are_held_than_the_record_names() {
    let windows = inflating(format!("{WINDOW}\n").as_bytes(), 1 << 20);
    assert_eq!(
        problem(1000, &windows),
        "line 1001: a sample too many: its record has 1000 windows of p@1"
    );
    let item = r#"{"kind":"item","result":0,"document":0,"log_likelihoods":[],"greedy":[]}"#;
    let items = inflating(format!("{item}\n").as_bytes(), 1000);
    assert_eq!(
        problem(1, &items),
        "line 3: a sample too many: its record has 2 items of t@1"
    );
}

#[test]
fn a_record_that_names_any_number_of_samples_holds_a_bounded_amount() {
    let mut line = vec![b' '; (1 << 20) - 1];
    line[..WINDOW.len()].copy_from_slice(WINDOW.as_bytes());
    line.push(b'\n');
    let content = inflating(&line, 1100);
    assert_eq!(
        problem(usize::MAX, &content),
        "line 1025: it inflates to more than 1073741824 bytes"
    );
}
