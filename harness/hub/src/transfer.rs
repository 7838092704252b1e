//! Downloads that are gone on with where they were cut, and stand in their place whole and checked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::address::Address;
use crate::client::{Answer, Ask, Client};
use crate::download::ObservedDownload;
use crate::error::Problem;
use crate::hash::Hash;

/// How the name of a download ends that isn't whole yet, with `huggingface_hub` as well.
pub(crate) const INCOMPLETE: &str = ".incomplete";

/// A file to fetch, and what is known of it.
pub(crate) struct Wanted {
    /// What people call it.
    pub(crate) name: String,
    pub(crate) address: Address,
    /// Bytes of it, if that was announced.
    pub(crate) length: Option<u64>,
    /// Its hash, if it has one by which it can be checked.
    pub(crate) hash: Option<Hash>,
    /// The most bytes that are taken.
    pub(crate) limit: u64,
}

/// Waits until no other process, and no other thread, has the lock; it is given back when the file is dropped.
pub(crate) fn lock(path: &Path) -> Result<File, Problem> {
    make_folder_of(path)?;
    let open = || {
        let lock = OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
        lock.lock()?;
        Ok(lock)
    };
    open().map_err(Problem::disk(path))
}

pub(crate) fn make_folder_of(path: &Path) -> Result<(), Problem> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(Problem::disk(folder))
}

/// One attempt to bring the file to `path`. `part` has what came so far, and keeps it if the way there fails; both are in one
/// folder, which must be there, and under one lock.
pub(crate) fn fetch(client: &Client, wanted: &Wanted, part: &Path, path: &Path) -> Result<(), Problem> {
    let open = || {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(part)
    };
    let mut file = open().map_err(Problem::disk(part))?;
    let had = file.metadata().map_err(Problem::disk(part))?.len();
    // Two parts make a file only where a hash says so: the file at that address may be another by now.
    let usable = wanted.hash.is_some() && wanted.length.is_none_or(|length| had <= length);
    let had = if usable { had } else { 0 };
    if had == 0 || wanted.length != Some(had) {
        receive(client, wanted, &mut file, had, part)?;
    }
    if let Some(hash) = &wanted.hash {
        let found = hash.found(&mut file).map_err(Problem::disk(part))?;
        if found != hash.wanted() {
            clear(part)?;
            return Err(Problem::Content {
                kind: hash.kind(),
                found,
                wanted: hash.wanted().to_owned(),
            });
        }
    }
    let keep = || {
        file.sync_all()?;
        fs::rename(part, path)?;
        path.parent().map_or(Ok(()), prunebench_files::sync)
    };
    keep().map_err(Problem::disk(path))
}

/// Appends to the `had` bytes of the file what is missing.
fn receive(client: &Client, wanted: &Wanted, file: &mut File, had: u64, part: &Path) -> Result<(), Problem> {
    let mut answer = client.send(Ask::Content(had), &wanted.address)?;
    let (from, announced) = match answer.status() {
        206 => content_range(&answer).unwrap_or((u64::MAX, None)),
        // All of it, also where a part was asked for.
        200 => (0, answer.number("Content-Length")),
        // What is there is longer than the file.
        416 => (u64::MAX, None),
        _ => return Err(answer.problem()),
    };
    if from != 0 && from != had {
        clear(part)?;
        return Err(Problem::Part { host: answer.host });
    }
    let length = wanted.length.or(announced);
    let mut begin = || {
        file.set_len(from)?;
        file.seek(SeekFrom::Start(from))
    };
    begin().map_err(Problem::disk(part))?;
    let too_long = Problem::TooLong { limit: wanted.limit };
    if length.is_some_and(|length| length > wanted.limit) {
        return Err(too_long);
    }

    let mut observed = ObservedDownload::begin(&wanted.name, from, length);
    let (mut found, mut buffer) = (from, vec![0; 1 << 16]);
    let mut body = answer.response.body_mut().as_reader();
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(client.problem(&answer.host, error.into())),
        };
        found += read as u64;
        file.write_all(&buffer[..read]).map_err(Problem::disk(part))?;
        observed.has(found);
        if found > length.unwrap_or(wanted.limit) {
            break;
        }
    }
    match length {
        Some(wanted) if wanted != found => {
            clear(part)?;
            Err(Problem::Length { found, wanted })
        }
        None if found > wanted.limit => {
            clear(part)?;
            Err(too_long)
        }
        _ => {
            observed.is_whole();
            Ok(())
        }
    }
}

/// First byte and whole length of the part that `Content-Range: bytes 10-38/39` announces; the length may be `*`.
fn content_range(answer: &Answer) -> Option<(u64, Option<u64>)> {
    let header = answer.header("Content-Range")?;
    let (range, total) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.trim().parse().ok()?, total.parse().ok()))
}

/// Throws away what came.
fn clear(part: &Path) -> Result<(), Problem> {
    fs::remove_file(part).map_err(Problem::disk(part))
}
