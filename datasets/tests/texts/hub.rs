//! A Hub of one's own: parquet files and a small HTTP server that answers as the Hub does.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

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

/// What the server says to a request for a path.
pub enum Answer {
    /// The file.
    File(Vec<u8>),
    /// The file, but one fault for each of the first requests for its content.
    Faulty(Vec<u8>, Vec<Fault>),
    /// A refusal.
    Status(u16),
}

/// How a request for content goes wrong.
#[derive(Clone, Copy)]
pub enum Fault {
    /// The connection ends after so many bytes of the content.
    Cut(usize),
    /// So many bytes are announced and sent, as if they were all.
    Short(usize),
    /// The whole file comes, whichever part was asked for.
    Whole,
    /// A refusal that asks to come back at once.
    Status(u16),
}

/// A running server.
pub struct Server {
    /// Its address, for `HF_ENDPOINT`.
    pub endpoint: String,
    /// Request line and headers of every request so far.
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// The ranges asked for so far, but those that ask for a file's length.
    pub fn ranges(&self) -> Vec<String> {
        let requests = self.requests.lock().expect("no panic");
        let heads = requests.iter().flat_map(|head| head.lines());
        let ranges = heads.filter_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("range: bytes=")
                .map(str::to_owned)
        });
        ranges.filter(|range| range != LENGTH).collect()
    }
}

/// The range by which a client asks for a file's length.
const LENGTH: &str = "0-0";

/// Serves `answers` by path, and 404 for any other path, until the test ends.
pub fn serve(mut answers: HashMap<String, Answer>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that hangs up early is the client's test to judge.
            let _ = stream.and_then(|stream| answer(&stream, &mut answers, &seen));
        }
    });
    Server { endpoint, requests }
}

fn answer(stream: &TcpStream, answers: &mut HashMap<String, Answer>, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let head: Vec<String> = BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .collect();
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let range = head.iter().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("range: bytes=")
            .map(str::to_owned)
    });
    seen.lock().expect("no panic").push(head.join("\n"));
    // /datasets/<owner>/<name>/resolve/<commit>/<file>
    let commit = path.split('/').nth(5).unwrap_or_default();
    match answers.get_mut(path) {
        Some(Answer::File(bytes)) => send(stream, bytes, range.as_deref(), commit, None),
        Some(Answer::Faulty(bytes, faults)) => {
            let content = range.as_deref() != Some(LENGTH);
            let fault = (content && !faults.is_empty()).then(|| faults.remove(0));
            send(stream, bytes, range.as_deref(), commit, fault)
        }
        Some(Answer::Status(status)) => refuse(stream, *status),
        None => refuse(stream, 404),
    }
}

fn send(
    mut stream: &TcpStream,
    bytes: &[u8],
    range: Option<&str>,
    commit: &str,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let (from, to) = range.and_then(|range| range.split_once('-')).unwrap_or_default();
    let from = match fault {
        Some(Fault::Whole) => 0,
        _ => from.parse().unwrap_or(0),
    };
    let to = to.parse().map_or(bytes.len(), |to: usize| (to + 1).min(bytes.len()));
    if from >= to {
        return refuse(stream, 416);
    }
    let mut content = &bytes[from..to];
    if let Some(Fault::Short(length)) = fault {
        content = &content[..length];
    }
    if let Some(Fault::Status(status)) = fault {
        return refuse(stream, status);
    }
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nETag: \"etag-{total}\"\r\nX-Repo-Commit: {commit}\r\n\
         Content-Range: bytes {from}-{last}/{total}\r\nContent-Length: {length}\r\n\r\n",
        total = bytes.len(),
        last = to - 1,
        length = content.len(),
    )?;
    if let Some(Fault::Cut(length)) = fault {
        content = &content[..length];
    }
    stream.write_all(content)
}

fn refuse(mut stream: &TcpStream, status: u16) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} No\r\nConnection: close\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
    )
}
