//! Small HTTP servers on this machine: one that says what it is told to, and one that answers as the Hub does.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use sha2::{Digest, Sha256};

/// The commit that every branch and tag of a Hub's repositories is.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `HEAD`.
    pub method: String,
    /// Path and query.
    pub path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// The value of a header, whose name has no capitals here.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// First and, if named, last byte that is asked for.
    fn range(&self) -> Option<(usize, Option<usize>)> {
        let (from, to) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((from.parse().ok()?, to.parse().ok()))
    }
}

/// What a server says.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status, such as 200.
    pub status: u16,
    /// Headers, but `Content-Length` and `Connection`.
    pub headers: Vec<(String, String)>,
    /// Content.
    pub body: Vec<u8>,
    /// What becomes of the connection after so many bytes of the content, if not all come.
    pub cut: Option<(usize, Cut)>,
}

/// How a connection breaks off.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// It ends.
    Ends,
    /// It stays, and nothing comes.
    Stalls,
}

impl Reply {
    /// A status and nothing else.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            cut: None,
        }
    }

    /// A redirect.
    pub fn to(location: impl Into<String>) -> Self {
        Self::status(302).with("Location", location)
    }

    /// The part of `content` that the request asks for.
    pub fn part(request: &Request, content: &[u8]) -> Self {
        let Some((from, to)) = request.range() else {
            return Self {
                body: content.to_vec(),
                ..Self::status(200)
            };
        };
        let to = to.map_or(content.len(), |to| content.len().min(to + 1));
        if from >= to {
            return Self::status(416);
        }
        let reply = Self {
            body: content[from..to].to_vec(),
            ..Self::status(206)
        };
        reply.with("Content-Range", format!("bytes {from}-{}/{}", to - 1, content.len()))
    }

    /// The same with a header more.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same with the headers by which the Hub names content and the commit that it is of.
    pub fn of_hub(self, etag: &str, commit: &str) -> Self {
        self.with("ETag", format!("\"{etag}\"")).with("X-Repo-Commit", commit)
    }
}

/// A running server. It stops with the test's process.
pub struct Server {
    /// Its address, `http://127.0.0.1:port`.
    pub endpoint: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// A server that answers one request after the other.
    pub fn new(mut answer: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            // Connections on which nothing comes.
            let mut stalled = Vec::new();
            for stream in listener.incoming() {
                // A client that hangs up early is the client's test to judge.
                let _ = stream.and_then(|stream| serve(stream, &mut answer, &seen, &mut stalled));
            }
        });
        Self { endpoint, requests }
    }

    /// A Hub that serves `answers` by path, and 404 for any other path.
    pub fn of(mut answers: HashMap<String, Answer>) -> Self {
        Self::new(move |request| match answers.get_mut(&request.path) {
            Some(answer) => answer.reply(request),
            None => Reply::status(404),
        })
    }

    /// The requests so far.
    pub fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().expect("no panic")
    }

    /// The bytes of content asked for so far, `0-` for all of it.
    pub fn ranges(&self) -> Vec<String> {
        let requests = self.requests();
        let contents = requests.iter().filter(|request| request.method == "GET");
        let ranges = contents.map(|request| request.header("range").unwrap_or("bytes=0-"));
        ranges
            .map(|range| range.trim_start_matches("bytes=").to_owned())
            .collect()
    }
}

fn serve(
    mut stream: TcpStream,
    answer: &mut impl FnMut(&Request) -> Reply,
    seen: &Mutex<Vec<Request>>,
    stalled: &mut Vec<TcpStream>,
) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    let mut words = first.split(' ').map(str::to_owned);
    let request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        headers: lines
            .take_while(|line| !line.is_empty())
            .filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect(),
    };
    seen.lock().expect("no panic").push(request.clone());
    let reply = answer(&request);
    write!(stream, "HTTP/1.1 {} Said\r\nConnection: close\r\n", reply.status)?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    write!(stream, "Content-Length: {}\r\n\r\n", reply.body.len())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let (sent, cut) = reply.cut.unwrap_or((reply.body.len(), Cut::Ends));
    stream.write_all(&reply.body[..sent])?;
    if matches!(cut, Cut::Stalls) {
        stalled.push(stream);
    }
    Ok(())
}

/// What a Hub says to a request for a path.
pub enum Answer {
    /// The file.
    File(Vec<u8>),
    /// The file, but one fault for each of the first requests for its content.
    Faulty(Vec<u8>, Vec<Fault>),
    /// A refusal that asks to come back at once.
    Status(u16),
}

/// How a request for content goes wrong.
#[derive(Clone, Copy)]
pub enum Fault {
    /// The connection ends after so many bytes of the content.
    Cut(usize),
    /// Nothing more comes after so many bytes of the content.
    Stall(usize),
    /// So many bytes are announced and sent, as if they were all.
    Short(usize),
    /// The whole file comes, whichever part was asked for.
    Whole,
    /// As many other bytes come.
    Garbled,
    /// A refusal that asks to come back at once.
    Status(u16),
}

impl Answer {
    /// The list of files that the Hub has of a model or data set.
    pub fn listing<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        let siblings: Vec<_> = files
            .into_iter()
            .map(|name| serde_json::json!({ "rfilename": name }))
            .collect();
        let listing = serde_json::json!({ "sha": COMMIT, "siblings": siblings });
        Self::File(listing.to_string().into_bytes())
    }

    fn reply(&mut self, request: &Request) -> Reply {
        match self {
            Self::File(content) => file(request, content, None),
            Self::Faulty(content, faults) => {
                let fault = (request.method == "GET" && !faults.is_empty()).then(|| faults.remove(0));
                file(request, content, fault)
            }
            Self::Status(status) => Reply::status(*status).with("Retry-After", "0"),
        }
    }
}

fn file(request: &Request, content: &[u8], fault: Option<Fault>) -> Reply {
    let named = |reply: Reply| reply.of_hub(&sha256(content), commit(&request.path));
    match fault {
        None => named(Reply::part(request, content)),
        Some(Fault::Status(status)) => Reply::status(status).with("Retry-After", "0"),
        Some(Fault::Whole) => named(Reply {
            body: content.to_vec(),
            ..Reply::status(200)
        }),
        Some(Fault::Garbled) => named(Reply::part(request, &vec![b'?'; content.len()])),
        Some(fault) => {
            let mut reply = named(Reply::part(request, content));
            match fault {
                Fault::Cut(bytes) => reply.cut = Some((bytes, Cut::Ends)),
                Fault::Stall(bytes) => reply.cut = Some((bytes, Cut::Stalls)),
                Fault::Short(bytes) => reply.body.truncate(bytes),
                Fault::Whole | Fault::Garbled | Fault::Status(_) => {}
            }
            reply
        }
    }
}

/// The commit in the path of a file, `.../resolve/<commit>/...`, else the one that branches are.
fn commit(path: &str) -> &str {
    let revision = path
        .split_once("/resolve/")
        .and_then(|(_, file)| file.split('/').next());
    revision
        .filter(|revision| revision.len() == COMMIT.len())
        .unwrap_or(COMMIT)
}

/// A hash in lower-case hexadecimal digits.
pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
