//! One cell that measures speed has a machine to itself, whatever runs and whatever their results folders.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, Write};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use prunebench_results::host_name;

use crate::machine::now;
use crate::plan::Planned;

/// How often somebody who waits tries again.
const TRY_AGAIN: Duration = Duration::from_millis(50);
/// Waits shorter than this are not told of.
const QUIET: Duration = Duration::from_secs(1);

/// This machine, as reservations and records name it, and the folder of its locks, which everything that shall wait for each
/// other has in common.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Folder of its locks. Other machines may see it too: their locks have their names.
    pub locks: PathBuf,
}

/// The machine's locks can't be taken.
#[derive(Debug, thiserror::Error)]
#[error(
    "{path}: can't be locked ({source}), so that nothing else runs beside a cell that measures speed; name a folder that can be \
     written and locked in XDG_CACHE_HOME"
)]
pub struct HostError {
    path: PathBuf,
    source: io::Error,
}

/// The right to run a cell on the machine, until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Entered {
    room: File,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Closing the file lifts the lock only once no process that is just being started shares it.
        let _ = self.room.unlock();
    }
}

impl Host {
    /// The machine that this process runs on, with its locks in the user's cache folder, or that for temporary files where there
    /// is none.
    pub fn this() -> Self {
        let cache = dirs::cache_dir().unwrap_or_else(std::env::temp_dir);
        Self {
            name: host_name(),
            locks: cache.join("prunebench").join("hosts"),
        }
    }

    /// Waits until `planned` may run here: one that measures speed alone, others beside each other. `waits` hears for what, if
    /// it takes long. `None` if `goes_on` said no before.
    ///
    /// Whoever comes takes the turn first and keeps it until the room is free, so nobody who waits to be alone is passed by
    /// those who need not be. In the room nobody asks for a turn, so it empties.
    pub(crate) fn enter(
        &self,
        planned: &Planned,
        goes_on: &dyn Fn() -> bool,
        waits: &mut dyn FnMut(String),
    ) -> Result<Option<Entered>, HostError> {
        let (turn, room) = (self.open("turn")?, self.open("room")?);
        let started = Instant::now();
        let mut told = false;
        let mut wait = |lock: &dyn Fn() -> Result<(), TryLockError>, extension: &str| loop {
            match lock() {
                Ok(()) => return Ok(true),
                Err(TryLockError::Error(source)) => return Err(self.failed(extension, source)),
                Err(TryLockError::WouldBlock) if !goes_on() => return Ok(false),
                Err(TryLockError::WouldBlock) => {}
            }
            if !told && started.elapsed() > QUIET {
                let last = fs::read_to_string(self.path("room")).unwrap_or_default();
                waits(format!(
                    "waits for what runs on this machine, last begun: {}",
                    last.trim()
                ));
                told = true;
            }
            sleep(TRY_AGAIN);
        };
        if !wait(&|| turn.try_lock(), "turn")? {
            return Ok(None);
        }
        let entered = match planned.measures_speed() {
            true => wait(&|| room.try_lock(), "room")?,
            false => wait(&|| room.try_lock_shared(), "room")?,
        };
        if entered {
            // For others to read; the lock holds all the same.
            let _ = sign(&room, planned);
        }
        let _ = turn.unlock();
        Ok(entered.then_some(Entered { room }))
    }

    fn open(&self, extension: &str) -> Result<File, HostError> {
        let open = || {
            fs::create_dir_all(&self.locks)?;
            let options = &mut File::options();
            let options = options.read(true).write(true).create(true).truncate(false);
            options.open(self.path(extension))
        };
        open().map_err(|source| self.failed(extension, source))
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.locks.join(format!("{}.{extension}", self.name))
    }

    fn failed(&self, extension: &str, source: io::Error) -> HostError {
        HostError {
            path: self.path(extension),
            source,
        }
    }
}

/// Writes who entered last.
fn sign(mut room: &File, planned: &Planned) -> io::Result<()> {
    let line = format!("{} (process {}, {})\n", planned.cell, std::process::id(), now());
    room.rewind()?;
    room.write_all(line.as_bytes())?;
    room.set_len(line.len() as u64)
}
