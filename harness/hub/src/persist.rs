//! Asking again after a fault that may pass.

use std::time::Duration;
use std::{io, thread};

use crate::error::Problem;

/// How often a fault that may pass is met before it is believed.
const ATTEMPTS: usize = 5;

/// How often the wrong content is: a whole file comes each time.
const ATTEMPTS_AT_CONTENT: usize = 3;

/// The longest wait the other side can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Attempts until it goes well or the fault is one that stays, with a wait between that doubles, or is as long as the other
/// side asks.
pub(crate) fn persist<T>(first_wait: Duration, mut attempt: impl FnMut() -> Result<T, Problem>) -> Result<T, Problem> {
    let (mut wait, mut attempts) = (first_wait, 1);
    loop {
        match attempt() {
            Err(problem) if attempts < worth(&problem) => {
                thread::sleep(asked_wait(&problem).unwrap_or(wait));
                wait = (wait * 2).min(LONGEST_WAIT);
                attempts += 1;
            }
            Err(problem) if worth(&problem) > 1 => {
                return Err(Problem::GaveUp {
                    attempts,
                    last: Box::new(problem),
                });
            }
            settled => return settled,
        }
    }
}

/// How many attempts a problem is worth: 1 if it stays.
fn worth(problem: &Problem) -> usize {
    let may_pass = match problem {
        Problem::Content { .. } => return ATTEMPTS_AT_CONTENT,
        Problem::Busy { .. } | Problem::Length { .. } | Problem::Part { .. } | Problem::Stalled { .. } => true,
        Problem::Status { status, .. } => *status == 429 || *status >= 500,
        Problem::Failed { source, .. } => match &**source {
            ureq::Error::Io(error) => is_cut(error),
            ureq::Error::Timeout(_) => true,
            _ => false,
        },
        _ => false,
    };
    if may_pass { ATTEMPTS } else { 1 }
}

/// How long the other side asks to wait, but not for ever.
fn asked_wait(problem: &Problem) -> Option<Duration> {
    match problem {
        Problem::Busy { wait } | Problem::Status { wait, .. } => wait.map(|wait| wait.min(LONGEST_WAIT)),
        _ => None,
    }
}

/// Whether a connection that was there went away.
fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_the_hub_asks_for_is_kept_but_not_for_ever() {
        let busy = |seconds: Option<u64>| {
            asked_wait(&Problem::Busy {
                wait: seconds.map(Duration::from_secs),
            })
        };
        assert_eq!(busy(Some(7)), Some(Duration::from_secs(7)));
        assert_eq!(busy(Some(86_400)), Some(LONGEST_WAIT));
        assert_eq!(busy(None), None);
        assert_eq!(asked_wait(&Problem::Missing), None);
    }

    #[test]
    fn only_what_can_pass_is_met_again() {
        let failed = |error: ureq::Error| {
            worth(&Problem::Failed {
                host: String::new(),
                source: Box::new(error),
            })
        };
        assert_eq!(failed(io::Error::from(io::ErrorKind::ConnectionReset).into()), ATTEMPTS);
        assert_eq!(failed(ureq::Error::Timeout(ureq::Timeout::Connect)), ATTEMPTS);
        assert_eq!(failed(io::Error::from(io::ErrorKind::ConnectionRefused).into()), 1);
        assert_eq!(failed(ureq::Error::HostNotFound), 1);
        assert_eq!(worth(&Problem::Refused), 1);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(worth(&Problem::disk("x")(full)), 1);
    }

    #[test]
    fn the_last_problem_is_the_one_that_is_told() {
        let mut attempts = 0;
        let told = persist(Duration::ZERO, || -> Result<(), _> {
            attempts += 1;
            match attempts {
                1 => Err(Problem::Busy { wait: None }),
                _ => Err(Problem::Missing),
            }
        });
        assert!(matches!(told, Err(Problem::Missing)) && attempts == 2, "{told:?}");
    }
}
