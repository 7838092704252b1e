//! Asking again after a fault that may pass.

use std::time::Duration;
use std::{io, thread};

/// How often a fault that may pass is met before it is believed.
const ATTEMPTS: usize = 5;

/// The longest wait the other side can ask for.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What an attempt can meet.
pub(crate) trait Fault: Sized {
    /// Whether another attempt can go better.
    fn may_pass(&self) -> bool;

    /// How long the other side asks to wait, if it does.
    fn asked_wait(&self) -> Option<Duration>;

    /// That every attempt failed, the last so.
    fn gave_up(attempts: usize, last: Self) -> Self;
}

/// Attempts until it goes well or the fault is one that stays, with a wait between that doubles.
pub(crate) fn persist<T, F: Fault>(first_wait: Duration, mut attempt: impl FnMut() -> Result<T, F>) -> Result<T, F> {
    let mut wait = first_wait;
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(fault) if fault.may_pass() => {
                thread::sleep(fault.asked_wait().unwrap_or(wait));
                wait *= 2;
            }
            settled => return settled,
        }
    }
    attempt().map_err(|fault| match fault.may_pass() {
        true => F::gave_up(ATTEMPTS, fault),
        false => fault,
    })
}

/// Whether a request failed on the way, not by its own fault.
pub(crate) fn failed_on_the_way(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::StatusCode(code) => *code >= 500,
        ureq::Error::Io(error) => is_cut(error),
        ureq::Error::Timeout(_) => true,
        _ => false,
    }
}

/// Whether a connection that was there went away.
pub(crate) fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof
    )
}
