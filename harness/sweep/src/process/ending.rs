//! What the end of a cell's process means for the cell.

use std::process::ExitStatus;

use prunebench_results::{Memory, Metrics, Status};

use crate::experiment::Limits;
use crate::message::Message;

/// How a process ended, and what it said.
pub(super) struct Ending {
    pub(super) status: Status,
    pub(super) error: Option<String>,
    pub(super) metrics: Option<Metrics>,
    pub(super) memory: Option<Memory>,
}

pub(super) fn over_limit(found: u64, limit: f64) -> String {
    format!(
        "took {:.3} GB, limits.memory_gb is {limit}; raise it, or take a smaller model",
        found as f64 / 1e9
    )
}

/// What the last word and the exit status of a process mean together.
pub(super) fn judge(last: Option<Message>, status: ExitStatus, log: &[String], limits: Limits) -> Ending {
    let failed = |status, error: String, memory| Ending {
        status,
        error: Some(error),
        metrics: None,
        memory,
    };
    // The engines' and the allocator's own words.
    let of_memory = |text: &str| {
        let text = text.to_lowercase();
        text.contains("out of memory")
            || text.contains("memory allocation of")
            || text.contains("can't allocate memory")
            || text.contains("cublas_status_alloc_failed")
    };
    match last {
        Some(Message::Measured { metrics, memory }) if status.success() => {
            let peak = memory.peak_resident_bytes;
            match limits.memory_gb {
                // Shorter than a tick.
                Some(limit) if peak as f64 > limit * 1e9 => failed(Status::Oom, over_limit(peak, limit), Some(memory)),
                _ => Ending {
                    status: Status::Ok,
                    error: None,
                    metrics: Some(*metrics),
                    memory: Some(memory),
                },
            }
        }
        Some(Message::Failed {
            status: said,
            error,
            memory,
        }) if status.success() => {
            let kind = if of_memory(&error) { Status::Oom } else { said };
            failed(kind, error, memory)
        }
        _ => {
            let kind = if of_memory(&log.join("\n")) {
                Status::Oom
            } else {
                Status::Failed
            };
            let words = last_words(log);
            failed(kind, format!("the process ended with {status}; {words}"), None)
        }
    }
}

/// What a process that ended without a message said of it: its panic, else its last line.
fn last_words(log: &[String]) -> String {
    // Rust writes the place in one line, the message in the next, and then a note about backtraces.
    let message = log
        .iter()
        .rposition(|line| line.contains(" panicked at "))
        .map(|place| {
            let message = log[place..].iter().take_while(|line| !line.starts_with("note: "));
            message.map(String::as_str).collect::<Vec<_>>().join(" ")
        });
    let last = || log.iter().rfind(|line| !line.is_empty()).cloned();
    let words = message.or_else(last);
    words.unwrap_or_else(|| "it said nothing on standard error".to_owned())
}
