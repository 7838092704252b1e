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

/// What the server says to a request for a path.
pub enum Answer {
    /// The file.
    File(Vec<u8>),
    /// A refusal.
    Status(u16),
}

/// A running server.
pub struct Server {
    /// Its address, for `HF_ENDPOINT`.
    pub endpoint: String,
    /// Request line and headers of every request so far.
    pub requests: Arc<Mutex<Vec<String>>>,
}

/// Serves `answers` by path, and 404 for any other path, until the test ends.
pub fn serve(answers: HashMap<String, Answer>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that hangs up early is the client's test to judge.
            let _ = stream.and_then(|stream| answer(stream, &answers, &seen));
        }
    });
    Server { endpoint, requests }
}

fn answer(stream: TcpStream, answers: &HashMap<String, Answer>, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let head: Vec<String> = BufReader::new(&stream)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .collect();
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let range = head.iter().find_map(|line| {
        let (name, value) = line.split_once(": bytes=")?;
        let (from, to) = value.split_once('-')?;
        (name.eq_ignore_ascii_case("range")).then_some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()))
    });
    seen.lock().expect("no panic").push(head.join("\n"));
    let mut stream = &stream;
    match answers.get(path) {
        Some(Answer::File(bytes)) => {
            let (from, to) = range.unwrap_or((0, None));
            let to = to.map_or(bytes.len(), |to| (to + 1).min(bytes.len()));
            write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nETag: \"etag-{total}\"\r\nX-Repo-Commit: {commit}\r\n\
                 Content-Range: bytes {from}-{last}/{total}\r\nContent-Length: {length}\r\n\r\n",
                total = bytes.len(),
                // /datasets/<owner>/<name>/resolve/<commit>/<file>
                commit = path.split('/').nth(5).unwrap_or_default(),
                last = to - 1,
                length = to - from,
            )?;
            stream.write_all(&bytes[from..to])
        }
        Some(Answer::Status(status)) => refuse(stream, *status),
        None => refuse(stream, 404),
    }
}

fn refuse(mut stream: &TcpStream, status: u16) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
}
